"""How a queue is doing: what `dirjobs status` and `dirjobs watch` show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from dirjobs.protocol.candidates import natural_key
from dirjobs.recovery.heartbeat import Heartbeat

HANGS = 3.0
"""A job that runs for so many times the usual time is told of, and no end is estimated."""
_FEW = 3
"""Jobs that must have ended until anything is usual."""
_SHORTEST = 1.0


class State(StrEnum):
    """How a worker is doing."""

    WORKING = "working"
    IDLE = "idle"
    STARTING = "starting"
    SILENT = "silent"
    """Its heartbeat is late: an outage perhaps, or it died."""
    DEAD = "dead"
    """Its process is gone, or was silent for two leases: its jobs can be requeued."""
    ENDED = "ended"
    """It ended well, and something by its name is left all the same."""
    UNKNOWN = "no heartbeat"
    """Files are claimed by this name, but it never had a heartbeat."""


@dataclass(frozen=True)
class Claimed:
    """A job that is running.

    Attributes:
        job: its name.
        worker: who has it.
        seconds: since when, as of the worker's last heartbeat; None if it doesn't say
            (a claim newer than that).
        size: bytes; None if not told.
    """

    job: str
    worker: str
    seconds: float | None = None
    size: int | None = None


@dataclass(frozen=True)
class Seen:
    """A worker.

    Attributes:
        id: its id; of a later life as well, such as ``w1~k3x9``.
        state: see `State`.
        host: the name of its machine; empty if unknown.
        pid: its process number; 0 if unknown.
        mode: how it makes sure of its jobs.
        age: seconds since its last heartbeat, by the store's clock; None if unknown.
        draining: it was told to take no other job.
        lease: seconds without a sign of life after which others take over its jobs.
        jobs: what it runs.
    """

    id: str
    state: State
    host: str = ""
    pid: int = 0
    mode: str = ""
    age: float | None = None
    draining: bool = False
    lease: float = 0.0
    jobs: tuple[Claimed, ...] = ()

    @property
    def may_work(self) -> bool:
        """Whether it lives, as far as is known."""
        return self.state in (State.WORKING, State.IDLE, State.STARTING, State.SILENT)


@dataclass(frozen=True)
class Failure:
    """A job in ``99_failed``.

    Attributes:
        job: its name.
        at: when it failed, seconds since the epoch by the store's clock; None if unknown.
        reason: why; empty if nobody noted it.
        worker: who had it.
    """

    job: str
    at: float | None = None
    reason: str = ""
    worker: str = ""


@dataclass(frozen=True)
class Overview:
    """A queue at one moment.

    Attributes:
        waiting, running, done, failed, cancelled, parked: how many jobs are where; those that
            were cancelled are in ``99_failed``, too.
        left_behind: how many files in ``00_waiting`` are not taken, since they look like what
            other programs leave behind.
        left_behind_example: the name of one; empty if there is none.
        changed: how many of the waiting jobs are not taken, since it is recorded that their names
            would be changed on the way.
        changed_example: the name of one; empty if there is none.
        calls: how many of the waiting jobs are calls of functions.
        call_slots: how many of these can run at once.
        paused: no worker takes another job.
        workers: those that live, and those that died or left something.
        failures: the latest, newest first.
        rate: jobs that end in an hour; None if no worker has ended one lately.
        remaining: seconds until all are done at this rate; None if that can't be said, as when
            a job takes far longer than those before.
        doubt: the part of `remaining` by which it may be wrong: the less, the more jobs ended.
        usual: seconds that a job takes; None if too few have ended.
    """

    waiting: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    parked: int = 0
    left_behind: int = 0
    left_behind_example: str = ""
    changed: int = 0
    changed_example: str = ""
    calls: int = 0
    call_slots: int = 0
    paused: bool = False
    workers: tuple[Seen, ...] = ()
    failures: tuple[Failure, ...] = ()
    rate: float | None = None
    remaining: float | None = None
    doubt: float = 0.0
    usual: float | None = None

    def times_usual(self, job: Claimed) -> float:
        """How many times as long as usual a job has been running; 0 if that can't be said."""
        return 0.0 if job.seconds is None or not self.usual else job.seconds / self.usual

    @property
    def total(self) -> int:
        """All jobs; second copies that were parked are none."""
        return self.waiting + self.running + self.done + self.failed + self.cancelled

    @property
    def nobody_works(self) -> bool:
        """Whether jobs wait for a worker, be it for one that takes calls."""
        return self.waiting > self.calls and not any(worker.may_work for worker in self.workers)

    def as_json(self) -> dict[str, Any]:
        """The same in types that JSON knows."""
        document: dict[str, Any] = rounded({"total": self.total, **asdict(self)})
        for failure in document["failures"]:
            failure["at"] = iso(failure["at"])
        return document


@dataclass(frozen=True)
class Heard:
    """A heartbeat as it was found.

    Attributes:
        heartbeat: what it says.
        age: seconds since it was written; None if unknown.
        gone: it is proved that the process is gone.
        draining: an order says so.
    """

    heartbeat: Heartbeat
    age: float | None = None
    gone: bool = False
    draining: bool = False

    @property
    def state(self) -> State:
        """How the worker is doing."""
        terms, age = self.heartbeat.policy, self.age or 0.0
        if self.heartbeat.ended:
            return State.ENDED
        if self.gone or (age > 2 * terms.lease and not self.heartbeat.is_unreadable):
            return State.DEAD
        if age > terms.late_after:
            return State.SILENT
        if self.heartbeat.starting:
            return State.STARTING
        return State.WORKING if self.heartbeat.running else State.IDLE

    @property
    def is_at_work(self) -> bool:
        return self.state in (State.WORKING, State.IDLE, State.STARTING)


@dataclass
class Counts:
    """What is in the folders of the jobs."""

    waiting: int = 0
    done: int = 0
    parked: int = 0
    failed: set[str] = field(default_factory=set)
    claims: list[Claimed] = field(default_factory=list)
    left_behind: list[str] = field(default_factory=list)
    """Files in ``00_waiting`` that are taken for what other programs have left there."""
    cancelled: set[str] = field(default_factory=set)
    """Those in ``99_failed`` that are not in `failed`, since somebody has cancelled them."""
    changed: list[str] = field(default_factory=list)
    """Waiting jobs whose names would be changed on the way, as recorded."""
    calls: int = 0
    """How many of the waiting jobs are calls of functions."""


def rounded(value: Any) -> Any:
    """A JSON document with its numbers as exact as they are meant."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(part) for part in value]
    return round(value, 1) if isinstance(value, float) else value


def iso(at: float | None) -> str | None:
    """Seconds since the epoch as ``2025-04-10T09:01:00+00:00``; None if that is no time."""
    try:
        return None if at is None else datetime.fromtimestamp(round(at), UTC).isoformat()
    except (OverflowError, OSError, ValueError):
        return None


def describe(
    counts: Counts, heard: Iterable[Heard], failures: Iterable[Failure], *, paused: bool
) -> Overview:
    """Put together what was found."""
    by_worker: dict[str, list[Claimed]] = {}
    for claim in counts.claims:
        by_worker.setdefault(claim.worker, []).append(claim)
    workers, rate, ended, worked, call_slots = [], 0.0, 0, 0.0, 0
    # Of those that have had one id, the one that lives has the claims.
    for one in sorted(heard, key=lambda one: (not one.is_at_work, one.heartbeat.ended)):
        claims = by_worker.pop(one.heartbeat.worker, [])
        call_slots += one.heartbeat.call_slots if one.is_at_work else 0
        if one.is_at_work and one.heartbeat.pace.seconds > 0:
            rate += 3600 * one.heartbeat.pace.jobs / one.heartbeat.pace.seconds
            ended += one.heartbeat.pace.jobs
            worked += _worked(one.heartbeat)
        if claims or not one.heartbeat.ended:
            workers.append(_seen(one, claims))
    for worker, claims in by_worker.items():
        workers.append(Seen(worker, State.UNKNOWN, jobs=tuple(claims)))
    usual = max(worked / ended, _SHORTEST) if ended >= _FEW else None
    hangs = usual is not None and any(
        job.seconds is not None and job.seconds > HANGS * usual
        for worker in workers
        for job in worker.jobs
    )
    left = counts.waiting + len(counts.claims)
    runs = rate > 0 and left and not (paused and counts.waiting)
    return Overview(
        waiting=counts.waiting,
        running=len(counts.claims),
        done=counts.done,
        failed=len(counts.failed),
        cancelled=len(counts.cancelled),
        parked=counts.parked,
        left_behind=len(counts.left_behind),
        left_behind_example=min(counts.left_behind, default=""),
        changed=len(counts.changed),
        changed_example=min(counts.changed, default=""),
        calls=counts.calls,
        call_slots=call_slots,
        paused=paused,
        workers=tuple(sorted(workers, key=_natural)),
        failures=tuple(failures),
        rate=rate or None,
        remaining=3600 * left / rate if runs and not hangs else None,
        doubt=ended**-0.5 if ended else 0.0,
        usual=usual,
    )


def _worked(heartbeat: Heartbeat) -> float:
    """Seconds that the slots of a worker spent on the jobs that it has ended lately."""
    held = heartbeat.held_for.values()
    return max(0.0, max(1, len(held)) * heartbeat.pace.seconds - sum(held))


def _natural(worker: Seen) -> tuple[str, str]:
    return natural_key(worker.id), worker.host


def _seen(heard: Heard, claims: list[Claimed]) -> Seen:
    heartbeat = heard.heartbeat
    state = heard.state
    if claims and state is State.IDLE:
        state = State.WORKING  # since its last heartbeat
    return Seen(
        id=heartbeat.worker,
        state=state,
        host=heartbeat.process.host,
        pid=heartbeat.process.pid,
        mode=heartbeat.policy.mode.value,
        age=heard.age,
        draining=heard.draining,
        lease=heartbeat.policy.lease,
        jobs=tuple(_with_times(claims, heartbeat.held_for, heard.age)),
    )


def _with_times(
    claims: list[Claimed], held_for: Mapping[str, float], age: float | None
) -> Iterable[Claimed]:
    for claim in claims:
        told = held_for.get(claim.job)
        yield Claimed(
            claim.job,
            claim.worker,
            None if told is None else told + (age or 0.0),
            claim.size,
        )
