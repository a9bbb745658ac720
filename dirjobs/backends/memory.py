"""The reference: what a store means, in as little code as it takes.

Everything happens under one lock, so every promise holds.  Nothing leaves the process:
a forked child goes on with a copy of what it inherited, and neither sees the other's
changes any more.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import BinaryIO, NamedTuple

from dirjobs.errors import AlreadyExists, ConfigurationError, Denied, NotFound
from dirjobs.store import Entry, FileKind, Guarantees, SmallFile, Store, check_path, split

_PROMISES = Guarantees(
    atomic_rename=True,
    atomic_rename_in_folder=True,
    rename_keeps_mtime=True,
    no_replace=True,
    exclusive_mkdir=True,
    final_refusals=True,
    exclusive_create=True,
    visible_after=0,
)


class _File(NamedTuple):
    data: bytes
    mtime: float
    tag: str


class _Tree:
    """The folders of one store by their paths; a folder's value None is a folder."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.folders: dict[str, dict[str, _File | None]] = {"": {}}
        _trees.add(self)


_trees: weakref.WeakSet[_Tree] = weakref.WeakSet()
_named: dict[str, _Tree] = {}


def _fresh_locks() -> None:
    """In a forked child: the thread that held a lock at the fork doesn't exist here."""
    for tree in _trees:
        tree.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh_locks)


class MemoryStore(Store):
    """A store that lives as long as the object.

    Args:
        clock: gives the store's time in seconds since the epoch.
        name: what the URL shows after ``memory://``.
    """

    def __init__(self, clock: Callable[[], float] = time.time, *, name: str = "") -> None:
        self._clock = clock
        self._name = name
        self._tree = _Tree()
        self._writings = itertools.count(1)

    @property
    def url(self) -> str:
        return f"memory://{self._name}"

    @property
    def guarantees(self) -> Guarantees:
        return _PROMISES

    # -- what the protocol asks: list, rename, exists ---------------------------------

    def list(self, folder: str) -> list[Entry]:
        check_path(folder)
        with self._tree.lock:
            return [
                Entry(name, kind=FileKind.FOLDER)
                if file is None
                else Entry(name, file.mtime, len(file.data), tag=file.tag)
                for name, file in self._folder(folder).items()
            ]

    def rename(self, src: str, dst: str) -> None:
        with self._tree.lock:
            file = self._file(src)
            source, old = self._place(src)
            target, new = self._place(dst)
            if new in target:
                raise AlreadyExists(f"{self.full_path(dst)!r} is there already")
            target[new] = file
            del source[old]

    def exists(self, path: str) -> bool:
        folder, name = split(check_path(path))
        with self._tree.lock:
            return not path or name in self._tree.folders.get(folder, {})

    def mtime(self, path: str) -> float:
        with self._tree.lock:
            return self._file(path).mtime

    # -- contents and housekeeping -----------------------------------------------------

    def read(self, path: str) -> bytes:
        small = SmallFile(repr(self.full_path(path)))
        small.write(self._content(path))
        return small.content()

    def write(self, path: str, data: bytes) -> None:
        with self._tree.lock:
            folder, name = self._place(path)
            if folder.get(name, ...) is None:
                raise Denied(f"{self.full_path(path)!r} is a folder")
            folder[name] = self._new_file(data)

    def create(self, path: str, data: bytes) -> None:
        with self._tree.lock:
            folder, name = self._place(path)
            if name in folder:
                raise AlreadyExists(f"{self.full_path(path)!r} is there already")
            folder[name] = self._new_file(data)

    def download(self, path: str, target: BinaryIO) -> None:
        target.write(self._content(path))

    def upload(self, path: str, source: BinaryIO) -> None:
        pieces = []
        while piece := source.read(1 << 20):
            pieces.append(piece)
        self.write(path, b"".join(pieces))

    def remove(self, path: str) -> None:
        with self._tree.lock:
            self._file(path)
            folder, name = self._place(path)
            del folder[name]

    def mkdir(self, path: str) -> None:
        with self._tree.lock:
            if not path:
                raise AlreadyExists(f"{self.url!r} is there already")
            folder, name = self._place(path)
            if name in folder:
                raise AlreadyExists(f"{self.full_path(path)!r} is there already")
            folder[name] = None
            self._tree.folders[path] = {}

    def rmdir(self, path: str) -> None:
        with self._tree.lock:
            folder, name = self._place(path)
            if name not in folder:
                raise NotFound(f"{self.full_path(path)!r}: there is no such folder")
            if folder[name] is not None or self._tree.folders[path]:
                raise Denied(f"{self.full_path(path)!r} is not an empty folder")
            del folder[name]
            del self._tree.folders[path]

    def full_path(self, path: str) -> str:
        return f"{self.url}/{path}" if path else self.url

    def _new_file(self, data: bytes) -> _File:
        return _File(bytes(data), self._clock(), f"{next(self._writings)}")

    def _content(self, path: str) -> bytes:
        with self._tree.lock:
            return self._file(path).data

    # -- inside, under the lock --------------------------------------------------------

    def _folder(self, path: str) -> dict[str, _File | None]:
        try:
            return self._tree.folders[path]
        except KeyError:
            raise NotFound(f"{self.full_path(path)!r}: there is no such folder") from None

    def _place(self, path: str) -> tuple[dict[str, _File | None], str]:
        folder, name = split(check_path(path))
        return self._folder(folder), name

    def _file(self, path: str) -> _File:
        folder, name = split(check_path(path))
        try:
            file = self._tree.folders[folder][name]
        except KeyError:
            raise NotFound(f"{self.full_path(path)!r}: there is no such file") from None
        if file is None:
            raise Denied(f"{self.full_path(path)!r} is a folder")
        return file


def open_store(url: str, options: Mapping[str, object]) -> MemoryStore:
    """The store of a ``memory://name`` URL; one name is one tree in this process.

    Raises:
        ConfigurationError: there are options: this store has none.
    """
    if options:
        given = ", ".join(sorted(map(repr, options)))
        raise ConfigurationError(
            f"storage_options {given} mean nothing for {url!r}: leave them out."
        )
    name = url.removeprefix("memory://").rstrip("/")
    store = MemoryStore(name=name)
    store._tree = _named.setdefault(name, store._tree)
    return store
