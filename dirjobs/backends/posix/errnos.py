"""The operating system's errors, told by what the caller may do next."""

from __future__ import annotations

import errno
import os
import sys

from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    Busy,
    Denied,
    NoSpace,
    NotFound,
    StoreError,
    TooLarge,
    Unavailable,
    Unsupported,
)

# What the system surely did not do, by errno.  Whatever is missing here is ambiguous: EIO
# (davfs2's answer to the loser of a race), ETIMEDOUT, ESTALE, a FUSE daemon that died, ...
ERRORS: dict[int, type[StoreError]] = {
    errno.ENOENT: NotFound,
    errno.ENOTDIR: NotFound,
    errno.EEXIST: AlreadyExists,
    errno.ENOTEMPTY: AlreadyExists,
    errno.EACCES: Denied,
    errno.EPERM: Denied,
    errno.EROFS: Denied,
    errno.ENOSPC: NoSpace,
    errno.EDQUOT: NoSpace,
    errno.EFBIG: TooLarge,
    errno.EISDIR: Denied,
    errno.ELOOP: Denied,  # O_NOFOLLOW met a symbolic link
    errno.ENXIO: Denied,  # a FIFO or a socket
    errno.EBUSY: Busy,
    errno.ETXTBSY: Busy,
    errno.EXDEV: Unsupported,
    errno.ENAMETOOLONG: Unsupported,
    errno.EILSEQ: Unsupported,
    errno.EINVAL: Unsupported,
    errno.ENOSYS: Unsupported,
    errno.EOPNOTSUPP: Unsupported,
    errno.EMFILE: Unavailable,
    errno.ENFILE: Unavailable,
    errno.ENOMEM: Unavailable,
}
SENTENCES = {
    errno.EXDEV: "the two folders are on different file systems; all folders of a queue"
    " must be on one",
    errno.ELOOP: "it is a symbolic link, and links are not followed",
    errno.ENXIO: "it is not a regular file",
}
if sys.platform == "win32":
    SENTENCES[errno.EBUSY] = "another program has it open, or it may not be changed; try later"
    SENTENCES[errno.EIO] = "its server or its disk can't be reached, or failed at it"


_OF_WINDOWS = {
    32: errno.EBUSY,  # ERROR_SHARING_VIOLATION
    33: errno.EBUSY,  # ERROR_LOCK_VIOLATION
    39: errno.ENOSPC,  # ERROR_HANDLE_DISK_FULL
    123: errno.EILSEQ,  # ERROR_INVALID_NAME
    161: errno.EILSEQ,  # ERROR_BAD_PATHNAME
    206: errno.ENAMETOOLONG,  # ERROR_FILENAME_EXCED_RANGE
    267: errno.ENOTDIR,  # ERROR_DIRECTORY
    1295: errno.EDQUOT,  # ERROR_DISK_QUOTA_EXCEEDED
}
"""What surely changed nothing, of what Python has no better name for."""
_OUTAGES = frozenset(
    {
        15,  # ERROR_INVALID_DRIVE
        20,  # ERROR_BAD_UNIT
        21,  # ERROR_NOT_READY
        22,  # ERROR_BAD_COMMAND
        23,  # ERROR_CRC
        24,  # ERROR_BAD_LENGTH
        25,  # ERROR_SEEK
        26,  # ERROR_NOT_DOS_DISK
        27,  # ERROR_SECTOR_NOT_FOUND
        29,  # ERROR_WRITE_FAULT
        30,  # ERROR_READ_FAULT
        31,  # ERROR_GEN_FAILURE
        34,  # ERROR_WRONG_DISK
        53,  # ERROR_BAD_NETPATH
        67,  # ERROR_BAD_NET_NAME
        83,  # ERROR_FAIL_I24
    }
)
"""A server or a device that is away, or failed at it, which Python calls ENOENT or EACCES."""


def refusal(code: int, what: str) -> StoreError:
    """The error for errno `code`, saying that it is about `what`."""
    error = ERRORS.get(code, AmbiguousResult)(f"{what}: {SENTENCES.get(code) or os.strerror(code)}")
    error.errno = code
    return error


def errno_of(error: OSError) -> int:
    """The errno of an error, made trustworthy on Windows.

    Python turns every Windows error that it has no name for into EINVAL, lost
    connections included; only a few of those surely changed nothing.  Of a server that
    is away it says that there is no such file, of a device that fails, that access is denied.
    """
    code = error.errno or errno.EIO
    winerror = getattr(error, "winerror", None)
    if winerror in _OF_WINDOWS:
        return _OF_WINDOWS[winerror]
    if winerror in _OUTAGES or (winerror is not None and code == errno.EINVAL):
        return errno.EIO
    return code
