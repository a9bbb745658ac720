"""Giving back the jobs of workers that are no more."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from dirjobs import layout
from dirjobs.errors import Denied
from dirjobs.layout import DONE, FAILED, PARKED, RUNNING, WAITING
from dirjobs.policy import Mode
from dirjobs.process import Process
from dirjobs.protocol import attempts
from dirjobs.protocol.claim import Claims
from dirjobs.protocol.effects import Steps
from dirjobs.protocol.resolve import Moved, differ
from dirjobs.recovery.heartbeat import Beat
from dirjobs.store import Entry, FileKind, split

log = logging.getLogger("dirjobs")

DEFAULT_MAX_ATTEMPTS = 3


@dataclass(frozen=True)
class Orphan:
    """A file that a dead worker left somewhere between ``00_waiting`` and its end.

    Attributes:
        path: where it is.
        worker: who left it.
        job: the job, with the file's own size and mtime.
        begun: it is a claim, so the job may have been started.
    """

    path: str
    worker: str
    job: Entry
    begun: bool


@dataclass(frozen=True)
class _Copy:
    """A second file of a job; `owner` is who claims it, if anybody does."""

    path: str
    owner: str | None
    size: int | None


def orphans_in(folder: str, listing: Collection[Entry], dead: Collection[str]) -> list[Orphan]:
    """The files in ``00_waiting`` or ``01_running`` that the dead workers left."""
    found = []
    for entry in listing:
        if entry.kind is not FileKind.FILE:
            continue
        staged = layout.parse_staged(entry.name)
        claim = layout.parse_claim(entry.name) if folder == RUNNING else None
        if staged is not None:
            worker, job, begun = staged.worker, staged.job, False
            if folder == RUNNING:
                inner = layout.parse_claim(job)
                if inner is None:
                    continue
                job = inner.job
        elif claim is not None:
            worker, job, begun = claim.worker, claim.job, True
        else:
            continue
        if worker in dead:
            entry_of_job = Entry(job, entry.mtime, entry.size)
            found.append(Orphan(f"{folder}/{entry.name}", worker, entry_of_job, begun))
    return found


class Reaper:
    """Gives dead workers' jobs back, or up.

    Args:
        claims: does the renames, under the observer's own name.
        max_attempts: how many workers may die at a job before it counts as failed.
    """

    def __init__(self, claims: Claims, max_attempts: int = DEFAULT_MAX_ATTEMPTS) -> None:
        self.claims = claims
        self.max_attempts = max_attempts
        self.requeued: list[str] = []
        """The claims that were given back, for reports."""
        self.left: set[str] = set()
        """Of which dead workers the last pass found files, whatever became of them."""
        self.must_look_again = False
        """Whether the last pass left files alone that may be copies still growing."""
        self._sizes: dict[str, int | None] = {}

    def reap(
        self,
        dead: Mapping[str, Beat | None],
        why: Mapping[str, str],
        still_dead: Callable[[str], Steps[bool]],
    ) -> Steps[None]:
        """Deal with everything that dead workers left.

        Args:
            dead: incarnations and their last heartbeats.
            why: for each, how its death was found out, for people.
            still_dead: reads a heartbeat once more, right before it counts.
        """
        sizes: dict[str, int | None] = {}
        self.left, self.must_look_again = set(), False
        checked: dict[str, bool] = {}
        for folder in (RUNNING, WAITING):
            listing = yield from self.claims.listing(folder)
            for orphan in orphans_in(folder, listing, dead):
                sizes[orphan.path] = orphan.job.size
                self.left.add(orphan.worker)
                beat = dead[orphan.worker]
                told = beat.running if beat is not None else {}
                if self._may_still_grow(orphan, told):
                    self.must_look_again = True
                    continue
                if orphan.worker not in checked:
                    checked[orphan.worker] = yield from still_dead(orphan.worker)
                if checked[orphan.worker]:
                    try:
                        yield from self._deal_with(orphan, beat, why[orphan.worker], dead)
                    except Denied as error:  # open in some program: the others don't wait
                        self.claims.tell_refused(orphan.path, error)
        self._sizes = sizes

    def _may_still_grow(self, orphan: Orphan, told: dict[str, int | None]) -> bool:
        """Where a rename may be a copy, its size must have been told, or seen twice."""
        if self.claims.terms.mode is Mode.TRUST:
            return False
        if orphan.job.size is not None and told.get(orphan.job.name) == orphan.job.size:
            return False
        size = self._sizes.get(orphan.path, -1)
        return size == -1 or size != orphan.job.size

    def _deal_with(
        self,
        orphan: Orphan,
        beat: Beat | None,
        why: str,
        dead: Collection[str],
    ) -> Steps[None]:
        claims, job, path = self.claims, orphan.job, orphan.path
        told = {} if beat is None else beat.running
        if claims.terms.mode is not Mode.TRUST:
            copies = yield from self._copies(orphan)
            if any(copy.owner not in {None, *dead} for copy in copies):
                return  # whoever is at it decides; then we look again
            torn = job.name in told and differ(told[job.name], job.size)
            if not torn and job.name not in told:
                torn = any((copy.size or 0) > (job.size or 0) for copy in copies)
            if torn or (yield from self._is_over(job, known=job.name in told)):
                yield from claims.park(path, job)
                return
            for copy in copies:
                if copy.path == f"{WAITING}/{job.name}" and (copy.size or 0) < (job.size or 0):
                    yield from claims.park(copy.path, job)
        if not orphan.begun:
            yield from claims.put_back(path, job)
            return
        claim = split(path)[1]
        # First: whoever dies between the two leaves no second start unreported.  Several
        # may find this death out, and a later process may die under the same name.
        who = Process() if beat is None else beat.process
        once = f"{claim} {who.host} {who.pid} {who.started}"
        reason = f"{why}; the job had been claimed as {claim}"
        deaths = yield from attempts.note(job.name, orphan.worker, reason, died=True, once=once)
        if deaths >= self.max_attempts:
            moved = yield from self._give_up(path, job)
        else:
            moved = yield from claims.put_back(path, job)
        if moved:
            self.requeued.append(claim)
            log.warning("job %r is taken back from %s: %s", job.name, orphan.worker, why)

    def _give_up(self, path: str, job: Entry) -> Steps[bool]:
        moved, _ = yield from self.claims.settle_numbered(path, FAILED, job)
        if moved is Moved.GONE:
            return False
        log.warning("job %r failed: %d workers died at it", job.name, self.max_attempts)
        return True

    def _copies(self, orphan: Orphan) -> Steps[list[_Copy]]:
        """Every other file that may be the same job, wherever it is on its way."""
        found = []
        for folder in (RUNNING, WAITING, PARKED):
            for entry in (yield from self.claims.listing(folder)):
                path = f"{folder}/{entry.name}"
                staged, claim = layout.parse_staged(entry.name), layout.parse_claim(entry.name)
                inner = layout.parse_claim(staged.job) if staged and folder == RUNNING else None
                owner = None
                if staged is not None:
                    job = inner.job if inner else staged.job
                elif claim is not None and folder != WAITING:
                    job = claim.job
                    owner = claim.worker if folder == RUNNING else None
                else:
                    job = entry.name
                if path != orphan.path and layout.same_name(job, orphan.job.name):
                    found.append(_Copy(path, owner, entry.size))
        return found

    def _is_over(self, job: Entry, *, known: bool) -> Steps[bool]:
        """Whether the job is finished, or this copy can't be trusted to be whole.

        A copying server leaves torn copies only where a whole one went on.  If the dead
        worker never told the size, anything newer of this name among the finished jobs
        may be that whole one.
        """
        if (yield from self.claims.finished(job)):
            return True
        if known:
            return False
        for folder in (DONE, FAILED):
            for entry in (yield from self.claims.listing(folder)):
                if (
                    layout.same_name(entry.name, job.name)
                    and entry.mtime is not None
                    and job.mtime is not None
                    and entry.mtime >= job.mtime
                ):
                    return True
        return False
