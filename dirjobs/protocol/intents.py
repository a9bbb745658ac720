"""The names that a worker has asked a store for, and what became of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

from dirjobs import threads
from dirjobs.errors import AmbiguousResult, ClaimLost, JobClosed
from dirjobs.protocol.growth import GrowthWatch
from dirjobs.store import Entry


class State(Enum):
    """What is known of a name that was asked for."""

    PENDING = "the request is under way: nobody else may touch the name"
    HELD = "it is ours"
    ENDING = "it is ours, and one thread is ending it: nobody else may"
    IN_DOUBT = "the request failed or got no answer; it may still be executed"
    RETIRED = "it was ours and is no more; it is never asked for again"


@dataclass(slots=True)
class Intent:
    """One name asked for.

    Attributes:
        worker: the incarnation that asked.
        job: the job as it was listed in ``00_waiting``.
        state: what is known of the name.
        unanswered: a request for it got no answer, so it may be executed at any time.
        growth: how its size went on in the sweeps that found a wrong one; None if none did.
        stays: how often a server copied the file and could not remove it.
        rests: how many sweeps leave it alone after that.
    """

    worker: str
    job: Entry
    state: State = State.PENDING
    unanswered: bool = False
    growth: GrowthWatch | None = None
    stays: int = 0
    rests: int = 0


@dataclass(slots=True)
class Doubt:
    """A rename of some source got no answer.

    Attributes:
        error: what was said instead.
        met: the destinations that were there when asked for again, and how they grow.
    """

    error: AmbiguousResult
    met: dict[str, GrowthWatch] = field(default_factory=dict)


@dataclass(slots=True)
class Staging:
    """Whether the way over a staged name has come to its end."""

    resolved: bool = False


class Intents:
    """The names asked for, under one lock: claims are made, ended and swept by several
    threads, and a sweep must not take a name whose answer is still under way.

    They are also what an attempt is known by.  A claim name is asked for once, so whoever
    has been told that it is his holds this very attempt; only one thread at a time may end
    it, and none of a worker that has ended.

    What each verb makes of a name in each state (``-``: not known; ``!``: IN_DOUBT if a
    request for the name is unanswered; ``+``: unless its incarnation is over, or the worker
    has ended)::

                      -         PENDING     HELD        ENDING      IN_DOUBT    RETIRED
        ask           PENDING + refused     refused     refused     refused     refused
        hold                    HELD
        end_alone     RETIRED + ENDING      ENDING      refused     IN_DOUBT +  RETIRED +
        leave_in_doubt          IN_DOUBT    IN_DOUBT    IN_DOUBT    IN_DOUBT
        leave_if_pending  -     IN_DOUBT    HELD        ENDING      IN_DOUBT    RETIRED
        forget        -         -           -           -           RETIRED     RETIRED
        resolve       -         - !         - !         - !         RETIRED !   RETIRED
        retire        RETIRED   RETIRED !   RETIRED !   RETIRED !   RETIRED !   RETIRED
        take                                                        PENDING
        end_worker                          ENDING
        give_up       -         PENDING     RETIRED     RETIRED     RETIRED     RETIRED
    """

    def __init__(self) -> None:
        self._lock = threads.Lock()
        self._intents: dict[str, Intent] = {}
        self._retired: set[str] = set()
        self._over: set[str] = set()
        self._given_up: set[str] = set()
        self._worker_ended = False
        self.doubts: dict[str, Doubt] = {}
        """Renames without an answer, by their source: a later call goes on from there."""
        self.refused: dict[str, list[str]] = {}
        """The names asked for in vain for a source that was not found, until it is known that
        none of them came to be."""

    def ask(self, path: str, worker: str, job: Entry) -> bool:
        """Note that a claim is asked for; False if that was done before, or if nothing is
        claimed as `worker` any more."""
        with self._lock:
            if self._worker_ended or worker in self._over:
                return False
            return self._ask(path, worker, job)

    def _ask(self, path: str, worker: str, job: Entry) -> bool:
        if path in self._retired or path in self._intents:
            return False
        self._intents[path] = Intent(worker, job)
        return True

    def end_incarnation(self, worker: str) -> bool:
        """Claim nothing as `worker` any more; False if it has a claim, or asks for one."""
        with self._lock:
            works = any(
                intent.worker == worker and intent.state is not State.IN_DOUBT
                for intent in self._intents.values()
            )
            if not works:
                self._over.add(worker)
            return not works

    def give_up(self, worker: str) -> None:
        """Somebody else goes by the name of an incarnation: what it has is not ours."""
        with self._lock:
            self._over.add(worker)
            self._given_up.add(worker)
            theirs = [path for path, intent in self._intents.items() if intent.worker == worker]
            self._retired.update(theirs)
            for path in theirs:
                if self._intents[path].state is not State.PENDING:  # whose thread settles it
                    del self._intents[path]
                self.doubts.pop(path, None)

    def gave_up(self, worker: str) -> bool:
        """Whether somebody else goes by the name of an incarnation."""
        return worker in self._given_up

    def end_worker(self) -> dict[str, Intent]:
        """Claim nothing any more; returns the claims that are the caller's to give back.

        Those that another thread is ending just now stay that thread's.
        """
        with self._lock:
            self._worker_ended = True
            held = {p: one for p, one in self._intents.items() if one.state is State.HELD}
            for intent in held.values():
                intent.state = State.ENDING
            return held

    @contextmanager
    def end_alone(self, path: str) -> Iterator[None]:
        """While this lasts, nobody else ends the claim `path`; if it was not ended, it is
        ours again.

        Raises:
            ClaimLost: the worker has ended, which gave the claim back.
            JobClosed: another thread is at it.
        """
        with self._lock:
            intent = self._intents.get(path)
            state = None if intent is None else intent.state
            if state is not State.HELD and self._worker_ended:
                raise ClaimLost(
                    f"the claim {path!r} was given back when its queue was closed:"
                    " discard this result."
                )
            if state is State.ENDING:
                raise JobClosed(
                    f"another thread is ending {path!r} just now:"
                    " call done(), failed() or release() once."
                )
            if intent is not None and state is State.HELD:
                intent.state = State.ENDING
        try:
            yield
        finally:
            with self._lock:
                intent = self._intents.get(path)
                if intent is not None and intent.state is State.ENDING:
                    intent.state = State.HELD

    def hold(self, path: str) -> None:
        """The store said that `path` is ours."""
        self._intents[path].state = State.HELD

    def renew(self, path: str, job: Entry) -> None:
        """What is at `path` turned out to be another job than the one that was listed."""
        self._intents[path].job = job

    def note_no_answer(self, path: str) -> None:
        """A request for `path` got no answer; only names that were asked for matter."""
        intent = self._intents.get(path)
        if intent is not None:
            intent.unanswered = True

    def is_unanswered(self, path: str) -> bool:
        """Whether a request for `path` got no answer."""
        intent = self._intents.get(path)
        return intent is not None and intent.unanswered

    def leave_in_doubt(self, path: str) -> None:
        """The answer is not to be relied on: leave `path` to the sweep, for good."""
        with self._lock:
            self._retired.add(path)
            self._intents[path].state = State.IN_DOUBT

    def leave_if_pending(self, path: str) -> None:
        """Leave `path` to the sweep if nothing has become of it yet."""
        intent = self._intents.get(path)
        if intent is not None and intent.state is State.PENDING:
            self.leave_in_doubt(path)

    def forget(self, path: str) -> None:
        """`path` surely never came to be: it may be asked for again."""
        with self._lock:
            self._intents.pop(path, None)

    def resolve(self, path: str) -> None:
        """Nothing more can come of `path`, unless a request for it got no answer."""
        if self.is_unanswered(path):
            self.leave_in_doubt(path)
        else:
            self.forget(path)

    def retire(self, path: str) -> None:
        """`path` was ours and is no more: it is never asked for again."""
        with self._lock:
            self._retired.add(path)
            intent = self._intents.get(path)
            if intent is not None and intent.unanswered:
                intent.state = State.IN_DOUBT  # the request may be executed once more
            else:
                self._intents.pop(path, None)

    def take(self, path: str) -> bool:
        """Let one caller alone deal with a name in doubt that turned up."""
        with self._lock:
            intent = self._intents.get(path)
            if intent is None or intent.state is not State.IN_DOUBT:
                return False
            intent.state = State.PENDING
            return True

    @contextmanager
    def staged(self, worker: str, job: Entry, *paths: str) -> Iterator[Staging]:
        """Ask for names of our own on the way from one folder to another.

        Whatever is, or comes to be, under such a name is the sweep's to find, unless the
        way is marked as resolved at its end.
        """
        with self._lock:
            for path in paths:
                self._ask(path, worker, job)
        staging = Staging()
        try:
            yield staging
        finally:
            for path in paths:
                if staging.resolved:
                    self.resolve(path)
                else:
                    self.leave_if_pending(path)

    def state(self, path: str) -> State | None:
        """What is known of `path`; None if it was never asked for."""
        intent = self._intents.get(path)
        if intent is not None:
            return intent.state
        return State.RETIRED if path in self._retired else None

    @property
    def are_none(self) -> bool:
        """Whether no name was asked for that may ever have come to be."""
        return not (self._intents or self._retired)

    def in_state(self, *states: State) -> dict[str, Intent]:
        """The names in some states, as they are now."""
        with self._lock:
            return {path: one for path, one in self._intents.items() if one.state in states}

    def unsettled(self, worker: str, *, ended: bool) -> int:
        """How many names of an incarnation may still come to be, or change; of one that has
        ended also those that a thread is still claiming or ending."""
        with self._lock:
            return sum(
                intent.worker == worker and (ended or intent.state is State.IN_DOUBT)
                for intent in self._intents.values()
            )
