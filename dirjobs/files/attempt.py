"""What one attempt at a job by a program in Python leaves: files, a log, checkpoints.

All of it is in a workspace, as of the command of `dirjobs work`: see `dirjobs.files.workspace`.
Nothing is made, and nothing asked of the share, before it is used.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import weakref
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import Any, BinaryIO, cast

from dirjobs import threads
from dirjobs.admin.logs import log_path
from dirjobs.clock import monotonic, utc_now
from dirjobs.errors import ClaimLost, ConfigurationError
from dirjobs.files.checkpoints import Checkpoints
from dirjobs.files.output_buffer import OutputBuffer
from dirjobs.files.parameters import small_result
from dirjobs.files.room import Copy, check_room
from dirjobs.files.upload import Delivery
from dirjobs.files.workspace import Workspace, make, new_note, place_of, prepared, scratch_folder
from dirjobs.layout import RESULT
from dirjobs.policy import DEFAULT_HEARTBEAT
from dirjobs.protocol.exits import Claim
from dirjobs.protocol.journal import Details, as_json
from dirjobs.protocol.share import Share

log = logging.getLogger(__name__)


class AttemptFiles:
    """The files of one attempt.  Safe to use from several threads, of the process that made it.

    Args:
        share: the queue.
        claim: of the job.
        details: what the record of the attempt is to say; where log and files are, and the
            result, is put in.
        queue_id: the queue's own id; empty if it has none.
        began: when the attempt began, in seconds by the store's clock.
        still_holds: whether the claim is there, and nobody had a reason to take us for dead.
        download: copies the job's file.
        local_path: of the job's file, if there is one.
    """

    def __init__(
        self,
        share: Share,
        claim: Claim,
        details: Details,
        *,
        queue_id: str,
        began: float,
        still_holds: Callable[[], bool],
        download: Callable[[BinaryIO], None],
        local_path: str | None,
    ) -> None:
        self._share = share
        self._claim = claim
        self._details = details
        self._queue_id = queue_id
        self._began = began
        self._still_holds = still_holds
        self._download = download
        self._local_path = local_path
        self._delivery = Delivery(share, tell=self._say)
        self._lock = RLock()
        self._workspace: Workspace | None = None
        self._outputs: list[OutputBuffer] = []
        self._checkpoints: Checkpoints | None = None
        self._log_path = log_path(claim.job.name, claim.worker)
        self._logged = 0
        self._log_again = monotonic() + DEFAULT_HEARTBEAT
        self._percent = -1

    # -- while it lasts -------------------------------------------------------------------

    @property
    def out(self) -> Path:
        """The folder for what the job leaves.

        Raises:
            ConfigurationError, OSError: this machine has no place for it.
        """
        with self._lock:
            folder = self._place.results
            if not os.path.lexists(folder):
                os.mkdir(folder)
            return Path(folder)

    def result(self, values: Mapping[str, Any]) -> None:
        """Write the row of the table into ``result.json``, instead of what was there.

        Raises:
            ConfigurationError: it is no object of JSON.
        """
        if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
            raise ConfigurationError(
                f"{values!r:.200} is no result: give a dict of names and values, such as"
                ' {"loss": 0.1}.'
            )
        try:
            text = json.dumps(dict(values), ensure_ascii=False, default=_known_to_json)
            data = text.encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigurationError(
                f"{values!r:.200} can't be written as JSON ({error}): give numbers, texts, lists"
                " and dicts."
            ) from error
        with self._lock:
            (self.out / RESULT).write_bytes(data + b"\n")

    def log(self, text: str) -> None:
        """Add a line, or several, to the log.  It is brought to the share at the end of the job,
        and now if that was not done for as long as a heartbeat takes.  There it is for people: if
        the store refuses, that goes to the log of this program, no more."""
        with self._lock:
            self._buffer.write(text.encode(errors="backslashreplace"))
            if not text.endswith("\n"):
                self._buffer.write(b"\n")
            if monotonic() >= self._log_again:
                self._write_log(patient=False)

    def progress(self, fraction: float) -> None:
        """Log how far the job is, each time that another percent is done.

        Raises:
            ConfigurationError: `fraction` is no number from 0 to 1.
        """
        try:
            share = float(fraction)
        except (TypeError, ValueError):
            share = -1.0
        if not 0 <= share <= 1:
            raise ConfigurationError(
                f"{fraction!r} is no progress: give a number from 0 to 1, such as 0.4."
            )
        with self._lock:
            if int(100 * share) != self._percent:
                self._percent = int(100 * share)
                self.log(f"{self._percent} %")

    @property
    def keep(self) -> Path:
        """The folder whose content the job's next attempt finds, with what the latest one kept.

        Raises:
            ConfigurationError, OSError: this machine has no place for it.
            StoreError: an outage that is waited for no longer.
        """
        with self._lock:
            if self._checkpoints is None:
                checkpoints = Checkpoints(
                    self._share,
                    self._delivery,
                    job=self._claim.job.name,
                    worker=self._claim.worker,
                    file=self._local_file(),
                    place=self._place.path,
                    began=self._began,
                )
                if told := checkpoints.fetch():
                    self._note(told)
                self._checkpoints = checkpoints
            return Path(self._checkpoints.folder)

    def checkpoint(self, *, patient: bool = False) -> None:
        """Bring what is in `keep` to the share, if that has changed and the job is still ours.

        Args:
            patient: wait through outages; else the next checkpoint has to do.

        Raises:
            StoreError: an outage that is waited for no longer.
        """
        with self._lock:
            checkpoints = self._checkpoints
            if checkpoints is None:
                return
            if told := checkpoints.save_changes(self._is_ours, patient=patient):
                self._note(told)
                self._say(told)

    # -- its end --------------------------------------------------------------------------

    def hand_in(self, reason: str | None) -> str:
        """Bring files and log to the share, before the job ends.  Once more if it is called again
        after an error, but for what is there.

        Args:
            reason: why the job fails, which may be empty; None if it is done.

        Returns:
            why it fails now; where its files could not be stored that is told, and they are kept
            on this machine.  Empty if it is done.

        Raises:
            ClaimLost: the job is somebody else's; nothing was stored.
            StoreError: an outage that is waited for no longer.
        """
        with self._lock:
            if os.path.isdir(self._place.results):
                found = small_result(self._place.results)
                if found or self._details.result is None:
                    self._details.result = found
            problem = "" if reason is None else reason or "failed"
            if self._output is not None and not self._place.note.ended:
                self._output.note(f"{utc_now()} {problem or 'done'}")
            printed = b"" if self._output is None else self._output.content()
            details = as_json(self._details)
            self._write_down(
                lambda place: place.command_ended(utc_now(), problem, printed, details)
            )
            refusal = self._hand_in_files(reason)
            if problem or refusal:
                self.checkpoint(patient=True)
            if self._output is not None and self._write_log(patient=True):
                self._details.log = self._log_path
                self._write_down(lambda place: place.record(log_stored=True))
            return refusal or reason or ""

    def _hand_in_files(self, reason: str | None) -> str:
        """Why the job fails since its files could not be stored; empty if they are there."""
        place = self._place
        if place.note.results_stored or not place.has_results:
            return ""
        if not self._is_ours():
            raise ClaimLost(
                f"job {self._claim.job.name!r} is no longer claimed by {self._claim.worker}:"
                " somebody moved it, or gave it to another worker; its files are not stored."
            )
        folder = place.note.files
        if not folder:
            folder = self._delivery.place_for(self._claim.job.name, self._claim.worker)
            self._write_down(lambda place: place.record(files=folder))
        self._details.files = folder
        problem = self._delivery.results(folder, place.results, self._note)
        if not problem:
            self._write_down(lambda place: place.record(results_stored=True))
            return ""
        self._note(f"its files could not be stored: {problem}")
        told = (
            f"{'it ended well' if reason is None else reason or 'it failed'}, but its files could"
            f" not be stored: {problem}."
            f"  {self.kept()}"
        )
        self._write_down(lambda place: place.record(refused=told))
        return told

    def give_back(self) -> None:
        """Bring checkpoint and log to the share, before the job is given back."""
        with self._lock:
            self.checkpoint()
            if self._output is not None:
                self._note("given back")
                if self._write_log(patient=False):
                    self._details.log = self._log_path

    def forget_checkpoints(self) -> None:
        """Remove what was kept for a next attempt: the job is done."""
        if self._checkpoints is not None:
            self._checkpoints.discard()

    def kept(self) -> str:
        """Let the workspace stay, if there is anything in `out`; tells where.  Empty if not."""
        place = self._workspace
        if place is None or not place.has_results:
            return ""
        place.keep()
        return (
            f"They are kept in {place.path!r} on {platform.node()}: `dirjobs deliver` hands them"
            " in."
        )

    def close(self) -> None:
        """Remove everything from this machine, unless it is kept."""
        with self._lock:
            if self._output is not None:
                self._output.close()
            if self._workspace is not None:
                self._clean()

    # -- its parts ------------------------------------------------------------------------

    @cached_property
    def _place(self) -> Workspace:
        note = new_note(
            queue=place_of(self._share),
            queue_id=self._queue_id,
            job=self._claim.job.name,
            claim=os.path.basename(self._claim.path),
            worker=self._claim.worker,
            began=utc_now(),
        )
        note.size = self._claim.job.size
        self._workspace = place = make(prepared(scratch_folder()), note)
        # Also where the job is given back by others, or the program ends.
        self._clean = weakref.finalize(self, _remove, threads.getpid(), place, self._outputs)
        return place

    @property
    def _output(self) -> OutputBuffer | None:
        """What was printed; None until something is."""
        return self._outputs[0] if self._outputs else None

    @property
    def _buffer(self) -> OutputBuffer:
        """For what is printed."""
        if self._output is None:
            output = OutputBuffer(self._place.path)
            self._outputs.append(output)
            output.note(f"{utc_now()} attempt by {self._claim.worker} on {platform.node()}")
        return self._outputs[0]

    def _local_file(self) -> str:
        if self._local_path is not None:
            return self._local_path
        path = self._place.path_for(self._claim.job.name)
        check_room(self._place.path, self._claim.job.size or 0)
        with open(path, "wb") as file:
            self._download(cast("BinaryIO", Copy(file, self._place.path)))
        return path

    def _is_ours(self) -> bool:
        """Whether the claim is there.  If it is although our lease ran out, nobody has taken
        it yet; the end of the job decides."""
        return self._still_holds() or self._delivery.is_there(self._claim.path)

    def _write_log(self, *, patient: bool) -> bool:
        output = self._buffer
        self._log_again = monotonic() + DEFAULT_HEARTBEAT
        if output.size == self._logged:
            return True
        size = output.size
        if not self._delivery.log(self._log_path, output.content(), patient=patient):
            return False
        self._logged = size
        return True

    def _write_down(self, change: Callable[[Workspace], object]) -> None:
        """Change the note for `dirjobs deliver`; a full disk of this machine keeps no job from
        its end."""
        try:
            change(self._place)
        except OSError as error:
            log.warning("%r can't be written to (%s)", self._place.path, error)

    def _note(self, text: str) -> None:
        self._buffer.note(f"{utc_now()} {text}")

    def _say(self, text: str) -> None:
        log.warning("job %r: %s", self._claim.job.name, text)


def _remove(pid: int, place: Workspace, outputs: Iterable[OutputBuffer]) -> None:
    if pid != threads.getpid():  # a forked child has its parent's folder
        return
    for output in outputs:  # Windows removes no file that is open
        output.close()
    if not place.remove():
        place.close()  # for `dirjobs deliver`


def _known_to_json(value: object) -> object:
    """A number of NumPy and the like as one of Python.

    Raises:
        TypeError: it is none.
    """
    item = getattr(value, "item", None)
    if item is None:
        raise TypeError(f"it has a {type(value).__name__}")
    return item()
