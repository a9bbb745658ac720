"""The claim protocol: at most one worker starts a job.

    trust   rename; a clear yes is a claim
    verify  rename inside 00_waiting, rename across, look
    sync    rename, wait S, look, wait S2, look

The looks are the flag rule: a smaller worker's claim makes me withdraw, a larger one's
makes me wait until it has withdrawn.  Conditions: S > D and S2 > D, where D is how long a
change may stay unseen.  Shortcuts that look right and are not (each was refuted by model
checking): waiting S and then giving the job to the first in order; a loser that deletes
its claim; withdrawing before S is over; no look at what is finished.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from dirjobs import layout
from dirjobs.clock import monotonic
from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    Denied,
    NotFound,
    Unavailable,
    Unsupported,
)
from dirjobs.layout import RUNNING, WAITING
from dirjobs.policy import Mode, Terms
from dirjobs.protocol.effects import Exists, Rename, Steps, Wait
from dirjobs.protocol.give_back import Held, Moves
from dirjobs.protocol.intents import State
from dirjobs.protocol.resolve import differ
from dirjobs.store import Entry, FileKind, Guarantees, split

SURELY_NOT_DONE = (NotFound, Denied, Unavailable, Unsupported)
_GROWING_LOOKS = 4


class _Answer(Enum):
    """What one rename brought us, as far as its answer goes."""

    PERHAPS = "the store said yes, or nothing: look"
    NO = "the store said no"
    TAKEN = "the name exists already"


@dataclass(slots=True)
class _Patience:
    """How long to wait between looks, and how often a look may find the same obstacle."""

    pause: float
    longest: float
    larger_since: float | None = None
    odd_size: int | None = None
    odd_looks: int = 0

    def next_pause(self) -> float:
        pause, self.pause = self.pause, min(2 * self.pause, self.longest)
        return pause

    def still_growing(self, size: int | None) -> bool:
        """Whether a claim of a wrong size has not yet been seen unchanged often enough."""
        self.odd_looks = self.odd_looks + 1 if size == self.odd_size else 1
        self.odd_size = size
        return self.odd_looks < _GROWING_LOOKS

    def exhausted(self, now: float, limit: float) -> bool:
        """Whether a larger worker has been waited for longer than `limit` seconds."""
        if self.larger_since is None:
            self.larger_since = now
        return now - self.larger_since > limit


class Claims(Moves):
    """Claiming jobs by the rules of the queue's mode."""

    def __init__(
        self,
        worker: str,
        terms: Terms,
        promises: Guarantees,
        nonce: Callable[[], str] = layout.nonce,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        super().__init__(worker, terms, promises, nonce, clock)
        self.foreign: frozenset[str] = frozenset()
        """Jobs that the latest listing of ``01_running`` shows as somebody else's."""
        self.left_alone: dict[str, float] = {}
        """Jobs not to be tried again before a time on the monotonic clock."""
        self.robberies = 0
        """How often this worker may have been declared dead: its heartbeat had a gap."""

    def asked_before(self, job: Entry) -> State | None:
        """What came of asking for `job` under the present name; a claim's name is used
        once, so anything but None means: not again."""
        return self.ledger.state(f"{RUNNING}/{self.worker}.{job.name}")

    def claim(self, job: Entry) -> Steps[Held | None]:
        """Try to make `job`, as listed in ``00_waiting``, ours.

        Returns:
            the claim, or None if the job is somebody else's (or gone, or to be left).

        Raises:
            StoreError: the store is not available, or refuses; nothing is lost, and what
                came of it is found by the next sweep.
        """
        mode = self.terms.mode
        if mode is not Mode.TRUST:
            job = yield from self.in_full(f"{WAITING}/{job.name}", job)
        worker = self.worker
        claim = Held(worker, job, f"{RUNNING}/{worker}.{job.name}", self.robberies)
        if not self.ledger.ask(claim.path, worker, job):
            return None
        try:
            if mode is Mode.TRUST:
                mine = yield from self._claim_in_trust(claim)
            elif mode is Mode.VERIFY:
                mine = yield from self._claim_in_two_steps(claim)
            else:
                mine = yield from self._claim_in_one_step(claim)
        except BaseException:
            self.ledger.abandon(claim.path)
            raise
        if not mine:
            return None
        self.ledger.hold(claim.path)
        return claim

    # -- asking -------------------------------------------------------------------------

    def _claim_in_trust(self, claim: Held) -> Steps[bool]:
        path = claim.path
        if self.is_on_trial:
            self.unseen.add(path)
        try:
            yield Rename(f"{WAITING}/{claim.job.name}", path)
        except AmbiguousResult:
            self.ledger.doubt(path)
            mine: bool = yield Exists(path)
            self.decided[f"trust: no answer, looked up: {'mine' if mine else 'not mine'}"] += 1
            if not mine:
                self.ledger.unsettle(path)
            return mine
        except AlreadyExists:
            self._name_is_taken(path)
            return False
        except SURELY_NOT_DONE as error:
            self.ledger.forget(path)
            if isinstance(error, NotFound):
                return False
            raise
        return True

    def _claim_in_one_step(self, claim: Held) -> Steps[bool]:
        answer = yield from self._ask(f"{WAITING}/{claim.job.name}", claim.path)
        return answer is _Answer.PERHAPS and (yield from self._look(claim))

    def _claim_in_two_steps(self, claim: Held) -> Steps[bool]:
        """Take the job out of the race inside its folder, then carry it across.

        A rename inside one folder was exactly-once on every WebDAV server measured, but
        only if the worker believes in its own new name and in no answer: the second
        rename finds it, or not.
        """
        job, path = claim.job, claim.path
        half = f"{WAITING}/{layout.staged_claim(claim.worker, job.name, self.nonce())}"
        self.ledger.ask(half, claim.worker, job)
        asked_across = mine = False
        try:
            if (yield from self._ask(f"{WAITING}/{job.name}", half)) is not _Answer.PERHAPS:
                return False
            asked_across = True
            answer = yield from self._ask(half, path)
            if answer is _Answer.PERHAPS:
                mine = yield from self._look(claim)
            elif answer is _Answer.TAKEN:
                yield from self.call_job_again(half, job)
            return mine
        finally:
            if not asked_across:
                self.ledger.forget(path)
            if mine and not self.ledger.is_in_doubt(path):
                self.ledger.settled(half)
            else:
                # Also if it is ours though no answer came: the server may be copying yet,
                # and does not delete its source if the copy is finished before.
                self.ledger.abandon(half)

    def _ask(self, src: str, dst: str) -> Steps[_Answer]:
        """Ask for one rename, and note what is known of `dst` now."""
        try:
            yield Rename(src, dst)
        except AmbiguousResult:
            self.ledger.doubt(dst)
            self.decided["no answer: left to the looks"] += 1
        except AlreadyExists:
            self._name_is_taken(dst)
            return _Answer.TAKEN
        except NotFound:
            # A 404 has been seen for renames that were carried out: the sweep looks again.
            self.ledger.unsettle(dst)
            return _Answer.NO
        except SURELY_NOT_DONE:
            self.ledger.forget(dst)
            raise
        return _Answer.PERHAPS

    def _name_is_taken(self, path: str) -> None:
        """A claim by our name that we never asked for: an earlier process of our id left
        it.  It is not ours to touch, and the name is not ours to use."""
        self.decided["claim name taken: never asked for again"] += 1
        self.ledger.spend(path)

    # -- looking ------------------------------------------------------------------------

    def _look(self, claim: Held) -> Steps[bool]:
        """The looks after the rename: whether `claim` makes its job ours."""
        job, path = claim.job, claim.path
        wait = self.terms.wait
        patience = _Patience(pause=max(0.1, wait / 8), longest=max(5.0, wait / 2))
        yield Wait(wait)
        while True:
            started = self.clock()
            mine, smaller, larger = yield from self._claims_of(claim)
            if mine is None:
                self.decided["own claim not listed: not mine"] += 1
                self.ledger.unsettle(path)
                return False
            if differ(mine.size, job.size):
                if patience.still_growing(mine.size):
                    self.decided["size differs: looked again"] += 1
                    yield Wait(patience.next_pause())
                    continue
                self.decided["size differs: torn copy parked"] += 1
                yield from self.set_aside(path, job)
                return False
            if (yield from self.finished(job)):
                self.decided["finished at the look: parked"] += 1
                yield from self.set_aside(path, job)
                return False
            if smaller:
                self.decided["smaller worker's claim: put back"] += 1
                yield from self.release(path, job)
                return False
            if not larger:
                break
            if patience.exhausted(started, 2 * (wait + self.terms.heartbeat)):
                self.decided["larger worker's claim stayed: put back"] += 1
                self.left_alone[job.name] = started + self.terms.lease
                yield from self.release(path, job)
                return False
            self.decided["larger worker's claim: waited"] += 1
            yield Wait(patience.next_pause())
        if wait == 0:
            return True
        yield Wait(started + wait - self.clock())
        return (yield from self._last_look(claim))

    def _last_look(self, claim: Held) -> Steps[bool]:
        """Whoever had the job before me has finished it visibly by now, or nobody had."""
        job, path = claim.job, claim.path
        if (yield from self.finished(job)):
            self.decided["finished after S2: parked"] += 1
            yield from self.set_aside(path, job)
            return False
        if (yield from self._claims_of(claim))[0] is None:
            self.decided["own claim gone after S2: not mine"] += 1
            self.ledger.unsettle(path)
            return False
        return True

    def look_around(self) -> Steps[None]:
        """Find out which jobs are claimed by anybody."""
        claims = [layout.parse_claim(entry.name) for entry in (yield from self.listing(RUNNING))]
        self.foreign = frozenset(claim.job for claim in claims if claim is not None)

    def _claims_of(self, claim: Held) -> Steps[tuple[Entry | None, bool, bool]]:
        """My claim as listed, and whether smaller and larger workers claim the job too."""
        me = split(claim.path)[1]
        mine, smaller, larger, foreign = None, False, False, set()
        for entry in (yield from self.listing(RUNNING)):
            if layout.same_name(entry.name, me):
                mine = entry
                continue
            other = layout.parse_claim(entry.name)
            if other is None or entry.kind is not FileKind.FILE:
                continue
            foreign.add(other.job)
            if layout.same_name(other.job, claim.job.name):
                smaller |= other.worker < claim.worker
                larger |= other.worker > claim.worker
        self.foreign = frozenset(foreign)
        return mine, smaller, larger
