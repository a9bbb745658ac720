"""Being seen: a worker's heartbeat files, and what it learns from the others'.

A worker writes its own file, waits S, and lists: whoever does the same at the same time
is seen by one of the two at least.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace

from dirjobs import layout
from dirjobs.errors import ConfigurationError, WorkerIdInUse
from dirjobs.layout import RUNNING, WAITING, WORKERS
from dirjobs.policy import Mode
from dirjobs.process import Process, is_same
from dirjobs.protocol.claim import Claims
from dirjobs.protocol.effects import List, Steps, Wait
from dirjobs.protocol.intents import State
from dirjobs.recovery.agreement import Agreement, lawful
from dirjobs.recovery.control import Orders
from dirjobs.recovery.heartbeat import Beat
from dirjobs.recovery.incarnations import Life, Lives
from dirjobs.recovery.peers import Other, Others
from dirjobs.recovery.requeue import DEFAULT_MAX_ATTEMPTS
from dirjobs.store import Entry, split

log = logging.getLogger("dirjobs")


class Presence(Lives):
    """The heartbeat of one worker.

    Args:
        claims: the worker's claims; their incarnation and terms are kept up here.
        process: who this process is.
        insists: the user named the mode, so it is not quietly replaced by another one.
        max_attempts: how many workers may die at a job before it counts as failed.
        orders: what this worker is told to do.
    """

    def __init__(
        self,
        claims: Claims,
        process: Process,
        *,
        insists: bool = False,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
        orders: Orders | None = None,
    ) -> None:
        super().__init__(claims, process)
        self.agreement = Agreement(claims, insists=insists)
        self.orders = orders or Orders()
        self.others = Others(claims, process, max_attempts, self.orders)
        self._turn = 0

    # -- beginning ------------------------------------------------------------------------

    def start(self) -> Steps[None]:
        """Announce this worker, and give back what the dead left.

        Raises:
            WorkerIdInUse, ConfigurationError, StoreError: as `announce`.
        """
        found = yield from self.announce()
        # Store times may lie (somebody sets the clock): they are enough to take over our own
        # id, whose names we avoid; for the rest we watch.
        ours = self._namesakes(found)
        yield from self.others.reap_surveyed([o for o in found if o.sure or o in ours])

    def announce(self) -> Steps[list[Other]]:
        """Make the folders, announce this worker, agree on the mode; returns the others.

        Raises:
            WorkerIdInUse: another live worker has this id.
            ConfigurationError: the user asked for a less careful mode than live workers
                use, or ``queue.json`` makes no sense.
            StoreError: the store can't be used.
        """
        claims = self.claims
        wish = claims.terms
        recorded = yield from self.agreement.recorded(wish)
        if recorded is not None:
            claims.terms = replace(wish, heartbeat=recorded.heartbeat, lease=recorded.lease)
            if not self.agreement.insists:
                # What the store alone warrants is no wish: announced for one heartbeat, it
                # would drag everybody who starts meanwhile away from a recorded trust.
                claims.terms = replace(claims.terms, mode=recorded.mode, sync_time=0.0)
            claims.terms = lawful(claims.terms.at_least(recorded.mode, recorded.sync_time))
        self._starting = True
        life = self._lives[0] if self._lives else None  # a start that is tried again
        if life is None:
            life = yield from self._be_born(claims.worker)
        else:
            yield from self._write(life)
        yield Wait(claims.terms.wait)
        found = yield from self.others.survey(self._files())
        silent = [o for o in self._namesakes(found) if o.fate and not o.sure]
        if silent:
            found = yield from self.survey_again(silent)
        id_was_used = yield from self._id_was_used(life, found)
        self._starting = False
        if id_was_used:
            yield from self.others.forget(split(life.path)[1])
            self._lives.remove(life)
            yield from self.new_life()
        else:
            yield from self._write(life)
        try:
            yield from self.agreement.settle(wish, recorded, [o.beat for o in found if not o.fate])
        except ConfigurationError:
            yield from self._withdraw()
            raise
        return found

    def survey_again(self, silent: list[Other]) -> Steps[list[Other]]:
        """Who is there after as long as the `silent` need for their next heartbeat.

        By their age they are dead; but so is everybody right after an outage of the share,
        or after its clock was set.
        """
        terms = [other.beat.terms for other in silent]
        pause = max(2 * each.heartbeat + each.timeout for each in terms)
        log.warning(
            "%s: %s; waiting %g s whether it comes back",
            silent[0].beat.worker,
            silent[0].fate,
            pause,
        )
        yield Wait(pause)
        yield from self.tell()
        return (yield from self.others.survey(self._files()))

    def _namesakes(self, found: list[Other]) -> list[Other]:
        """Those who have, or had, our id."""
        me = layout.base_id(self.claims.worker).casefold()
        return [o for o in found if layout.base_id(o.beat.worker).casefold() == me]

    def _id_was_used(self, life: Life, found: list[Other]) -> Steps[bool]:
        """Whether the plain id may not be used for new claims."""
        if layout.base_id(life.worker) != life.worker:
            return False  # a forked child: nobody else has its name, its parent lives on
        used = False
        for other in self._namesakes(found):
            beat = other.beat
            if not other.fate and not is_same(beat.process, self.process):
                yield from self._withdraw()
                age = "unknown time" if other.age is None else f"{other.age:.0f} s"
                raise WorkerIdInUse(
                    f"wid={life.worker!r} is in use by process {beat.process.pid} on host"
                    f" {beat.process.host!r} (last heartbeat {age} ago): give this worker a wid"
                    " of its own, or wait until that one has ended."
                )
            used = used or not beat.ended or bool(beat.unsettled)
        return used

    # -- living ---------------------------------------------------------------------------

    def beat(self) -> Steps[None]:
        """Write the heartbeats; see what the others do; bury the dead; sweep.

        Four requests while nothing happens, whatever the number of jobs; five where renames
        are trusted by a record.
        """
        yield from self._beat_on()
        began = self.claims.clock()
        listing: list[Entry] = yield List(WORKERS)
        now = self.claims.clock()
        yield from self._follow((yield from self.others.notice(listing, self._files(), began, now)))
        yield from self.others.bury(now)
        if self.claims.is_on_trial and not self.needs_new_life(now):
            held = self.claims.ledger.in_state(State.HELD)
            yield from self.claims.look_at_claims({p: asked.job for p, asked in held.items()})
            yield from self.agreement.face_evidence()
        self._turn += 1
        yield from self.claims.sweep((WAITING,) if self._turn % 2 else (RUNNING,))

    def _follow(self, new: list[Beat]) -> Steps[None]:
        """Become as careful as ``queue.json`` and whoever is new; part from a twin."""
        for beat in new:
            if not beat.ended and beat.worker.casefold() == self.claims.worker.casefold():
                log.error(
                    "another worker uses the id %r as well (process %d on %s): give each worker"
                    " an id of its own; this one goes on under a new name",
                    layout.base_id(beat.worker),
                    beat.process.pid,
                    beat.process.host,
                )
                yield from self.new_life()
        yield from self.agreement.follow([beat for beat in new if not beat.ended])

    # -- ending ---------------------------------------------------------------------------

    def end(self) -> Steps[None]:
        """Sweep a last time, say that this worker has ended, and look whether anything is
        left half way that nobody else will see to."""
        yield from self.agreement.face_evidence()
        yield from self.claims.sweep_out()
        for life in self._lives:
            yield from self._write(life, ended=True)
        if self.claims.terms.mode is not Mode.TRUST:
            yield from self._leave_nothing()
        self._lives.clear()
        yield from self.orders.tidy()

    def _leave_nothing(self) -> Steps[None]:
        """See to second copies on their way back that had to wait for somebody's claim.

        Two may end at once, the one that left such a copy and the one with the claim.  The
        first of them to say so is seen by the other, which looks after it has said so, too.
        """
        claims = self.claims
        if self.orders.hurried:  # no time for what can wait for the next worker
            yield from claims.sweep((WAITING,))
            return
        ours, theirs = claims.half_way((yield from claims.listing(WAITING)))
        if ours:
            # Whoever did not see me end must have looked before, and what it did before
            # that must be in my listing now.
            pause = 2 * claims.terms.wait
            if pause:
                log.warning(
                    "somebody may be ending a job that has a copy here; waiting %g s", pause
                )
            yield Wait(pause)
            yield from claims.sweep((WAITING,))
        if theirs:
            yield from self.take_over(theirs)

    def take_over(self, staged: Collection[str]) -> Steps[bool]:
        """Give back, at once, what workers that are surely gone have left.

        With an eye and a memory of its own, since the heartbeat's thread may be at it too.

        Args:
            staged: names of files in ``00_waiting``; whose they are is asked, and no more:
                at the end of a queue, a hundred workers may ask at once.

        Returns:
            whether they had left anything.
        """
        others = Others(self.claims, self.process, self.others.reaper.max_attempts)
        others.is_provably_dead = self.others.is_provably_dead
        owners = {half.worker for name in staged if (half := layout.parse_staged(name))}
        found = yield from others.survey(self._files(), owners)
        return (yield from others.reap_surveyed(o for o in found if o.sure))

    def _withdraw(self) -> Steps[None]:
        """Take back an announcement that came to nothing; unless an earlier try has left
        something half way under this name, which others must be able to tell whose it is."""
        self._starting = False
        unsettled = self.claims.ledger.in_state(State.UNSETTLED).values()
        for life in self._lives:
            if any(asked.worker == life.worker for asked in unsettled):
                yield from self._write(life, ended=True)
            else:
                yield from self.others.forget(split(life.path)[1])
        self._lives.clear()
