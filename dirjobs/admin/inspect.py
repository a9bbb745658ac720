"""Looking at a queue without being one of its workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from dirjobs.admin.locate import places_in, places_of
from dirjobs.admin.report import Claimed, Counts, Failure, Heard, Overview, describe
from dirjobs.clock import monotonic
from dirjobs.errors import NotFound, StoreError
from dirjobs.layout import ATTEMPTS, DONE, FAILED, PARKED, RUNNING, WAITING, WORKERS
from dirjobs.policy import Terms
from dirjobs.process import Process
from dirjobs.protocol import attempts
from dirjobs.protocol.effects import Read, Steps, Write
from dirjobs.protocol.resolve import listing
from dirjobs.recovery.control import PAUSE, drained
from dirjobs.recovery.heartbeat import Beat, unreadable, worker_of
from dirjobs.recovery.peers import is_provably_dead
from dirjobs.store import Entry, FileKind

CLOCK = "~clock"
"""The file by whose mtime somebody who looks learns what time it is on the store."""


class Lookout:
    """Looks once, or again and again.

    A look costs a listing of each of seven folders (six, where no failures are wanted), one
    more if a job ends at the same time, a request for each worker that is at work, and one
    for each of the latest failures that is new, however many jobs there are.

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
        self._clock = StoreClock(clock)
        self._beats: dict[str, tuple[Entry, Beat]] = {}
        self._notes: dict[str, tuple[float | None, Failure]] = {}

    def look(self) -> Steps[Overview]:
        """How the queue is doing.

        Raises:
            StoreError: a folder can't be listed.
        """
        counts = yield from count()
        workers = yield from listing(WORKERS)
        heard = yield from self.hear(workers)
        failures = (yield from self._latest(counts.failed)) if self._failures else []
        paused = any(entry.name == PAUSE for entry in workers)
        return describe(counts, heard, failures, paused=paused)

    def hear(self, workers: list[Entry]) -> Steps[list[Heard]]:
        """What the heartbeats among `workers` say; a request for each that is new."""
        known, self._beats = self._beats, {}
        for entry in workers:
            if worker_of(entry.name) is None:
                continue
            before = known.get(entry.name)
            if before is not None and entry.mtime is not None and before[0] == entry:
                self._beats[entry.name] = before
                continue
            beat = yield from read_beat(entry.name)
            if beat is not None:
                self._beats[entry.name] = entry, beat
        now = None
        if any(not beat.ended for _, beat in self._beats.values()):
            now = yield from self._clock.now(workers)
        orders = drained(workers)
        return [
            Heard(
                beat,
                None if now is None or entry.mtime is None else max(0.0, now - entry.mtime),
                not beat.ended and is_provably_dead(beat, self._process),
                name in orders,
            )
            for name, (entry, beat) in self._beats.items()
        ]

    def _latest(self, failed: set[str]) -> Steps[list[Failure]]:
        """The latest failures, by when their notes were written."""
        if not failed:
            return []
        noted = {}
        for entry in (yield from listing(ATTEMPTS)):
            job = entry.name.removesuffix(".json")
            if job in failed:
                noted[job] = entry.mtime
        latest = sorted(noted, key=lambda job: noted[job] or 0.0, reverse=True)[: self._failures]
        found = []
        for job in latest:
            known = self._notes.get(job)
            if known is None or known[0] != noted[job]:
                known = noted[job], (yield from _failure(job, noted[job]))
            found.append(known)
        self._notes = {failure.job: (at, failure) for at, failure in found}
        others = sorted(failed - noted.keys())[: self._failures - len(found)]
        return [failure for _, failure in found] + [Failure(job) for job in others]


def count() -> Steps[Counts]:
    """How many jobs are where; one listing for each of five folders, and one more if a job
    has ended meanwhile."""
    # In this order, what goes on its way meanwhile is seen twice rather than not at all; and
    # counted once, if its time tells that it is the same file.
    waiting = yield from places_in(WAITING)
    running = yield from places_in(RUNNING)
    claimed = {place.job for place in running if place.job.mtime is not None}
    left = sum(place.job not in claimed for place in waiting)
    done, failed, ended = 0, set(), set()
    for folder in (DONE, FAILED):
        for place in places_of(folder, (yield from listing(folder))):
            if place.job in claimed:
                ended.add(place.job)
            if folder == DONE:
                done += 1
            else:
                failed.add(place.job.name)
    if ended:
        # Or is it a copy of a finished job, as file managers make it, that runs again?
        ended -= {place.job for place in (yield from places_in(RUNNING))}
    parked = sum(entry.kind is FileKind.FILE for entry in (yield from listing(PARKED)))
    claims = [
        Claimed(place.job.name, place.worker, None, place.job.size)
        for place in running
        if place.job not in ended
    ]
    return Counts(left, done, parked, failed, claims)


def left_to_do() -> Steps[int]:
    """How many jobs are waiting or running; two requests."""
    waiting = yield from _number_in(WAITING)
    return waiting + (yield from _number_in(RUNNING))


class Ends(NamedTuple):
    """How many jobs have ended, and how."""

    done: int
    failed: int


def count_ends() -> Steps[Ends]:
    """How many jobs are done and failed; two requests."""
    done = yield from _number_in(DONE)
    return Ends(done, (yield from _number_in(FAILED)))


def _number_in(folder: str) -> Steps[int]:
    return sum(1 for _ in places_of(folder, (yield from listing(folder))))


def read_beat(name: str) -> Steps[Beat | None]:
    """What a heartbeat file says; None if it is gone."""
    try:
        data: bytes = yield Read(f"{WORKERS}/{name}")
    except NotFound:
        return None
    return Beat.from_bytes(data) or unreadable(name, data, Terms())


def _failure(job: str, at: float | None) -> Steps[Failure]:
    notes = yield from attempts.read(job)
    last = notes[-1] if notes else {}
    return Failure(job, at, str(last.get("reason", "")), str(last.get("worker", "")))


class StoreClock:
    """What time it is on the store: learnt once, by writing a file, and kept since then.

    Where nothing may be written the newest heartbeat tells that it is not earlier than
    that: ages are too small then, but nobody is called dead who isn't.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._offset: float | None = None
        self._refused = False

    def now(self, workers: Iterable[Entry]) -> Steps[float | None]:
        """Seconds since the epoch; None if the store tells no times.

        Args:
            workers: a listing of the heartbeat files, made just now.
        """
        mine = self._clock()
        if self._offset is None and not self._refused:
            try:
                yield Write(f"{WORKERS}/{CLOCK}", b"")
                workers = yield from listing(WORKERS)
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
