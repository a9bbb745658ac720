"""What a command has left in ``$DIRJOBS_OUT``, whatever that is."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import islice
from typing import BinaryIO, NamedTuple

from dirjobs import local_files
from dirjobs.backends.posix import windows
from dirjobs.backends.posix.paths import extended
from dirjobs.layout import names_in_turn

_SHALLOW = 100
"""Folders inside each other that Python's own functions cope with for sure."""


class NotAFile(OSError):
    """A link, a folder, a FIFO or a device where a file was to be read."""


class Found(NamedTuple):
    """One name in a folder of results.

    Attributes:
        path: in the folder, with ``/``.
        left_out: why it is no result; empty for a file.
        missing: why what is in it can't be had; empty for a file.
        twin: another file that only has other capitals, or other accents: some shares don't
            tell the two apart.
        otherwise: the path for a share that doesn't.
    """

    path: str
    left_out: str = ""
    missing: str = ""
    twin: str = ""
    otherwise: str = ""


def files_in(folder: str) -> Iterator[str]:
    """The files in a local folder and its sub-folders, as paths in it with ``/``."""
    return (found.path for found in contents(folder) if not (found.left_out or found.missing))


def contents(folder: str) -> Iterator[Found]:
    """All that is in a local folder and its sub-folders.

    What a link to a file points to counts as a file; links to folders and into ``/proc``, and
    what is neither file nor folder, is left out.
    """
    above = [""]
    while above:
        inside = above.pop()
        try:
            with os.scandir(os.path.join(folder, inside)) as entries:
                here = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            yield Found(inside or ".", missing=error.strerror or str(error))
            continue
        folders, folded = [], {_folded(entry.name): "" for entry in here}
        for entry in here:
            path = f"{inside}/{entry.name}" if inside else entry.name
            why = ""
            with suppress(OSError):
                if _is_folder(entry):
                    folders.append(path)
                    continue
                why = _why_left_out(entry)
            if why:
                yield Found(path, left_out=why)
                continue
            twin = folded[_folded(entry.name)]
            if not twin:
                folded[_folded(entry.name)] = path
                yield Found(path)
                continue
            names = islice(names_in_turn(entry.name), 1, None)
            other = next(name for name in names if _folded(name) not in folded)
            folded[_folded(other)] = path
            yield Found(path, twin=twin, otherwise=path.removesuffix(entry.name) + other)
        above += reversed(folders)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder itself, and no link to one."""
    return entry.is_dir(follow_symlinks=False) and not _is_junction(entry)


def _is_junction(entry: os.DirEntry[str]) -> bool:
    with suppress(OSError):  # its path is too long, or it went away: who lists it is told
        return local_files.is_junction(entry.stat(follow_symlinks=False))
    return False


def _folded(name: str) -> str:
    """What is the same for names that some file system takes for one."""
    return unicodedata.normalize("NFC", name).casefold()


def _why_left_out(entry: os.DirEntry[str]) -> str:
    with suppress(OSError):  # a link to nothing
        if _tells_of_its_reader(entry.stat()):
            return "it is a link into /proc"
    if entry.is_file():
        return ""
    if not (entry.is_symlink() or _is_junction(entry)):
        return "it is no file"
    return "it is a link to a folder" if entry.is_dir() else "it is a link to no file"


@cache
def _proc() -> int | None:
    """The device number of Linux' file system that tells of processes; None if there is none."""
    if sys.platform == "win32":  # where that is a path of some drive
        return None
    try:
        return os.stat("/proc/self/environ").st_dev
    except OSError:
        return None


def _tells_of_its_reader(status: os.stat_result) -> bool:
    """Whether a file is one of ``/proc``: ``/proc/self`` is of whoever reads it, here of the
    worker, whose environment has the login of the share, which the command did not see."""
    return status.st_dev == _proc()


def opened(path: str, *, follow: bool = True) -> BinaryIO:
    """A local file to be read, if it is one: nothing else is waited for.

    Args:
        path: of the file.
        follow: what a link points to will do.

    Raises:
        NotAFile: it is none.
        OSError: it can't be read.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if not follow:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    kernel = windows.SYSTEM
    try:
        if kernel is None:
            handle = os.open(path, flags)
        else:  # whoever reads keeps nobody from claiming or ending a job
            handle = windows.sharing_open(
                kernel, extended(os.path.abspath(path)), flags, follow=follow
            )
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise NotAFile(f"{path!r} is no regular file") from error
        raise
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or _tells_of_its_reader(status):
        os.close(handle)
        raise NotAFile(f"{path!r} is no regular file")
    return open(handle, "rb")


def remove(folder: str) -> None:
    """Remove a local folder with all that is in it, as far as the system lets us."""
    while True:
        try:
            return shutil.rmtree(folder, ignore_errors=True)
        except RecursionError:
            while _make_shallow(folder):
                pass


def _make_shallow(folder: str) -> int:
    """Move up what lies deep in a folder; how much that was."""
    above = [(folder, 0)]
    moved = number = 0
    while above:
        place, depth = above.pop()
        with os.scandir(place) as entries:
            folders = [entry.path for entry in entries if _is_folder(entry)]
        for path in folders:
            if depth < _SHALLOW:
                above.append((path, depth + 1))
                continue
            while os.path.lexists(target := os.path.join(folder, f"deep-{number}")):
                number += 1
            local_files.replace(path, target)
            moved += 1
    return moved
