"""What came of jobs: their parameters and what they wrote into ``result.json``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from dirjobs.admin.locate import Place, places_in
from dirjobs.errors import NotFound
from dirjobs.layout import DONE, FAILED, RESULTS
from dirjobs.protocol.candidates import natural_key
from dirjobs.protocol.effects import Read, Steps
from dirjobs.protocol.resolve import listing
from dirjobs.store import FileKind

RESULT = "result.json"
"""The file in ``results/<job>/`` with an object of numbers and strings."""

LARGEST = 1 << 20
"""Bytes: a larger job is no set of parameters."""

_OURS = ("job", "state")


def ended() -> Steps[list[Place]]:
    """The jobs that are done or failed, in natural order; two requests."""
    places = yield from places_in(DONE)
    places += yield from places_in(FAILED)
    return sorted(places, key=lambda place: natural_key(place.job.name))


def with_results() -> Steps[frozenset[str]]:
    """The jobs that have a folder in ``results``; one request."""
    return frozenset(
        entry.name for entry in (yield from listing(RESULTS)) if entry.kind is FileKind.FOLDER
    )


def outcome(place: Place, has_result: bool) -> Steps[dict[str, Any]]:
    """One row of the table: the job, its state, its parameters, its result.

    A name that is used twice gets a prefix: ``result.`` for what is a parameter's as well,
    ``param.`` for a parameter called ``job`` or ``state``.

    Args:
        place: where the job is.
        has_result: whether there may be a ``result.json``.
    """
    params: Mapping[str, Any] = {}
    if place.job.size is None or place.job.size <= LARGEST:
        params = yield from _object(place.path)
    row: dict[str, Any] = {"job": place.job.name, "state": place.state}
    for name, value in params.items():
        row[f"param.{name}" if name in _OURS else name] = value
    if has_result:
        result = yield from _object(f"{RESULTS}/{place.job.name}/{RESULT}")
        for name, value in result.items():
            row[f"result.{name}" if name in row else name] = value
    return row


def _object(path: str) -> Steps[Mapping[str, Any]]:
    try:
        value = json.loads((yield Read(path)))
    except (NotFound, ValueError, RecursionError):
        return {}  # a job is a file, whatever its content
    return value if isinstance(value, dict) else {}


def columns(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The columns of a table of these rows: as the first row that has one orders them."""
    found: dict[str, None] = dict.fromkeys(_OURS)
    for row in rows:
        found.update(dict.fromkeys(row))
    return list(found)
