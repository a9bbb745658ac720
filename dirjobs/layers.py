"""Layers: stores around a store that add something and change no meaning."""

from __future__ import annotations

import copy
import logging
import random as _random
import time
from collections.abc import Callable, Iterable
from typing import BinaryIO, Self, TypeVar

from dirjobs.errors import AmbiguousResult, NotFound, StoreError, Unavailable
from dirjobs.store import Entry, Guarantees, Store

T = TypeVar("T")

_log = logging.getLogger("dirjobs.store")


class Layer(Store):
    """Forwards everything to another store; the base of all layers.

    Args:
        store: what this layer is around.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def url(self) -> str:
        return self.store.url

    @property
    def guarantees(self) -> Guarantees:
        return self.store.guarantees

    def list(self, folder: str) -> Iterable[Entry]:
        return self.store.list(folder)

    names_suffice = False  # a layer may lose answers

    def names_of_files(self, folder: str) -> Iterable[str]:
        return super().names_of_files(folder)  # what a layer does to `list` it does to this

    def rename(self, src: str, dst: str) -> None:
        self.store.rename(src, dst)

    def exists(self, path: str) -> bool:
        return self.store.exists(path)

    def mtime(self, path: str) -> float:
        return self.store.mtime(path)

    def read(self, path: str) -> bytes:
        return self.store.read(path)

    def write(self, path: str, data: bytes) -> None:
        self.store.write(path, data)

    def download(self, path: str, target: BinaryIO) -> None:
        self.store.download(path, target)

    def upload(self, path: str, source: BinaryIO) -> None:
        self.store.upload(path, source)

    def remove(self, path: str) -> None:
        self.store.remove(path)

    def mkdir(self, path: str) -> None:
        self.store.mkdir(path)

    def rmdir(self, path: str) -> None:
        self.store.rmdir(path)

    def name_problem(self, name: str) -> str | None:
        return self.store.name_problem(name)

    def full_path(self, path: str) -> str:
        return self.store.full_path(path)

    def local_path(self, path: str) -> str | None:
        return self.store.local_path(path)

    def another(self) -> Self:
        """The same layer, with the same settings and shared state, around `store.another()`."""
        other = copy.copy(self)
        other.store = self.store.another()
        return other

    def close(self) -> None:
        self.store.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.store!r})"


class Retrying(Layer):
    """Repeats what may be repeated: never a rename or mkdir whose fate is unknown.

    Reading verbs, `write`, and `remove` are repeated on Unavailable and AmbiguousResult;
    `rename` and `mkdir` on Unavailable only; `upload` and `download` where the source or
    target can be rewound.  Pauses grow exponentially with full jitter; a store's own
    ``retry_after`` is honoured as far as `seconds` allows.

    Args:
        store: what this layer is around.
        tries: how often a verb is sent at most.
        seconds: after so long since the first try nothing is repeated.
        clock: gives seconds, monotonic.
        sleep: waits for so many seconds.
        random: gives a number between 0 and 1.
    """

    FIRST, LONGEST = 0.2, 20.0
    """Seconds: the first pause at most, and every pause at most."""

    def __init__(
        self,
        store: Store,
        *,
        tries: int = 5,
        seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = _random.random,
    ) -> None:
        super().__init__(store)
        self._tries, self._seconds = tries, seconds
        self._clock, self._sleep, self._random = clock, sleep, random

    def list(self, folder: str) -> Iterable[Entry]:
        return self._repeat(lambda: [*self.store.list(folder)])  # a lazy one may fail late

    def names_of_files(self, folder: str) -> Iterable[str]:
        return self._repeat(lambda: [*self.store.names_of_files(folder)])

    def rename(self, src: str, dst: str) -> None:
        self._repeat(lambda: self.store.rename(src, dst), Unavailable)

    def exists(self, path: str) -> bool:
        return self._repeat(lambda: self.store.exists(path))

    def mtime(self, path: str) -> float:
        return self._repeat(lambda: self.store.mtime(path))

    def read(self, path: str) -> bytes:
        return self._repeat(lambda: self.store.read(path))

    def write(self, path: str, data: bytes) -> None:
        self._repeat(lambda: self.store.write(path, data))

    def download(self, path: str, target: BinaryIO) -> None:
        if not target.seekable():
            return self.store.download(path, target)
        start = target.tell()

        def from_the_start() -> None:
            if target.tell() != start:
                target.seek(start)
                target.truncate()
            self.store.download(path, target)

        return self._repeat(from_the_start)

    def upload(self, path: str, source: BinaryIO) -> None:
        if not source.seekable():
            return self.store.upload(path, source)
        start = source.tell()

        def from_the_start() -> None:
            source.seek(start)
            self.store.upload(path, source)

        return self._repeat(from_the_start)

    def remove(self, path: str) -> None:
        maybe_done = False

        def remove() -> None:
            nonlocal maybe_done
            try:
                self.store.remove(path)
            except AmbiguousResult:
                maybe_done = True
                raise
            except NotFound:
                if not maybe_done:  # otherwise an earlier try did it
                    raise

        self._repeat(remove)

    def mkdir(self, path: str) -> None:
        self._repeat(lambda: self.store.mkdir(path), Unavailable)

    def _repeat(
        self,
        action: Callable[[], T],
        errors: type[StoreError] | tuple[type[StoreError], ...] = (Unavailable, AmbiguousResult),
    ) -> T:
        until = self._clock() + self._seconds
        tried = 0
        while True:
            try:
                return action()
            except errors as error:
                tried += 1
                left = until - self._clock()
                if tried >= self._tries or left <= 0:
                    raise
                pause = min(self._pause(tried, error), left)
            self._sleep(pause)

    def _pause(self, tried: int, error: StoreError) -> float:
        jittered = self._random() * min(self.LONGEST, self.FIRST * 2.0 ** (tried - 1))
        asked = error.retry_after if isinstance(error, Unavailable) else None
        return max(jittered, asked or 0.0)


def patient(store: Store) -> Store:
    """`store`, with requests repeated; a local folder as it is, for it has no lost
    connections, and needs no more than two calls for each job."""
    return store if store.local_path("") is not None else Retrying(store)


class Logged(Layer):
    """Writes each call, its outcome and its duration to logger ``dirjobs.store`` (DEBUG).

    Args:
        store: what this layer is around.
        clock: gives seconds, monotonic.
    """

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.perf_counter) -> None:
        super().__init__(store)
        self._clock = clock

    def list(self, folder: str) -> Iterable[Entry]:
        return self._logged("list", (folder,), lambda: [*self.store.list(folder)])

    def names_of_files(self, folder: str) -> Iterable[str]:
        return self._logged("list", (folder,), lambda: [*self.store.names_of_files(folder)])

    def rename(self, src: str, dst: str) -> None:
        self._logged("rename", (src, dst), lambda: self.store.rename(src, dst))

    def exists(self, path: str) -> bool:
        return self._logged("exists", (path,), lambda: self.store.exists(path))

    def mtime(self, path: str) -> float:
        return self._logged("mtime", (path,), lambda: self.store.mtime(path))

    def read(self, path: str) -> bytes:
        return self._logged("read", (path,), lambda: self.store.read(path))

    def write(self, path: str, data: bytes) -> None:
        self._logged("write", (path,), lambda: self.store.write(path, data))

    def download(self, path: str, target: BinaryIO) -> None:
        self._logged("download", (path,), lambda: self.store.download(path, target))

    def upload(self, path: str, source: BinaryIO) -> None:
        self._logged("upload", (path,), lambda: self.store.upload(path, source))

    def remove(self, path: str) -> None:
        self._logged("remove", (path,), lambda: self.store.remove(path))

    def mkdir(self, path: str) -> None:
        self._logged("mkdir", (path,), lambda: self.store.mkdir(path))

    def rmdir(self, path: str) -> None:
        self._logged("rmdir", (path,), lambda: self.store.rmdir(path))

    def _logged(self, verb: str, paths: tuple[str, ...], action: Callable[[], T]) -> T:
        if not _log.isEnabledFor(logging.DEBUG):
            return action()
        began = self._clock()
        outcome = "failed"
        try:
            result = action()
            outcome = _outcome(result)
        except StoreError as error:
            outcome = f"{type(error).__name__}: {error}"
            raise
        else:
            return result
        finally:
            spent = 1000 * (self._clock() - began)
            _log.debug("%s %s: %s (%.1f ms)", verb, " -> ".join(map(repr, paths)), outcome, spent)


def _outcome(result: object) -> str:
    """What a person wants to know of an answer; never a file's content."""
    if result is None:
        return "ok"
    if isinstance(result, list):
        return f"{len(result)} entries"
    if isinstance(result, bytes):
        return f"{len(result)} bytes"
    return repr(result)
