"""One worker: which job next, and what to do with what comes of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import TypeVar

from dirjobs import layout
from dirjobs.errors import AmbiguousResult, Busy, Denied, StoreError, Unavailable
from dirjobs.layout import WAITING
from dirjobs.policy import Mode
from dirjobs.protocol.candidates import Waiting
from dirjobs.protocol.claim import Claims
from dirjobs.protocol.effects import Steps, Wait
from dirjobs.protocol.folders import make_folders
from dirjobs.protocol.give_back import Held
from dirjobs.protocol.intents import State
from dirjobs.protocol.resolve import names_in
from dirjobs.recovery.control import Orders
from dirjobs.recovery.membership import Presence
from dirjobs.recovery.throughput import Tally

T = TypeVar("T")
log = logging.getLogger("dirjobs")

_FRUITLESS = 8
_BUSY_LOOKS = 5
_LONGEST_PAUSE = 30.0
OUTAGE = (Unavailable, AmbiguousResult, Busy)
"""What passes: the store can't be reached, or somebody has a claim of ours open."""


class _Pass:
    """What came of trying every candidate of one listing."""

    lost: frozenset[str] = frozenset()
    busy = False
    refusal: Denied | None = None


class Worker:
    """Takes jobs, one at a time or several at once.

    Args:
        claims: the claim protocol.
        waiting: which job to try next.
        presence: the heartbeat; None for a worker that nobody needs to know of.
        names_suffice: see `Store.names_suffice`.
    """

    def __init__(
        self,
        claims: Claims,
        waiting: Waiting,
        presence: Presence | None = None,
        *,
        names_suffice: bool = False,
    ) -> None:
        self.claims = claims
        self.waiting = waiting
        self.names_suffice = names_suffice
        self.presence = presence
        self._needs_new_life = _never if presence is None else presence.needs_new_life
        self.leaving = False
        """Whether it is ending, in another thread: no job is begun any more."""
        self._half_way: frozenset[str] = frozenset()
        self._seen_half_way: frozenset[str] = frozenset()
        self.orders = Orders() if presence is None else presence.orders
        self.tally = Tally() if presence is None else presence.tally

    # -- beginning a job ------------------------------------------------------------------

    def next(self) -> Steps[Held | None]:
        """The next job, claimed; None if nothing is waiting that we may take, or if this
        worker is drained.

        Raises:
            StoreError: the store can't be used, or refuses every job.
        """
        fruitless, busy_looks, pause = 0, 0, 0.05
        lost_before: frozenset[str] = frozenset()
        while True:
            if self.leaving or self.orders.draining:
                return None
            if self.orders.paused and not (yield from self.orders.obey()):
                return None
            if self.presence is not None and self.presence.agreement.is_in_question:
                yield from self._face_evidence(self.presence)
            tried = _Pass()
            held = yield from self._try_all(tried)
            if held is not None and (self.leaving or self.orders.draining):
                # Whoever ends this worker may have looked for claims before this one was.
                yield from self.release(held)
                return None
            if held is not None:
                return held
            if self.waiting.ripe_at is not None:
                yield from self.orders.rest(max(0.01, self.waiting.ripe_at - self.claims.clock()))
                continue
            if not tried.lost:
                if (yield from self.claims.sweep(unanswered=True)):
                    continue  # a claim of ours whose answer was lost: it may be ours yet
                if (yield from self._take_over()):
                    continue
                busy_looks += 1
                if tried.busy and busy_looks <= _BUSY_LOOKS:
                    # A scanner, or whoever just put it there: closed in a moment.
                    yield Wait(pause)
                    pause *= 2
                    continue
                if tried.refusal is not None and not tried.busy:
                    raise tried.refusal
                return None
            # A race for the last jobs, a listing that lags, or a folder that is gone.
            if not tried.lost <= lost_before:
                fruitless, pause = 0, 0.05
            fruitless += 1
            if fruitless > _FRUITLESS:
                some = ", ".join(sorted(tried.lost)[:3])
                log.warning("%s: listed in %s, but gone when asked for; giving up", some, WAITING)
                return None
            lost_before = tried.lost
            yield from make_folders()
            yield Wait(pause)
            pause *= 2

    def _take_over(self) -> Steps[bool]:
        """See to what workers that are gone have left, before we go as well; whenever
        something is half way that was not when we last did."""
        half_way, self._half_way = self._half_way, frozenset()
        if self.presence is None or half_way <= self._seen_half_way:
            return False
        self._seen_half_way = half_way
        return (yield from self.presence.take_over(half_way))

    def _face_evidence(self, presence: Presence) -> Steps[None]:
        """Fall back to a more careful mode if there is a reason, and wait for the others."""
        agreement = presence.agreement
        yield from agreement.face_evidence()
        if agreement.hold_until and presence.others.are_there:
            yield from self.orders.rest(max(0.0, agreement.hold_until - self.claims.clock()))
        agreement.hold_until = 0.0

    def _try_all(self, tried: _Pass) -> Steps[Held | None]:
        """Try candidates until one is ours or a fresh listing has no more."""
        waiting = self.waiting
        now = self.claims.clock()
        if self._needs_new_life(now):
            yield from self._new_life()
        fresh = False
        while True:
            if not fresh and waiting.used_up(now):
                now = yield from self._list_waiting()
                fresh = True
            job = waiting.take(self._unwanted(now))
            if job is None:
                if fresh:
                    return None
                continue
            asked = self.claims.asked_before(job)
            if asked is State.ASKING:
                continue  # another thread of ours is at it
            if asked is not None:
                # Used again, or a listing from before another thread of ours had it?
                if not (yield from self.claims.is_there(f"{WAITING}/{job.name}")):
                    continue
                yield from self._new_life()
            try:
                held = yield from self.claims.claim(job)
            except Busy:
                tried.busy = True
                continue
            except Denied as error:
                tried.refusal = error
                continue
            before, now = now, self.claims.clock()
            if held is not None and self._needs_new_life(now):
                # In the middle of the claim: others may have taken it back, or will.
                # The sweep gives it back, even if the store can't be reached just now.
                self.claims.ledger.unsettle(held.path)
                yield from self._new_life()
                yield from self.claims.sweep()
                continue
            if held is not None:
                waiting.won()
                self.tally.claimed(held.path, now)
                return held
            if fresh:
                tried.lost |= {job.name}
            waiting.lost(now - before)

    def _new_life(self) -> Steps[None]:
        if self.presence is not None:
            yield from self.presence.new_life()
        else:
            self.claims.worker = layout.later_life(self.claims.worker, self.claims.nonce())

    def _list_waiting(self) -> Steps[float]:
        """Fill `waiting`, and say when that was done."""
        waiting = self.waiting
        began = self.claims.clock()
        agreed = 0.0 if self.presence is None else self.presence.agreement.min_age
        waiting.min_age = max(waiting.min_age, agreed)
        if self.names_suffice and self.claims.needs_names_only and not waiting.needs_times:
            files = yield from names_in(WAITING)
            now = self.claims.clock()
            waiting.fill_with_names(files, began, now)
            return now
        listing = yield from self.claims.listing(WAITING)
        if self.claims.terms.mode is not Mode.TRUST:
            yield from self.claims.look_around()
            _, self._half_way = self.claims.half_way(listing)
        now = self.claims.clock()
        waiting.fill(listing, began, now)
        return now

    def _unwanted(self, now: float) -> Collection[str]:
        claims = self.claims
        if claims.left_alone:
            claims.left_alone = {job: t for job, t in claims.left_alone.items() if t > now}
            return claims.foreign | claims.left_alone.keys()
        return claims.foreign

    # -- ending a job ---------------------------------------------------------------------

    def finish(self, held: Held, folder: str) -> Steps[str]:
        """See `Moves.finish`."""
        self.tally.let_go(held.path)
        name = yield from self.claims.finish(held, folder, self._may_be_robbed)
        self.tally.ended(self.claims.clock())
        return name

    def _may_be_robbed(self, held: Held) -> bool:
        """Whether others may have taken us for dead since we asked for this job."""
        if self.presence is None:
            return False
        return (
            self.presence.may_be_dead_to_others(self.claims.clock())
            or self.claims.robberies > held.robberies
        )

    def still_holds(self, held: Held) -> Steps[bool]:
        """Whether a claim is there, and nobody had a reason to take us for dead."""
        if self._may_be_robbed(held) or not (yield from self.claims.is_there(held.path)):
            return False
        return not self._may_be_robbed(held)

    def release(self, held: Held) -> Steps[bool]:
        """Give a job back, to be claimed by anybody."""
        self.tally.let_go(held.path)
        return (yield from self.claims.release(held.path, held.job))


def _never(_now: float) -> bool:
    return False


def through_outages(
    steps: Callable[[], Steps[T]], error: StoreError, orders: Orders | None = None
) -> Steps[T]:
    """Repeat `steps`, which may be repeated, until the store is there again.

    Says once that it waits, and once that it goes on.

    Args:
        steps: what ended with `error` at the first try.
        error: one of `OUTAGE`.
        orders: who is drained waits no longer; None for somebody who can't be.
    """
    if isinstance(error, Busy):
        log.warning("%s Waiting until it is closed.", error)
    else:
        log.warning("the store can't be reached (%s); waiting until it can", error)
    pause = 1.0
    while True:
        asked_for = getattr(error, "retry_after", None) or 0.0
        if orders is None:
            yield Wait(max(pause, asked_for))
        else:
            yield from orders.rest(max(pause, asked_for))
        pause = min(2 * pause, _LONGEST_PAUSE)
        try:
            result = yield from steps()
        except OUTAGE as again:
            error = again
        else:
            if orders is not None and orders.draining:
                return result
            over = "it is closed" if isinstance(error, Busy) else "the store is there again"
            log.warning("%s; going on", over)
            return result
