"""Looking at a queue without being one of its workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dirjobs.admin import history
from dirjobs.admin.history import History
from dirjobs.admin.report import Claimed, Counts, Failure, Heard, Overview, describe
from dirjobs.clock import monotonic
from dirjobs.errors import StoreError
from dirjobs.layout import (
    ATTEMPTS,
    DONE,
    FAILED,
    PARKED,
    RUNNING,
    WAITING,
    WORKERS,
    JobFile,
    is_call,
    is_left_behind,
    job_files,
)
from dirjobs.protocol import attempts
from dirjobs.protocol.agreement import recorded_problems
from dirjobs.protocol.journal import CANCELLED, Record
from dirjobs.protocol.share import Share
from dirjobs.recovery.control import PAUSE, drained, orders_in
from dirjobs.recovery.heartbeat import Heartbeat, read, worker_of
from dirjobs.recovery.peers import is_provably_dead
from dirjobs.recovery.process import Process
from dirjobs.store import Entry, FileKind

CLOCK = "~clock"
"""The file by whose mtime somebody who looks learns what time it is on the store."""


class Inspector:
    """Looks once, or again and again.

    A look costs a listing of each of eight folders (six where no job has failed), one more if a
    job ends at the same time, some where jobs were cancelled, a request for each worker that is
    at work, and one for each of the latest failures that is new, however many jobs there are.

    Args:
        process: who looks.
        failures: how many of the latest failures are wanted.
        clock: seconds, monotonic.
    """

    def __init__(
        self, process: Process, failures: int = 5, clock: Callable[[], float] = monotonic
    ) -> None:
        self._process = process
        self._failures = failures
        self._clock = AgeClock(clock)
        self._heartbeats: dict[str, tuple[Entry, Heartbeat]] = {}
        self._notes: dict[str, tuple[float | None, Failure]] = {}
        self._journals: dict[str, tuple[Entry, list[Record]]] = {}

    def look(self, share: Share) -> Overview:
        """How the queue is doing.

        Raises:
            StoreError: a folder can't be listed.
        """
        counts = count(share)
        workers = share.listed(WORKERS)
        heard = self.hear(share, workers)
        counts.cancelled = self._cancelled(share, counts.failed)
        counts.failed -= counts.cancelled
        failures = self._latest(share, counts.failed) if self._failures else []
        paused = PAUSE in orders_in(workers)
        return describe(counts, heard, failures, paused=paused)

    def _cancelled(self, share: Share, failed: set[str]) -> set[str]:
        """Which jobs in ``99_failed`` were cancelled: a request where nobody has cancelled any;
        where somebody has, one more for each file of the journal that is new."""
        files = history.journals(share) if failed else []
        known, self._journals = self._journals, {}
        if not history.has_cancelled(files):
            return set()
        for entry in files:
            before = known.get(entry.name)
            if before is None or entry.mtime is None or before[0] != entry:
                before = entry, history.read(share, entry).records
            self._journals[entry.name] = before
        told = History(record for _, records in self._journals.values() for record in records)
        places = [JobFile(FAILED, job, Entry(job)) for job in failed]
        return {place.job.name for place in places if told.state(place) == CANCELLED}

    def hear(self, share: Share, workers: Sequence[Entry]) -> list[Heard]:
        """What the heartbeats among `workers` say; a request for each that is new."""
        known, self._heartbeats = self._heartbeats, {}
        for entry in workers:
            if worker_of(entry.name) is None:
                continue
            before = known.get(entry.name)
            if before is not None and entry.mtime is not None and before[0] == entry:
                self._heartbeats[entry.name] = before
                continue
            heartbeat = read(share, entry.name)
            if heartbeat is not None:
                self._heartbeats[entry.name] = entry, heartbeat
        now = None
        if any(not heartbeat.ended for _, heartbeat in self._heartbeats.values()):
            now = self._clock.now(share, workers)
        orders = drained(workers)
        return [
            Heard(
                heartbeat,
                None if now is None or entry.mtime is None else max(0.0, now - entry.mtime),
                not heartbeat.ended and is_provably_dead(heartbeat, self._process),
                name in orders,
            )
            for name, (entry, heartbeat) in self._heartbeats.items()
        ]

    def _latest(self, share: Share, failed: set[str]) -> list[Failure]:
        """The latest failures, by when their notes were written."""
        if not failed:
            return []
        noted = {}
        for entry in share.listed(ATTEMPTS):
            job = entry.name.removesuffix(".json")
            if job in failed:
                noted[job] = entry.mtime
        latest = sorted(noted, key=lambda job: noted[job] or 0.0, reverse=True)[: self._failures]
        found = []
        for job in latest:
            known = self._notes.get(job)
            if known is None or known[0] != noted[job]:
                known = noted[job], _failure(share, job, noted[job])
            found.append(known)
        self._notes = {failure.job: (at, failure) for at, failure in found}
        others = sorted(failed - noted.keys())[: self._failures - len(found)]
        return [failure for _, failure in found] + [Failure(job) for job in others]


def count(share: Share) -> Counts:
    """How many jobs are where; one listing for each of five folders, one more if a job has
    ended meanwhile, and one request if the name of a waiting job could be one that is changed
    on the way."""
    # Folders further down are listed later, so that a moving job is seen twice, never missed;
    # equal name, size and mtime count once.
    listing = share.listed(WAITING)
    waiting = [*job_files(WAITING, listing)]
    left_behind = [
        entry.name
        for entry in listing
        if entry.kind is FileKind.FILE and is_left_behind(entry.name)
    ]
    changed = [*recorded_problems(share, (place.job.name for place in waiting))]
    running = share.jobs_in(RUNNING)
    claimed = {place.job for place in running if place.job.mtime is not None}
    left = sum(place.job not in claimed for place in waiting)
    done, failed, ended = 0, set(), set()
    for folder in (DONE, FAILED):
        for place in share.jobs_in(folder):
            if place.job in claimed:
                ended.add(place.job)
            if folder == DONE:
                done += 1
            else:
                failed.add(place.job.name)
    if ended:
        # Or is it a copy of a finished job, as file managers make it, that runs again?
        ended -= {place.job for place in share.jobs_in(RUNNING)}
    parked = sum(entry.kind is FileKind.FILE for entry in share.listed(PARKED))
    claims = [
        Claimed(place.job.name, place.worker, None, place.job.size)
        for place in running
        if place.job not in ended
    ]
    calls = sum(is_call(place.job.name) for place in waiting if place.job not in claimed)
    return Counts(left, done, parked, failed, claims, left_behind, changed=changed, calls=calls)


@dataclass(frozen=True)
class Status:
    """How many jobs are where."""

    waiting: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    parked: int = 0
    claims: Mapping[str, str] = field(default_factory=dict)
    """Running jobs and their workers."""


def status(share: Share) -> Status:
    """How many jobs are where, as `count` finds."""
    found = count(share)
    claims = {claim.job: claim.worker for claim in found.claims}
    return Status(found.waiting, len(claims), found.done, len(found.failed), found.parked, claims)


def left_to_do(share: Share) -> int:
    """How many jobs are waiting or running; two requests."""
    return _number_in(share, WAITING) + _number_in(share, RUNNING)


class Ends(NamedTuple):
    """How many jobs have ended, and how."""

    done: int
    failed: int


def count_ends(share: Share) -> Ends:
    """How many jobs are done and failed; two requests."""
    return Ends(_number_in(share, DONE), _number_in(share, FAILED))


def _number_in(share: Share, folder: str) -> int:
    return len(share.jobs_in(folder))


def _failure(share: Share, job: str, at: float | None) -> Failure:
    notes = attempts.read(share, job)
    last = notes[-1] if notes else {}
    return Failure(job, at, str(last.get("reason", "")), str(last.get("worker", "")))


class AgeClock:
    """What time it is on the store, to tell ages by: learnt once, by writing a file, and kept
    since then.

    On a share that can only be read the newest heartbeat is a lower bound for now: ages err
    on the young side.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._offset: float | None = None
        self._refused = False

    def now(self, share: Share, workers: Iterable[Entry]) -> float | None:
        """Seconds since the epoch; None if the store tells no times.

        Args:
            share: the queue.
            workers: a listing of the heartbeat files, made just now.
        """
        mine = self._clock()
        if self._offset is None and not self._refused:
            try:
                share.write(f"{WORKERS}/{CLOCK}", b"")
                workers = share.listed(WORKERS)
            except StoreError:  # a share that may only be read, most likely
                self._refused = True
            else:
                mine = self._clock()
                self._offset = _latest(workers, mine, only=CLOCK)
        least = _latest(workers, mine)
        if self._offset is None:
            self._offset = least if self._refused else None
        elif least is not None:
            self._offset = max(self._offset, least)
        return None if self._offset is None else mine + self._offset


def _latest(workers: Iterable[Entry], mine: float, only: str = "") -> float | None:
    """How far the newest file's time is ahead of `mine`."""
    times = [e.mtime for e in workers if e.mtime is not None and (not only or e.name == only)]
    return max(times) - mine if times else None
