"""What came of jobs: their parameters and what they wrote into ``result.json``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from dirjobs.errors import TRANSIENT_ERRORS, NotFound, StoreError
from dirjobs.layout import DONE, FAILED, RESULTS, JobFile
from dirjobs.protocol.candidates import natural_key
from dirjobs.protocol.records import check_depth
from dirjobs.protocol.share import Share
from dirjobs.store import FileKind

RESULT = "result.json"
"""The file in ``results/<job>/`` with an object of numbers and strings."""

LARGEST = 1 << 20
"""Bytes: a larger job is no set of parameters."""

_OURS = ("job", "state")


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


def outcome(share: Share, place: JobFile, has_result: bool) -> Outcome:
    """One row of the table: the job, its state, its parameters, its result.

    A name that is used twice gets a prefix: ``result.`` for what is a parameter's as well,
    ``param.`` for a parameter called ``job`` or ``state``.

    Args:
        share: the queue.
        place: where the job is.
        has_result: whether there may be a ``result.json``.
    """
    params: Mapping[str, Any] = {}
    if place.job.size is None or place.job.size <= LARGEST:
        params = _object(share, place.path) or {}  # a job is a file, whatever its content
    row: dict[str, Any] = {"job": place.job.name, "state": place.state}
    for name, value in params.items():
        row[f"param.{name}" if name in _OURS else name] = value
    if has_result:
        result = _object(share, f"{RESULTS}/{place.job.name}/{RESULT}")
        if result is None:
            return Outcome(row, is_readable=False)
        for name, value in result.items():
            row[f"result.{name}" if name in row else name] = value
    return Outcome(row)


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
    """The columns of a table of these rows: as the first row that has one orders them."""
    found: dict[str, None] = dict.fromkeys(_OURS)
    for row in rows:
        found.update(dict.fromkeys(row))
    return list(found)
