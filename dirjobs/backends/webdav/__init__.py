"""WebDAV by URL: clouds and servers, without a mount.

What webdav4's fsspec filesystem gives here is its configuration: the names of its
options, its configuration files and its ``FSSPEC_WEBDAV_*`` environment.  Its requests
are not used: they leave out ``Depth``, repeat what must not be repeated, can't spell
every name, and its ``mv`` copies.  So all requests are our own, over httpx.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dirjobs.backends.webdav.config import read
from dirjobs.backends.webdav.store import WebdavStore

__all__ = ["WebdavStore", "open_store"]


def open_store(
    url: str, options: Mapping[str, Any], *, timeout: float | None = None
) -> WebdavStore:
    """The folder at `url` as a store; nothing is sent yet.

    Args:
        url: ``https://user:password@host:port/folder`` (user and password may be left
            out; percent-encode special characters in them); also ``webdavs://``,
            ``davs://``, and the same without TLS.
        options: ``username``/``password`` or ``auth=(user, password)``, ``auth_type``
            (``basic``, ``digest``; found out if left out), ``token`` (bearer), ``netrc``
            (a path, or False), ``ca`` (file or folder of certificates), ``verify``,
            ``cert`` (client certificate), ``proxy``, ``trust_env``, ``headers``,
            ``timeout`` (30, seconds for a whole request).  They win over the URL, and the URL
            over fsspec's configuration.
        timeout: the same, for who has no wish of his own in the options.

    Raises:
        ConfigurationError: the URL or an option can't be.
    """
    return WebdavStore(read(url, options, timeout))
