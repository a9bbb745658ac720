"""Logs and results of jobs, brought from this machine to the share."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from threading import Lock
from typing import BinaryIO, TypeVar

from dirjobs.admin.signatures import Signatures
from dirjobs.clock import growing_pauses, monotonic
from dirjobs.errors import TRANSIENT_ERRORS, NoSpace, StoreError, TooLarge, and_more
from dirjobs.files.leftovers import contents, opened
from dirjobs.files.output_buffer import shortened
from dirjobs.layout import AGREEMENT, ATTEMPTS, RESULTS, names_in_turn
from dirjobs.policy import DEFAULT_HEARTBEAT
from dirjobs.protocol import attempts, folders
from dirjobs.protocol.agreement import id_in
from dirjobs.protocol.folders import write
from dirjobs.protocol.journal import CANCELLED
from dirjobs.protocol.outage import PatienceOver
from dirjobs.protocol.share import Share
from dirjobs.signing import SigningKey
from dirjobs.store import Entry, split
from dirjobs.worker import retry_through_outages

T = TypeVar("T")
log = logging.getLogger(__name__)

PATIENCE = 600.0
"""Seconds to wait for somebody to make room on a full share."""
SHORTEST_LOG = 1 << 17
"""Bytes: half of it of the beginning, half of the end."""
_PAUSE, _LONGEST_PAUSE = 2.0, 30.0


class Delivery:
    """Writes logs and results of jobs, and notes on them.  Safe to use from several threads.

    Args:
        share: the queue.
        tell: is told, in a sentence, what a person should know.
        wait_for_stop: waits so many seconds; True if whoever waits for room on a full disk is
            to stop.  None waits as the share does, to the end.
        key: jobs must be signed by it.
    """

    def __init__(
        self,
        share: Share,
        *,
        tell: Callable[[str], object] = log.warning,
        wait_for_stop: Callable[[float], bool] | None = None,
        key: SigningKey | None = None,
    ) -> None:
        self._share = share
        self._tell = tell
        self._wait_for_stop = wait_for_stop or self._sleep
        self.signatures = None if key is None else Signatures(share, key)
        """Of jobs and checkpoints; None if they need none."""
        self._lock = Lock()
        self._noted: set[str] = set()
        self._tried: set[str] = set()
        self._longest_log = sys.maxsize
        self._listed_at = -float("inf")

    # -- logs and notes -------------------------------------------------------------------

    def log(self, path: str, data: bytes, *, patient: bool) -> bool:
        """Write a log.  It is for people: if the store refuses, that is told, no more.

        Of a log that is larger than the store takes, beginning and end are written: half as
        much again and again, `SHORTEST_LOG` bytes at least.

        Args:
            path: where in the queue.
            data: the whole log.
            patient: wait through outages.

        Returns:
            whether it is there now.
        """
        while True:
            part = shortened(data, self._longest_log)
            try:
                if patient:
                    self.through_outages(partial(write, self._share, path, part))
                else:
                    write(self._share, path, part)
            except TooLarge as error:
                if len(part) > SHORTEST_LOG:
                    self._longest_log = max(SHORTEST_LOG, len(part) // 2)
                    continue
                self._tell(f"{path!r} could not be written: {error}")
                return False
            except StoreError as error:
                self._tell(f"{path!r} could not be written: {error}")
                return False
            return True

    def note(self, job: str, worker: str, reason: str) -> None:
        """Note a failed attempt at a job."""
        attempts.note(self._share, job, worker, reason)

    def times_noted(self, job: str, reason: str) -> int:
        """How many attempts since somebody last retried a job ended for reasons that begin so."""
        count = 0
        for noted in attempts.read(self._share, job):
            begins = str(noted.get("reason", "")).startswith(reason)
            count = 0 if noted.get("retried") else count + begins
        return count

    def is_cancelled(self, job: str) -> bool:
        """Whether a person has cancelled a job, as far as is noted."""
        noted = attempts.read(self._share, job)
        return bool(noted) and noted[-1].get("reason") == CANCELLED

    def attempts_at(self, job: str) -> int:
        """How many tries of a job have been noted, so far as was known half a minute ago, or are
        known since this worker asked for it before."""
        with self._lock:
            was_asked = job in self._tried
            self._tried.add(job)
            now = monotonic()
            if now - self._listed_at >= DEFAULT_HEARTBEAT:
                self._listed_at = now
                try:
                    self._noted = {entry.name for entry in self._share.listed(ATTEMPTS)}
                except StoreError as error:
                    log.info("%s can't be listed (%s)", ATTEMPTS, error)
            if not was_asked and f"{job}.json" not in self._noted:
                return 0
        return attempts.tries(attempts.read(self._share, job))

    def queue_id(self) -> str:
        """What ``queue.json`` calls this queue; empty if it has no id, or can't be read."""
        try:
            return id_in(self._share.read(AGREEMENT)) or ""
        except StoreError as error:
            log.info("%s can't be read (%s)", AGREEMENT, error)
            return ""

    def is_there(self, path: str) -> bool:
        """Whether a file is on the share.  While that can't be reached this waits.

        Raises:
            StoreError: the store refuses.
        """
        return self.through_outages(lambda: self._share.exists(path))

    # -- signatures -----------------------------------------------------------------------

    @property
    def wants_signatures(self) -> bool:
        """Whether only signed jobs are run."""
        return self.signatures is not None

    def signature_problem(self, job: str, path: str) -> str:
        """Why a job that would have to be signed is not taken for it; empty if nothing keeps it
        from being run.  While the share can't be reached this waits.

        Args:
            job: the job's name.
            path: a copy of its file that only this user can change.

        Raises:
            ConfigurationError, StoreError: it can't be found out.
        """
        signatures = self.signatures
        if signatures is None:
            return ""

        def look() -> str:
            with open(path, "rb") as file:
                return signatures.problem(job, file)

        return self.through_outages(look)

    # -- results --------------------------------------------------------------------------

    def place_for(self, job: str, worker: str) -> str:
        """A folder of the queue that no other attempt at a job has put anything into: worker ids
        are used again.  While the share can't be reached this waits; what may not be listed takes
        no files either, which `results` tells.

        Raises:
            StoreError: an outage that is waited for no longer.
        """
        above = f"{RESULTS}/{job}"
        listed: Sequence[Entry] = ()
        try:
            listed = self.through_outages(lambda: self._share.listed(above))
        except (*TRANSIENT_ERRORS, PatienceOver):
            raise
        except StoreError as error:
            log.info("%r can't be listed (%s)", above, error)
        taken = {entry.name.casefold() for entry in listed}
        free = (name for name in names_in_turn(worker) if name.casefold() not in taken)
        return f"{above}/{next(free)}"

    def results(self, place: str, folder: str, tell: Callable[[str], object] | None = None) -> str:
        """Bring everything in a local folder to a folder of the queue.

        Outages are waited for, without end; a full share for `PATIENCE` seconds.

        Args:
            place: from `place_for`.
            folder: may have folders in it, empty ones don't count.
            tell: is told what is no result, and what has another name there; by default as this
                delivery tells.

        Returns:
            what is not there in the end, and why; nothing if everything is.

        Raises:
            StoreError: an outage that is waited for no longer.
        """
        problems, left_out = [], []
        tell = tell or self._tell
        room = _WaitForRoom(self._tell, self._wait_for_stop)
        for found in contents(folder):
            if found.left_out:
                left_out.append(f"{found.path!r}: {found.left_out}")
                continue
            path = f"{place}/{found.path}"
            if found.missing:
                problems.append(f"{path!r}: {found.missing}")
                continue
            try:
                if found.twin and self.through_outages(partial(self._are_one, path, found.twin)):
                    path = f"{place}/{found.otherwise}"
                    tell(
                        f"result {found.path!r} is stored as {found.otherwise!r}: the share does"
                        f" not tell it from {found.twin!r}"
                    )
                with opened(os.path.join(folder, found.path)) as file:
                    self._deliver(path, file, room)
            except (*TRANSIENT_ERRORS, PatienceOver):
                raise  # it is about no file, and nobody waits any longer
            except OSError as error:
                problems.append(f"{path!r}: {error}")
        if left_out:
            tell(f"left out of the results: {left_out[0]}{and_more(left_out)}")
        return f"{problems[0]}{and_more(problems)}" if problems else ""

    def _are_one(self, path: str, stored: str) -> bool:
        """Whether the share takes the names of a file and of one in its folder, which is there,
        for the same."""
        if not self._share.exists(path):
            return False
        folder, name = split(path)
        listed = {entry.name for entry in self._share.listed(folder)}
        return not {name, split(stored)[1]} <= listed

    def _deliver(self, path: str, file: BinaryIO, room: _WaitForRoom) -> None:
        for part in path.split("/")[3:]:
            if problem := self._share.store.name_problem(part):
                raise StoreError(f"a file can't be called {part!r} there: {problem}")
        while True:
            try:
                return self.through_outages(lambda: _put_file(self._share, path, file))
            except NoSpace as error:
                if room.is_given_up(error):
                    raise

    def _sleep(self, seconds: float) -> bool:
        self._share.sleep(seconds)
        return False

    def through_outages(self, call: Callable[[], T]) -> T:
        """What a call to the share gives.  While that can't be reached this waits.

        Raises:
            StoreError: the store refuses, or an outage is waited for no longer.
        """
        try:
            return call()
        except TRANSIENT_ERRORS as error:
            return retry_through_outages(self._share, call, error)


class _WaitForRoom:
    """Gives somebody `PATIENCE` seconds to make room on a full share, for one job."""

    def __init__(
        self, tell: Callable[[str], object], wait_for_stop: Callable[[float], bool]
    ) -> None:
        self._tell = tell
        self._wait_for_stop = wait_for_stop
        self._until: float | None = None
        self._pauses = growing_pauses(_PAUSE, _LONGEST_PAUSE)

    def is_given_up(self, error: NoSpace) -> bool:
        """Wait for the next try; True if there is none."""
        now = monotonic()
        if self._until is None:
            self._until = now + PATIENCE
            self._tell(f"{str(error).rstrip('.')}. Waiting for room, at most {PATIENCE:g} s.")
        if now >= self._until:
            return True
        return self._wait_for_stop(min(next(self._pauses), self._until - now))


def _put_file(share: Share, path: str, file: BinaryIO) -> None:
    file.seek(0)
    folders.upload(share, path, file)
