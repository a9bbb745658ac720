"""What is in the queue's folders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dirjobs.admin.inspect import count
from dirjobs.protocol.effects import Steps


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


def status() -> Steps[Status]:
    """Count, as `lookout.count` does."""
    found = yield from count()
    claims = {claim.job: claim.worker for claim in found.claims}
    return Status(found.waiting, len(claims), found.done, len(found.failed), found.parked, claims)
