"""Layers that make a store as bad as the real ones: lossy, lagging and copying."""

from __future__ import annotations

import enum
import io
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import BinaryIO, Literal, NamedTuple, TypeVar

from dirjobs.errors import AlreadyExists, AmbiguousResult, NotFound, StoreError, Unavailable
from dirjobs.layers import Layer
from dirjobs.store import Entry, Guarantees, Store, split

T = TypeVar("T")

_READING = frozenset({"list", "exists", "mtime", "stat", "read", "download"})


class Fault(enum.Enum):
    """What can become of one request."""

    NONE = "executed and answered"
    REFUSED = "surely not executed: Unavailable"
    LOST_REQUEST = "not executed, and nobody knows: AmbiguousResult"
    LOST_ANSWER = "executed, and nobody knows: AmbiguousResult"
    LATE = "executed later, and nobody knows: AmbiguousResult"


class Lossy(Layer):
    """Loses requests and answers, and executes some requests late.

    Stores made by `another` share the plan and the late requests.

    Args:
        store: what this layer is around.
        plan: the fault of each call in turn; NONE when it is used up.  Without a plan
            the faults are drawn at random.
        seed: of the random faults.
        rate: how many of 1 calls fail, at random.
        delay: a late request is executed before the call that comes so many calls later,
            unless `flush_late` is called before.
    """

    def __init__(
        self,
        store: Store,
        plan: Iterable[Fault] | None = None,
        *,
        seed: int = 0,
        rate: float = 0.2,
        delay: int = 1,
    ) -> None:
        super().__init__(store)
        self._state = _Losses(_drawn(seed, rate) if plan is None else iter(plan))
        self._delay = delay

    @property
    def faults(self) -> list[tuple[str, Fault]]:
        """The faults so far, each with the verb that it hit."""
        return self._state.faults

    def upload(self, path: str, source: BinaryIO) -> None:
        # A late one comes when `source` is gone.
        super().upload(path, io.BytesIO(b"".join(iter(lambda: source.read(1 << 20), b""))))

    def flush_late(self) -> None:
        """Execute all late requests now; nobody hears their answers."""
        self._run_late(everything=True)

    def call(self, verb: str, paths: tuple[str, ...], action: Callable[[], T]) -> T:  # noqa: ARG002
        self._run_late()
        state = self._state
        with state.lock:
            fault = next(state.plan, Fault.NONE)
            if fault is not Fault.NONE:
                state.faults.append((verb, fault))
            if fault is Fault.LATE and verb not in _READING:
                state.late.append((state.calls + self._delay, action))
        if fault is Fault.NONE:
            return action()
        if fault is Fault.REFUSED:
            raise Unavailable(f"{verb}: the request was refused, as planned")
        if fault is Fault.LOST_ANSWER:
            _unheard(action)
        raise AmbiguousResult(f"{verb}: no answer came, as planned")

    def _run_late(self, *, everything: bool = False) -> None:
        state = self._state
        with state.lock:
            state.calls += 1
            due = [action for when, action in state.late if everything or when < state.calls]
            state.late = [late for late in state.late if not everything and late[0] >= state.calls]
        for action in due:
            _unheard(action)


class _Losses:
    def __init__(self, plan: Iterator[Fault]) -> None:
        self.lock = threading.Lock()
        self.plan = plan
        self.calls = 0
        self.late: list[tuple[int, Callable[[], object]]] = []
        self.faults: list[tuple[str, Fault]] = []


def _drawn(seed: int, rate: float) -> Iterator[Fault]:
    chance = random.Random(seed)
    bad = [fault for fault in Fault if fault is not Fault.NONE]
    while True:
        yield chance.choice(bad) if chance.random() < rate else Fault.NONE


def _unheard(action: Callable[[], object]) -> None:
    try:
        action()
    except StoreError:
        return  # that is the point: whatever the store answered, nobody heard it


class _View(NamedTuple):
    since: float
    entries: dict[str, Entry]


_History = list[_View]


class Lagging(Layer):
    """Shows each folder as it was up to `lag` seconds ago, one's own changes included.

    Renames and contents are the store's own: only `list`, `exists` and `mtime` lag.
    Stores made by `another` share the history; changes made behind their backs are seen
    at once.

    Args:
        store: what this layer is around.
        clock: gives seconds.
        lag: the oldest view in seconds.
        choose: picks the moment that a look sees, given the oldest and the newest.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float] = time.monotonic,
        lag: float = 60.0,
        choose: Callable[[float, float], float] = min,
    ) -> None:
        super().__init__(store)
        self._clock, self._lag, self._choose = clock, lag, choose
        self._lock = threading.RLock()
        self._history: dict[str, _History] = {}

    @property
    def guarantees(self) -> Guarantees:
        return replace(self.store.guarantees, visible_after=self._lag)

    def list(self, folder: str) -> Iterable[Entry]:
        return [*self._view(folder).values()]

    def exists(self, path: str) -> bool:
        if not path:
            return self.store.exists(path)
        folder, name = split(path)
        try:
            return name in self._view(folder)
        except NotFound:
            return False

    def mtime(self, path: str) -> float:
        folder, name = split(path)
        entry = self._view(folder).get(name)
        if entry is None:
            raise NotFound(f"{self.full_path(path)!r}: there is no such file, as far as seen")
        return self.store.mtime(path) if entry.mtime is None else entry.mtime

    def call(self, verb: str, paths: tuple[str, ...], action: Callable[[], T]) -> T:
        if verb in _READING:
            return action()
        folders = {split(path)[0] for path in paths}
        with self._lock:
            for folder in folders:
                if self.store.exists(folder):
                    self._look(folder, self._clock() - self._lag)
            try:
                return action()
            finally:
                for folder in folders:
                    if self.store.exists(folder):
                        self._look(folder, self._clock())

    def _view(self, folder: str) -> dict[str, Entry]:
        with self._lock:
            now = self._clock()
            history = self._look(folder, now - self._lag)
            moment = self._choose(now - self._lag, now)
            expired = sum(view.since <= now - self._lag for view in history)
            del history[: max(0, expired - 1)]  # no later look can see these
            seen = [view for view in history if view.since <= moment]
            return dict((seen or history[:1])[-1].entries)

    def _look(self, folder: str, since: float) -> _History:
        """The history of `folder`, with its present state, if new, dated `since`."""
        present = {entry.name: entry for entry in self.store.list(folder)}
        history = self._history.setdefault(folder, [])
        if not history or history[-1].entries != present:
            history.append(_View(max(since, history[-1].since) if history else since, present))
        return history


class Copying(Layer):
    """Renames across folders by copy and delete, as sabre/dav does; inside one, properly.

    A copy starts empty, grows, and shows at every stage; it has a new mtime.

    Args:
        store: what this layer is around.
        gap: called with the step about to be taken ("copy", "grow", "delete"), so that
            others can come between.
        variant: what happens when the source goes away meanwhile.  ``lenient`` leaves an
            empty or torn copy and says yes, ``strict`` leaves it and doesn't know,
            ``liar`` says yes even if there never was a source.
    """

    def __init__(
        self,
        store: Store,
        gap: Callable[[str], None] = lambda _: None,
        variant: Literal["lenient", "strict", "liar"] = "lenient",
    ) -> None:
        super().__init__(store)
        self._gap, self._variant = gap, variant

    @property
    def guarantees(self) -> Guarantees:
        return replace(
            self.store.guarantees, atomic_rename=False, rename_keeps_mtime=False, no_replace=False
        )

    def rename(self, src: str, dst: str) -> None:
        if split(src)[0] == split(dst)[0]:
            return self.store.rename(src, dst)
        if self.store.exists(dst):
            raise AlreadyExists(f"{self.full_path(dst)!r} is there already")
        if not self.store.exists(src):
            if self._variant == "liar":
                return None
            raise NotFound(f"{self.full_path(src)!r}: there is no such file")
        self._copy(src, dst)
        self._gap("delete")
        try:
            return self.store.remove(src)
        except NotFound as error:
            if self._variant == "strict":
                raise AmbiguousResult(f"{self.full_path(src)!r} could not be deleted") from error

    def _copy(self, src: str, dst: str) -> None:
        self._gap("copy")
        self.store.write(dst, b"")
        try:
            data = self.store.read(src)
        except NotFound as error:
            if self._variant == "strict":
                raise AmbiguousResult(f"{self.full_path(src)!r} vanished meanwhile") from error
            return
        self._gap("grow")
        self.store.write(dst, data[: len(data) // 2])
        self._gap("grow")
        self.store.write(dst, data)
