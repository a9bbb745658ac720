"""Whether those who hold the last jobs are dead: for whoever would end otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from dirjobs.layout import RUNNING, WAITING, WORKERS
from dirjobs.protocol.share import Share
from dirjobs.recovery.failure_detector import FailureDetector
from dirjobs.recovery.heartbeat import worker_of, written_last
from dirjobs.store import Entry


@dataclass(frozen=True)
class Silence:
    """Jobs whose workers may be dead.

    Attributes:
        jobs: how many.
        workers: who holds them.
        age: seconds since the latest sign of life of any of these, by the store's clock.
        sure_in: seconds until it is clear, by the lease law, whether they live.
    """

    jobs: int
    workers: tuple[str, ...]
    age: float
    sure_in: float


@dataclass(frozen=True)
class Held:
    """Jobs of workers that live, as far as is known, or never had a heartbeat.

    Attributes:
        jobs: how many.
        workers: who holds them.
        age: seconds since the last sign of life of the one that is silent for longest, by the
            store's clock; None if that is not known.
    """

    jobs: int
    workers: tuple[str, ...]
    age: float | None


@dataclass(frozen=True)
class _Patience:
    """For how long somebody's death is waited for.

    Attributes:
        until: seconds, by our clock.  What can't be given back by then needs a person.
        jobs: how many it held when that was settled; fewer are a reason to wait on.
    """

    until: float
    jobs: int


class SilentHolders:
    """Finds the claims of workers that may be dead.

    A worker whose heartbeat is not late is not among them, nor is a claim of a name that never
    had a heartbeat; whoever may be dead is, until the lease is over by our own clock and the
    heartbeat's thread has seen to it.

    Args:
        detector: watches the heartbeats.
    """

    def __init__(self, detector: FailureDetector) -> None:
        self._detector = detector
        self.others: Held | None = None
        """What the others held when `find` looked last; None if nothing."""
        self._patience: dict[str, _Patience] = {}

    def find(
        self, share: Share, ours: Iterable[str], wanted: Callable[[str], bool]
    ) -> Silence | None:
        """Who holds jobs and may be dead; None if nobody is and does.

        One request if nobody holds a job, two if somebody does, and one more where renames
        are not trusted.

        Args:
            share: the caller's connection.
            ours: our own heartbeat files.
            wanted: says of a job's name whether the caller would take it.
        """
        held = self._held(share, wanted)
        self.others = None
        if not held:
            return None
        listing = share.listed(WORKERS)
        mine = set(ours)
        now = written_last(listing, mine)
        silent: dict[str, float] = {}
        living: dict[str, float | None] = {}
        sure_in = 0.0
        for worker, jobs in held.items():
            files = [e for e in listing if worker_of(e.name) == worker]
            ages = [None if e.name in mine else self._silent_for(e, now) for e in files]
            if not files or None in ages:
                self._patience.pop(worker, None)
                living[worker] = _latest(files, now)
                continue
            needed = max(self._needed(e.name, share.now()) for e in files)
            if self._is_patient(worker, jobs, needed, share.now()):
                silent[worker] = min(age for age in ages if age is not None)
                sure_in = max(sure_in, needed)
        if living:
            jobs, known = sum(held[worker] for worker in living), [*living.values()]
            age = None if None in known else max(filter(None, known), default=0.0)
            self.others = Held(jobs, tuple(sorted(living)), age)
        if not silent:
            return None
        number = sum(held[worker] for worker in silent)
        return Silence(number, tuple(sorted(silent)), min(silent.values()), sure_in)

    def _held(self, share: Share, wanted: Callable[[str], bool]) -> dict[str, int]:
        """How many jobs each worker holds, or has half way."""
        folders = (RUNNING,) if self._detector.parts.me.trusts else (RUNNING, WAITING)
        held: dict[str, int] = {}
        for folder in folders:
            for file in share.jobs_in(folder):
                worker = file.stager or file.worker
                if worker and wanted(file.job.name):
                    held[worker] = held.get(worker, 0) + 1
        return held

    def _silent_for(self, entry: Entry, now: float | None) -> float | None:
        """Seconds since the last sign of life of somebody who may be dead; None of others.

        Args:
            entry: a heartbeat file.
            now: when we last wrote our own, by the store's clock.
        """
        peers = self._detector.peers
        heartbeat = peers.known.get(entry.name)
        if heartbeat is None or heartbeat.is_unreadable:
            return None
        age = None if now is None or entry.mtime is None else max(0.0, now - entry.mtime)
        if peers.proof_of_death(heartbeat):
            return age or 0.0
        return age if age is not None and age > heartbeat.policy.late_after else None

    def _needed(self, file: str, now: float) -> float:
        """Seconds until the lease of a heartbeat file is over by our clock, and the beat after
        that."""
        peers, staleness = self._detector.peers, self._detector.staleness
        heartbeat = self._detector.parts.me.policy.heartbeat
        known = peers.known.get(file)
        if known is None or peers.is_provably_dead(known, peers.process):
            return heartbeat
        return max(0.0, peers.lease_of(known) - staleness.unchanged_for(file, now)) + heartbeat

    def _is_patient(self, worker: str, jobs: int, needed: float, now: float) -> bool:
        """Whether it makes sense to wait for somebody's death (any more)."""
        known = self._patience.get(worker)
        if known is None or jobs < known.jobs:
            policy = self._detector.parts.me.policy
            grace = 3 * (policy.heartbeat + policy.timeout)
            known = self._patience[worker] = _Patience(now + needed + grace, jobs)
        return now <= known.until


def _latest(files: Iterable[Entry], now: float | None) -> float | None:
    """Seconds since the latest sign of life in these heartbeat files; None if that is not known.

    Args:
        files: of one worker.
        now: by the store's clock.
    """
    times = [entry.mtime for entry in files if entry.mtime is not None]
    return max(0.0, now - max(times)) if times and now is not None else None
