"""One claimed job, as the user sees it."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import BinaryIO, Protocol, Self, TypeVar

from dirjobs.errors import ClaimLost, JobClosed
from dirjobs.layout import DONE, FAILED
from dirjobs.protocol.exits import Claim
from dirjobs.protocol.journal import Details
from dirjobs.store import Entry, split

T = TypeVar("T")


class Handle(Protocol):
    """What a job asks of the queue that it was claimed from."""

    @property
    def is_here(self) -> bool:
        """Whether this process claimed the job, and not one that forked it."""

    def full_path(self, path: str) -> str:
        """A path inside the queue, in the spelling that the user gave."""

    def local_path(self, path: str) -> str | None:
        """The same as a path of this machine; None if it can't be opened so."""

    def require_file(self, path: str) -> None:
        """Refuse what is there and is no regular file."""

    def in_full(self, claim: Claim) -> Entry:
        """The job of a claim, with its mtime and size."""

    def read(self, claim: Claim) -> bytes:
        """The whole content of a claimed job."""

    def download(self, claim: Claim, target: BinaryIO) -> None:
        """Copy the content of a claimed job into `target`, in pieces."""

    def still_holds(self, claim: Claim) -> bool:
        """Whether a claim is there, and nobody had a reason to take us for dead."""

    def finish(self, claim: Claim, folder: str, reason: str, details: Details) -> None:
        """Move a claim to ``02_done`` or ``99_failed``."""

    def release(self, claim: Claim, details: Details) -> bool:
        """Give a claim back; False if it was not there any more."""


class Job:
    """A job that this worker has claimed.

    Use it in a ``with`` block (done at its end, failed on an exception, given back on
    Ctrl-C), or call `done`, `failed` or `release` yourself, once.  Only the process that
    claimed it can end it: a forked child that leaves a ``with`` block of its parent's leaves
    the job alone.

    Attributes:
        details: what the journal's record of this attempt is to say beyond what the queue
            knows; see `Details`.
    """

    def __init__(self, queue: Handle, claim: Claim) -> None:
        self.details = Details()
        self._queue = queue
        self._claim = claim
        self._ended = ""

    # -- what it is -----------------------------------------------------------------------

    def name(self) -> str:
        """The job's file name, such as ``job1.txt``."""
        return self._claim.job.name

    def name_woext(self) -> str:
        """The job's file name without its extension."""
        return os.path.splitext(self._claim.job.name)[0]

    def full_name(self) -> str:
        """The name of the claim, such as ``w1.job1.txt``."""
        return split(self._claim.path)[1]

    def path(self) -> str:
        """Where the claimed file is: a path or URL in the spelling given to `DirJobs`.

        Raises:
            Denied: it is no regular file: somebody has exchanged it for a link or a FIFO since
                it was listed.
        """
        self._queue.require_file(self._claim.path)
        return self._queue.full_path(self._claim.path)

    def local_path(self) -> str | None:
        """The claimed file as a path of this machine; None if it can't be opened so.

        Raises:
            Denied: as `path`.
        """
        self._queue.require_file(self._claim.path)
        return self._queue.local_path(self._claim.path)

    def size(self) -> int | None:
        """Bytes, as listed when the job was claimed, or now if that listing had only names;
        None if the store doesn't tell."""
        if self._claim.job.size is not None:
            return self._claim.job.size
        return self._queue.in_full(self._claim).size

    # -- its content ----------------------------------------------------------------------

    def read_bytes(self) -> bytes:
        """The whole content.  While the store can't be reached it waits.

        Raises:
            AmbiguousResult: it stays shorter, or longer, than the store lists it.
            StoreError: it can't be read.
        """
        return self._queue.read(self._claim)

    def read_text(self, encoding: str = "utf-8") -> str:
        """The whole content as text.

        Raises:
            StoreError: it can't be read.
            UnicodeDecodeError: it is no such text.
        """
        return self.read_bytes().decode(encoding)

    def download(self, target: BinaryIO) -> None:
        """Copy the content into an open binary file, in pieces.

        A short outage of the store is waited for if `target` can be rewound, and
        what comes in another length than the file has is fetched again.

        Raises:
            AmbiguousResult: it stays shorter, or longer, than the store lists it.
            StoreError: it can't be read.
        """
        self._queue.download(self._claim, target)

    def still_mine(self) -> bool:
        """Whether the claim is still there, asked afresh: before a side effect that can't
        be taken back, such as an e-mail.

        Returns:
            False if the job was ended, if the claim is gone, if this worker's heartbeat
            had so long a gap that others may have taken it for dead, or in a forked child.

        Raises:
            StoreError: the store refuses; while it can't be reached this waits.
        """
        return not self._ended and self._queue.still_holds(self._claim)

    # -- its end --------------------------------------------------------------------------

    def done(self) -> None:
        """Move the job to ``02_done``.

        Raises:
            ClaimLost: the claim is gone; another worker may have the job, so discard the
                result.
            JobClosed: the job was ended before, is being ended by another thread, or is a
                forked child's parent's.
            StoreError: not known; call it again.
        """
        self._end("done", self._queue.finish, DONE, "", self.details)

    def failed(self, reason: str = "") -> None:
        """Move the job to ``99_failed``.

        Args:
            reason: why, for the person who looks; kept in ``_queue/attempts`` and in the journal.

        Raises:
            ClaimLost, JobClosed, StoreError: as `done`.
        """
        self._end("failed", self._queue.finish, FAILED, reason, self.details)

    def release(self) -> bool:
        """Give the job back to ``00_waiting``, for any worker.

        Returns:
            False if the claim was not there any more: somebody else has the job, or had it.

        Raises:
            JobClosed: as `done`.
            StoreError: not known; call it again.
        """
        return self._end("given back", self._queue.release, self.details)

    def _end(self, how: str, end: Callable[..., T], *arguments: object) -> T:
        if self._ended:
            raise JobClosed(
                f"job {self.name()!r} was {self._ended} already: call done(), failed() or"
                " release() once."
            )
        try:
            result = end(self._claim, *arguments)
        except ClaimLost:
            self._ended = "lost"
            raise
        self._ended = how
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._ended or not self._queue.is_here:
            return
        if error is None:
            self.done()
        elif isinstance(error, Exception):
            self.failed(f"{type(error).__name__}: {error}")
        else:
            self.release()

    def __str__(self) -> str:
        return f"Job({self._queue.full_path(self._claim.path)})"

    def __repr__(self) -> str:
        state = f", {self._ended}" if self._ended else ""
        return (
            f"<Job {self.name()!r} claimed as {self._queue.full_path(self._claim.path)!r}{state}>"
        )
