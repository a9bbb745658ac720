"""Putting new jobs into the queue, whole or not at all."""

from __future__ import annotations

import unicodedata
from contextlib import suppress
from typing import BinaryIO

from dirjobs import layout
from dirjobs.errors import AmbiguousResult, JobExists, NotFound
from dirjobs.layout import DONE, FAILED, PARKED, RUNNING, WAITING
from dirjobs.protocol.effects import Exists, Forget, Steps, Upload
from dirjobs.protocol.folders import make_folders
from dirjobs.protocol.give_back import Moves
from dirjobs.protocol.resolve import Moved, listing


def add(moves: Moves, name: str, source: BinaryIO, size: int | None) -> Steps[None]:
    """Upload a job under a staging name, then rename it inside ``00_waiting``.

    Args:
        moves: settles the rename.
        name: of the job; no folder of the queue may have it.
        source: the content, read once from here to its end.
        size: of the content in bytes, if known.

    Raises:
        JobExists: the name is in use.
        StoreError: nothing was added, or (AmbiguousResult) it is not known.
    """
    yield from _refuse_if_known(moves, name)
    yield from place(moves, name, source, size)


def place(moves: Moves, name: str, source: BinaryIO, size: int | None) -> Steps[None]:
    """Two requests of `add`, for a name that no folder but ``00_waiting`` can have.

    Raises:
        JobExists: the name is in use in ``00_waiting``.
        StoreError: as `add`.
    """
    part = f"{WAITING}/{layout.staged_upload(moves.nonce())}"
    asked_for_name = False
    try:
        try:
            yield Upload(part, source)
        except NotFound:
            yield from make_folders()
            yield Upload(part, source)
        asked_for_name = True
        moved = yield from moves.settle(part, f"{WAITING}/{name}", size)
    except (Exception, KeyboardInterrupt, SystemExit):
        if not asked_for_name:
            yield from _discard(part)
        raise
    if moved is Moved.TAKEN:
        yield from _discard(part)
        raise exists(name, WAITING)
    # Servers and proxies have said 404 to a rename that was carried out.
    if moved is Moved.GONE and not (yield from moves.is_there(f"{WAITING}/{name}")):
        raise AmbiguousResult(
            f"job {name!r} may have been added or not: its upload {part!r} is gone; look before"
            " you add it again."
        )


def known_jobs() -> Steps[dict[str, str]]:
    """The names that a new job can't have, as `key` makes them alike, and in which folder
    each is; one listing for each folder."""
    known: dict[str, str] = {}
    for folder in (FAILED, DONE, WAITING):
        known.update((key(entry.name), folder) for entry in (yield from listing(folder)))
    for entry in (yield from listing(RUNNING)):
        claim = layout.parse_claim(entry.name)
        if claim is not None:
            known[key(claim.job)] = RUNNING
    return known


def key(name: str) -> str:
    """What is the same for names that are one to a person; see `names.same_name`."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _refuse_if_known(moves: Moves, name: str) -> Steps[None]:
    for folder in (WAITING, DONE, FAILED):
        if (yield Exists(f"{folder}/{name}")):
            raise exists(name, folder)
    for entry in (yield from moves.listing(RUNNING)):
        claim = layout.parse_claim(entry.name)
        if claim is not None and layout.same_name(claim.job, name):
            raise exists(name, RUNNING)


def exists(name: str, folder: str) -> JobExists:
    """What to tell whoever gives a new job the name of one in `folder`."""
    return JobExists(
        f"job {name!r} exists already in {folder}: give the new one another name"
        f" (nothing was changed; parked copies are in {PARKED})."
        if folder == RUNNING
        else f"job {name!r} exists already in {folder}: give the new one another name."
    )


def _discard(part: str) -> Steps[None]:
    with suppress(OSError):  # the reason why it is not needed matters more to the caller
        yield Forget(part)
