"""Large arguments of calls: each is stored once in a queue, in a file named by its digest.

Who reads one compares its content with the name: a file that somebody exchanged, or that is not
whole, is used for nothing.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from threading import Lock

from dirjobs import local_files
from dirjobs.layout import ARGUMENTS
from dirjobs.names import nonce
from dirjobs.protocol import folders
from dirjobs.protocol.share import Share

CACHED = 4 << 30
"""Bytes of arguments that a worker keeps on its own disk for the next call."""
_PIECE = 1 << 20


class Damaged(OSError):
    """What is stored is not what its name says."""


def digest_of(data: bytes) -> str:
    """The name of a stored argument."""
    return hashlib.sha256(data).hexdigest()


def path_of(digest: str) -> str:
    """Where it is in the queue."""
    return f"{ARGUMENTS}/{digest}"


class Uploads:
    """The arguments that one program stores.  Safe to use from several threads."""

    def __init__(self) -> None:
        self._sizes: dict[str, int | None] | None = None
        self._lock = Lock()

    def store(self, share: Share, stored: Mapping[str, bytes]) -> None:
        """Store what is not there yet, whole.

        Raises:
            StoreError: it could not be stored.
        """
        if not stored:
            return
        with self._lock:  # the same array goes with many calls
            if self._sizes is None:
                self._sizes = {entry.name: entry.size for entry in share.listed(ARGUMENTS)}
            for digest, data in stored.items():
                if self._sizes.get(digest) != len(data):
                    folders.upload(share, path_of(digest), io.BytesIO(data))
                    self._sizes[digest] = len(data)


class Cache:
    """Arguments that a worker has fetched, in a folder of this machine.

    Args:
        folder: to which only this user may write; it is made.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._lock = Lock()

    def fetch(self, share: Share, digests: Iterable[str]) -> dict[str, str]:
        """Where arguments are on this machine, by digest.

        Raises:
            Damaged: one is not what its name says.
            NotFound: somebody has removed it.
            StoreError: the store can't be reached, or refuses.
        """
        with self._lock:
            found = {digest: self._fetched(share, digest) for digest in digests}
            self._forget_oldest(found)
            return found

    def _fetched(self, share: Share, digest: str) -> str:
        path = os.path.join(self._folder, digest)
        if digest in self._sizes:
            self._sizes.move_to_end(digest)
            return path
        local_files.make_private_folders(self._folder)
        part = f"{path}.{nonce()}"
        try:
            with open(part, "xb") as file:
                share.store.download(path_of(digest), file)
                size = file.tell()
            _check(part, digest, share.store.full_path(path_of(digest)))
            local_files.replace(part, path)
        finally:
            with suppress(FileNotFoundError):
                local_files.unlink(part)
        self._sizes[digest] = size
        return path

    def _forget_oldest(self, needed: Mapping[str, str]) -> None:
        while sum(self._sizes.values()) > CACHED:
            oldest = next((digest for digest in self._sizes if digest not in needed), None)
            if oldest is None:
                return
            del self._sizes[oldest]
            with suppress(FileNotFoundError):
                local_files.unlink(os.path.join(self._folder, oldest))


def _check(path: str, digest: str, shown: str) -> None:
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            found.update(piece)
    if found.hexdigest() != digest:
        raise Damaged(f"{shown!r} is not what its name says: somebody changed it, or cut it short")
