"""What a job hands on to its next attempt: the folder ``$DIRJOBS_KEEP`` of its command.

    _queue/keep/job1.txt/1764380000000.3.w1.<digest>.tar

A checkpoint is all that is in the folder at one time, as one file on the share.  Its name tells
when its attempt began, by the store's clock, which one of the attempt it is, and a digest: one
that was cut short is known for that, and the one before it counts.  The last checkpoint of the
latest attempt is the job's, whenever it arrives: what a worker that lost its job writes late is
of an earlier attempt.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from threading import Lock
from typing import BinaryIO, cast

from dirjobs import local_files
from dirjobs.admin.signatures import Signatures
from dirjobs.backends.posix.errnos import errno_of
from dirjobs.clock import growing_pauses
from dirjobs.errors import TRANSIENT_ERRORS, Denied, NotFound, StoreError
from dirjobs.files import leftovers
from dirjobs.files.leftovers import contents, opened
from dirjobs.files.room import Copy, NoRoom, check_room
from dirjobs.files.upload import Delivery
from dirjobs.layout import KEEP, CheckpointName, parse_checkpoint
from dirjobs.names import local_problem
from dirjobs.protocol import folders
from dirjobs.protocol.outage import PatienceOver
from dirjobs.protocol.share import Share
from dirjobs.store import Entry, FileKind, split

log = logging.getLogger(__name__)

_PAUSE, _LONGEST_PAUSE = 0.5, 8.0
_PIECE = 1 << 18
_LONGEST_HEADER = 1 << 20
_DEEPEST = 100
_JOB = "DIRJOBS.job"
"""The header that tells of which job's file a checkpoint is: names are used again."""
_ABOUT_ITS_NAMES = [
    *(errno.EEXIST, errno.EISDIR, errno.ENOTDIR),
    *(errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ),
]
if sys.platform == "win32":  # says so of a file whose path is too long
    _ABOUT_ITS_NAMES.append(errno.ENOENT)
_BEGINNING = 1 << 20
"""Bytes of a job's file that tell it from others, with its size."""

Snapshot = Sequence[tuple[str, int, int]]


class Unusable(Exception):
    """A checkpoint that can't be gone on with: torn, of another job, or not signed."""


class Checkpoints:
    """The checkpoints of one job, for one attempt at it.  Safe to use from several threads.

    Args:
        share: the queue.
        delivery: waits through outages.
        job: the job's name.
        worker: whose attempt it is.
        file: the job's file, on this machine.
        place: a folder of this machine, for `folder` and what is on its way.
        began: when the attempt began, in seconds by the store's clock.
        signatures: only checkpoints that are signed are used, and all are signed.
    """

    def __init__(
        self,
        share: Share,
        delivery: Delivery,
        *,
        job: str,
        worker: str,
        file: str,
        place: str,
        began: float,
        signatures: Signatures | None = None,
    ) -> None:
        self._share = share
        self._delivery = delivery
        self._worker = worker
        self._file = file
        self._signed_as = f"keep/{job}"
        self._signatures = signatures
        self._place = place
        self._began = int(began * 1000)
        self._number = 0
        self._own: set[CheckpointName] = set()
        self._lock = Lock()
        self._saved: Snapshot = ()
        self._has_any = False
        self._told = ""
        self._on_share = f"{KEEP}/{job}"
        self.folder = os.path.join(place, "keep")
        """``$DIRJOBS_KEEP``."""

    # -- the beginning of an attempt ------------------------------------------------------

    def fetch(self) -> str:
        """Make `folder`, with the job's latest checkpoint in it.  Outages are waited for.

        Returns:
            what a person may want to know; empty if there is none.

        Raises:
            StoreError: an outage that is waited for no longer.
            OSError: this machine refuses.
        """
        told = []
        tried: set[CheckpointName] = set()
        os.makedirs(self.folder, exist_ok=True)
        try:
            while left := set(self._delivery.through_outages(self._listed)) - tried:
                latest = max(left)
                tried.add(latest)
                try:
                    self._fetch(latest)
                except (Unusable, Denied, NotFound, NoRoom) as error:
                    told.append(f"checkpoint {str(latest)!r} is left out: {error}")
                    leftovers.remove(self.folder)
                    os.makedirs(self.folder, exist_ok=True)
                    continue
                told.append(f"goes on from checkpoint {latest.number} of {latest.worker}")
                break
        except (*TRANSIENT_ERRORS, PatienceOver):
            raise
        except StoreError as error:
            told.append(f"no checkpoint can be looked for: {error}")
        self._saved = self._snapshot()
        return "; ".join(told)

    def _listed(self) -> list[CheckpointName]:
        """What is on the share; from now on this attempt is later than those of all others."""
        job = split(self._on_share)[1]
        if not any(e.name == job and e.kind is FileKind.FOLDER for e in self._all_jobs()):
            return []
        names = (e.name for e in self._share.listed(self._on_share) if e.kind is FileKind.FILE)
        checkpoints = [*filter(None, map(parse_checkpoint, names))]
        self._has_any = self._has_any or bool(checkpoints)
        others = [one.began for one in checkpoints if one not in self._own]
        if others and max(others) >= self._began:  # somebody's clock is wrong
            self._began = max(others) + 1
        return checkpoints

    def _all_jobs(self) -> Sequence[Entry]:
        """The folder of each job that keeps something.  One request, but for a queue's first
        job: then there is a folder that says so."""
        try:
            return self._share.list(KEEP)
        except NotFound:
            found = self._share.listed(KEEP)
            folders.make_folder(self._share, KEEP)
            return found

    def _fetch(self, checkpoint: CheckpointName) -> None:
        with open(os.path.join(self._place, "checkpoint.tar"), "w+b") as file:
            path = f"{self._on_share}/{checkpoint}"
            target = cast("BinaryIO", Copy(file, self._place))
            pauses = growing_pauses(_PAUSE, _LONGEST_PAUSE)
            while not self._delivery.through_outages(lambda: self._download(path, file, target)):
                # Something between says so for a moment, or whoever saved another removed it.
                pause = next(pauses)
                if pause == _LONGEST_PAUSE or checkpoint not in self._listed():
                    raise NotFound(f"{path!r} is not there.")
                self._share.sleep(pause)
            if _digest(file) != checkpoint.digest:
                raise Unusable("it was not stored whole")
            if self._signatures is not None:
                file.seek(0)
                if not self._signatures.is_tag(self._signed_as, file, checkpoint.signature):
                    raise Unusable("it is not signed by this worker's key")
            file.seek(0)
            self._unpack(file)
        local_files.unlink(file.name)

    def _download(self, path: str, file: BinaryIO, target: BinaryIO) -> bool:
        file.seek(0)
        file.truncate()
        try:
            self._share.store.download(path, target)
        except NotFound:
            return False
        return True

    def _unpack(self, file: BinaryIO) -> None:
        """Put a checkpoint's files into `folder`: nothing but files, and nowhere else."""
        check_room(self._place, os.fstat(file.fileno()).st_size)
        try:
            with tarfile.open(fileobj=cast("BinaryIO", _Bounded(file)), mode="r:") as tar:
                if tar.pax_headers.get(_JOB) != self._fingerprint:
                    raise Unusable("it is of another job that had this name")
                for member in tar:
                    self._unpack_one(tar, member)
        except (tarfile.TarError, ValueError, EOFError, OverflowError) as error:
            raise Unusable(f"it can't be unpacked ({error})") from error
        except OSError as error:
            if errno_of(error) in _ABOUT_ITS_NAMES:
                raise Unusable(f"it can't be unpacked ({error})") from error
            raise

    def _unpack_one(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        if not member.isreg() or member.issparse():
            raise Unusable(f"{member.name!r} in it is no file")
        if problem := _problem(member.name):
            raise Unusable(f"{member.name!r} in it can't be a file here: {problem}")
        path = os.path.join(self.folder, *member.name.split("/"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        source = cast("BinaryIO", tar.extractfile(member))
        with open(path, "xb") as target:
            copy = Copy(target, self._place)
            while piece := source.read(_PIECE):
                copy.write(piece)
        os.chmod(path, 0o700 if member.mode & 0o100 else 0o600)
        os.utime(path, (member.mtime, member.mtime))

    # -- while it lasts, and its end --------------------------------------------------------

    def has_changed(self) -> bool:
        """Whether there is something to save."""
        return self._snapshot() != self._saved

    def save_changes(self, is_ours: Callable[[], bool], *, patient: bool) -> str:
        """Bring the folder's checkpoint to the share, if it has changed and the job is still ours.

        Args:
            is_ours: whether it is; asked only if there is something to save.
            patient: as of `save`; else the next checkpoint has to do.

        Returns:
            as `save`.

        Raises:
            StoreError: as `save`.
        """
        if not self.has_changed():
            return ""
        try:
            return self.save(patient=patient) if is_ours() else ""
        except TRANSIENT_ERRORS as error:
            if patient:
                raise
            return f"what it keeps can't be stored now: {error}"

    def save(self, *, patient: bool) -> str:
        """Bring the folder's checkpoint to the share, if it has changed.

        Args:
            patient: nothing changes the folder any more; wait through outages.

        Returns:
            why it is not there, if that was not said before; empty if it is, or will be.

        Raises:
            StoreError: an outage that is waited for no longer.
        """
        with self._lock:
            try:
                told = self._save(patient)
            except (*TRANSIENT_ERRORS, PatienceOver):
                raise
            except OSError as error:
                told = str(error)
            if told == self._told:
                return ""
            self._told = told
            return told

    def _save(self, patient: bool) -> str:
        before = self._snapshot()
        if before == self._saved:
            return ""
        path = os.path.join(self._place, "new-checkpoint.tar")
        try:
            with open(path, "w+b") as file:
                try:
                    self._pack(file)
                except tarfile.TarError as error:
                    return f"$DIRJOBS_KEEP can't be stored: {error}"
                except OSError:
                    if self._snapshot() == before:
                        raise
                    return ""  # it is being written to; the next checkpoint will do
                if self._snapshot() != before and not patient:
                    return ""
                self._number += 1
                checkpoint = self._name_for(file)
                if patient:
                    self._delivery.through_outages(lambda: self._store(checkpoint, file))
                else:
                    self._store(checkpoint, file)
        finally:
            with suppress(FileNotFoundError):
                local_files.unlink(path)
        self._saved = before
        return ""

    def _name_for(self, file: BinaryIO) -> CheckpointName:
        signature = ""
        if self._signatures is not None:
            file.seek(0)
            signature = self._signatures.tag(self._signed_as, file)
        return CheckpointName(self._began, self._number, self._worker, _digest(file), signature)

    def _store(self, checkpoint: CheckpointName, file: BinaryIO) -> None:
        earlier = self._listed()
        checkpoint = checkpoint._replace(began=self._began)
        self._own.add(checkpoint)
        file.seek(0)
        folders.upload(self._share, f"{self._on_share}/{checkpoint}", file)
        self._has_any = True
        self._remove([one for one in earlier if one < checkpoint])

    def _pack(self, file: BinaryIO) -> None:
        headers = {_JOB: self._fingerprint}
        with tarfile.open(
            fileobj=file, mode="w", format=tarfile.PAX_FORMAT, pax_headers=headers
        ) as tar:
            for found in contents(self.folder):
                if found.left_out:
                    continue
                if problem := found.missing or _problem(found.path):
                    raise tarfile.TarError(f"{found.path!r}: {problem}")
                with opened(os.path.join(self.folder, found.path)) as source:
                    status = os.fstat(source.fileno())
                    member = tarfile.TarInfo(found.path)
                    member.size, member.mtime = status.st_size, status.st_mtime
                    member.mode = 0o700 if status.st_mode & 0o100 else 0o600
                    tar.addfile(member, source)

    def discard(self) -> None:
        """Remove all checkpoints, for the job is done."""
        with self._lock:
            if not self._has_any:
                return
            try:
                self._remove(self._listed())
                self._share.store.rmdir(self._on_share)
            except StoreError as error:
                log.info("%r stays (%s)", self._on_share, error)

    def _remove(self, checkpoints: Sequence[CheckpointName]) -> None:
        for checkpoint in checkpoints:
            try:
                self._share.remove(f"{self._on_share}/{checkpoint}")
            except NotFound:
                pass
            except StoreError as error:
                log.info("%s stays (%s)", checkpoint, error)

    # -- what it is about -----------------------------------------------------------------

    def _snapshot(self) -> Snapshot:
        """What tells one checkpoint of the folder from another."""
        return sorted(self._files())

    def _files(self) -> Iterator[tuple[str, int, int]]:
        for path in leftovers.files_in(self.folder):
            with suppress(OSError):  # it went away
                status = os.stat(os.path.join(self.folder, path))
                yield path, status.st_size, status.st_mtime_ns

    @cached_property
    def _fingerprint(self) -> str:
        with open(self._file, "rb") as file:
            beginning = hashlib.sha256(file.read(_BEGINNING)).hexdigest()
            return f"{os.fstat(file.fileno()).st_size} {beginning}"


class _Bounded:
    """A file of which nobody reads a long piece at once: headers are as long as they say."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)


def _problem(path: str) -> str:
    """Why there can't be such a file in a checkpoint; empty if there can."""
    names = path.split("/")
    if len(names) > _DEEPEST:
        return f"it is in more than {_DEEPEST - 1} folders inside each other"
    return next(filter(None, map(local_problem, names)), None) or ""


def _digest(file: BinaryIO) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()[:32]  # type: ignore[arg-type]
