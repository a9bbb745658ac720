"""One worker's time at the queue: claim, run, report, until nothing is waiting."""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import AmbiguousResult, ClaimLost, ConfigurationError, NotFound, Unavailable
from ..job import Job
from ..names import WAITING
from ..queue import DirJobs
from .errors import say
from .interruption import Interruption
from .output import duration, show
from .program import CannotStart, Program

_LONGEST_PAUSE = 30.0


class Shift:
    """Runs a program for each job of a queue.

    Args:
        dj: the queue; closed at the end.
        program: what to run.
        interruption: ends it all.
    """

    def __init__(self, dj: DirJobs, program: Program, interruption: Interruption) -> None:
        self._dj = dj
        self._program = program
        self._interruption = interruption
        self._tally: Counter[str] = Counter()

    def work(self) -> int:
        """Work until nothing is waiting.

        Returns:
            the exit code: 0 if all jobs are done, 1 if not.

        Raises:
            Interrupted: after the current job was given back.
            ConfigurationError, StoreError: as `DirJobs.next_and_lock`.
        """
        began = time.monotonic()
        try:
            for job in self._dj:
                self._do(job)
                self._interruption.check()
        finally:
            with self._interruption.held_back():
                self._dj.close()
            if self._tally:
                show(f"{self._summary()} in {duration(time.monotonic() - began)}")
        if not self._tally:
            show(f"No job is waiting in {self._dj.full_path(WAITING)}.")
        return 0 if set(self._tally) <= {"done"} else 1

    def _summary(self) -> str:
        parts = [f"{number} {how}" for how, number in self._tally.items()]
        return ", ".join(parts)

    def _do(self, job: Job) -> None:
        began = time.monotonic()
        try:
            reason = self._run(job)
            with self._interruption.held_back():
                job.failed(reason) if reason else job.done()
        except ClaimLost as lost:
            self._tally["lost"] += 1
            say(lost)
            return
        how = "failed" if reason else "done"
        self._tally[how] += 1
        details = f"{reason}, {duration(time.monotonic() - began)}"
        show(f"{job.name()}  {how}  ({details.removeprefix(', ')})", how)

    def _run(self, job: Job) -> str:
        """Why the program failed on this job; nothing if it didn't."""
        try:
            with self._file_of(job) as path:
                return self._program.run(path, self._dj)
        except NotFound as error:
            raise self._lost(job) from error
        except CannotStart as refusal:
            if self._program.is_the_job:
                return str(refusal)
            self._give_back(job)  # it would fail on every job
            raise ConfigurationError(f"{refusal}.") from refusal
        except BaseException:
            self._give_back(job)
            raise

    def _give_back(self, job: Job) -> None:
        with self._interruption.held_back():
            job.release()
        self._tally["given back"] += 1
        show(f"{job.name()}  given back", "given back")

    def _lost(self, job: Job) -> ClaimLost:
        return ClaimLost(
            f"the claim {job.full_name()!r} of job {job.name()!r} is gone: somebody moved it by"
            " hand, or another worker has the job; it was not started here."
        )

    @contextmanager
    def _file_of(self, job: Job) -> Iterator[str]:
        """The job's file as a path of this machine: itself, or a copy for the time being."""
        local = job.local_path()
        if local is not None:
            yield local
            return
        with tempfile.TemporaryDirectory(prefix="dirjobs-") as folder:
            path = os.path.join(folder, job.name())
            self._fetch(job, path)
            yield path

    def _fetch(self, job: Job, path: str) -> None:
        pause = 1.0
        while True:
            try:
                with open(path, "wb") as file:
                    job.download(file)
            except (Unavailable, AmbiguousResult) as error:
                say(f"job {job.name()!r} can't be fetched now ({error}); trying again.")
                time.sleep(max(pause, getattr(error, "retry_after", None) or 0.0))
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                return
