"""Renaming a local file without ever replacing another: one call of the system.

Python's ``os.rename`` replaces on POSIX, so the native call is made through ctypes.
Every function here takes two encoded paths, and the open folders that these begin in, and
returns 0 or an errno: that is a third of the price of an exception, and losing a race is not
exceptional.  No types are declared to ctypes: it passes bytes and integers as they are, and a
call is 0.3 us cheaper.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from typing import Protocol

from dirjobs import local_files
from dirjobs.backends.posix import windows
from dirjobs.backends.posix.errnos import errno_of

AT_FDCWD = -2 if sys.platform == "darwin" else -100
"""Stands for the working directory where an open folder is asked for."""


class Rename(Protocol):
    """Renames `src`, which begins in the open folder `at`, to `dst`, which begins in `to`."""

    def __call__(self, src: bytes, dst: bytes, at: int = ..., to: int = ..., /) -> int: ...


RENAME_NOREPLACE = 1  # linux/fs.h
RENAME_EXCL = 4  # sys/stdio.h on macOS

NOT_HERE = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
"""The kernel or the file system does not know how to rename without replacing."""

CLAIM_PATIENCE = 0.01
"""`local_files.PATIENCE` for a claim: rivals hold a file for less than that, and with whoever holds
it for longer the other jobs need not wait."""


def native() -> Rename | None:
    """The system's own rename that refuses to replace; None if it has none."""
    if sys.platform == "linux":
        return _renameat2()
    if sys.platform == "darwin":
        return _renameatx_np()
    if sys.platform == "win32":
        return refusing_rename
    return None


def _renameat2() -> Rename | None:
    library = ctypes.CDLL(None, use_errno=True)
    try:
        call = library.renameat2
    except AttributeError:  # a C library from before 2018
        return None
    get_errno = ctypes.get_errno

    def rename(src: bytes, dst: bytes, at: int = AT_FDCWD, to: int = AT_FDCWD) -> int:
        return get_errno() if call(at, src, to, dst, RENAME_NOREPLACE) else 0

    return rename


def _renameatx_np() -> Rename | None:
    library = ctypes.CDLL(None, use_errno=True)
    try:
        call = library.renameatx_np
    except AttributeError:  # before macOS 10.12
        return None
    get_errno = ctypes.get_errno

    def rename(src: bytes, dst: bytes, at: int = AT_FDCWD, to: int = AT_FDCWD) -> int:
        return get_errno() if call(at, src, to, dst, RENAME_EXCL) else 0

    return rename


def look_first(src: bytes, dst: bytes, at: int = AT_FDCWD, to: int = AT_FDCWD) -> int:
    """Rename unless `dst` is seen: the best there is without help from the system.

    Somebody may put `dst` there between the look and the rename, so a store that uses
    this doesn't promise `no_replace`.
    """
    source, target = None if at == AT_FDCWD else at, None if to == AT_FDCWD else to
    try:
        os.lstat(dst, dir_fd=target)
    except FileNotFoundError:
        pass
    except OSError as error:
        return error.errno or errno.EIO
    else:
        return errno.EEXIST
    try:
        os.rename(src, dst, src_dir_fd=source, dst_dir_fd=target)
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def refusing_rename(src: bytes, dst: bytes, at: int = AT_FDCWD, to: int = AT_FDCWD) -> int:  # noqa: ARG001
    """Rename on Windows, which knows no open folders; who holds the file is waited for."""
    return _patient_rename(src, dst, local_files.PATIENCE)


def claiming_rename(src: bytes, dst: bytes) -> int:
    """The same, for a worker that may have another file as well: `errno.EBUSY` at once if somebody
    holds this one.

    "Access denied" is the same to it: said of a file that is being deleted or scanned, it passes,
    and a worker that has tried all jobs tells what it knows.
    """
    code = _patient_rename(src, dst, CLAIM_PATIENCE)
    return errno.EBUSY if code == errno.EACCES else code


def _patient_rename(src: bytes, dst: bytes, patience: float) -> int:
    kernel = windows.SYSTEM
    assert kernel is not None
    one, other = os.fsdecode(src), os.fsdecode(dst)
    try:
        local_files.patiently(lambda: windows.rename(kernel, one, other), patience)
    except OSError as error:
        return errno_of(error)
    return 0
