"""What came of jobs: their parameters and what they wrote into ``result.json``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from dirjobs.admin.audience import LOG, Audience
from dirjobs.admin.history import files_of, read_history, state_of, time_of
from dirjobs.admin.parallel import read_all
from dirjobs.admin.report import iso
from dirjobs.errors import TRANSIENT_ERRORS, NotFound, StoreError
from dirjobs.layout import DONE, FAILED, RESULT, RESULTS, JobFile
from dirjobs.protocol.candidates import natural_key
from dirjobs.protocol.journal import Record
from dirjobs.protocol.records import check_depth
from dirjobs.protocol.share import Share
from dirjobs.store import FileKind

LARGEST = 1 << 20
"""Bytes: a larger job is no set of parameters."""

STATES = ("done", "failed", "cancelled")
"""What a person calls the states of jobs that have ended."""
_FIRST, _LAST = ("job", "state"), ("seconds", "host", "ended")
_OURS = (*_FIRST, *_LAST)


def ended(share: Share) -> list[JobFile]:
    """The jobs that are done or failed, in natural order; two requests."""
    places = share.jobs_in(DONE)
    places += share.jobs_in(FAILED)
    return sorted(places, key=lambda place: natural_key(place.job.name))


def with_results(share: Share) -> frozenset[str]:
    """The jobs that have a folder in ``results``; one request."""
    return frozenset(entry.name for entry in share.listed(RESULTS) if entry.kind is FileKind.FOLDER)


class Outcome(NamedTuple):
    """A row of the table, and whether the result in it could be read."""

    row: dict[str, Any]
    is_readable: bool = True


def outcome(share: Share, place: JobFile, record: Record | None, has_result: bool) -> Outcome:
    """One row of the table: the job, its state, its parameters, its result, and of the attempt
    that ended it how long it took, where, and when it ended.

    A name that is used twice gets a prefix: ``result.`` for what is a parameter's as well, or
    one of these columns; ``param.`` for a parameter that is called like one.

    No request for what a record tells; one each for parameters and results that are not in it.

    Args:
        share: the queue.
        place: where the job is.
        record: of that attempt; None if there is none.
        has_result: whether there may be a ``result.json`` of before there were records.
    """
    row: dict[str, Any] = {"job": place.job.name, "state": state_of(place, record)}
    for name, value in _params(share, place, record).items():
        row[f"param.{name}" if name in _OURS else name] = value
    result = _result(share, place, record, has_result)
    for name, value in (result or {}).items():
        row[f"result.{name}" if name in row or name in _LAST else name] = value
    if record is not None:
        told = {"seconds": record.seconds, "host": record.host, "ended": iso(time_of(record.ended))}
        row |= {name: value for name, value in told.items() if value not in (None, "")}
    return Outcome(row, is_readable=result is not None)


def _params(share: Share, place: JobFile, record: Record | None) -> Mapping[str, Any]:
    if record is not None and record.params is not None:
        return record.params
    if place.job.size is not None and place.job.size > LARGEST:
        return {}
    return _object(share, place.path) or {}  # a job is a file, whatever its content


def _result(
    share: Share, place: JobFile, record: Record | None, has_result: bool
) -> Mapping[str, Any] | None:
    """What the attempt told; None if that can't be read."""
    if record is None:
        path = f"{RESULTS}/{place.job.name}/{RESULT}"
        return _object(share, path) if has_result else {}
    if record.result is not None:
        return record.result
    files = files_of(record)
    return _object(share, f"{files}/{RESULT}") if files else {}


def _object(share: Share, path: str) -> Mapping[str, Any] | None:
    """The JSON object in a file, an empty one if there is no file; None if it is something
    else."""
    try:
        value = json.loads(share.read(path))
        check_depth(value)
    except NotFound:
        return {}
    except TRANSIENT_ERRORS:
        raise
    except (StoreError, ValueError, RecursionError):  # a folder, another user's, a large file
        return None
    return value if isinstance(value, dict) else None


def columns(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The columns of a table of these rows: as the first row that has one orders them, those of
    the attempt last."""
    found: dict[str, None] = dict.fromkeys(_FIRST)
    for row in rows:
        found.update(dict.fromkeys(row))
    return [name for name in found if name not in _LAST] + [n for n in _LAST if n in found]


def table(
    share: Share,
    state: str | None = None,
    audience: Audience = LOG,
    choose: Callable[[Sequence[JobFile]], Sequence[JobFile]] = lambda places: places,
) -> list[dict[str, Any]]:
    """The rows of all jobs that have ended, in natural order; see `outcome`.

    Args:
        share: the queue.
        state: ``done``, ``failed`` or ``cancelled``: only these jobs; None for all.
        audience: sees how far it is, and is told of results that can't be read.
        choose: those jobs that are wanted.

    Raises:
        StoreError: the store refuses.
    """
    history = read_history(share, audience)
    places = [place for place in choose(ended(share)) if state in (None, history.state(place))]
    decisive = [history.decisive(place) for place in places]
    have = with_results(share) if None in decisive else frozenset()

    def row_of(share: Share, one: tuple[JobFile, Record | None]) -> Outcome:
        place, record = one
        return outcome(share, place, record, place.job.name in have)

    found = read_all(share, [*zip(places, decisive, strict=True)], row_of, audience)
    odd = [place.job.name for place, one in zip(places, found, strict=True) if not one.is_readable]
    if odd:
        audience.tell(
            f"{RESULT} of {len(odd)} {'job' if len(odd) == 1 else 'jobs'} is no JSON object of at"
            f" most 1 MiB, such as that of {odd[0]!r}: nothing of it is in the table."
        )
    return [one.row for one in found]
