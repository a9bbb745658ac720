"""What is in the queue's folders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from . import names
from .names import DONE, FAILED, PARKED, RUNNING, WAITING
from .settle import Settling
from .steps import Steps


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


def status(settling: Settling) -> Steps[Status]:
    """Count; one request for each folder."""
    jobs = {}
    for folder in (WAITING, RUNNING, DONE, FAILED, PARKED):
        listing = yield from settling.listing(folder)
        jobs[folder] = [e.name for e in listing if not e.is_folder and names.is_job_name(e.name)]
    claims = filter(None, map(names.parse_claim, jobs[RUNNING]))
    running = {claim.job: claim.worker for claim in claims}
    return Status(
        waiting=len(jobs[WAITING]),
        running=len(running),
        done=len(jobs[DONE]),
        failed=len(jobs[FAILED]),
        parked=len(jobs[PARKED]),
        claims=running,
    )
