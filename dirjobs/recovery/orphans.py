"""What dead workers left: given back, given up, or parked."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from dirjobs import names
from dirjobs.errors import Denied, FileStays
from dirjobs.layout import DONE, FAILED, PARKED, RUNNING, WAITING, JobFile, job_files
from dirjobs.policy import DEFAULT_MAX_ATTEMPTS
from dirjobs.protocol import attempts
from dirjobs.protocol.look import differ
from dirjobs.protocol.parts import Parts
from dirjobs.protocol.resolve import Outcome
from dirjobs.recovery.heartbeat import Heartbeat
from dirjobs.store import Entry

log = logging.getLogger(__name__)


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


def orphans_in(folder: str, listing: Collection[Entry], dead: Collection[str]) -> Iterator[Orphan]:
    """The files in ``00_waiting`` or ``01_running`` that the dead workers left."""
    for file in job_files(folder, listing):
        worker = file.stager or file.worker
        if worker in dead:
            yield Orphan(file.path, worker, file.job, begun=not file.staged)


class OrphanRecovery:
    """Gives dead workers' jobs back, or up.

    Args:
        parts: the protocol; renames are done under the observer's own name.
        max_attempts: how many workers may die at a job before it counts as failed.

    Attributes:
        requeued: the claims that were given back, for reports.
        found_files_of: of which dead workers the last pass found files, whatever became of
            them.
        still_growing: whether the last pass left files alone that may be copies still growing.
        is_complete: whether the last pass had time for everything.
    """

    def __init__(self, parts: Parts, max_attempts: int = DEFAULT_MAX_ATTEMPTS) -> None:
        self.parts = parts
        self.max_attempts = max_attempts
        self.requeued: list[str] = []
        self.found_files_of: set[str] = set()
        self.still_growing = False
        self.is_complete = True
        self._sizes: dict[str, int | None] = {}
        self._tries: dict[str, int] = {}

    def recover(
        self,
        dead: Mapping[str, Heartbeat],
        causes: Mapping[str, str],
        still_dead: Callable[[str], bool],
        until: float = math.inf,
    ) -> None:
        """Deal with everything that dead workers left.

        Args:
            dead: incarnations and their last heartbeats.
            causes: for each, how its death was found out, for people.
            still_dead: reads a heartbeat once more, right before it counts.
            until: when to leave the rest to the next pass, by the clock of `Share`; one is
                dealt with in any case.
        """
        now, tried = self.parts.share.now, False
        sizes: dict[str, int | None] = {}
        self.found_files_of, self.still_growing, self.is_complete = set(), False, True
        checked: dict[str, tuple[bool, float]] = {}
        for folder in (RUNNING, WAITING):
            orphans = orphans_in(folder, self.parts.share.listed(folder), dead)
            # What can't be moved must not take the time of the others, pass after pass.
            for orphan in sorted(orphans, key=lambda one: self._tries.get(one.path, 0)):
                worker = orphan.worker
                sizes[orphan.path] = orphan.job.size
                self.found_files_of.add(worker)
                if self._may_still_grow(orphan, dead[worker].running):
                    self.still_growing = True
                    continue
                if tried and now() > until:
                    self.is_complete = False
                    continue
                tried = True
                self._tries[orphan.path] = self._tries.get(orphan.path, 0) + 1
                is_dead, when = checked.get(worker, (True, -math.inf))
                if is_dead and now() - when > self.parts.me.policy.heartbeat / 2:
                    is_dead, _ = checked[worker] = still_dead(worker), now()
                if is_dead:
                    try:
                        self._deal_with(orphan, dead[worker], causes[worker], dead)
                    except (Denied, FileStays) as error:  # the others don't wait
                        self.parts.me.tell_refusal(orphan.path, error)
        self._sizes = sizes
        self._tries = {path: tries for path, tries in self._tries.items() if path in sizes}

    def _may_still_grow(self, orphan: Orphan, told: Mapping[str, int | None]) -> bool:
        """Where a rename may be a copy, its size must have been told, or seen twice."""
        if self.parts.me.trusts:
            return False
        if orphan.job.size is not None and told.get(orphan.job.name) == orphan.job.size:
            return False
        size = self._sizes.get(orphan.path, -1)
        return size == -1 or size != orphan.job.size

    def may_go_back(
        self, orphan: Orphan, told: Mapping[str, int | None], owners: Collection[str]
    ) -> bool:
        """Whether a file may become a waiting job; if it must not run, it is parked.

        Where a rename may be copy and delete there may be several files of one job, and some
        of them torn: the size that its worker told, or the largest of all copies, is that of
        the whole one.

        Args:
            orphan: the file.
            told: the jobs that its worker said it holds, and their sizes.
            owners: the workers whose claims are given back as well.
        """
        if self.parts.me.trusts:
            return True
        exits, job, path = self.parts.exits, orphan.job, orphan.path
        copies = self._copies(orphan)
        if any(copy.owner not in {None, *owners} for copy in copies):
            return False  # whoever is at it decides; then we look again
        torn = job.name in told and differ(told[job.name], job.size)
        if not torn and job.name not in told:
            torn = any((copy.size or 0) > (job.size or 0) for copy in copies)
        if torn or self._is_over(job, known=job.name in told):
            exits.park(path, job)
            return False
        for copy in copies:
            if copy.path == f"{WAITING}/{job.name}" and (copy.size or 0) < (job.size or 0):
                exits.park(copy.path, job)
        return True

    def _deal_with(
        self, orphan: Orphan, heartbeat: Heartbeat, cause: str, dead: Collection[str]
    ) -> None:
        exits, job, path = self.parts.exits, orphan.job, orphan.path
        if not self.may_go_back(orphan, heartbeat.running, dead):
            return
        if not orphan.begun:
            exits.put_back(path, job)
            return
        claim = path.rpartition("/")[2]
        # First: whoever dies between the two leaves no second start unreported.  Several
        # may find this death out, and a later process may die under the same name: one that
        # never said that it has the job does not count as another one that died at it.
        who = heartbeat.process
        had_it = job.name in heartbeat.running
        deaths = attempts.note(
            self.parts.share,
            job.name,
            orphan.worker,
            f"{cause}; the job had been claimed as {claim}",
            died=True,
            once=f"{claim} {who.host} {who.pid} {who.started}",
            maybe_noted="" if had_it else f"{claim} ",
        )
        if deaths >= self.max_attempts:
            moved = self._give_up(path, job)
        else:
            moved = exits.put_back(path, job)
        if moved:
            self.requeued.append(claim)
            log.warning("job %r is taken back from %s: %s", job.name, orphan.worker, cause)

    def _give_up(self, path: str, job: Entry) -> bool:
        outcome, _ = self.parts.resolver.rename_numbered(path, FAILED, job)
        if outcome is Outcome.GONE:
            return False
        log.warning("job %r failed: %d workers died at it", job.name, self.max_attempts)
        return True

    def _copies(self, orphan: Orphan) -> list[_Copy]:
        """Every other file that may be the same job, wherever it is on its way."""
        return [
            _Copy(file.path, _owner(file), file.job.size)
            for folder in (RUNNING, WAITING, PARKED)
            for file in self.parts.share.jobs_in(folder)
            if file.path != orphan.path and names.same_name(file.job.name, orphan.job.name)
        ]

    def _is_over(self, job: Entry, *, known: bool) -> bool:
        """Whether the job is finished, or this copy can't be trusted to be whole.

        A copying server leaves torn copies only where a whole one went on.  If the dead
        worker never told the size, anything newer of this name among the finished jobs
        may be that whole one.
        """
        if self.parts.look.is_finished(job):
            return True
        if known:
            return False
        return any(
            names.same_name(entry.name, job.name)
            and entry.mtime is not None
            and job.mtime is not None
            and entry.mtime >= job.mtime
            for folder in (DONE, FAILED)
            for entry in self.parts.share.listed(folder)
        )


def _owner(file: JobFile) -> str | None:
    """Who claims a file; None for one that nobody claims, or that is half way."""
    return file.worker if file.folder == RUNNING and not file.staged else None
