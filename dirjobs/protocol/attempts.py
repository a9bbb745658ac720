"""Why a job failed or was given back: notes for the person who looks."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from dirjobs.errors import NotFound, StoreError
from dirjobs.layout import ATTEMPTS
from dirjobs.protocol.effects import Read, Steps, Write
from dirjobs.protocol.resolve import make_folder

log = logging.getLogger("dirjobs")

_KEPT = 50
_LATELY = 3
_LONGEST = 4000


def note(
    job: str,
    worker: str,
    reason: str,
    *,
    died: bool = False,
    retried: bool = False,
    by_hand: bool = False,
    once: str = "",
) -> Steps[int]:
    """Add one attempt at `job` to its notes.

    Notes are for people: if one can't be written, that is logged and the job goes its way.

    Args:
        job: its name.
        worker: who had it; empty for a person.
        reason: why the attempt ended.
        died: it ended with the death of the worker.
        retried: it was no attempt: somebody wants the job to be tried anew, and earlier
            deaths count no more.
        by_hand: a person took it from its worker.
        once: what it is about, where more than one may note that: the first does.

    Returns:
        as `deaths`.
    """
    attempts = yield from read(job)
    if not once or all(attempt.get("about") != once for attempt in attempts):
        attempt = {
            "worker": worker,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "reason": reason[:_LONGEST],
            "died": died,
            **({"retried": True} if retried else {}),
            **({"by_hand": True} if by_hand else {}),
        }
        attempts.append(attempt | ({"about": once} if once else {}))
        yield from _write(job, attempts, reason)
    return deaths(attempts)


def _write(job: str, attempts: list[dict[str, Any]], reason: str) -> Steps[None]:
    path = f"{ATTEMPTS}/{job}.json"
    data = json.dumps({"format": 1, "attempts": attempts[-_KEPT:]}, indent=1).encode()
    try:
        try:
            yield Write(path, data)
        except NotFound:
            yield from make_folder(ATTEMPTS)
            yield Write(path, data)
    except StoreError as error:
        log.warning("why job %r was ended could not be noted: %s (%s)", job, reason, error)


def deaths(attempts: list[dict[str, Any]]) -> int:
    """How many workers died at a job since somebody last retried it."""
    count = 0
    for attempt in attempts:
        count = 0 if attempt.get("retried") else count + bool(attempt.get("died"))
    return count


def tries(attempts: list[dict[str, Any]]) -> int:
    """How often a job was started and ended without being done, as far as is noted."""
    return sum(not attempt.get("retried") for attempt in attempts)


def was_taken_by_hand(job: str) -> Steps[bool]:
    """Whether a person took the job from its worker lately."""
    return any(attempt.get("by_hand") for attempt in (yield from read(job))[-_LATELY:])


def read(job: str) -> Steps[list[dict[str, Any]]]:
    """The noted attempts at `job`, oldest first; none if there are no (readable) notes."""
    try:
        record = json.loads((yield Read(f"{ATTEMPTS}/{job}.json")))
        return [attempt for attempt in record["attempts"] if isinstance(attempt, dict)]
    except NotFound:
        return []
    except (StoreError, ValueError, KeyError, TypeError) as error:
        log.warning("the notes on job %r can't be read (%s)", job, error)
        return []
