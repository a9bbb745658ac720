"""The folder on this machine in which one attempt at a job works.

It is there before the command starts, and goes when all that came of the command is on the
share: whatever ends the worker, no finished result goes with it.

    <scratch>/w1-k3x9q2/
        note.json     which job of which queue, and how the command ended
        results/      $DIRJOBS_OUT
        log           what the command printed, once it has ended
        job/          the job's file, fetched from a share without local paths
        lock          locked while a process works here
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec

from dirjobs import local_files
from dirjobs.backends.posix.errnos import errno_of
from dirjobs.errors import ConfigurationError, named_in_errors
from dirjobs.files import leftovers
from dirjobs.names import local_problem
from dirjobs.protocol.records import decode
from dirjobs.protocol.share import Share
from dirjobs.recovery.process import Process, is_surely_gone, this_process
from dirjobs.redaction import redacted
from dirjobs.shell import quoted

SCRATCH_VARIABLE = "DIRJOBS_SCRATCH"
"""Names the folder of all workspaces."""

_NOTE, _RESULTS, _LOG, _JOB, _LOCK = "note.json", "results", "log", "job", "lock"


def scratch_folder() -> str:
    """Where workspaces are if nobody names a place: never where a system tidies up.

    The same on macOS as on Linux: its own place for this has a space in its name, and commands
    may write ``$DIRJOBS_OUT`` without quotes.

    Raises:
        ConfigurationError: this user has no home.
    """
    named = os.environ.get(SCRATCH_VARIABLE)
    if named:
        return os.path.abspath(named)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.expanduser(r"~\AppData\Local")
    else:
        base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    if not os.path.isabs(base):
        raise ConfigurationError(
            f"this user has no home to keep results in: name a folder in {SCRATCH_VARIABLE} or"
            " by --scratch."
        )
    return os.path.join(base, "dirjobs")


def prepared(folder: str) -> str:
    """`folder`, made if it is missing, and tried.

    Raises:
        ConfigurationError: it can't be used.
    """
    if problem := _problem(folder):
        raise ConfigurationError(
            f"the folder {folder!r}, in which jobs work and results are kept until they are on"
            f" the share, can't be used ({problem}): name another one in {SCRATCH_VARIABLE} or by"
            " --scratch."
        )
    status = os.stat(folder)
    if sys.platform != "win32" and status.st_mode & stat.S_IWOTH and not _is_sticky(status):
        raise ConfigurationError(
            f"anybody can replace what is in the folder {folder!r}, in which jobs work (its mode is"
            f" {stat.S_IMODE(status.st_mode):04o}): write `chmod o-w {quoted(folder)}`, or"
            f" name another one in {SCRATCH_VARIABLE} or by --scratch."
        )
    return folder


class Note(msgspec.Struct, kw_only=True):
    """What one attempt is about, and how far it has come.

    Attributes:
        queue: its URL, without secrets, or its absolute path.
        queue_id: the queue's own id; empty if it has none.
        job: the job's name.
        claim: the name of its claim.
        worker: who holds the claim.
        process: the process of that worker.
        size: bytes of the job's file; None if unknown.
        began: when the attempt began.
        ended: when the command ended; empty while it may run.
        problem: why the attempt failed; empty if it did not.
        refused: the reason with which the job failed for its results could not be stored.
        files: the folder of the queue for its results; empty until they are on their way.
        results_stored, log_stored: what of it is on the share.
        details: what the journal is to say of it.
    """

    queue: str
    job: str
    claim: str
    worker: str
    process: Process
    began: str
    queue_id: str = ""
    size: int | None = None
    ended: str = ""
    problem: str = ""
    refused: str = ""
    files: str = ""
    results_stored: bool = False
    log_stored: bool = False
    details: dict[str, Any] | None = None


class Workspace:
    """One such folder, locked by this process; from `make` or `kept`."""

    def __init__(self, path: str, note: Note, lock: int) -> None:
        self.path = path
        self.note = note
        self._lock = lock
        self._guard = Lock()
        self._stays = False

    @property
    def results(self) -> str:
        """The folder for the results."""
        return os.path.join(self.path, _RESULTS)

    @property
    def log(self) -> str:
        """The file with what the command printed; missing until it has ended."""
        return os.path.join(self.path, _LOG)

    @property
    def has_results(self) -> bool:
        """Whether there is anything in the folder for the results."""
        with suppress(OSError), os.scandir(self.results) as found:
            return next(found, None) is not None
        return False

    def path_for(self, job: str) -> str:
        """Where the copy of a job's file may be: called as the job, if a file of this machine
        can be."""
        folder = os.path.join(self.path, _JOB)
        os.makedirs(folder, exist_ok=True)
        return os.path.join(folder, job if local_problem(job) is None else _JOB)

    def empty_results(self) -> str:
        """The folder for the results, with nothing in it.

        Raises:
            OSError: this machine refuses.
        """
        if os.path.lexists(self.results):
            # A file of an earlier run of the command that can't be removed does no harm there.
            aside = local_files.make_new_folder(self.path, "earlier-")
            local_files.replace(self.results, os.path.join(aside, _RESULTS))
            leftovers.remove(aside)
        os.mkdir(self.results)
        return self.results

    def command_ended(
        self, ended: str, problem: str, log: bytes, details: dict[str, Any] | None = None
    ) -> None:
        """Note how the command ended.

        Raises:
            OSError: this machine has no room for that.
        """
        _replace(self.log, log)
        self.record(ended=ended, problem=problem, details=details)

    def record(self, **changes: object) -> None:
        """Change the note.

        Raises:
            OSError: this machine refuses.
        """
        self.note = msgspec.structs.replace(self.note, **changes)
        _replace(os.path.join(self.path, _NOTE), msgspec.json.encode(self.note))

    def keep(self) -> None:
        """Let it stay, whatever `remove` is told by another thread."""
        with self._guard:
            self._stays = True

    def remove(self) -> bool:
        """Remove it, unless it is to stay; whether it is gone."""
        with self._guard:
            if self._stays:
                return False
            self.close()
            leftovers.remove(self.path)
            return True

    def close(self) -> None:
        """Let others have it."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)


def make(scratch: str, note: Note) -> Workspace:
    """A new workspace.

    Raises:
        OSError: this machine refuses.
    """
    local_files.make_private_folders(scratch)  # somebody may have tidied up
    path = local_files.make_new_folder(scratch, f"{note.worker}-")
    workspace = Workspace(path, note, _locked(path, os.O_CREAT))
    try:
        workspace.record()
    except OSError:
        workspace.remove()
        raise
    return workspace


def kept(scratch: str) -> list[Workspace]:
    """The workspaces in which no process works, oldest first, each to be closed or removed."""
    try:
        names = os.listdir(scratch)
    except OSError:
        return []
    found = [workspace for name in names if (workspace := opened(os.path.join(scratch, name)))]
    return sorted(found, key=lambda workspace: workspace.note.began)


def opened(path: str) -> Workspace | None:
    """The workspace in a folder; None if there is none, somebody else's, or a process works
    there.

    Where no lock tells (a home on NFS may know none), one whose command has not ended is free only
    if its process is surely gone.
    """
    try:
        if not _is_ours(path):
            return None
        note = decode(Path(path, _NOTE).read_bytes(), Note)
        lock = _locked(path)
    except (OSError, ValueError):
        return None
    if lock < 0 and not note.ended and not is_surely_gone(note.process, this_process()):
        return None
    return Workspace(path, note, lock)


def place_of(share: Share) -> str:
    """What a note calls the queue: its absolute path, or its URL without secrets."""
    local = share.store.local_path("")
    return redacted(share.store.url) if local is None else os.path.abspath(local)


def new_note(*, queue: str, queue_id: str, job: str, claim: str, worker: str, began: str) -> Note:
    """The note of an attempt by this process."""
    return Note(
        queue=queue,
        queue_id=queue_id,
        job=job,
        claim=claim,
        worker=worker,
        process=this_process(),
        began=began,
    )


def _problem(folder: str) -> str:
    """Why jobs can't work in a folder, which is made; empty if they can, or a full disk may have
    room again.

    It is tried: `os.access` knows nothing of the rights that Windows goes by.
    """
    try:
        local_files.make_private_folders(folder)
    except OSError as error:
        return error.strerror or str(error)
    try:
        trial = local_files.make_new_folder(folder, "trial-")
        local_files.patiently(lambda: os.rmdir(trial))
    except PermissionError:
        return "it can't be written to"
    except OSError as error:
        is_full = errno_of(error) in (errno.ENOSPC, errno.EDQUOT)
        return "" if is_full else error.strerror or str(error)
    return ""


def _is_sticky(status: os.stat_result) -> bool:
    return bool(status.st_mode & stat.S_ISVTX)


def _is_ours(path: str) -> bool:
    """Whether a folder was made by this user: what somebody else puts beside our workspaces
    would have us bring to the share what only we can read.

    Where a mount gives all files one owner, that is the owner of the folder around it.
    """
    path = os.path.abspath(path)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or local_files.is_junction(found):
        return False
    if sys.platform == "win32":
        return True
    owners = os.geteuid(), os.stat(os.path.dirname(path)).st_uid
    return found.st_uid in owners


def _replace(path: str, data: bytes) -> None:
    """Write a file whole or not at all."""
    draft = f"{path}.new"
    with named_in_errors(draft), open(draft, "wb") as file:
        file.write(data)
    local_files.replace(draft, path)


def _locked(path: str, flags: int = 0) -> int:
    """The open lock of a workspace, which no end of this process outlives; -1 where the file
    system knows no locks, or somebody removed it.

    Raises:
        BlockingIOError: another process has it.
    """
    try:
        lock = os.open(os.path.join(path, _LOCK), os.O_RDWR | flags, 0o600)
    except FileNotFoundError:
        return -1
    try:
        _lock(lock)
    except OSError as error:
        os.close(lock)
        if isinstance(error, BlockingIOError | PermissionError):
            raise BlockingIOError(f"another process works in {path!r}") from error
        return -1
    return lock


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # its refusal is a PermissionError

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
