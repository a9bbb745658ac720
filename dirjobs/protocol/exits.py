"""A job's ways out of ``01_running``: done, failed, given back, parked.

A name that may still come to be is left to the sweep.  Nothing here deletes a file, and
nothing renames onto an existing one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from dirjobs import layout, names
from dirjobs.errors import ClaimLost
from dirjobs.layout import PARKED, RUNNING, WAITING
from dirjobs.protocol import attempts
from dirjobs.protocol.audit import Audit
from dirjobs.protocol.identity import Identity
from dirjobs.protocol.intents import Intents
from dirjobs.protocol.look import Look, differ
from dirjobs.protocol.me import Me
from dirjobs.protocol.resolve import Outcome, Resolver, SourceStays
from dirjobs.protocol.share import Share
from dirjobs.store import Entry, split

log = logging.getLogger(__name__)

GROWING_PAUSE = 1.0
"""Seconds between two looks at a file that may be a copy still growing."""


class Claim(NamedTuple):
    """A job that is ours.

    Attributes:
        worker: the incarnation that holds it.
        job: the job as it was listed in ``00_waiting``.
        path: the claim.
        lease_gaps: how many gaps this worker's heartbeat had before it asked.
    """

    worker: str
    job: Entry
    path: str
    lease_gaps: int = 0


class Return(Enum):
    """How far a file came on its way back to ``00_waiting``."""

    ARRIVED = "it is there, or parked"
    GONE = "it was gone"
    DEFERRED = "left for the sweep: the job is claimed"


class Exits:
    """Moves job files on after they were asked for.

    Args:
        share: where.
        me: who moves them.
        intents: the names that were asked for.
        look: finds out what is there.
        resolver: does the renames.
        audit: looks at claims on probation.
        identity: tells a second copy of a finished job from a newer one.
    """

    def __init__(
        self,
        share: Share,
        me: Me,
        intents: Intents,
        look: Look,
        resolver: Resolver,
        audit: Audit,
        identity: Identity,
    ) -> None:
        self.share = share
        self.me = me
        self.intents = intents
        self.look = look
        self.resolver = resolver
        self.audit = audit
        self.identity = identity

    def finish(
        self, claim: Claim, folder: str, lease_may_have_expired: Callable[[Claim], bool]
    ) -> str:
        """Rename a claim into `folder` (done or failed), never onto an existing name.

        Args:
            claim: ours.
            folder: ``02_done`` or ``99_failed``.
            lease_may_have_expired: whether others may have declared this worker dead since
                it claimed the job (its own heartbeat had too long a gap).

        Returns:
            the name that the job has there.

        Raises:
            ClaimLost: the claim is not there any more, or is torn; the result must be
                discarded.
            StoreError: not known yet; ask again.
        """
        path, job = claim.path, claim.job
        unconfirmed = self.audit.evidence.unconfirmed
        # Two copies that go to one name at once may leave the torn one there.
        if unconfirmed and self.audit.is_torn(path, job):
            self.set_aside(path, job)
            raise ClaimLost(
                f"the claim {path!r} of job {job.name!r} is an unfinished copy:"
                " somebody else has the job; discard this result."
            )
        free = layout.names_in_turn(job.name)
        name = next(free)
        while True:
            try:
                outcome = self.resolver.rename(path, f"{folder}/{name}", job)
            except SourceStays as error:
                self._leave_source(path, error)
                return name
            if outcome is Outcome.TAKEN:
                self.me.count("finish: name taken, numbered")
                if self.me.on_probation and self.look.is_finished(job):
                    self.audit.suspect(f"job {job.name!r} was finished by two workers")
                name = next(free)
                continue
            self.intents.retire(path)
            if outcome is Outcome.RENAMED:
                return name
            # It went by our rename, or by somebody else's who was given the job meanwhile; a drag
            # by hand leaves no note.
            if (
                outcome is Outcome.GONE_IN_DOUBT
                and not lease_may_have_expired(claim)
                and not attempts.was_given_back(self.share, job.name, claim.worker)
            ):
                self.me.count("finish: settled by looking")
                return name
            self.me.count("finish: claim lost")
            self.audit.suspect(f"the claim {path} is gone, and not by its worker's doing")
            raise ClaimLost(
                f"job {job.name!r} is no longer claimed by {claim.worker}: somebody moved"
                f" {path!r}, or gave the job to another worker; discard this result."
            )

    def _leave_source(self, path: str, error: SourceStays) -> None:
        """A claim was copied to its end, and stays: the sweep parks it when it can."""
        self.me.count("finish: copied, the source stays")
        log.warning("%s; the job has ended, and dirjobs goes on trying to park the claim", error)
        self.intents.doubts.pop(path, None)
        if self.me.trusts:
            self.audit.suspect(str(error))
            self.intents.retire(path)
        else:
            self.intents.leave_in_doubt(path)

    def put_back(self, path: str, job: Entry) -> bool:
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
        if self.me.trusts or folder == WAITING:
            return self.restore_name_if_unclaimed(path, job) is not Return.GONE
        job = self.look.in_full(path, job)
        worker = self.me.worker
        staged = [f"{WAITING}/{layout.staged_claim(worker, job.name, self.me.nonce())}"]
        if not layout.parse_staged(name):
            own = layout.staged_return(worker, name, self.me.nonce())
            staged.insert(0, f"{RUNNING}/{own}")
        with self.intents.staged(worker, job, *staged) as staging:
            for step in staged:
                if self.resolver.rename(path, step, job) in (Outcome.GONE, Outcome.TAKEN):
                    return False
                path = step
            found = self.look.entry_at(path)
            if found is not None and differ(found.size, job.size):
                return True  # it grows, or is torn: the sweep will see
            came = self.restore_name_if_unclaimed(path, job, found)
            staging.resolved = came is not Return.DEFERRED
            return came is not Return.GONE

    def restore_name_if_unclaimed(
        self, path: str, job: Entry, found: Entry | None = None
    ) -> Return:
        """Give a file in its last place before ``00_waiting``, listed as `found`, its job's
        name, if nobody has the job.

        A copying rename gives the copy a new mtime.  If the job is finished while we are
        stopped here, the copy looks like a *newer* job.  So look once more, after the copy
        exists: whoever is not seen to have the job now finishes it later than that, and the
        last rename changes no times.
        """
        if not self.me.trusts:
            if self._is_claimed(job):
                self.me.count("put back: claimed, left to the sweep")
                return Return.DEFERRED
            if self.identity.is_over(path, job, found):
                self.me.count("put back: finished meanwhile, parked")
                self.park(path, job)
                return Return.ARRIVED
        return Return.ARRIVED if self.restore_name(path, job) else Return.GONE

    def restore_name(self, path: str, job: Entry) -> bool:
        """Rename a staged file to its job's name; park it if the name is taken.  False if it
        was gone."""
        outcome = self.resolver.rename(path, f"{WAITING}/{job.name}", job)
        if outcome is Outcome.TAKEN:
            self.me.count("put back: name taken, parked")
            self.park(path, job)
        return outcome is not Outcome.GONE

    def _is_claimed(self, job: Entry) -> bool:
        """Whether a listing shows anybody's claim of a job."""
        return any(
            names.same_name(file.job.name, job.name)
            for file in self.share.jobs_in(RUNNING)
            if not file.staged
        )

    def park(self, path: str, job: Entry) -> None:
        """Put a copy that must not run where a person can see it."""
        free = (layout.claim_name(self.me.worker, one) for one in layout.names_in_turn(job.name))
        name = next(free)
        while self.resolver.rename(path, f"{PARKED}/{name}", job) is Outcome.TAKEN:
            name = next(free)
        log.warning(
            "a second copy of job %r must not run; it is kept as %s/%s", job.name, PARKED, name
        )

    def release(self, path: str, job: Entry) -> bool:
        """Put back a claim of ours and never ask for its name again."""
        if self.audit.is_torn(path, job):
            self.set_aside(path, job)
            return False
        came_back = self.put_back(path, job)
        self.intents.retire(path)
        return came_back

    def set_aside(self, path: str, job: Entry) -> None:
        """Park a claim of ours and never ask for its name again."""
        self.park(path, job)
        self.intents.retire(path)
