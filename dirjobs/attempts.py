"""Why a job failed or was given back: notes for the person who looks."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from .errors import NotFound, StoreError
from .names import ATTEMPTS
from .settle import make_folder
from .steps import Read, Steps, Write

log = logging.getLogger("dirjobs")

_KEPT = 50
_LONGEST = 4000


def note(job: str, worker: str, reason: str, *, died: bool = False, once: str = "") -> Steps[int]:
    """Add one attempt at `job` to its notes.

    Notes are for people: if one can't be written, that is logged and the job goes its way.

    Args:
        job: its name.
        worker: who tried.
        reason: why that came to nothing.
        died: the worker died over it.
        once: what it is about, where more than one may note that: the first does.

    Returns:
        how many of the noted attempts ended with the death of the worker.
    """
    attempts = yield from read(job)
    if not once or all(attempt.get("about") != once for attempt in attempts):
        attempt = {
            "worker": worker,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "reason": reason[:_LONGEST],
            "died": died,
        }
        attempts.append(attempt | ({"about": once} if once else {}))
        yield from _write(job, attempts, reason)
    return sum(bool(attempt.get("died")) for attempt in attempts)


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
