"""A job's ways out of ``01_running``, and the sweep: so that none is ever lost.

A name that may still come to be is left to the sweep.  Nothing here deletes a file, and
nothing renames onto an existing one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from enum import Enum
from typing import NamedTuple

from dirjobs import layout
from dirjobs.errors import ClaimLost, Denied
from dirjobs.layout import PARKED, RUNNING, WAITING
from dirjobs.policy import Mode
from dirjobs.protocol.audit import Trial
from dirjobs.protocol.effects import Steps, Wait
from dirjobs.protocol.intents import Asked, State
from dirjobs.protocol.resolve import Moved, differ
from dirjobs.store import Entry, split

log = logging.getLogger("dirjobs")

_ODD_LOOKS = 3
GROWING_PAUSE = 1.0
"""Seconds between two looks at a file that may be a copy still growing."""


class Held(NamedTuple):
    """A job that is ours.

    Attributes:
        worker: the incarnation that holds it.
        job: the job as it was listed in ``00_waiting``.
        path: its claim.
        robberies: how often this worker may have been declared dead before it asked.
    """

    worker: str
    job: Entry
    path: str
    robberies: int = 0


class _Back(Enum):
    """How far a file came on its way back to ``00_waiting``."""

    YES = "it is there, or parked"
    GONE = "it was gone"
    LATER = "somebody claims its job: to be seen later"


class Moves(Trial):
    """What one worker does to job files after it has asked for them."""

    # -- a job's ways out of 01_running -------------------------------------------------

    def finish(self, held: Held, folder: str, may_be_robbed: Callable[[Held], bool]) -> Steps[str]:
        """Rename a claim into `folder` (done or failed), never onto an existing name.

        Args:
            held: the claim.
            folder: ``02_done`` or ``99_failed``.
            may_be_robbed: whether this worker may have been declared dead since it
                claimed the job (its own heartbeat had too long a gap).

        Returns:
            the name that the job has there.

        Raises:
            ClaimLost: the claim is not there any more, or is torn; the result must be
                discarded.
            StoreError: not known yet; ask again.
        """
        # Two copies that go to one name at once may leave the torn one there.
        if held.path in self.unseen and (yield from self._is_torn(held, may_be_robbed)):
            yield from self.set_aside(held.path, held.job)
            raise ClaimLost(
                f"the claim {held.path!r} of job {held.job.name!r} is an unfinished copy:"
                " somebody else has the job; discard this result."
            )
        number, name = 1, held.job.name
        while True:
            moved = yield from self.settle(held.path, f"{folder}/{name}", held.job.size)
            if moved is Moved.TAKEN:
                self.decided["finish: name taken, numbered"] += 1
                if self.is_on_trial and (yield from self.finished(held.job)):
                    self.evidence.append(f"job {held.job.name!r} was finished by two workers")
                number += 1
                name = layout.numbered(held.job.name, number)
                continue
            self.ledger.spend(held.path)
            if moved is Moved.YES:
                return name
            if (yield from self._committed(held, folder, moved, may_be_robbed)):
                self.decided["finish: settled by looking"] += 1
                return name
            self.decided["finish: claim lost"] += 1
            if not may_be_robbed(held):
                yield from self.suspect_loss(held.path, held.job)
            raise ClaimLost(
                f"job {held.job.name!r} is no longer claimed by {held.worker}: somebody moved"
                f" {held.path!r}, or gave the job to another worker; discard this result."
            )

    def _is_torn(self, held: Held, may_be_robbed: Callable[[Held], bool]) -> Steps[bool]:
        """Look at a claim on trial: whether it must not be taken for its job."""
        blames = not may_be_robbed(held)
        return bool((yield from self.look_at_claims({held.path: held.job}, blames=blames)))

    def _committed(
        self,
        held: Held,
        folder: str,
        moved: Moved,
        may_be_robbed: Callable[[Held], bool],
    ) -> Steps[bool]:
        """Whether a claim that is gone went where we wanted it to go."""
        if may_be_robbed(held):
            return False
        if moved is Moved.GONE_IN_DOUBT:
            return True
        # An exclusive rename that finds no source was not ours.  Elsewhere a 404 has been
        # seen for a rename that was carried out.
        if self.terms.mode is Mode.TRUST or self.promises.atomic_rename:
            return False
        return (yield from self.finished(held.job, folder))

    def put_back(self, path: str, job: Entry) -> Steps[bool]:
        """Return a claim to ``00_waiting``; if the name is taken there, park it.

        Where renames are not exclusive, in three, of which only the middle one crosses
        folders: first to a name of its own inside ``01_running``, which is exclusive on
        every WebDAV server measured; then to one inside ``00_waiting``, for a copying
        server shows the copy while it grows, and nobody may claim that; then, whole and
        only if nobody has the job, to the job's own.

        Returns:
            False if the claim was gone.
        """
        folder, name = split(path)
        if self.terms.mode is Mode.TRUST or folder == WAITING:
            return (yield from self._call_unless_claimed(path, job)) is not _Back.GONE
        job = yield from self.in_full(path, job)
        halves = [f"{WAITING}/{layout.staged_claim(self.worker, job.name, self.nonce())}"]
        if not layout.parse_staged(name):
            half = layout.staged_return(self.worker, name, self.nonce())
            halves.insert(0, f"{RUNNING}/{half}")
        for half in halves:
            self.ledger.ask(half, self.worker, job)
        settled = False
        try:
            for half in halves:
                moved = yield from self.settle(path, half, job.size)
                if moved in (Moved.GONE, Moved.TAKEN):
                    return False
                path = half
            if (yield from self._has_another_size(path, job.size)):
                return True  # it grows, or is torn: the sweep will see
            back = yield from self._call_unless_claimed(path, job)
            settled = back is not _Back.LATER
            return back is not _Back.GONE
        finally:
            for half in halves:
                if settled:
                    self.ledger.settled(half)
                else:
                    # Whatever is, or comes to be, under this name is the sweep's to find.
                    self.ledger.unsettle(half)

    def _call_unless_claimed(self, path: str, job: Entry) -> Steps[_Back]:
        """Give a file in its last place before ``00_waiting`` its job's name, if nobody has
        the job.

        Where renames are not exclusive it may be a second copy, and where they are copies
        it is younger than its job: younger even than the job *finished* meanwhile, if we
        were stopped on the way, and by its time nobody could tell that it must not run.
        So we look once more, after the copy was made: whoever is not seen to have the job
        now will finish it later than that, and the last rename changes no times.
        """
        if self.terms.mode is not Mode.TRUST:
            if (yield from self._is_claimed(job)):
                self.decided["put back: claimed, left to the sweep"] += 1
                return _Back.LATER
            if (yield from self.finished(job)):
                self.decided["put back: finished meanwhile, parked"] += 1
                yield from self.park(path, job)
                return _Back.YES
        there = yield from self.call_job_again(path, job)
        return _Back.YES if there else _Back.GONE

    def call_job_again(self, path: str, job: Entry) -> Steps[bool]:
        """Give a staged file its job's name again, or park it if there is one; False if it
        was gone."""
        moved = yield from self.settle(path, f"{WAITING}/{job.name}", job.size)
        if moved is Moved.TAKEN:
            self.decided["put back: name taken, parked"] += 1
            yield from self.park(path, job)
        return moved is not Moved.GONE

    def _is_claimed(self, job: Entry) -> Steps[bool]:
        """Whether a listing shows anybody's claim of a job."""
        claims = [layout.parse_claim(entry.name) for entry in (yield from self.listing(RUNNING))]
        return any(claim and layout.same_name(claim.job, job.name) for claim in claims)

    def park(self, path: str, job: Entry) -> Steps[None]:
        """Put a copy that must not run where a person can see it."""
        number, name = 1, layout.claim_name(self.worker, job.name)
        while (yield from self.settle(path, f"{PARKED}/{name}", job.size)) is Moved.TAKEN:
            number += 1
            name = layout.claim_name(self.worker, layout.numbered(job.name, number))
        log.warning(
            "a second copy of job %r must not run; it is kept as %s/%s", job.name, PARKED, name
        )

    def release(self, path: str, job: Entry) -> Steps[bool]:
        """Put back a claim of ours and never ask for its name again."""
        if path in self.unseen and (yield from self.look_at_claims({path: job}, blames=False)):
            yield from self.set_aside(path, job)
            return False
        back = yield from self.put_back(path, job)
        self.ledger.spend(path)
        return back

    def set_aside(self, path: str, job: Entry) -> Steps[None]:
        """Park a claim of ours and never ask for its name again."""
        yield from self.park(path, job)
        self.ledger.spend(path)

    # -- names that came to be after we looked --------------------------------------------

    def half_way(self, listing: Iterable[Entry]) -> tuple[frozenset[str], frozenset[str]]:
        """What is staged in ``00_waiting``, as listed: by this worker, and by others."""
        tildes = [entry.name for entry in listing if entry.name[:1] == "~"]
        staged = {name for name in tildes if layout.parse_staged(name)}
        ours = {name for name in staged if self.ledger.state(f"{WAITING}/{name}")}
        return frozenset(ours), frozenset(staged - ours)

    def sweep(
        self, folders: tuple[str, ...] = (WAITING, RUNNING), *, unanswered: bool = False
    ) -> Steps[int]:
        """Put back what late requests of ours brought about.

        Only names that this worker asked for itself and whose request is not under way:
        a sweep by worker id would rob a twin.

        Args:
            folders: where to look.
            unanswered: only for names whose request got no answer; the others have been
                refused, and if they turn up, a twin of this worker may hold them.

        Returns:
            how many were put back or parked.
        """
        unsettled = self.ledger.in_state(State.UNSETTLED)
        if unanswered:
            unsettled = {path: asked for path, asked in unsettled.items() if asked.in_doubt}
        swept = 0
        for folder in folders:
            if not any(split(path)[0] == folder for path in unsettled):
                continue
            for entry in (yield from self.listing(folder)):
                path = f"{folder}/{entry.name}"
                asked = unsettled.get(path)
                if asked is None or not self.ledger.take_unsettled(path):
                    continue
                try:
                    swept += yield from self._sweep_one(path, entry, asked)
                except Denied as error:  # open in some program: the others don't wait
                    self.tell_refused(path, error)
                finally:
                    # For ever: the same request may be executed once more.
                    self.ledger.unsettle(path)
        return swept

    def sweep_out(self) -> Steps[None]:
        """Sweep for the last time: until no copy of ours is still growing."""
        for _ in range(_ODD_LOOKS):
            yield from self.sweep()
            all_asked = self.ledger.in_state(State.UNSETTLED).values()
            if not any(0 < asked.odd_looks < _ODD_LOOKS for asked in all_asked):
                return
            yield Wait(GROWING_PAUSE)

    def tell_refused(self, path: str, error: Denied) -> None:
        """Tell once that the store does not let go of a file."""
        if path not in self._refused:
            self._refused.add(path)
            log.warning("%r can't be taken back now (%s); trying on", path, error)

    def _sweep_one(self, path: str, entry: Entry, asked: Asked) -> Steps[int]:
        if differ(entry.size, asked.job.size):
            asked.odd_looks += 1
            if asked.odd_looks < _ODD_LOOKS:
                return 0  # a copy that still grows
            self.decided["sweep: torn copy parked"] += 1
            yield from self.park(path, asked.job)
            return 1
        asked.odd_looks = 0
        if split(path)[0] == WAITING:
            if (yield from self._call_unless_claimed(path, asked.job)) is _Back.LATER:
                return 0
            self.decided["sweep: put back"] += 1
            return 1
        job = asked.job
        if self.terms.mode is not Mode.TRUST:
            job = yield from self.in_full(path, job)
            if (yield from self.finished(job)):
                self.decided["sweep: finished job parked"] += 1
                yield from self.park(path, job)
                return 1
        self.decided["sweep: put back"] += 1
        yield from self.put_back(path, job)
        return 1
