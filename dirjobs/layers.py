"""Layers: stores around a store that add something and change no meaning."""

from __future__ import annotations

import copy
import logging
import random as _random
import time
from collections.abc import Callable, Iterable, Mapping
from typing import BinaryIO, ClassVar, Self, TypeVar

from dirjobs.clock import sleep_unless
from dirjobs.errors import AmbiguousResult, Busy, NotFound, StoreError, Unavailable
from dirjobs.store import Entry, Guarantees, Store

T = TypeVar("T")

log = logging.getLogger(__name__)


class Layer(Store):
    """Forwards everything to another store; the base of all layers.

    Every request goes through `call` and every path through `at`: most layers override
    one of the two and nothing else.

    Args:
        store: what this layer is around.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def call(self, verb: str, paths: tuple[str, ...], action: Callable[[], T]) -> T:  # noqa: ARG002
        """Carry out one request.

        Args:
            verb: the name of the method.
            paths: its paths, as the caller of this layer wrote them.
            action: does it once, on the store below.
        """
        return action()

    def at(self, path: str) -> str:
        """The path in the store below."""
        return path

    def list(self, folder: str) -> Iterable[Entry]:
        # A lazy listing may fail late.
        return self.call("list", (folder,), lambda: [*self.store.list(self.at(folder))])

    names_suffice = False  # a layer may lose answers

    def names_of_files(self, folder: str) -> Iterable[str]:
        return super().names_of_files(folder)  # what a layer does to `list` it does to this

    def rename(self, src: str, dst: str) -> None:
        self.call("rename", (src, dst), lambda: self.store.rename(self.at(src), self.at(dst)))

    def claim(self, src: str, dst: str) -> None:
        if type(self).rename is not Layer.rename:
            return self.rename(src, dst)  # what a layer does to renames it does to these
        return self.call("rename", (src, dst), lambda: self.store.claim(self.at(src), self.at(dst)))

    @property
    def appends(self) -> bool:  # type: ignore[override]
        return self.store.appends

    def exists(self, path: str) -> bool:
        return self.call("exists", (path,), lambda: self.store.exists(self.at(path)))

    def mtime(self, path: str) -> float:
        return self.call("mtime", (path,), lambda: self.store.mtime(self.at(path)))

    def read(self, path: str) -> bytes:
        return self.call("read", (path,), lambda: self.store.read(self.at(path)))

    def write(self, path: str, data: bytes) -> None:
        self.call("write", (path,), lambda: self.store.write(self.at(path), data))

    def create(self, path: str, data: bytes) -> None:
        self.call("create", (path,), lambda: self.store.create(self.at(path), data))

    def stat(self, path: str) -> Entry:
        return self.call("stat", (path,), lambda: self.store.stat(self.at(path)))

    def beginning(self, folder: str, text: str) -> Iterable[Entry]:
        return self.call("list", (folder,), lambda: self.store.beginning(self.at(folder), text))

    def append(self, path: str, data: bytes) -> None:
        self.call("append", (path,), lambda: self.store.append(self.at(path), data))

    def download(self, path: str, target: BinaryIO) -> None:
        self.call("download", (path,), lambda: self.store.download(self.at(path), target))

    def upload(self, path: str, source: BinaryIO) -> None:
        self.call("upload", (path,), lambda: self.store.upload(self.at(path), source))

    def remove(self, path: str) -> None:
        self.call("remove", (path,), lambda: self.store.remove(self.at(path)))

    def mkdir(self, path: str) -> None:
        self.call("mkdir", (path,), lambda: self.store.mkdir(self.at(path)))

    def rmdir(self, path: str) -> None:
        self.call("rmdir", (path,), lambda: self.store.rmdir(self.at(path)))

    # -- no requests ----------------------------------------------------------------------

    @property
    def url(self) -> str:
        return self.store.url

    @property
    def guarantees(self) -> Guarantees:
        return self.store.guarantees

    def name_problem(self, name: str) -> str | None:
        return self.store.name_problem(name)

    def rename_problem(self, folder: str, name: str) -> str | None:
        return self.store.rename_problem(self.at(folder), name)

    def full_path(self, path: str) -> str:
        return self.store.full_path(self.at(path))

    def local_path(self, path: str) -> str | None:
        return self.store.local_path(self.at(path))

    def follow(self, folders: Iterable[str]) -> None:
        self.store.follow(map(self.at, folders))

    def another(self) -> Self:
        """The same layer, with the same settings and shared state, around `store.another()`."""
        other = copy.copy(self)
        other.store = self.store.another()
        return other

    def close(self) -> None:
        self.store.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.store!r})"


def repeatable_download(store: Store, path: str, target: BinaryIO) -> Callable[[], None]:
    """A download into a seekable `target`, each time from where that stands now."""
    start = target.tell()

    def from_the_start() -> None:
        if target.tell() != start:
            target.seek(start)
            target.truncate()
        store.download(path, target)

    return from_the_start


def repeatable_upload(store: Store, path: str, source: BinaryIO) -> Callable[[], None]:
    """An upload of a seekable `source`, each time from where that stands now."""
    start = source.tell()

    def from_the_start() -> None:
        source.seek(start)
        store.upload(path, source)

    return from_the_start


class Retrying(Layer):
    """Repeats what may be repeated: never a rename or mkdir whose fate is unknown.

    `upload` and `download` are repeated where the source or target can be rewound.  Pauses
    grow exponentially with full jitter; a store's own ``retry_after`` is honoured as far
    as `seconds` allows.

    Args:
        store: what this layer is around.
        tries: how often a verb is sent at most.
        seconds: after so long since the first try nothing is repeated.
        clock: gives seconds, monotonic.
        sleep: waits for so many seconds.
        random: gives a number between 0 and 1.
        over: whether nobody waits for an answer any more: then nothing is repeated.
    """

    REPEATED_ON: ClassVar[Mapping[str, tuple[type[StoreError], ...]]] = {
        "rename": (Unavailable,),
        "create": (Unavailable,),
        "mkdir": (Unavailable, Busy),
        "rmdir": (),
        "append": (),
    }
    """After which errors a verb is sent again; every other one after all that may pass.  A
    rename of a file that is busy is its caller's to repeat: others wait for that file, too."""

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
        over: Callable[[], bool] | None = None,
    ) -> None:
        super().__init__(store)
        self._over = over
        self._tries, self._seconds = tries, seconds
        self._clock, self._sleep, self._random = clock, sleep, random

    def call(self, verb: str, paths: tuple[str, ...], action: Callable[[], T]) -> T:  # noqa: ARG002
        errors = self.REPEATED_ON.get(verb, (Unavailable, Busy, AmbiguousResult))
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
                if self._over is None:
                    self._sleep(pause)
                else:
                    sleep_unless(self._over, pause, self._sleep)
                    if self._over():
                        raise

    def _pause(self, tried: int, error: StoreError) -> float:
        jittered = self._random() * min(self.LONGEST, self.FIRST * 2.0 ** (tried - 1))
        asked = error.retry_after if isinstance(error, Unavailable) else None
        return max(jittered, asked or 0.0)

    def names_of_files(self, folder: str) -> Iterable[str]:
        return self.call("list", (folder,), lambda: [*self.store.names_of_files(folder)])

    def download(self, path: str, target: BinaryIO) -> None:
        if not target.seekable():
            return self.store.download(path, target)
        return self.call("download", (path,), repeatable_download(self.store, path, target))

    def upload(self, path: str, source: BinaryIO) -> None:
        if not source.seekable():
            return self.store.upload(path, source)
        return self.call("upload", (path,), repeatable_upload(self.store, path, source))

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

        self.call("remove", (path,), remove)


def with_retries(store: Store, over: Callable[[], bool] | None = None) -> Store:
    """`store` with its requests repeated until they are `over`; a local path, mounts included,
    as it is.

    No answer of a disk gets lost, and the client of a mount repeats by itself.  A layer
    would only slow down the two calls that a job costs there.
    """
    return store if store.local_path("") is not None else Retrying(store, over=over)


class Logged(Layer):
    """Writes each call, its outcome and its duration to this module's logger (DEBUG).

    Args:
        store: what this layer is around.
        clock: gives seconds, monotonic.
    """

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.perf_counter) -> None:
        super().__init__(store)
        self._clock = clock

    def names_of_files(self, folder: str) -> Iterable[str]:
        return self.call("list", (folder,), lambda: [*self.store.names_of_files(folder)])

    def call(self, verb: str, paths: tuple[str, ...], action: Callable[[], T]) -> T:
        if not log.isEnabledFor(logging.DEBUG):
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
            log.debug("%s %s: %s (%.1f ms)", verb, " -> ".join(map(repr, paths)), outcome, spent)


def _outcome(result: object) -> str:
    """What a person wants to know of an answer; never a file's content."""
    if result is None:
        return "ok"
    if isinstance(result, list):
        return f"{len(result)} entries"
    if isinstance(result, bytes):
        return f"{len(result)} bytes"
    return repr(result)
