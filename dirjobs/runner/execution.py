"""One job, from its claim to its end."""

from __future__ import annotations

import os
import platform
import shlex
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from threading import Lock

from dirjobs import layout
from dirjobs.console.errors import say
from dirjobs.console.text import duration, printable
from dirjobs.errors import (
    AmbiguousResult,
    ClaimLost,
    ConfigurationError,
    JobClosed,
    NotFound,
    StoreError,
    Unavailable,
)
from dirjobs.job import Job
from dirjobs.layout import LOGS, RUNNING
from dirjobs.queue import DirJobs
from dirjobs.redaction import redacted
from dirjobs.runner.output_buffer import Capture
from dirjobs.runner.process import CannotStart, Program, Run, outcome
from dirjobs.runner.shutdown import Course, Level
from dirjobs.runner.template import Subject, UnknownParameter, environment
from dirjobs.runner.upload import Delivery, files_in
from dirjobs.runner.watchdog import Guard

_PAUSE, _LONGEST_PAUSE = 1.0, 30.0


class End(Enum):
    """How a job ended, in the words of the summary."""

    DONE = "done"
    FAILED = "failed"
    LOST = "lost"
    GIVEN_BACK = "given back"


@dataclass(frozen=True)
class Report:
    """What came of a job.

    Attributes:
        job: its name.
        end: how it ended.
        reason: why it failed.
        seconds: how long the (last) run of the command took.
    """

    job: str
    end: End
    reason: str = ""
    seconds: float = 0.0


@dataclass
class Tools:
    """What all errands of a worker work with.

    Attributes:
        dj: the queue.
        program: what to run.
        delivery: brings logs and results to the share.
        guard: kills the programs of a worker that died.
        course: when to stop.
        folder: a local one, for temporary files.
        timeout: seconds that the command may take for a job; None: any time.
        retries: how often it is run again when it fails.
        has_fitted: whether the command's placeholders have been right for any job.
    """

    dj: DirJobs
    program: Program
    delivery: Delivery
    guard: Guard
    course: Course
    folder: str
    timeout: float | None = None
    retries: int = 0
    has_fitted: bool = field(default=False)


class Errand:
    """Runs the command for one job and ends the job.

    Args:
        job: just claimed.
        tools: see `Tools`.
    """

    def __init__(self, job: Job, tools: Tools) -> None:
        self.job = job
        self._tools = tools
        claim = layout.parse_claim(job.full_name())
        self._worker = claim.worker if claim else tools.dj.wid
        self._log_path = f"{LOGS}/{job.name()}.{self._worker}.log"
        self._lock = Lock()
        self._capture: Capture | None = None
        self._logged = 0
        self._lost = False
        self._seconds = 0.0

    def carry_out(self) -> Report:
        """Do it all.

        Raises:
            ConfigurationError: the command can't work for any job; this one was given back.
            OSError: this machine, or the store, refuses; the same.
        """
        tools, job = self._tools, self.job
        try:
            with ExitStack() as stack:
                folder = stack.enter_context(
                    tempfile.TemporaryDirectory(dir=tools.folder, ignore_cleanup_errors=True)
                )
                capture = Capture(folder)
                stack.callback(capture.close)
                with self._lock:
                    self._capture = capture
                stack.callback(self._forget_capture)
                return self._work(folder, capture)
        except ClaimLost as lost:
            say(lost)
            with suppress(JobClosed):  # else our heartbeat would go on naming it
                job.release()
            return Report(job.name(), End.LOST)
        except BaseException:
            with suppress(JobClosed, StoreError):  # then it is tried again at the end
                job.release()
            raise

    def _forget_capture(self) -> None:
        with self._lock:
            self._capture = None

    # -- running the command --------------------------------------------------------------

    def _work(self, folder: str, capture: Capture) -> Report:
        job, tools = self.job, self._tools
        try:
            subject = Subject.of_file(job.name(), self._local_file(folder))
        except (NotFound, FileNotFoundError) as error:
            raise ClaimLost(
                f"the claim {job.full_name()!r} of job {job.name()!r} is gone: somebody moved it"
                " by hand, or another worker has the job; it was not started here."
            ) from error
        attempt = 1 + tools.delivery.attempts_at(job.name())
        reason = ""
        for rerun in range(tools.retries + 1):
            if tools.course.level >= Level.STOPPING:
                return self._give_back()
            if rerun:
                capture.note(f"{reason}; running it again")
                tools.delivery.note(job.name(), self._worker, reason)
            out = os.path.join(folder, f"out{rerun}")
            os.mkdir(out)
            reason = self._attempt(subject, attempt + rerun, out, capture)
            if self._lost:
                raise self._claim_lost()
            if tools.course.level >= Level.STOPPING and reason == _STOPPED:
                return self._give_back()
            if not reason:
                break
        reason = self._hand_in(out, reason)
        self.log(patient=True)
        job.failed(reason) if reason else job.done()
        end = End.FAILED if reason else End.DONE
        return Report(job.name(), end, reason, self._seconds)

    def _attempt(self, subject: Subject, attempt: int, out: str, capture: Capture) -> str:
        """Why one run of the command failed; nothing if it didn't."""
        tools = self._tools
        variables = environment(subject, wid=tools.dj.wid, attempt=str(attempt), out=out)
        began = time.monotonic()
        try:
            command = tools.program.command_for(subject)
            tools.has_fitted = True
            told = printable(redacted(shlex.join(command)))
            host = platform.node()
            capture.note(f"{_now()} attempt {attempt} by {self._worker} on {host}: {told}")
            run = tools.program.start(command, variables, capture, tools.course.changed)
        except UnknownParameter as error:
            if not tools.has_fitted:
                raise ConfigurationError(f"{error}.") from error
            reason = str(error)
        except CannotStart as error:
            if not error.about_the_job:
                raise ConfigurationError(f"{error}.") from error
            reason = str(error)
        else:
            reason = self._outcome_of(run, began, capture)
        self._seconds = time.monotonic() - began
        capture.note(f"{_now()} {reason or 'exit code 0'} after {duration(self._seconds)}")
        return reason

    def _outcome_of(self, run: Run, began: float, capture: Capture) -> str:
        tools, reason = self._tools, ""
        try:
            with self._known(run):
                left = None
                if tools.timeout is not None:
                    left = max(0.0, began + tools.timeout - time.monotonic())
                if not tools.course.wait_for(lambda: run.ended or self._is_over(), left):
                    reason = f"timeout after {tools.timeout:g} s"
                elif not run.ended:
                    reason = _STOPPED
                ended = run.ended and not reason
                if run.stop(lambda: tools.course.level >= Level.KILLING) and ended:
                    capture.note("what it left running was ended")
        finally:
            run.stop(lambda: True)
        run.hear_out()
        reason = reason or outcome(run.code)
        # What fails says why on its last line, most of the time.
        words = redacted(capture.last_line()) if (run.code or 0) > 0 and reason else ""
        return f"{reason}: {printable(words[:_LONGEST_WORDS])}" if words else reason

    def _is_over(self) -> bool:
        return self._lost or self._tools.course.level >= Level.STOPPING

    @contextmanager
    def _known(self, run: Run) -> Iterator[None]:
        """While this lasts, whoever must know of the program does."""
        if os.name == "nt":
            yield
            return
        with self._tools.guard.watching(run.group), self._tools.dj.runs_group(run.group):
            yield

    # -- the job's file and its end -------------------------------------------------------

    def _local_file(self, folder: str) -> str:
        """The job's file as a path of this machine: itself, or a copy for the time being."""
        local = self.job.local_path()
        if local is not None:
            return local
        path = os.path.join(folder, self.job.name())
        pause = _PAUSE
        while True:
            try:
                with open(path, "wb") as file:
                    self.job.download(file)
            except (Unavailable, AmbiguousResult) as error:
                say(f"job {self.job.name()!r} can't be fetched now ({error}); trying again.")
                pause = max(pause, getattr(error, "retry_after", None) or 0.0)
                if self._tools.course.wait_for_stop(pause):
                    return path  # it will not be run
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                return path

    def _give_back(self) -> Report:
        self._note("given back")
        self.log(patient=False)
        self.job.release()
        return Report(self.job.name(), End.GIVEN_BACK)

    def _hand_in(self, out: str, reason: str) -> str:
        """Bring the results to the share; why the job failed, which may be for this."""
        if next(files_in(out), None) is None:
            return reason
        if not self._is_ours():
            raise self._claim_lost()
        problem = self._tools.delivery.results(self.job.name(), out)
        if not problem:
            return reason
        kept = tempfile.mkdtemp(prefix=f"dirjobs-results-{self._worker}-")
        os.rename(out, os.path.join(kept, "results"))
        told = f"{problem}; all results are kept in {kept!r} on {platform.node()}"
        self._note(f"results could not be stored: {told}")
        return f"{reason or 'the command ended well'}, but its results could not be stored: {told}"

    # -- looking after it -----------------------------------------------------------------

    def look(self) -> None:
        """See whether the job is still ours, and show what the command prints.

        For another thread, now and then.
        """
        try:
            ours = self._is_ours()
        except StoreError as error:
            say(f"it can't be seen whether job {self.job.name()!r} is still ours: {error}")
            return
        if not ours:
            with self._lock:
                self._lost = self._capture is not None
            self._tools.course.changed()
        self.log(patient=False)

    def _is_ours(self) -> bool:
        """Whether the claim is there.  It may be, and we may have been taken for dead: then
        nobody has come for it yet, and the job's end will tell."""
        path = f"{RUNNING}/{self.job.full_name()}"
        return self.job.still_mine() or self._tools.delivery.is_there(path)

    def _claim_lost(self) -> ClaimLost:
        self._note("the claim was lost; results are not stored")
        self.log(patient=False)
        return ClaimLost(
            f"job {self.job.name()!r} is no longer claimed by {self._worker}: somebody moved it,"
            " or gave the job to another worker; its command was stopped, its results discarded."
        )

    def log(self, *, patient: bool) -> None:
        """Write what the command has printed so far to the share, if that has changed."""
        with self._lock:  # so that an old one never replaces a newer one
            capture = self._capture
            if capture is None or capture.size == self._logged:
                return
            self._logged = capture.size
            self._tools.delivery.log(self._log_path, capture.content(), patient=patient)

    def _note(self, text: str) -> None:
        if self._capture is not None:
            self._capture.note(f"{_now()} {text}")


_STOPPED = "stopped"
_LONGEST_WORDS = 200


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
