"""WebDAV by URL: clouds and servers, without a mount.

Options of `open_store` (all also from fsspec's configuration for ``webdav``):
``username``/``password`` or ``auth=(user, password)``, ``auth_type`` (``basic``,
``digest``; found out if left out), ``token`` (bearer), ``netrc`` (a path, or False),
``ca`` (file or folder of certificates), ``verify``, ``cert`` (client certificate),
``proxy``, ``trust_env``, ``headers``, ``timeout`` (seconds of silence, 30).
"""

from __future__ import annotations

from collections.abc import Mapping

from dirjobs.backends.webdav.config import settings
from dirjobs.backends.webdav.store import WebdavStore

__all__ = ["WebdavStore", "open_store"]


def open_store(url: str, options: Mapping[str, object]) -> WebdavStore:
    """The folder at `url` as a store; nothing is sent yet.

    Raises:
        ConfigurationError: the URL or an option can't be.
    """
    return WebdavStore(settings(url, options))
