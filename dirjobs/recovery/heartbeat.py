"""The format of the files by which workers know of each other."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from dirjobs import layout
from dirjobs.errors import ConfigurationError
from dirjobs.policy import Mode, Terms, seconds
from dirjobs.process import Process
from dirjobs.recovery.throughput import Pace

FORMAT = 1
_NONSENSE = (AttributeError, ValueError, KeyError, TypeError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Beat:
    """One heartbeat: what a worker says of itself.

    Attributes:
        worker: the incarnation.
        counter: how often it was written; each writing differs from the one before.
        ended: True after a clean end: its claims, if any are left, are free.
        starting: True until it is clear that the id is free: such a process claims nothing.
        unsettled: how many of its renames may be executed yet; its id is not free then.
        terms: the mode and the times that it works by.
        process: who it is.
        running: the jobs that it holds, and their sizes in bytes.
        groups: process groups of the programs that it runs.
        held_for: for how many seconds it has held each of these jobs, for people.
        pace: how fast it ended jobs lately, for people.
    """

    worker: str
    counter: int
    terms: Terms
    process: Process = field(default_factory=Process)
    ended: bool = False
    starting: bool = False
    unsettled: int = 0
    running: dict[str, int | None] = field(default_factory=dict)
    groups: tuple[int, ...] = ()
    held_for: dict[str, float] = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)

    def to_bytes(self) -> bytes:
        record = {"format": FORMAT, **asdict(self)}
        return json.dumps(record, indent=1).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Beat | None:
        """The beat that `data` says, or None if it says none (somebody else's file)."""
        try:
            record = json.loads(data)
            terms = dict(record["terms"])
            mode = Mode(terms.pop("mode"))
            times = {key: seconds(key, value) for key, value in terms.items()}
            return cls(
                worker=str(record["worker"]),
                counter=int(record["counter"]),
                terms=Terms(mode, **times),
                process=Process(**record["process"]),
                ended=bool(record["ended"]),
                starting=bool(record.get("starting")),
                unsettled=int(record["unsettled"]),
                running={str(job): size for job, size in record["running"].items()},
                groups=tuple(map(int, record["groups"])),
                held_for={
                    str(job): seconds(job, s) for job, s in record.get("held_for", {}).items()
                },
                pace=_pace(*record.get("pace", ())),
            )
        except _NONSENSE:
            return None


def _pace(jobs: object = 0, time: object = 0.0) -> Pace:
    return Pace(int(seconds("pace", jobs)), seconds("pace", time))


def unreadable(file_name: str, data: bytes, terms: Terms) -> Beat | None:
    """What stands for a heartbeat that can't be read: half written, or cut off for good
    because its worker died while writing.  Its counter changes with its content."""
    worker = worker_of(file_name)
    return None if worker is None else Beat(worker, -1 - zlib.crc32(data), terms)


def beat_path(worker: str, tag: str) -> str:
    return f"{layout.WORKERS}/{worker}.{tag}.json"


def worker_of(file_name: str) -> str | None:
    """Whose heartbeat a file in ``_queue/workers`` is; None if it is none."""
    claim = layout.parse_claim(file_name)
    return claim.worker if claim and claim.job.endswith(".json") else None


def agreement_to_bytes(terms: Terms, further: Mapping[str, object] | None = None) -> bytes:
    """The content of ``queue.json``: `terms`, and whatever else stands there."""
    record = {
        **(further or {}),
        "format": FORMAT,
        "mode": terms.mode.value,
        "sync_time": terms.sync_time,
        "heartbeat": terms.heartbeat,
        "lease": terms.lease,
    }
    return json.dumps(record, indent=1).encode() + b"\n"


def further_keys(data: bytes) -> dict[str, object]:
    """What ``queue.json`` says beside the terms; nothing if it makes no sense."""
    try:
        record = json.loads(data)
    except _NONSENSE:
        return {}
    return dict(record) if isinstance(record, dict) else {}


def agreement_from_bytes(data: bytes, defaults: Terms) -> Terms:
    """What ``queue.json`` says; what it leaves out is as in `defaults`.

    Raises:
        ConfigurationError: it says something that makes no sense.
    """
    try:
        record: dict[str, Any] = json.loads(data)
        mode = Mode(record["mode"])
        times = {
            key: seconds(key, record[key])
            for key in ("sync_time", "heartbeat", "lease")
            if key in record
        }
    except _NONSENSE as error:
        raise ConfigurationError(
            f"{layout.AGREEMENT} can't be understood ({error}): correct it, or move it away"
            " while no worker runs."
        ) from error
    return replace(defaults, mode=mode, **times)
