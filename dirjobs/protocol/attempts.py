"""Why a job failed or was given back: notes for the person who looks."""

from __future__ import annotations

import json
import logging
from typing import Annotated, Any, TypedDict

import msgspec

from dirjobs.clock import utc_now
from dirjobs.errors import NotFound, StoreError
from dirjobs.layout import ATTEMPTS
from dirjobs.protocol.folders import write
from dirjobs.protocol.records import Text, convert, decode
from dirjobs.protocol.share import Share
from dirjobs.store import MAX_READ

log = logging.getLogger(__name__)

GIVEN_BACK = "given back by hand"

_KEPT = 50
_RECENT_NOTES = 3
_LONGEST = 4000


class _Notes(msgspec.Struct):
    """The file of one job's notes."""

    attempts: list[Any]


_Reason = Annotated[str, msgspec.Meta(max_length=_LONGEST)]


class _Attempt(TypedDict, total=False):
    """The shape of one note."""

    worker: Text
    at: Text
    reason: _Reason
    died: bool
    retried: bool
    was_done: bool
    by_hand: bool
    about: Annotated[str, msgspec.Meta(max_length=2 * _LONGEST)]


def note(
    share: Share,
    job: str,
    worker: str,
    reason: str,
    *,
    died: bool = False,
    retried: bool = False,
    was_done: bool = False,
    by_hand: bool = False,
    once: str = "",
    maybe_noted: str = "",
) -> int:
    """Add one attempt at `job` to its notes.

    Notes are for people: if one can't be written, that is logged and the job goes its way.

    Args:
        share: where the notes are.
        job: its name.
        worker: who had it; empty for a person.
        reason: why the attempt ended.
        died: it ended with the death of the worker.
        retried: it was no attempt: somebody wants the job to be tried anew, and earlier
            deaths count no more.
        was_done: the try before that ended well, which no note tells.
        by_hand: a person took it from its worker.
        once: idempotency key; a second note with the same key is dropped.
        maybe_noted: so is one after a note whose key begins so: it may be about the same attempt.

    Returns:
        as `deaths`.
    """
    attempts = read(share, job)
    latest = str(attempts[-1].get("about", "")) if attempts else ""
    is_noted = bool(maybe_noted) and latest.startswith(maybe_noted)
    if not is_noted and (not once or all(one.get("about") != once for one in attempts)):
        attempt = {
            "worker": worker,
            "at": utc_now(),
            "reason": reason[:_LONGEST],
            "died": died,
            **({"retried": True} if retried else {}),
            **({"was_done": True} if was_done else {}),
            **({"by_hand": True} if by_hand else {}),
        }
        attempts.append(attempt | ({"about": once} if once else {}))
        _write(share, job, attempts, reason)
    return deaths(attempts)


def _write(share: Share, job: str, attempts: list[dict[str, Any]], reason: str) -> None:
    path = f"{ATTEMPTS}/{job}.json"
    kept = attempts[-_KEPT:]
    while len(data := _encoded(kept)) > MAX_READ and len(kept) > 1:
        kept = kept[len(kept) // 2 :]
    try:
        write(share, path, data)
    except StoreError as error:
        log.warning("why job %r was ended could not be noted: %s (%s)", job, reason, error)


def _encoded(attempts: list[dict[str, Any]]) -> bytes:
    record = {"format": 1, "attempts": attempts}
    # What Python carries of a name that is no Unicode is an escape in JSON as well.
    return json.dumps(record, indent=1, ensure_ascii=False).encode(errors="backslashreplace")


def deaths(attempts: list[dict[str, Any]]) -> int:
    """How many workers died at a job since somebody last retried it."""
    count = 0
    for attempt in attempts:
        count = 0 if attempt.get("retried") else count + bool(attempt.get("died"))
    return count


def tries(attempts: list[dict[str, Any]]) -> int:
    """How often a job was started and has ended, as far as is noted: by whom, or that it was
    done before it was retried."""
    return sum(
        bool(one.get("was_done")) if one.get("retried") else one.get("worker") != ""
        for one in attempts
    )


def was_given_back(share: Share, job: str, worker: str) -> bool:
    """Whether a person gave the job back lately that this incarnation had."""
    return any(
        attempt.get("worker") == worker and attempt.get("reason") == GIVEN_BACK
        for attempt in read(share, job)[-_RECENT_NOTES:]
    )


def read(share: Share, job: str) -> list[dict[str, Any]]:
    """The noted attempts at `job`, oldest first; none if there are no (readable) notes, and
    without those that make no sense."""
    try:
        noted = decode(share.read(f"{ATTEMPTS}/{job}.json"), _Notes).attempts
    except NotFound:
        return []
    except (StoreError, ValueError) as error:
        log.warning("the notes on job %r can't be read (%s)", job, error)
        return []
    found = []
    for one in noted:
        try:
            convert(one, _Attempt)
        except ValueError as error:
            log.warning("a note on job %r makes no sense (%s)", job, error)
        else:
            found.append(one)
    return found
