"""Which of fsspec's filesystems can hold a queue, as far as anybody has tried."""

from __future__ import annotations

import os
from collections.abc import Callable

from fsspec.asyn import AsyncFileSystem
from fsspec.core import split_protocol
from fsspec.spec import AbstractFileSystem

from dirjobs.errors import ConfigurationError
from dirjobs.store import Guarantees

Rename = Callable[[AbstractFileSystem, str, str], None]
"""Renames one file by one native operation.  It may replace what is there."""


def _by_the_system(_: AbstractFileSystem, src: str, dst: str) -> None:
    os.rename(src, dst)  # mv, which is shutil.move, copies where this fails


def _by_mv(filesystem: AbstractFileSystem, src: str, dst: str) -> None:
    filesystem.mv(src, dst)


_LOCAL = "fsspec.implementations.local.LocalFileSystem"
"""What renames by one native operation, unless another package has registered a class of its own
for one of the schemes."""
_LOCAL_SCHEMES = frozenset({"file", "local"})

_SHARES = "use a folder, or a share by https:// (WebDAV), smb:// or sftp://"
_PROVE = f"{_SHARES}, or prove it by a backend of your own (docs/backends.md)"

# Why not, what to do instead, and by which schemes.
_REASONS = (
    (
        "it would be cached, and a queue needs fresh listings",
        "give the share's own URL",
        ("blockcache", "cached", "filecache", "simplecache"),
    ),
    (
        "an object store has no rename, only copy and delete, so that two workers would have"
        " one job",
        _SHARES,
        ("adl", "oci", "ocilake", "oss", "r2", "s3a", "tos", "tosfs", "wasb", "wasbs"),
    ),
    (
        "a rename over FTP replaces a file that is there, and all who rename to its name are told"
        " that they did, so that jobs would be lost",
        _SHARES,
        ("ftp", "ftps"),
    ),
    (
        "files can only be read there",
        _SHARES,
        ("data", "dvc", "gist", "git", "github", "hf", "reference", "wandb"),
    ),
    (
        "a web server's pages can only be read",
        "leave out what is before http, and the server has to speak WebDAV",
        ("http", "https"),
    ),
    (
        "an archive is one file, which is written as a whole",
        "use the folder that it is in",
        ("libarchive", "tar", "zip"),
    ),
    (
        "fsspec takes a rename that HDFS refused for done, so that two workers would have one job",
        _SHARES,
        ("webhdfs",),
    ),
    (
        "it is another filesystem in disguise",
        "give the URL of that one",
        ("async_wrapper", "asynclocal", "asyncwrapper", "dir", "generic"),
    ),
)
_REFUSED = {scheme: (why, do) for why, do, schemes in _REASONS for scheme in schemes}


def check_place(url: str, shown: str, told: Guarantees) -> None:
    """Refuse what can't hold a queue, before anything of it is imported.

    Args:
        url: of the queue.
        shown: the same, without secrets.
        told: what the user promises.

    Raises:
        ConfigurationError: in one sentence, why, and what to do.
    """
    links = [(split_protocol(link)[0] or link).lower() for link in url.split("::")]
    if len(links) > 1:
        for scheme in links[:-1]:
            if scheme in _REFUSED:
                raise _refused(shown, *_REFUSED[scheme])
        raise _refused(shown, "it is a chain of filesystems", "give the URL of the last one")
    scheme = links[0]
    if scheme in _LOCAL_SCHEMES or _tells_of_renames(told):
        return
    raise _refused(shown, *_REFUSED.get(scheme, (_untried(f"{scheme}://"), _PROVE)))


def native_rename(
    scheme: str, kind: type[AbstractFileSystem], shown: str, told: Guarantees
) -> Rename:
    """How a class renames by one native operation.

    Args:
        scheme: of the URL.
        kind: the class.
        shown: the URL, without secrets.
        told: what the user promises.

    Raises:
        ConfigurationError: nobody knows whether it does, or it surely doesn't.
    """
    name = f"{kind.__module__}.{kind.__qualname__}"
    if scheme in _LOCAL_SCHEMES and name == _LOCAL:
        return _by_the_system
    if not _has_an_own_mv(kind):
        raise _refused(shown, f"{name} renames by copying and deleting", _SHARES)
    if not _tells_of_renames(told):
        raise _refused(shown, _untried(name), _PROVE)
    return _by_mv


def _has_an_own_mv(kind: type[AbstractFileSystem]) -> bool:
    """Whether a class does anything but inherit the ``mv`` that copies.  An asynchronous one has
    ``_mv``, of which each of its objects makes an ``mv``."""
    of_async = getattr(AsyncFileSystem, "_mv", None)
    return kind.mv is not AbstractFileSystem.mv or getattr(kind, "_mv", of_async) is not of_async


def _tells_of_renames(told: Guarantees) -> bool:
    return told.atomic_rename or told.atomic_rename_in_folder


def _untried(what: str) -> str:
    return f"nobody has tried whether of several who rename one file by {what} only one is told yes"


def _refused(shown: str, why: str, do: str) -> ConfigurationError:
    return ConfigurationError(f"{shown!r} can't hold a queue: {why}; {do}.")
