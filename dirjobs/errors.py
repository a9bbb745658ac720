"""What can go wrong, named by what the caller may do next.

The store errors answer one question: *may I send this again?*  A backend translates
every native error into one of them and keeps the native one as ``__cause__``.  What a
backend does not know is ambiguous, never "failed".

====================  =========  =====================================================
error                 executed   what the caller does
====================  =========  =====================================================
`NotFound`            no [1]_    takes the file for gone (a job: for somebody else's)
`AlreadyExists`       no         takes another name
`Denied`              no         tells the user; a worker tries other jobs
`LogonRefused`        no         tells the user: accounts get locked
`Busy`, `NoSpace`     no         waits until somebody closes the file, or makes room
`Unsupported`         no         gives up, or goes another way
`Unavailable`         no         sends it again, after a pause
`AmbiguousResult`     not known  looks at what is there; never sends a rename again first
====================  =========  =====================================================

.. [1] of a rename only where `Guarantees.final_refusals` says so; else the caller looks.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sized
from contextlib import contextmanager
from typing import ClassVar


class StoreError(OSError):
    """A store could not do what it was asked; the base of the errors below."""


class NotFound(StoreError, FileNotFoundError):
    """The store said: there is no such file or folder.  Nothing was changed."""


class AlreadyExists(StoreError, FileExistsError):
    """The destination is there already.  Nothing was changed."""


class Denied(StoreError, PermissionError):
    """The store understood and refused (rights, quota, read-only).  Nothing was changed."""


class LogonRefused(Denied):
    """The store does not take the user, the password or the token: accounts get locked."""


class Busy(Denied):
    """Somebody has the file open or locked just now.  Nothing was changed; try later."""


class TooLarge(Denied):
    """The store takes no file of this size, a smaller one it may take; or a file to be read at
    once is larger than any of ours."""


class NoSpace(Denied):
    """There is no room left (disk full, quota used up): try again when somebody made some."""


class Unsupported(StoreError):
    """This store or this server cannot do it at all; trying again is pointless."""


class Unavailable(StoreError):
    """Surely not executed (refused, throttled, in maintenance): repeat freely.

    Args:
        retry_after: seconds the store asked us to wait, if it named any; five minutes at most
            are heeded, whatever a proxy says.
    """

    LONGEST_RETRY_AFTER: ClassVar[float] = 300.0

    def __init__(self, *args: object, retry_after: float | None = None) -> None:
        super().__init__(*args)
        if retry_after is not None:
            # max first: what is no number at all becomes 0.
            retry_after = min(max(0.0, retry_after), self.LONGEST_RETRY_AFTER)
        self.retry_after = retry_after


class AmbiguousResult(StoreError):
    """It may or may not have happened, or may still happen: look, never repeat blindly."""


class FileStays(AmbiguousResult):
    """A file is still where it was after several renames, each answered neither by yes nor by
    no.  The store answers, so this is about the file: go on with the others."""


class JobsRefused(Denied):
    """The store does not let some jobs be moved; the others were.  Of a worker: jobs are
    waiting, and it can have none of them."""

    @classmethod
    def of(cls, jobs: Mapping[str, StoreError], what: str) -> JobsRefused:
        """The error about `jobs`, by what the store said of each.

        Args:
            jobs: one at least.
            what: became of none of them, such as ``taken``.
        """
        name, error = min(jobs.items())
        such_as = "" if len(jobs) == 1 else "such as "
        number = "1 job" if len(jobs) == 1 else f"{len(jobs):,} jobs"
        refusal = cls(f"{number} could not be {what}, {such_as}{name!r}: {error}")
        refusal.__cause__, refusal.errno = error, error.errno
        return refusal


TRANSIENT_ERRORS = (Unavailable, AmbiguousResult, Busy)
"""What passes: the store can't be reached, or somebody has the file open."""


class DirJobsError(Exception):
    """The base of the errors that are about the queue and not about its store."""


class ConfigurationError(DirJobsError, ValueError):
    """Something the user gave is not right; the message says what, and what to do."""


class InvalidName(ConfigurationError):
    """A job name that some backend could not carry safely."""


class JobExists(DirJobsError, FileExistsError):
    """``add`` was given a name that is in one of the queue's folders already."""


class WorkerIdInUse(ConfigurationError):
    """Another live worker goes by this id."""


class ClaimLost(DirJobsError):
    """The claim is not ours any more: the caller must discard its result."""


class FilesRefused(DirJobsError):
    """The files that came of a job could not be stored: it has failed for that, and they are kept
    on this machine."""


class JobClosed(DirJobsError):
    """The job was finished or given back already; a claim ends only once."""


def and_more(told: Sized) -> str:
    """What follows the first of several things, of which only that one is told."""
    return f" (and {len(told) - 1} more)" if len(told) > 1 else ""


@contextmanager
def named_in_errors(path: str) -> Iterator[None]:
    """Let the operating system's error at a read or a write say which file it is about, as that
    at an opening does, and that it is a folder, for which Windows only denies access."""
    try:
        yield
    except PermissionError as error:
        if os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path) from error
        error.filename = error.filename or path
        raise
    except OSError as error:
        error.filename = error.filename or path
        raise
