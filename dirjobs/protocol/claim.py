"""Claiming a job: at most one worker starts it.

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

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

from dirjobs import layout, names
from dirjobs.clock import growing_pauses
from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    Denied,
    NotFound,
    StoreError,
    Unavailable,
    Unsupported,
)
from dirjobs.layout import RUNNING, WAITING
from dirjobs.policy import Mode
from dirjobs.protocol.agreement import recorded_problem
from dirjobs.protocol.evidence import Evidence
from dirjobs.protocol.exits import Claim, Exits
from dirjobs.protocol.growth import GrowthWatch
from dirjobs.protocol.identity import Identity
from dirjobs.protocol.intents import Intents
from dirjobs.protocol.look import Look, differ, is_older
from dirjobs.protocol.me import Me
from dirjobs.protocol.share import Share
from dirjobs.store import Entry, split

REFUSED = (Denied, Unavailable, Unsupported)
"""After these the store has surely not carried out what it was asked."""


class Answer(Enum):
    """What one rename brought us, as far as its answer goes."""

    YES = "carried out, or so it is said: look"
    MAYBE = "no answer: look"
    NO = "not carried out"
    TAKEN = "the name exists already"


MAY_BE_THERE = (Answer.YES, Answer.MAYBE)
"""After these the new name is to be looked for, whatever was said."""


@dataclass(slots=True)
class RivalTimeout:
    """How long a larger worker has been waited for."""

    limit: float
    since: float | None = None

    def is_over(self, now: float) -> bool:
        if self.since is None:
            self.since = now
        return now - self.since > self.limit


@dataclass(frozen=True, slots=True)
class Rivals:
    """Who claims a job, as one listing of ``01_running`` shows it."""

    mine: Entry | None
    smaller: bool
    larger: bool


class Claimer:
    """Makes a waiting job ours, or finds out that it is not.

    Args:
        share: where.
        me: who claims, and by which policy.
        intents: the names that were asked for.
        look: finds out what is there.
        exits: a claim's ways out: give back, park.
        identity: tells what a claim is if it is not the file that was listed.
        evidence: learns which claims are on probation.

    Attributes:
        claimed_by_others: jobs that the latest listing of ``01_running`` shows as somebody
            else's.
        skipped_until: jobs not to be tried again before a time on the monotonic clock.
        unclear: what was said of jobs, at the latest try, that were neither given nor gone.
    """

    def __init__(
        self,
        share: Share,
        me: Me,
        intents: Intents,
        look: Look,
        exits: Exits,
        identity: Identity,
        evidence: Evidence,
    ) -> None:
        self.share = share
        self.me = me
        self.intents = intents
        self.look = look
        self.exits = exits
        self.identity = identity
        self.evidence = evidence
        self.claimed_by_others: frozenset[str] = frozenset()
        self.skipped_until: dict[str, float] = {}
        self.unclear: dict[str, AmbiguousResult] = {}

    def claim(self, job: Entry) -> Claim | None:
        """Try to make `job`, as listed in ``00_waiting``, ours.

        Returns:
            the claim, or None if the job is somebody else's (or gone, or to be left).

        Raises:
            Denied: the store refuses, or the job's name is known to be changed on the way.
            StoreError: the store is not available, or refuses; nothing is lost, and what
                came of it is found by the next sweep.
        """
        me = self.me
        if problem := recorded_problem(job.name, me.changed_names):
            raise Denied(problem)
        mode, worker = me.policy.mode, me.worker
        if mode is not Mode.TRUST:
            job = self.look.in_full(f"{WAITING}/{job.name}", job)
        claim = Claim(worker, job, f"{RUNNING}/{worker}.{job.name}", me.lease_gaps)
        if not self.intents.ask(claim.path, worker, job):
            return None
        self.unclear.pop(job.name, None)
        try:
            if mode is Mode.TRUST:
                mine = job if self._trust(claim) else None
            elif mode is Mode.VERIFY:
                mine = self._verify(claim)
            else:
                mine = self._sync(claim)
        except BaseException:
            self.intents.leave_if_pending(claim.path)
            raise
        if mine is None:
            return None
        self.unclear.pop(job.name, None)
        if mine != job:
            self.intents.renew(claim.path, mine)
            claim = claim._replace(job=mine)
        self.intents.hold(claim.path)
        return claim

    # -- asking -------------------------------------------------------------------------

    def _trust(self, claim: Claim) -> bool:
        path, source = claim.path, f"{WAITING}/{claim.job.name}"
        if not self.me.guarantees.atomic_rename and self.me.on_probation:
            self.evidence.unconfirmed.add(path)
        try:
            self.share.claim(source, path)
        except AmbiguousResult as error:
            self.unclear[claim.job.name] = error
            self.intents.note_no_answer(path)
            mine = self.share.exists(path)
            if mine:
                self.me.count("trust: no answer, looked up: mine")
            else:
                self.me.count("trust: no answer, looked up: not mine")
                self.intents.leave_in_doubt(path)
            return mine
        except AlreadyExists:
            if self._is_taken(source, path) or not self._arrived_all_the_same(claim.job, path):
                self._name_is_taken(path)
                return False
            self.me.count("trust: refused, but the claim is there: mine")
        except NotFound:
            if not self._arrived_all_the_same(claim.job, path):
                self.intents.resolve(path)
                return False
            self.me.count("trust: refused, but the claim is there: mine")
        except REFUSED:
            self.intents.forget(path)
            raise
        return True

    def _sync(self, claim: Claim) -> Entry | None:
        answer = self._ask(claim.job, f"{WAITING}/{claim.job.name}", claim.path)
        return self._look(claim) if answer in MAY_BE_THERE else None

    def _verify(self, claim: Claim) -> Entry | None:
        """Take the job out of the race inside its folder, then carry it across.

        A rename inside one folder was exactly-once on every WebDAV server measured, but
        only if the worker believes in its own new name and in no answer: the second
        rename finds it, or not.
        """
        job, path = claim.job, claim.path
        staged = f"{WAITING}/{layout.staged_claim(claim.worker, job.name, self.me.nonce())}"
        asked_across, mine = False, None
        with self.intents.staged(claim.worker, job, staged) as staging:
            try:
                first = self._ask(job, f"{WAITING}/{job.name}", staged)
                if first not in MAY_BE_THERE:
                    return None
                asked_across = True
                answer = self._ask(job, staged, path, src_was_there=first is Answer.YES)
                if answer in MAY_BE_THERE:
                    mine = self._look(claim)
                elif answer is Answer.TAKEN:
                    self.exits.restore_name(staged, job)
                return mine
            finally:
                if not asked_across:
                    self.intents.forget(path)
                # A server may still be copying though it sent no answer, and it keeps its
                # source if the copy is finished first: then the staged name is the sweep's.
                staging.resolved = mine is not None and not self.intents.is_unanswered(path)

    def _ask(self, job: Entry, src: str, dst: str, *, src_was_there: bool = True) -> Answer:
        """Ask for one rename of a job's file, and note what is known of `dst` now."""
        try:
            self.share.claim(src, dst)
        except AmbiguousResult as error:
            self.unclear[job.name] = error
            self.intents.note_no_answer(dst)
            self.me.count("no answer: left to the looks")
            return Answer.MAYBE
        except AlreadyExists:
            if self._is_taken(src, dst):
                self._name_is_taken(dst)
                return Answer.TAKEN
            return self._answer_of_refusal(job, dst, src_was_there=src_was_there)
        except NotFound:
            return self._answer_of_refusal(job, dst, src_was_there=src_was_there)
        except REFUSED:
            self.intents.forget(dst)
            raise
        return Answer.YES

    def _answer_of_refusal(self, job: Entry, dst: str, *, src_was_there: bool) -> Answer:
        if src_was_there and self._arrived_all_the_same(job, dst):
            self.me.count("refused, but the new name is there: left to the looks")
            return Answer.YES
        self.intents.leave_in_doubt(dst)
        return Answer.NO

    def _is_taken(self, src: str, dst: str) -> bool:
        """Whether `dst` is somebody else's, if it is there: whoever sends a rename a second
        time may be told so of the own file, but then the source is gone."""
        if self.me.guarantees.final_refusals:
            return True
        with self._no_answer_if_the_look_fails(dst):
            return self.look.is_there(src)

    def _arrived_all_the_same(self, job: Entry, dst: str) -> bool:
        """Whether a refused rename, whose source is gone, was carried out all the same.

        Another process of our id may have made a claim by the plain name: that is ours only
        if it is this very job's, and if there was a source for us to rename.
        """
        if self.me.guarantees.final_refusals:
            return False
        with self._no_answer_if_the_look_fails(dst):
            if layout.parse_staged(split(dst)[1]) is not None:
                return self.look.is_there(dst)
            # By a listing, as costly: that a folder is not found is never believed at once.
            entry = self.look.entry_at(dst)
        if entry is not None and not self.look.is_same_run(job, entry):
            # Saved anew since it was listed, or torn, where renames copy after all.
            self.intents.note_no_answer(dst)
            return False
        return entry is not None

    @contextmanager
    def _no_answer_if_the_look_fails(self, dst: str) -> Iterator[None]:
        try:
            yield
        except StoreError:
            self.intents.note_no_answer(dst)
            raise

    def _name_is_taken(self, path: str) -> None:
        """A claim by our name that we never asked for: an earlier process of our id left
        it.  It is not ours to touch, and the name is not ours to use."""
        self.me.count("claim name taken: never asked for again")
        self.intents.retire(path)

    # -- looking ------------------------------------------------------------------------

    def _look(self, claim: Claim) -> Entry | None:
        """The looks after the rename: the job that `claim` makes ours, if it does."""
        job, path, count, exits = claim.job, claim.path, self.me.count, self.exits
        wait = self.me.policy.wait
        pauses = growing_pauses(max(0.1, wait / 8), max(5.0, wait / 2))
        growth = GrowthWatch(self.me.policy.longest_standstill)
        larger = RivalTimeout(2 * (wait + self.me.policy.heartbeat))
        self.share.sleep(wait)
        while True:
            began = self.share.now()
            rivals = self._rivals(claim)
            if rivals.mine is None:
                count("own claim not listed: not mine")
                self.intents.leave_in_doubt(path)
                return None
            if differ(rivals.mine.size, job.size):
                if self.identity.may_still_grow(growth, rivals.mine.size):
                    count("size differs: looked again")
                    self.share.sleep(next(pauses))
                    continue
                own = self.identity.of(path, rivals.mine, job)
                if own is None:
                    count("size differs: torn copy parked")
                    exits.set_aside(path, job)
                    return None
                job = own
            if self.look.is_finished(self.identity.as_dated(job, rivals.mine)):
                own = self.identity.of(path, rivals.mine, job)
                if own is None:
                    count("finished at the look: parked")
                    exits.set_aside(path, job)
                    return None
                job = own
            if rivals.smaller:
                count("smaller worker's claim: put back")
                exits.release(path, job)
                return None
            if not rivals.larger:
                break
            if larger.is_over(began):
                count("larger worker's claim stayed: put back")
                self.skipped_until[job.name] = began + self.me.policy.lease
                exits.release(path, job)
                return None
            count("larger worker's claim: waited")
            self.share.sleep(next(pauses))
        if wait == 0:
            return _no_newer(job, rivals.mine)
        self.share.sleep(max(0.0, began + wait - self.share.now()))
        # Whoever had the job before me has finished it visibly by now, or nobody had.
        finished = self.look.is_finished(self.identity.as_dated(job, rivals.mine))
        mine = self._rivals(claim).mine
        if mine is None:
            count("own claim gone after S2: not mine")
            self.intents.leave_in_doubt(path)
            return None
        if finished:
            own = self.identity.of(path, mine, job)
            if own is None:
                count("finished after S2: parked")
                exits.set_aside(path, job)
            return own
        return _no_newer(job, rivals.mine)

    def look_around(self) -> None:
        """Find out which jobs are claimed by anybody."""
        running = self.share.jobs_in(RUNNING)
        self.claimed_by_others = frozenset(file.job.name for file in running if not file.staged)

    def _rivals(self, claim: Claim) -> Rivals:
        """My claim as listed, and whether smaller and larger workers claim the job too."""
        mine, smaller, larger = None, False, False
        others = set()
        me = layout.claim_name(claim.worker, claim.job.name)
        for file in self.share.jobs_in(RUNNING):
            if names.same_name(file.file, me):
                mine = file.job
            elif not file.staged:
                others.add(file.job.name)
                if names.same_name(file.job.name, claim.job.name):
                    smaller |= file.worker < claim.worker
                    larger |= file.worker > claim.worker
        self.claimed_by_others = frozenset(others)
        return Rivals(mine, smaller, larger)


def _no_newer(job: Entry, mine: Entry) -> Entry:
    """`job` with the time of its claim if that is older, since the clock was set back: its end
    has a later time than the claim, and perhaps an earlier one than the file had before."""
    return Entry(job.name, mine.mtime, job.size) if is_older(mine, job) else job
