"""A layer that loses requests and answers, and executes some late."""

from __future__ import annotations

import enum
import io
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, TypeVar

from dirjobs.errors import AmbiguousResult, StoreError, Unavailable
from dirjobs.layers import Layer
from dirjobs.store import Store

T = TypeVar("T")

READING = frozenset({"list", "exists", "mtime", "read", "download"})
"""The verbs that change nothing."""


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
            if fault is Fault.LATE and verb not in READING:
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
