"""Where a job is, and which jobs a person means."""

from __future__ import annotations

import difflib
import fnmatch
import logging
import os
import re
from collections.abc import Callable, Collection, Iterable

from dirjobs.admin.enqueue import key
from dirjobs.errors import ConfigurationError
from dirjobs.layout import DONE, FAILED, PARKED, RUNNING, TRASH, WAITING, JobFile
from dirjobs.names import unsafe_name
from dirjobs.protocol.candidates import natural_key
from dirjobs.protocol.exits import GROWING_PAUSE
from dirjobs.protocol.look import differ
from dirjobs.protocol.parts import Parts
from dirjobs.protocol.share import Share
from dirjobs.store import Entry, FileKind

log = logging.getLogger(__name__)

_PATTERN = re.compile(r"[*?\[]")
_CLOSE, _FEW = 0.85, 2000
"""How like a name is that may be meant, and among how many it is looked for."""


def chosen(files: Iterable[JobFile], wanted: Collection[str]) -> tuple[list[JobFile], list[str]]:
    """The places of jobs that a person names, and the names that are none of theirs.

    Args:
        files: what there is.
        wanted: names, or patterns such as ``lr0.1*``.
    """
    plain = {name for name in wanted if not _PATTERN.search(name)}
    patterns = [name for name in wanted if name not in plain]
    missing = set(wanted)
    found = []
    for file in files:
        called = {file.job.name, file.file}
        by = (called & plain) | {p for p in patterns if fnmatch.fnmatchcase(file.job.name, p)}
        # A file may be named like a pattern.
        by |= called & set(patterns)
        if by:
            found.append(file)
            missing -= by
    return found, [name for name in wanted if name in missing]


def missed(
    share: Share,
    missing: Collection[str],
    what: str,
    state: Callable[[JobFile], str] = lambda place: place.state,
) -> ConfigurationError:
    """What to tell somebody who named a job that is not where it would have to be.

    Args:
        share: the queue.
        missing: the names, one at least.
        what: which jobs were asked for, such as ``failed``.
        state: what a person calls the state of a job, and perhaps what helps then.
    """
    name = next(iter(missing))
    more = f" (nor are {len(missing) - 1:,} others)" if len(missing) > 1 else ""
    if _PATTERN.search(name):
        text = f"no {what} job is like {name!r}{more}"
    else:
        places = locate(share, name) if unsafe_name(name) is None else []
        where = " and ".join(state(place) for place in places if entry_at(share, place))
        text = f"job {name!r} is not {what}{more}: "
        if where:
            text += f"it is {where}"
        else:
            known = _traces(share, name) if unsafe_name(name) is None else ""
            text += f"this queue has no job of that name{f' ({known})' if known else ''}"
    return ConfigurationError(f"{text}; nothing was changed.")


def unknown(share: Share, name: str, command: str, more: str = "") -> ConfigurationError:
    """What to tell somebody who asks for one job, by a name that none has; up to five requests.

    Args:
        share: the queue.
        name: that was asked for.
        command: what takes one job.
        more: what else is known of it.
    """
    if _PATTERN.search(name) and (like := _like(share, lambda job: fnmatch.fnmatchcase(job, name))):
        are = "is" if len(like) == 1 else "are"
        return ConfigurationError(
            f"{command} takes one job; {len(like):,} {are} like {name!r}, such as {like[0]!r}."
        )
    known = "; ".join(filter(None, (_traces(share, name), more)))
    return ConfigurationError(
        f"this queue has no job {name!r}{f' ({known})' if known else ''}; `dirjobs list` tells."
    )


def _traces(share: Share, name: str) -> str:
    """What may be meant by a name that no job has; up to five requests."""
    if share.exists(f"{TRASH}/{name}"):
        return f"it was removed: its file is {f'{TRASH}/{name}'!r}"
    jobs = _like(share, lambda job: job != name)
    like = [job for job in jobs if os.path.splitext(job)[0] == name]
    if not like and len(jobs) <= _FEW:
        like = difflib.get_close_matches(name, jobs, 1, _CLOSE)
    return f"did you mean {like[0]!r}?" if like else ""


def _like(share: Share, wanted: Callable[[str], bool]) -> list[str]:
    """The names of jobs that are wanted, in natural order; four requests."""
    folders = (WAITING, RUNNING, DONE, FAILED)
    names = {file.job.name for folder in folders for file in share.jobs_in(folder)}
    return sorted(filter(wanted, names), key=natural_key)


def locate(share: Share, job: str) -> list[JobFile]:
    """Every place where a job of this name is; five requests, eight if it is nowhere else
    than half way from one folder to another.

    Raises:
        StoreError: that can't be found out.
    """
    found = [
        JobFile(folder, job, Entry(job))
        for folder in (WAITING, DONE, FAILED)
        if share.exists(f"{folder}/{job}")
    ]
    for folder in (RUNNING, PARKED):
        found += [file for file in share.jobs_in(folder) if file.job.name == job]
    if not found:
        for folder in (WAITING, DONE, FAILED):
            found += [file for file in share.jobs_in(folder) if file.job.name == job]
    return found


def entry_at(share: Share, file: JobFile) -> Entry | None:
    """Size and mtime of a file, as its folder lists it; None if what is there is no file, and so
    no job."""
    for entry in share.list(file.folder):
        if entry.name == file.file:
            is_job = entry.kind is FileKind.FILE
            return Entry(file.job.name, entry.mtime, entry.size) if is_job else None
    return file.job


def underway(waiting: Iterable[JobFile], running: Iterable[JobFile]) -> list[JobFile]:
    """What somebody has, or moves to or from ``01_running``, of the jobs in ``00_waiting`` and
    ``01_running``.

    A second file of such a job stays where it is: by one that is done others see that a late
    copy of it must not run.
    """
    return [*running, *(file for file in waiting if file.staged)]


def at_rest(files: Iterable[JobFile], underway: Iterable[JobFile]) -> list[JobFile]:
    """Those of some files of whose jobs none is among `underway`."""
    busy = {key(file.job.name) for file in underway}
    return [file for file in files if key(file.job.name) not in busy]


def unchanged(parts: Parts, files: Collection[JobFile]) -> list[JobFile]:
    """Those of some files, listed before, that are no copies still growing.

    Where a rename is copy and delete, a file counts as whole if its size is the same in two
    listings; that costs a pause, and one listing for each folder.
    """
    if parts.me.trusts or not files:
        return [*files]
    parts.share.sleep(max(parts.me.policy.wait, GROWING_PAUSE))
    sizes = {
        file.path: file.job.size
        for folder in {file.folder for file in files}
        for file in parts.share.jobs_in(folder)
    }
    whole = []
    for file in files:
        if file.path not in sizes:
            continue  # it has ended meanwhile
        if differ(sizes[file.path], file.job.size):
            log.warning("%r still changes; it is left alone, try again", file.path)
        else:
            whole.append(file)
    return whole
