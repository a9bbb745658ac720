"""Which names this worker has asked a store for, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from threading import Lock

from dirjobs.store import Entry


class State(Enum):
    """What is known of a name that was asked for."""

    ASKING = "asking"
    """The request is under way: nobody else may touch the name."""
    HELD = "held"
    """Ours."""
    UNSETTLED = "unsettled"
    """The request failed or got no answer; it may still be executed."""


@dataclass(slots=True)
class Asked:
    """One name asked for.

    Attributes:
        worker: the incarnation that asked.
        job: the job as it was listed in ``00_waiting``.
        state: what is known of it.
        in_doubt: a request for it got no answer, so it may be executed at any time.
        odd_looks: how many sweeps in a row found it with a wrong size.
    """

    worker: str
    job: Entry
    state: State = State.ASKING
    in_doubt: bool = False
    odd_looks: int = 0


class Ledger:
    """The names asked for, under one lock: claims are made, ended and swept by several
    threads, and a sweep must not take a name whose answer is still under way."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._asked: dict[str, Asked] = {}
        self._used: set[str] = set()

    def ask(self, path: str, worker: str, job: Entry) -> bool:
        """Note that `path` is asked for; False if that was done before."""
        with self._lock:
            if path in self._used or path in self._asked:
                return False
            self._asked[path] = Asked(worker, job)
            return True

    def hold(self, path: str) -> None:
        """The store said that `path` is ours."""
        self._asked[path].state = State.HELD

    def doubt(self, path: str) -> None:
        """A request for `path` got no answer; only names that were asked for matter."""
        asked = self._asked.get(path)
        if asked is not None:
            asked.in_doubt = True

    def is_in_doubt(self, path: str) -> bool:
        """Whether a request for `path` got no answer."""
        asked = self._asked.get(path)
        return asked is not None and asked.in_doubt

    def unsettle(self, path: str) -> None:
        """The answer is not to be relied on: leave `path` to the sweep, for good."""
        with self._lock:
            self._used.add(path)
            self._asked[path].state = State.UNSETTLED

    def abandon(self, path: str) -> None:
        """Leave `path` to the sweep if nothing has become of it yet."""
        asked = self._asked.get(path)
        if asked is not None and asked.state is State.ASKING:
            self.unsettle(path)

    def forget(self, path: str) -> None:
        """`path` surely never came to be: it may be asked for again."""
        with self._lock:
            self._asked.pop(path, None)

    def settled(self, path: str) -> None:
        """Nothing more can come of `path`, unless a request for it got no answer."""
        asked = self._asked.get(path)
        if asked is not None and asked.in_doubt:
            self.unsettle(path)
        else:
            self.forget(path)

    def spend(self, path: str) -> None:
        """`path` was ours and is no more: it is never asked for again."""
        with self._lock:
            self._used.add(path)
            asked = self._asked.get(path)
            if asked is not None and asked.in_doubt:
                asked.state = State.UNSETTLED  # the request may be executed once more
            else:
                self._asked.pop(path, None)

    def take_unsettled(self, path: str) -> bool:
        """Let one caller alone deal with an unsettled name that turned up."""
        with self._lock:
            asked = self._asked.get(path)
            if asked is None or asked.state is not State.UNSETTLED:
                return False
            asked.state = State.ASKING
            return True

    def state(self, path: str) -> State | None:
        """What is known of `path`; UNSETTLED if it was ours once, None if never asked for."""
        asked = self._asked.get(path)
        if asked is not None:
            return asked.state
        return State.UNSETTLED if path in self._used else None

    def in_state(self, state: State) -> dict[str, Asked]:
        """The names in one state, as they are now."""
        with self._lock:
            return {path: asked for path, asked in self._asked.items() if asked.state is state}
