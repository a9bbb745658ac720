"""One claimed job, as the user sees it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, Self, TypeVar

from dirjobs.errors import ClaimLost, ConfigurationError, FilesRefused, JobClosed
from dirjobs.files.parameters import LARGEST_JOB, object_of
from dirjobs.layout import DONE, FAILED
from dirjobs.protocol.exits import Claim
from dirjobs.protocol.journal import Details
from dirjobs.store import Entry, split
from dirjobs.typed import plain

if TYPE_CHECKING:
    from dirjobs.files.attempt import AttemptFiles

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

    def files(self, claim: Claim, details: Details) -> AttemptFiles:
        """What takes in files, a log and checkpoints of an attempt; no request."""

    def refuse_elsewhere(self, claim: Claim) -> None:
        """Refuse to go on with a claim in a process that did not make it."""


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
        self._params: dict[str, Any] | None = None
        self._files: AttemptFiles | None = None

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

    @property
    def params(self) -> dict[str, Any]:
        """The parameters: what the JSON object in the job's file has, such as that of a job of
        `DirJobs.add_sweep`.  Read once.

        Raises:
            ConfigurationError: the file is no JSON object of at most 1 MiB.
            StoreError: it can't be read.
        """
        if self._params is None:
            small = (self.size() or 0) <= LARGEST_JOB
            record = object_of(self.read_bytes()) if small else None
            if record is None:
                raise ConfigurationError(
                    f"job {self.name()!r} has no parameters, since its file is no JSON object of"
                    " at most 1 MiB: read it by read_bytes(), read_text() or path()."
                )
            self.details.params = record
            self._params = plain(record)
        return self._params

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

    # -- what comes of it -----------------------------------------------------------------

    @property
    def out(self) -> Path:
        """A folder of this machine, for files that come of the job: what is in there when the job
        is done or failed is brought to ``results/<job>/<worker>/`` in the queue before.  It is
        made when it is asked for the first time, and removed when its files are stored.

        Raises:
            JobClosed: the job was ended before, or is a forked child's parent's.
            ConfigurationError, OSError: this machine has no place for it.
        """
        return self._open_files().out

    def result(self, values: Mapping[str, Any]) -> None:
        """Give the row that the job has in the table of results.  It is ``result.json`` in `out`,
        and in the record of the attempt if it has at most 8 KiB.  Called again it replaces what
        it was.

        Args:
            values: by name; what JSON knows, and numbers of NumPy.

        Raises:
            ConfigurationError: JSON doesn't know it.
            JobClosed, OSError: as `out`.
        """
        self._open_files().result(values)

    def log(self, text: str) -> None:
        """Add a line to the job's log, which `dirjobs logs` shows: ``logs/<job>.<worker>.log`` in
        the queue.  It is written there when the job ends, and before that with the first line
        that comes half a minute or more after the latest time.

        Args:
            text: may have several lines.

        Raises:
            JobClosed, ConfigurationError, OSError: as `out`.
        """
        self._open_files().log(text)

    def progress(self, fraction: float) -> None:
        """Tell how far the job is: a line of its log, such as ``40 %``, each time that another
        percent is done.  `dirjobs watch` shows the last line.

        Args:
            fraction: from 0 to 1.

        Raises:
            ConfigurationError: `fraction` is something else.
            JobClosed, OSError: as `out`.
        """
        self._open_files().progress(fraction)

    @property
    def keep(self) -> Path:
        """A folder of this machine whose content follows the job: when it is asked for the first
        time it has what an earlier attempt kept, on whichever machine.  It is saved by
        `checkpoint`, and when the job fails or is given back; when the job is done it goes.

        Raises:
            JobClosed, ConfigurationError, OSError: as `out`.
            StoreError: the share can't be reached, and is waited for no longer.
        """
        return self._open_files().keep

    def checkpoint(self) -> None:
        """Bring what is in `keep` to the share, if it has changed and the job is still ours: what
        the next attempt finds if this one is killed.  If the share can't be reached now, that is
        logged, and the next checkpoint has to do.

        Raises:
            JobClosed: as `out`.
        """
        self._open_files().checkpoint()

    def _open_files(self) -> AttemptFiles:
        if self._ended:
            raise self._closed()
        self._queue.refuse_elsewhere(self._claim)
        if self._files is None:
            self._files = self._queue.files(self._claim, self.details)
        return self._files

    # -- its end --------------------------------------------------------------------------

    def done(self) -> None:
        """Move the job to ``02_done``, after what is in `out`, and its log, were stored.

        Raises:
            ClaimLost: the claim is gone; another worker may have the job, so discard the
                result.
            FilesRefused: what is in `out` could not be stored: the job has failed for that, and
                the files are kept on this machine for `dirjobs deliver`.
            JobClosed: the job was ended before, is being ended by another thread, or is a
                forked child's parent's.
            StoreError: not known; call it again.
        """
        if refusal := self._hand_in(None):
            self._end("failed", self._queue.finish, FAILED, refusal, self.details)
            raise FilesRefused(f"job {self.name()!r} failed: {refusal}")
        self._end("done", self._queue.finish, DONE, "", self.details)

    def failed(self, reason: str = "") -> None:
        """Move the job to ``99_failed``.

        Args:
            reason: why, for the person who looks; kept in ``_queue/attempts`` and in the journal.

        Raises:
            ClaimLost, JobClosed, StoreError: as `done`.
        """
        reason = self._hand_in(reason)
        self._end("failed", self._queue.finish, FAILED, reason, self.details)

    def release(self) -> bool:
        """Give the job back to ``00_waiting``, for any worker.

        Returns:
            False if the claim was not there any more: somebody else has the job, or had it.

        Raises:
            JobClosed: as `done`.
            StoreError: not known; call it again.
        """
        if self._files is not None and not self._ended:
            self._queue.refuse_elsewhere(self._claim)
            self._files.give_back()
        return self._end("given back", self._queue.release, self.details)

    def _closed(self) -> JobClosed:
        return JobClosed(
            f"job {self.name()!r} was {self._ended} already: call done(), failed() or release()"
            " once."
        )

    def _hand_in(self, reason: str | None) -> str:
        """Bring files and log to the share; see `AttemptFiles.hand_in`."""
        files = self._files
        if files is None or self._ended:
            return reason or ""
        self._queue.refuse_elsewhere(self._claim)
        try:
            return files.hand_in(reason)
        except ClaimLost as lost:
            self._ended = "lost"
            self._queue.release(self._claim, self.details)  # else our heartbeat goes on naming it
            raise self._lost(lost, is_done=reason is None) from lost

    def _lost(self, lost: ClaimLost, *, is_done: bool) -> ClaimLost:
        """The end of the files of a claim that is gone: results that were finished are kept on
        this machine, where a person may look at them."""
        files = self._files
        if files is None:
            return lost
        kept = files.kept() if is_done else ""
        files.close()
        return ClaimLost(f"{lost}  {kept}") if kept else lost

    def _end(self, how: str, end: Callable[..., T], *arguments: object) -> T:
        if self._ended:
            raise self._closed()
        try:
            result = end(self._claim, *arguments)
        except ClaimLost as lost:
            self._ended = "lost"
            raise self._lost(lost, is_done=how == "done") from None
        self._ended = how
        if self._files is not None:
            if how == "done":
                self._files.forget_checkpoints()
            self._files.close()
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
