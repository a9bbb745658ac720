"""Where a job is, and which jobs a person means."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from dirjobs import layout
from dirjobs.errors import ConfigurationError
from dirjobs.layout import DONE, FAILED, PARKED, RUNNING, WAITING
from dirjobs.protocol.effects import Exists, List, Steps
from dirjobs.protocol.resolve import listing
from dirjobs.store import Entry, FileKind

_PATTERN = re.compile(r"[*?\[]")
STATES = {
    WAITING: "waiting",
    RUNNING: "running",
    DONE: "done",
    FAILED: "failed",
    PARKED: "parked",
}
"""What the folders are called when a person asks for the state of a job."""


class Place(NamedTuple):
    """A file that is a job, or a copy of one.

    Attributes:
        folder: where it is.
        file: its name there.
        job: the job, with the file's own size and mtime.
        worker: who has it, or parked it; empty if nobody.
    """

    folder: str
    file: str
    job: Entry
    worker: str = ""

    @property
    def path(self) -> str:
        return f"{self.folder}/{self.file}"

    @property
    def state(self) -> str:
        return STATES[self.folder]


def places_in(folder: str) -> Steps[list[Place]]:
    """The jobs in a folder, in natural order left to the caller; one request."""
    return list(places_of(folder, (yield from listing(folder))))


def places_of(folder: str, entries: Iterable[Entry]) -> Iterator[Place]:
    """The jobs among the entries of a folder."""
    return filter(None, (place_of(folder, entry) for entry in entries))


def place_of(folder: str, entry: Entry) -> Place | None:
    """What a file in one of the queue's folders is; None if it is no job."""
    if entry.kind is not FileKind.FILE:
        return None
    name, worker = entry.name, ""
    staged = layout.parse_staged(name)
    if staged is not None:
        worker, name = "", staged.job
    elif folder != PARKED and folder != RUNNING and not layout.is_job_name(name):
        return None
    if folder in (RUNNING, PARKED):
        claim = layout.parse_claim(name)
        if claim is None:
            return None
        worker, name = claim
    return Place(folder, entry.name, Entry(name, entry.mtime, entry.size), worker)


def chosen(places: Iterable[Place], wanted: Collection[str]) -> tuple[list[Place], list[str]]:
    """The places of jobs that a person names, and the names that are none of theirs.

    Args:
        places: what there is.
        wanted: names, or patterns such as ``lr0.1*``.
    """
    plain = {name for name in wanted if not _PATTERN.search(name)}
    patterns = [name for name in wanted if name not in plain]
    missing = set(wanted)
    found = []
    for place in places:
        called = {place.job.name, place.file}
        by = (called & plain) | {p for p in patterns if fnmatch.fnmatchcase(place.job.name, p)}
        # A file may be named like a pattern.
        by |= called & set(patterns)
        if by:
            found.append(place)
            missing -= by
    return found, [name for name in wanted if name in missing]


def missed(missing: Collection[str], what: str) -> Steps[ConfigurationError]:
    """What to tell somebody who named a job that is not where it would have to be.

    Args:
        missing: the names, one at least.
        what: which jobs were asked for, such as ``failed``.
    """
    name = next(iter(missing))
    more = f" (nor are {len(missing) - 1:,} others)" if len(missing) > 1 else ""
    if _PATTERN.search(name):
        text = f"no {what} job is like {name!r}{more}"
    else:
        places = (yield from locate(name)) if layout.unsafe_name(name) is None else []
        where = " and ".join(place.state for place in places)
        text = f"job {name!r} is not {what}{more}: "
        text += f"it is {where}" if where else "this queue has no job of that name"
    return ConfigurationError(f"{text}; nothing was changed.")


def locate(job: str) -> Steps[list[Place]]:
    """Every place where a job of this name is; five requests.

    Raises:
        StoreError: that can't be found out.
    """
    found = []
    for folder in (WAITING, DONE, FAILED):
        there: bool = yield Exists(f"{folder}/{job}")
        found += [Place(folder, job, Entry(job))] if there else []
    for folder in (RUNNING, PARKED):
        found += [place for place in (yield from places_in(folder)) if place.job.name == job]
    return found


def entry_at(place: Place) -> Steps[Entry]:
    """Size and mtime of a file, as its folder lists it."""
    for entry in (yield List(place.folder)):
        if entry.name == place.file:
            return Entry(place.job.name, entry.mtime, entry.size)
    return place.job
