"""Putting new jobs into the queue, whole or not at all."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from typing import BinaryIO

from dirjobs.errors import (
    AmbiguousResult,
    Denied,
    InvalidName,
    JobExists,
    StoreError,
    Unsupported,
)
from dirjobs.layout import (
    DONE,
    FAILED,
    PARKED,
    RUNNING,
    WAITING,
    job_files,
    staged_upload,
)
from dirjobs.names import same_name
from dirjobs.protocol import folders
from dirjobs.protocol.agreement import recorded_problems
from dirjobs.protocol.parts import Parts
from dirjobs.protocol.resolve import Outcome
from dirjobs.protocol.share import Share
from dirjobs.store import Entry

_DOWNSTREAM = (WAITING, RUNNING, DONE, FAILED)
"""The order in which names are looked for: a job that moves on meanwhile is seen twice, never
missed.  One that a person moves back to ``00_waiting`` meanwhile meets the new one there, and
whichever arrives second is refused or parked."""


def add(parts: Parts, name: str, source: BinaryIO, size: int | None) -> None:
    """Upload a job under a staging name, then rename it inside ``00_waiting``.

    Args:
        parts: the protocol.
        name: of the job; no folder of the queue may have it.
        source: the content, read once from here to its end.
        size: of the content in bytes, if known.

    Raises:
        InvalidName: it is recorded that the name would be changed on the way.
        JobExists: the name is in use.
        StoreError: nothing was added, or (AmbiguousResult) it is not known.
    """
    refuse_changed_names(parts.share, [name])
    _refuse_if_known(parts, name)
    upload_and_rename(parts, name, source, size)


def refuse_changed_names(share: Share, jobs: Iterable[str]) -> None:
    """Refuse names for new jobs of which it is recorded that they would be changed on the way.

    Raises:
        InvalidName: of the first.
    """
    for name, problem in recorded_problems(share, jobs).items():
        raise InvalidName(f"job name {name!r} can't be used here: {problem}.")


def upload_and_rename(parts: Parts, name: str, source: BinaryIO, size: int | None) -> None:
    """The last two requests of `add`, once the name is known to be free.

    Raises:
        JobExists: the name is in use in ``00_waiting``.
        StoreError: as `add`.
    """
    share = parts.share
    part = f"{WAITING}/{staged_upload(parts.me.nonce())}"
    asked_for_name = False
    try:
        folders.upload(share, part, source)
        asked_for_name = True
        outcome = parts.resolver.rename(part, f"{WAITING}/{name}", Entry(name, None, size))
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        if part in parts.intents.doubts and isinstance(error, StoreError):
            raise AmbiguousResult(
                f"job {name!r} may have been added or not ({error}): look before you add it again."
            ) from error
        if not asked_for_name or isinstance(error, Denied | Unsupported):
            _discard(share, part)  # it has surely not got its name
        raise
    if outcome is Outcome.TAKEN:
        _discard(share, part)
        raise exists(name, WAITING)
    if outcome is Outcome.GONE:
        raise AmbiguousResult(
            f"job {name!r} may have been added or not: its upload {part!r} is gone; look before"
            " you add it again."
        )


def known_jobs(share: Share) -> dict[str, str]:
    """The names that a new job can't have, as `key` makes them alike, and in which folder
    each is; one listing for each folder."""
    known: dict[str, str] = {}
    for folder in _DOWNSTREAM:
        listing = share.listed(folder)
        for file in job_files(folder, listing):
            known.setdefault(key(file.job.name), folder)
        if folder != RUNNING:  # whatever it is: a link or a folder is in the way as well
            for entry in listing:
                known.setdefault(key(entry.name), folder)
    return known


def key(name: str) -> str:
    """What is the same for names that are one to a person; see `same_name`."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _refuse_if_known(parts: Parts, name: str) -> None:
    """Four requests; six where a name may also be half way from one folder to another: in
    mode trust only what leaves ``01_running`` can be."""
    share, half_way = parts.share, () if parts.me.trusts else (WAITING, FAILED)
    for folder in _DOWNSTREAM:
        if folder != RUNNING and share.exists(f"{folder}/{name}"):
            raise exists(name, folder)
        if folder in (RUNNING, *half_way):
            files = share.jobs_in(folder)
            if any(same_name(file.job.name, name) for file in files):
                raise exists(name, folder)


def exists(name: str, folder: str) -> JobExists:
    """What to tell whoever gives a new job the name of one in `folder`."""
    return JobExists(
        f"job {name!r} exists already in {folder}: give the new one another name"
        f" (nothing was changed; parked copies are in {PARKED})."
        if folder == RUNNING
        else f"job {name!r} exists already in {folder}: give the new one another name."
    )


def _discard(share: Share, part: str) -> None:
    with suppress(OSError):  # the reason why it is not needed matters more to the caller
        share.remove(part)
