"""One worker: which job next, and what to do with what comes of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from dirjobs.clock import growing_pauses, sleep_unless
from dirjobs.errors import (
    TRANSIENT_ERRORS,
    Busy,
    ClaimLost,
    Denied,
    FileStays,
    JobsRefused,
    NotFound,
    StoreError,
)
from dirjobs.layout import AGREEMENT, RUNNING, WAITING, is_job_name
from dirjobs.protocol.candidates import Candidates
from dirjobs.protocol.exits import Claim
from dirjobs.protocol.folders import make_folders
from dirjobs.protocol.intents import State
from dirjobs.protocol.outage import QueueAway
from dirjobs.protocol.parts import Parts
from dirjobs.protocol.share import Share
from dirjobs.recovery.control import Control
from dirjobs.recovery.membership import Membership
from dirjobs.store import Entry

T = TypeVar("T")
log = logging.getLogger(__name__)

_MAX_FRUITLESS_PASSES = 8
"""Listings in a row that show the same jobs, all gone when asked for, before we give up:
with doubling pauses 13 s, longer than the listings of a davfs2 mount are late.  In mode sync it
takes as long as listings may be late, too."""
_LONGEST_FRUITLESS_PAUSE = 10.0
_MAX_BUSY_PASSES = 5
"""Passes in which the last jobs are open in other programs, before we give up: 1.5 s."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0


@dataclass
class PassResult:
    """What came of trying every candidate of one listing.

    Attributes:
        lost: jobs that a fresh listing showed, and that were gone when asked for.
        refused: jobs that the store does not let us have, and what it said.
    """

    lost: frozenset[str] = frozenset()
    refused: dict[str, StoreError] = field(default_factory=dict)


class Worker:
    """Takes jobs, one at a time or several at once.

    Args:
        parts: the protocol, on the connection that claims.
        candidates: which job to try next.
        membership: the heartbeat; None for a worker that nobody needs to know of.
        ending: the protocol, as jobs are ended: nothing but the store's end breaks that off.
        names_suffice: see `Store.names_suffice`.
    """

    def __init__(
        self,
        parts: Parts,
        candidates: Candidates,
        membership: Membership | None = None,
        *,
        ending: Parts | None = None,
        names_suffice: bool = False,
    ) -> None:
        self.parts = parts
        self.ending = ending or parts
        self.me = parts.me
        self.share = parts.share
        self.intents = parts.intents
        self.candidates = candidates
        self.names_suffice = names_suffice
        self.membership = membership
        self._staged: frozenset[str] = frozenset()
        self._staged_seen: frozenset[str] = frozenset()
        self.control = Control() if membership is None else membership.control

    # -- beginning a job ------------------------------------------------------------------

    def next(self, *, looks_again: bool = False) -> Claim | None:
        """The next job, claimed; None if nothing is waiting that we may take, or if this
        worker is drained.

        Args:
            looks_again: whether the caller does so soon if there is none.  Then it is not made
                sure that the empty folder is this queue's: the heartbeat sees to that.

        Raises:
            JobsRefused: jobs are waiting, and after some tries none of them can be taken.
            StoreError: the store can't be used.
        """
        claim = self._next(looks_again=looks_again)
        if claim is None:
            self._look_after_end(self.parts)
        return claim

    def _look_after_end(self, parts: Parts) -> None:
        """See `Membership.look_after_end`; what became of the caller's own job stands, and who
        is drained waits for no outage."""
        if self.membership is None:
            return
        try:
            self.membership.look_after_end(parts)
        except StoreError as error:
            log.warning(
                "could not look whether anything is left half way (%s); the next worker does",
                error,
            )

    def _next(self, *, looks_again: bool) -> Claim | None:
        control, membership = self.control, self.membership
        fruitless, busy_passes, pause = 0, 0, 0.05
        fruitless_since = self.share.now()
        lost_before: frozenset[str] = frozenset()
        while True:
            if control.draining:
                return None
            if control.paused and not control.wait_while_paused(self.share):
                return None
            result = PassResult()
            claim = self._try_all(result)
            if claim is not None:
                if control.draining:
                    # Whoever ends this worker may have looked for claims before this one was.
                    with suppress(ClaimLost), self.intents.end_alone(claim.path):
                        if membership is not None:
                            membership.throughput.let_go(claim.path)
                        self.parts.exits.release(claim.path, claim.job)
                    return None
                return claim
            if self.candidates.ripe_at is not None:
                ripe_in = self.candidates.ripe_at - self.share.now()
                control.sleep_unless_drained(self.share, max(0.01, ripe_in))
                continue
            if not result.lost:
                if self.parts.sweeper.sweep(unanswered=True):
                    continue  # a claim of ours whose answer was lost: it may be ours yet
                if self._take_over():
                    continue
                if not result.refused:
                    if not looks_again:
                        with suppress(NotFound):
                            self.share.read(AGREEMENT)  # another queue's folder is empty, too
                    return None
                busy_passes += 1
                is_busy = any(isinstance(error, Busy) for error in result.refused.values())
                if is_busy and busy_passes <= _MAX_BUSY_PASSES:
                    # A scanner, or whoever just put it there: closed in a moment.
                    self.share.sleep(pause)
                    pause *= 2
                    continue
                raise JobsRefused.of(result.refused, "taken")
            # Every listed job was gone when asked for: rivals, a late listing, or a moved
            # folder.  Try a few times.
            if not result.lost <= lost_before:
                fruitless, pause = 0, 0.05
                fruitless_since = self.share.now()
            fruitless += 1
            lasted = self.share.now() - fruitless_since
            if fruitless > _MAX_FRUITLESS_PASSES and lasted >= self.me.policy.wait:
                unclear = self.parts.claimer.unclear
                gone = NotFound(
                    f"it is listed in {WAITING}, but was gone each time that it was asked for:"
                    " `dirjobs check` tells what renames and listings are worth here"
                )
                result.refused |= {job: unclear.get(job, gone) for job in result.lost}
                raise JobsRefused.of(result.refused, "taken")
            lost_before = result.lost
            make_folders(self.share)
            self.share.sleep(pause)
            pause = min(2 * pause, _LONGEST_FRUITLESS_PAUSE)

    def _take_over(self) -> bool:
        """See to what workers that are gone have left, before we go as well; whenever
        something is staged that was not when we last did."""
        staged, self._staged = self._staged, frozenset()
        if self.membership is None or staged <= self._staged_seen:
            return False
        self._staged_seen = staged
        return self.membership.take_over(self.parts, staged)

    def _fall_back(self, membership: Membership) -> None:
        """Use a stricter mode if there is a reason, and wait until the others do as well.

        Whoever knows of no others waits, too: they may have joined since the last heartbeat,
        or be about to, with the mode that was agreed on before.
        """
        agreement = membership.agreement
        agreement.fall_back_if_refuted(self.share)
        hold = max(0.0, agreement.no_claims_before - self.share.now())
        self.control.sleep_unless_drained(self.share, hold)
        agreement.no_claims_before = 0.0

    def _try_all(self, result: PassResult) -> Claim | None:
        """Try candidates until one is ours or a fresh listing has no more."""
        candidates, claimer = self.candidates, self.parts.claimer
        membership, found = self.membership, self.parts.evidence.found
        now = self.share.now()
        if self._needs_new_incarnation(now):
            self._next_incarnation()
        fresh = False
        while True:
            if not fresh and candidates.used_up(now):
                now = self._list_waiting()
                fresh = True
            skips = claimer.skipped_until
            job = candidates.take(self._unwanted(now) if skips else claimer.claimed_by_others)
            if job is None:
                if fresh:
                    return None
                continue
            asked = self.intents.state(f"{RUNNING}/{self.me.worker}.{job.name}")
            if asked is State.PENDING:
                continue  # another thread of ours is at it
            if asked is not None:
                # Used again, or a listing from before another thread of ours had it?
                if not self.parts.look.is_there(f"{WAITING}/{job.name}"):
                    continue
                self._next_incarnation()
            # The mode may have changed since the last candidate.
            if membership is not None and self.parts.evidence.suspected:
                self.parts.audit.confirm()
            if membership is not None and (found or membership.agreement.no_claims_before):
                self._fall_back(membership)
            if candidates.are_old(self.share.now()) and not self.me.trusts:
                # An earlier candidate, or the fall-back, took long: it may be another job now.
                job = Entry(job.name)
            try:
                claim = claimer.claim(job)
            except Denied as error:
                result.refused[job.name] = error
                continue
            before, now = now, self.share.now()
            if claim is not None and self._needs_new_incarnation(now):
                # In the middle of the claim: others may have taken it back, or will.
                # The sweep gives it back, even if the store can't be reached just now.
                self.intents.leave_in_doubt(claim.path)
                self._next_incarnation()
                self.parts.sweeper.sweep()
                continue
            if claim is not None:
                candidates.won()
                if self.membership is not None:
                    self.membership.throughput.claimed(claim.path, now)
                return claim
            if fresh:
                result.lost |= {job.name}
            candidates.lost(now - before)

    def _needs_new_incarnation(self, now: float) -> bool:
        """Whether nothing may be claimed under the present name any more: it may have been
        declared dead, or may be so at `now`."""
        me = self.me
        return me.lease_gaps > me.lease_gaps_at_start or now - me.last_beat > me.longest_gap

    def _next_incarnation(self) -> None:
        if self.membership is not None:
            self.membership.incarnations.next(self.share)
        else:
            self.me.become(self.me.next_incarnation())

    def _list_waiting(self) -> float:
        """Fill the candidates, and say when that was done."""
        candidates, parts = self.candidates, self.parts
        began = self.share.now()
        agreed = 0.0 if self.membership is None else self.membership.agreement.min_age
        candidates.min_age = max(candidates.min_age, agreed)
        if self.names_suffice and self.me.needs_names_only and not candidates.needs_times:
            files = self.share.names_of_files(WAITING)
            now = self.share.now()
            candidates.fill_with_names(files, began, now)
            return now
        listing = self.share.listed(WAITING)
        if not self.me.trusts:
            if any(is_job_name(entry.name) for entry in listing):
                parts.claimer.look_around()
            _, self._staged = parts.sweeper.staged_here(listing)
        now = self.share.now()
        candidates.fill(listing, began, now)
        return now

    def _unwanted(self, now: float) -> Collection[str]:
        claimer = self.parts.claimer
        claimer.skipped_until = {job: t for job, t in claimer.skipped_until.items() if t > now}
        return claimer.claimed_by_others | claimer.skipped_until.keys()

    # -- ending a job ---------------------------------------------------------------------

    def finish(self, claim: Claim, folder: str) -> str:
        """See `Exits.finish`."""
        membership = self.membership
        if not self._still_has_its_name(claim):
            raise ClaimLost(
                f"job {claim.job.name!r} is no longer claimed by this worker: it was silent for"
                f" so long that another one goes by its name {claim.worker!r}; discard this"
                " result."
            )
        if membership is None:
            return self.ending.exits.finish(claim, folder, self._lease_may_have_expired)
        membership.throughput.let_go(claim.path)
        name = self.ending.exits.finish(claim, folder, self._lease_may_have_expired)
        membership.throughput.ended(self.share.now())
        self._look_after_end(self.ending)
        return name

    def _lease_may_have_expired(self, claim: Claim) -> bool:
        """Whether others may have taken us for dead since we asked for this job."""
        me = self.me
        return me.own_lease_expired(self.share.now()) or me.lease_gaps > claim.lease_gaps

    def _still_has_its_name(self, claim: Claim) -> bool:
        """Whether nobody else may have made a claim of this name."""
        if self.membership is not None and self._lease_may_have_expired(claim):
            self.membership.give_up_used_names(self.ending.share)
        return not self.intents.gave_up(claim.worker)

    def still_holds(self, claim: Claim) -> bool:
        """Whether a claim is there, and nobody had a reason to take us for dead."""
        if self.intents.state(claim.path) is not State.HELD:
            return False  # a thread is ending it, or this worker has ended
        if self._lease_may_have_expired(claim) or not self.ending.look.is_there(claim.path):
            return False
        return not self._lease_may_have_expired(claim)

    def release(self, claim: Claim) -> bool:
        """Give a job back, to be claimed by anybody."""
        if not self._still_has_its_name(claim):
            return False
        if self.membership is not None:
            self.membership.throughput.let_go(claim.path)
        came_back = self.ending.exits.release(claim.path, claim.job)
        self._look_after_end(self.ending)
        return came_back


_FOR_A_FILE = "%s  Trying on."
_FOR_THE_STORE = "the store can't be reached (%s); waiting until it can"
_OVER = {
    _FOR_A_FILE: "it is done; going on",
    _FOR_THE_STORE: "the store is there again; going on",
}


def retry_through_outages(
    share: Share, call: Callable[[], T], error: StoreError, control: Control | None = None
) -> T:
    """Repeat `call`, which may be repeated, until the store is there again.

    Says that it waits, for one file or for the store, and that it goes on.

    Args:
        share: lets time pass.
        call: what ended with `error` at the first try.
        error: one of `TRANSIENT_ERRORS`.
        control: who is drained waits no longer; None for somebody who can't be.

    Raises:
        StoreError: any other error of `call`; or `error` itself, once `share` gives up.
    """
    told = ""
    for pause in growing_pauses(_FIRST_PAUSE, _LONGEST_PAUSE):
        if (wait := _waits_for(error)) and wait != told:
            told = wait
            log.warning(wait, error)
        asked_for = getattr(error, "retry_after", None) or 0.0
        seconds = max(pause, asked_for)
        if control is not None:
            control.sleep_unless_drained(share, seconds)
        elif share.gives_up is None:
            share.sleep(seconds)
        else:
            sleep_unless(share.gives_up, seconds, share.sleep)
            if share.gives_up():
                raise error
        try:
            result = call()
        except TRANSIENT_ERRORS as again:
            error = again
        else:
            if control is not None and control.draining:
                return result
            if told:
                log.warning(_OVER[told])
            return result
    raise AssertionError("pauses never end")


def _waits_for(error: StoreError) -> str:
    """What to say of an error that passes; empty if another one says it for all threads."""
    if isinstance(error, QueueAway):
        return ""
    return _FOR_A_FILE if isinstance(error, Busy | FileStays) else _FOR_THE_STORE
