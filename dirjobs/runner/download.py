"""Bringing the files of attempts from the share to a folder of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from dirjobs import local_files
from dirjobs.admin.history import History, files_of
from dirjobs.errors import ConfigurationError, NotFound
from dirjobs.layout import RESULTS, JobFile
from dirjobs.names import local_problem, unsafe_name
from dirjobs.protocol.share import Share
from dirjobs.store import Entry, FileKind

_DEEPEST = 100
"""Folders inside each other: what is deeper is left out."""


class Remote(NamedTuple):
    """One file of an attempt.

    Attributes:
        path: in the queue.
        local: where it belongs, in the folder of this machine, with ``/``.
        entry: as it is listed.
        problem: why it can't be brought there; empty if it can.
    """

    path: str
    local: str
    entry: Entry
    problem: str = ""


def folder_with_files(place: JobFile, history: History) -> str:
    """The folder of the queue with the files of a job, of the attempt that ended it; empty if
    that left none.  Before there were records, the files of all attempts were in one."""
    if unsafe_name(place.job.name) is not None:
        return ""
    record = history.decisive(place)
    if record is not None:
        return files_of(record)
    return "" if history.attempts_at(place.job.name) else f"{RESULTS}/{place.job.name}"


def files_below(share: Share, folder: str, job: str) -> Iterator[Remote]:
    """The files of a folder of the queue and of the folders in it; a request for each.

    Args:
        share: the queue.
        folder: from `folder_with_files`.
        job: the name of the job, and of its folder on this machine.
    """
    odd = local_problem(job) or ""
    above = [("", 0)]
    while above:
        inside, depth = above.pop()
        prefix = f"{inside}/" if inside else ""
        for entry in share.listed(f"{folder}/{inside}" if inside else folder):
            path = prefix + entry.name
            problem = odd or _problem(entry.name, depth)
            if entry.kind is FileKind.FOLDER and not problem:
                above.append((path, depth + 1))
            elif entry.kind is not FileKind.OTHER:
                yield Remote(f"{folder}/{path}", f"{job}/{path}", entry, problem)


def _problem(name: str, depth: int) -> str:
    if depth >= _DEEPEST:
        return f"it is in more than {_DEEPEST} folders inside each other"
    return local_problem(name) or ""


def fetch(share: Share, remote: Remote, target: str) -> bool:
    """Bring one file to a folder of this machine, unless it is there: one of that size and time.

    Whole or not at all: what is interrupted leaves nothing under the file's name.

    Returns:
        whether it had to be brought.

    Raises:
        ConfigurationError: this machine can't store it.
        StoreError: the share can't be read.
    """
    path = os.path.join(target, *remote.local.split("/"))
    entry, draft = remote.entry, f"{path}.part"
    try:
        if _is_there(path, entry):
            return False
        os.makedirs(os.path.dirname(path), exist_ok=True)
        file = open(draft, "wb")  # noqa: SIM115 - it is closed before it gets its name
    except OSError as error:
        raise _refused(path, error) from error
    try:
        with file:
            share.store.download(remote.path, file)
        if entry.mtime is not None:
            os.utime(draft, (entry.mtime, entry.mtime))
        local_files.replace(draft, path)
    except NotFound:
        _discard(draft)
        return False  # somebody removed it meanwhile
    except BaseException:
        _discard(draft)
        raise
    return True


def _is_there(path: str, entry: Entry) -> bool:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    same_time = entry.mtime is None or abs(found.st_mtime - entry.mtime) < 1
    return same_time and found.st_size == entry.size


def _discard(path: str) -> None:
    with suppress(OSError):  # why it is not wanted is being told
        os.unlink(path)


def _refused(path: str, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"{path!r} can't be written: {error.strerror or error}.")
