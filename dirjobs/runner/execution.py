"""One claimed job: the command runs for it, then the job is done, failed or given back."""

from __future__ import annotations

import os
import platform
import shlex
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from threading import Lock

from dirjobs import layout
from dirjobs.clock import growing_pauses, utc_now
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
from dirjobs.runner.output_buffer import OutputBuffer
from dirjobs.runner.process import CannotStart, Program, Run, outcome
from dirjobs.runner.shutdown import Shutdown, Stage
from dirjobs.runner.template import Subject, UnknownParameter, environment
from dirjobs.runner.upload import Delivery, files_in
from dirjobs.runner.watchdog import Watchdog

_PAUSE, _LONGEST_PAUSE = 1.0, 30.0


class End(Enum):
    """How a job ended, in the words of the summary."""

    DONE = "done"
    FAILED = "failed"
    LOST = "lost"
    GIVEN_BACK = "given back"


@dataclass(frozen=True)
class JobResult:
    """How one job ended.

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
class Toolbox:
    """What all executions of a worker share.

    Attributes:
        dj: the queue.
        program: what to run.
        delivery: brings logs and results to the share.
        watchdog: kills the programs if this worker dies.
        shutdown: tells how far the end of the worker has come.
        folder: a local one, for temporary files.
        timeout: seconds that the command may take for a job; None: any time.
        retries: how often it is run again when it fails.
        has_fitted: whether the command's placeholders have been right for any job.
    """

    dj: DirJobs
    program: Program
    delivery: Delivery
    watchdog: Watchdog
    shutdown: Shutdown
    folder: str
    timeout: float | None = None
    retries: int = 0
    has_fitted: bool = field(default=False)


class Execution:
    """Runs the command for one job, and ends the job by what came of it.

    Args:
        job: just claimed.
        toolbox: see `Toolbox`.
    """

    def __init__(self, job: Job, toolbox: Toolbox) -> None:
        self.job = job
        self._toolbox = toolbox
        claim = layout.parse_claim(job.full_name())
        self._worker = claim.worker if claim else toolbox.dj.wid
        self._log_path = f"{LOGS}/{job.name()}.{self._worker}.log"
        self._lock = Lock()
        self._output: OutputBuffer | None = None
        self._logged = 0
        self._lost = False
        self._seconds = 0.0

    def run(self) -> JobResult:
        """Run the command, hand in its results and its log, end the job.

        Raises:
            ConfigurationError: the command can't work for any job; this one was given back.
            OSError: this machine, or the store, refuses; the same.
        """
        toolbox, job = self._toolbox, self.job
        try:
            with ExitStack() as stack:
                folder = stack.enter_context(
                    tempfile.TemporaryDirectory(dir=toolbox.folder, ignore_cleanup_errors=True)
                )
                output = OutputBuffer(folder)
                stack.callback(output.close)
                with self._lock:
                    self._output = output
                stack.callback(self._forget_output)
                return self._work(folder, output)
        except ClaimLost as lost:
            say(lost)
            with suppress(JobClosed):  # else our heartbeat would go on naming it
                job.release()
            return JobResult(job.name(), End.LOST)
        except BaseException:
            with suppress(JobClosed, StoreError):  # then it is tried again at the end
                job.release()
            raise

    def _forget_output(self) -> None:
        with self._lock:
            self._output = None

    # -- running the command --------------------------------------------------------------

    def _work(self, folder: str, output: OutputBuffer) -> JobResult:
        job, toolbox = self.job, self._toolbox
        try:
            subject = Subject.of_file(job.name(), self._local_file(folder))
        except (NotFound, FileNotFoundError) as error:
            raise ClaimLost(
                f"the claim {job.full_name()!r} of job {job.name()!r} is gone: somebody moved it"
                " by hand, or another worker has the job; it was not started here."
            ) from error
        attempt = 1 + toolbox.delivery.attempts_at(job.name())
        reason = ""
        for rerun in range(toolbox.retries + 1):
            if toolbox.shutdown.stage >= Stage.STOPPING:
                return self._give_back()
            if rerun:
                output.note(f"{reason}; running it again")
                toolbox.delivery.note(job.name(), self._worker, reason)
            out = os.path.join(folder, f"out{rerun}")
            os.mkdir(out)
            reason = self._attempt(subject, attempt + rerun, out, output)
            if self._lost:
                raise self._claim_lost()
            if toolbox.shutdown.stage >= Stage.STOPPING and reason == _STOPPED:
                return self._give_back()
            if not reason:
                break
        reason = self._hand_in(out, reason)
        self.log(patient=True)
        job.failed(reason) if reason else job.done()
        end = End.FAILED if reason else End.DONE
        return JobResult(job.name(), end, reason, self._seconds)

    def _attempt(self, subject: Subject, attempt: int, out: str, output: OutputBuffer) -> str:
        """Why one run of the command failed; nothing if it didn't."""
        toolbox = self._toolbox
        variables = environment(subject, wid=toolbox.dj.wid, attempt=str(attempt), out=out)
        began = time.monotonic()
        try:
            command = toolbox.program.command_for(subject)
            toolbox.has_fitted = True
            told = printable(redacted(shlex.join(command)))
            host = platform.node()
            output.note(f"{utc_now()} attempt {attempt} by {self._worker} on {host}: {told}")
            run = toolbox.program.start(command, variables, output, toolbox.shutdown.changed)
        except UnknownParameter as error:
            if not toolbox.has_fitted:
                raise ConfigurationError(f"{error}.") from error
            reason = str(error)
        except CannotStart as error:
            if not error.about_the_job:
                raise ConfigurationError(f"{error}.") from error
            reason = str(error)
        else:
            reason = self._outcome_of(run, began, output)
        self._seconds = time.monotonic() - began
        output.note(f"{utc_now()} {reason or 'exit code 0'} after {duration(self._seconds)}")
        return reason

    def _outcome_of(self, run: Run, began: float, output: OutputBuffer) -> str:
        toolbox, reason = self._toolbox, ""
        try:
            with self._known(run):
                left = None
                if toolbox.timeout is not None:
                    left = max(0.0, began + toolbox.timeout - time.monotonic())
                if not toolbox.shutdown.wait_for(lambda: run.ended or self._is_over(), left):
                    reason = f"timeout after {toolbox.timeout:g} s"
                elif not run.ended:
                    reason = _STOPPED
                ended = run.ended and not reason
                if run.stop(lambda: toolbox.shutdown.stage >= Stage.KILLING) and ended:
                    output.note("what it left running was ended")
        finally:
            run.stop(lambda: True)
        run.hear_out()
        reason = reason or outcome(run.code)
        # What fails says why on its last line, most of the time.
        words = redacted(output.last_line()) if (run.code or 0) > 0 and reason else ""
        return f"{reason}: {printable(words[:_LONGEST_WORDS])}" if words else reason

    def _is_over(self) -> bool:
        return self._lost or self._toolbox.shutdown.stage >= Stage.STOPPING

    @contextmanager
    def _known(self, run: Run) -> Iterator[None]:
        """While this lasts, the program dies with this worker, and whoever takes the worker
        for dead waits until the program has ended."""
        if os.name == "nt":
            yield
            return
        with self._toolbox.watchdog.watching(run.group), self._toolbox.dj.runs_group(run.group):
            yield

    # -- the job's file and its end -------------------------------------------------------

    def _local_file(self, folder: str) -> str:
        """The job's file as a path of this machine: itself, or a copy for the time being."""
        local = self.job.local_path()
        if local is not None:
            return local
        path = os.path.join(folder, self.job.name())
        pauses = growing_pauses(_PAUSE, _LONGEST_PAUSE)
        while True:
            try:
                with open(path, "wb") as file:
                    self.job.download(file)
            except (Unavailable, AmbiguousResult) as error:
                say(f"job {self.job.name()!r} can't be fetched now ({error}); trying again.")
                pause = max(next(pauses), getattr(error, "retry_after", None) or 0.0)
                if self._toolbox.shutdown.wait_for_stop(pause):
                    return path  # it will not be run
            else:
                return path

    def _give_back(self) -> JobResult:
        self._note("given back")
        self.log(patient=False)
        self.job.release()
        return JobResult(self.job.name(), End.GIVEN_BACK)

    def _hand_in(self, out: str, reason: str) -> str:
        """Bring the results to the share; why the job failed, which may be for this."""
        if next(files_in(out), None) is None:
            return reason
        if not self._is_ours():
            raise self._claim_lost()
        problem = self._toolbox.delivery.results(self.job.name(), out)
        if not problem:
            return reason
        kept = tempfile.mkdtemp(prefix=f"dirjobs-results-{self._worker}-")
        os.rename(out, os.path.join(kept, "results"))
        told = f"{problem}; all results are kept in {kept!r} on {platform.node()}"
        self._note(f"results could not be stored: {told}")
        return f"{reason or 'the command ended well'}, but its results could not be stored: {told}"

    # -- looking after it -----------------------------------------------------------------

    def look(self) -> None:
        """Stop the command if the job is no longer ours; write its log.

        Called by another thread, now and then.
        """
        try:
            ours = self._is_ours()
        except StoreError as error:
            say(f"it can't be seen whether job {self.job.name()!r} is still ours: {error}")
            return
        if not ours:
            with self._lock:
                self._lost = self._output is not None
            self._toolbox.shutdown.changed()
        self.log(patient=False)

    def _is_ours(self) -> bool:
        """Whether the claim is there.  If it is although our lease ran out, nobody has taken
        it yet; `Job.done` decides."""
        path = f"{RUNNING}/{self.job.full_name()}"
        return self.job.still_mine() or self._toolbox.delivery.is_there(path)

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
            output = self._output
            if output is None or output.size == self._logged:
                return
            self._logged = output.size
            self._toolbox.delivery.log(self._log_path, output.content(), patient=patient)

    def _note(self, text: str) -> None:
        if self._output is not None:
            self._output.note(f"{utc_now()} {text}")


_STOPPED = "stopped"
_LONGEST_WORDS = 200
