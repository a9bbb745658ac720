"""Filesystems that fsspec knows, taken for no more than what is known of them.

fsspec's classes agree on little: most build ``mv`` of copy and delete, ``exists`` says False to
a wrong password, listings are cached, few can be shared by threads or end a request that gets no
answer.  So a queue is refused unless it is known that the class renames by one native operation
(`known`); each thread has a filesystem of its own, with a bound for each request
(`connection`); nothing is promised that was not told, and every answer that is not known is
ambiguous (`status`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from fsspec import get_filesystem_class
from fsspec.core import split_protocol, url_to_fs
from fsspec.spec import AbstractFileSystem

from dirjobs.backends import _config as option
from dirjobs.backends.fsspec.connection import Connections
from dirjobs.backends.fsspec.known import check_place, native_rename
from dirjobs.backends.fsspec.status import Secrets
from dirjobs.backends.fsspec.store import FsspecStore
from dirjobs.redaction import redacted
from dirjobs.store import Guarantees

__all__ = ["FsspecStore", "open_store"]

TIMEOUT = 30.0
"""Seconds for one request, where nobody says otherwise."""


def open_store(
    url: str, options: Mapping[str, object], *, timeout: float | None = None
) -> FsspecStore:
    """The folder at `url` on the filesystem that fsspec has for it; nothing is sent yet.

    Args:
        url: as fsspec spells it, but for chains with ``::``.
        options: the arguments of the filesystem's class, and ``guarantees``: a
            `dirjobs.Guarantees` with what was proved of this very place (`StoreTests`).  Whoever
            promises ``atomic_rename`` or ``atomic_rename_in_folder`` says that the ``mv`` of the
            class is one rename.
        timeout: seconds that one request may take; a payload has them for each piece.

    Raises:
        ConfigurationError: the place can't hold a queue, or nothing is known of its renames.
        ImportError: the package of the filesystem is missing.
    """
    given: dict[str, Any] = dict(options)
    promised = given.pop("guarantees", None)
    if promised is not None:
        promised = option.guarantees().check("guarantees", promised)
    told: Guarantees = promised or Guarantees()
    shown = redacted(url)
    check_place(url, shown, told)
    scheme = split_protocol(url)[0]
    kind: type[AbstractFileSystem] = get_filesystem_class(scheme)
    rename = native_rename(scheme, kind, shown, told)
    return FsspecStore(
        partial(Connections, partial(_connect, url, given), timeout or TIMEOUT),
        kind._strip_protocol(url),
        rename=rename,
        url=shown,
        guarantees=told,
        secrets=Secrets.of(url, scheme, given),
    )


def _connect(url: str, options: Mapping[str, Any]) -> AbstractFileSystem:
    """A filesystem that nobody else has, without a cache of listings."""
    filesystem, _ = url_to_fs(url, **{**options, "skip_instance_cache": True})
    filesystem.dircache.use_listings_cache = False
    filesystem.invalidate_cache()
    return filesystem
