"""The slots of a worker: each is a thread that takes one job after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Condition, Lock, Thread

from dirjobs import threads
from dirjobs.clock import growing_pauses
from dirjobs.console.errors import explained, say
from dirjobs.console.text import brief_duration
from dirjobs.errors import JobsRefused
from dirjobs.job import Job
from dirjobs.policy import DEFAULT_HEARTBEAT
from dirjobs.queue import DirJobs
from dirjobs.recovery.silence import Silence
from dirjobs.runner import children
from dirjobs.runner.execution import End, Execution, JobResult, Toolbox
from dirjobs.runner.shutdown import Shutdown, Stage
from dirjobs.runner.summary import Summary

LOOK = DEFAULT_HEARTBEAT
"""Seconds between two looks at a job that runs, and two writings of its log."""
_LAST_LOOK = 3.0
"""Seconds that a look which is under way has to end when the worker ends."""
_SLICE = 1.0
"""Seconds at most until a slot sees that the worker is to stop."""


class Source:
    """Hands out jobs to all slots of a worker until there is a reason to end.

    As long as another slot has a job, a slot that finds none looks again every now and then,
    so that jobs that are added meanwhile find all slots at work; so it does while jobs are
    held by workers that may be dead, until that is clear.

    Args:
        dj: the queue.
        shutdown: ends it.
        wait: look again even when no slot has a job.
        poll: seconds between two looks after nothing was found.
        max_jobs: how many jobs to take at most.
        first: seconds before the first look after the last job, after which each pause is twice
            the one before; None: `poll`.
    """

    def __init__(
        self,
        dj: DirJobs,
        shutdown: Shutdown,
        *,
        wait: bool = False,
        poll: float = 10.0,
        max_jobs: int | None = None,
        first: float | None = None,
    ) -> None:
        self._dj = dj
        self._shutdown = shutdown
        self._wait = wait
        self._poll = poll
        self._first = poll if first is None else min(first, poll)
        self._pauses = growing_pauses(self._first, poll)
        self._max_jobs = max_jobs
        self._changed = Condition()
        self._taken = self._asking = self._busy = 0
        self._look_at: float | None = None
        """When to look again; None while there seem to be jobs."""
        self.refusal: JobsRefused | None = None
        """Why no job was taken at the latest look, though jobs were waiting."""
        self._told = False
        self._silence: Silence | None = None
        """Jobs that are waited for, since those who hold them may be dead."""

    def next(self) -> Job | None:
        """A job; None if this slot is to end.

        Raises:
            ConfigurationError, StoreError: as `DirJobs.next_and_lock`.
        """
        while True:
            with self._changed:
                while not self._may_ask():
                    if self._is_over():
                        return None
                    left = _SLICE if self._look_at is None else self._look_at - time.monotonic()
                    self._changed.wait(max(0.01, min(left, _SLICE)))
                self._asking += 1
            job = refusal = silence = None
            try:
                job = self._dj.look_for_job() if self._wait else self._dj.next_and_lock()
                if job is None and not self._wait and not self._busy:
                    silence = self._dj.silence()
                    self._tell_of(silence)
                    if silence is None:
                        # Whoever was silent may have been requeued since the look above.
                        job = self._dj.next_and_lock()
            except JobsRefused as error:
                refusal = error
                if self._wait and self.refusal is None:
                    say(f"{explained(error)}  Trying on.")
            finally:
                with self._changed:
                    self._asking -= 1
                    self.refusal = refusal
                    if job is not None:
                        self._taken += 1
                        self._busy += 1
                        self._pauses = growing_pauses(self._first, self._poll)
                    self._silence = silence
                    self._look_at = None if job else time.monotonic() + next(self._pauses)
                    self._changed.notify_all()
            if job is not None:
                return job

    def ended(self) -> None:
        """A job that was handed out has ended."""
        with self._changed:
            self._busy -= 1
            self._look_at = None
            self._changed.notify_all()

    def _may_ask(self) -> bool:
        if self._is_over() or self._all_taken(self._taken + self._asking):
            return False
        if self._look_at is None:
            return True
        return not self._asking and time.monotonic() >= self._look_at

    def _is_over(self) -> bool:
        if (
            self._shutdown.stage >= Stage.DRAINING
            or self._dj.draining
            or self._all_taken(self._taken)
        ):
            return True
        found_nothing = self._look_at is not None and not self._busy and not self._asking
        return found_nothing and not self._wait and self._silence is None

    def _tell_of(self, silence: Silence | None) -> None:
        """Say, once, for whom this worker waits."""
        if silence is None or self._told:
            return
        self._told = True
        workers = silence.workers
        more = len(workers) - 1
        others = f" and {more} other {'worker' if more == 1 else 'workers'}" if more else ""
        are = "job is" if silence.jobs == 1 else "jobs are"
        say(
            f"{silence.jobs} {are} held by {workers[0]}{others}, without a sign of life for"
            f" {brief_duration(silence.age)}; waiting {brief_duration(silence.sure_in)} to be sure"
            " (if you know that nobody works there, `dirjobs requeue JOB` gives it back at once)."
        )

    def _all_taken(self, number: int) -> bool:
        return self._max_jobs is not None and number >= self._max_jobs


class Slot:
    """One job at a time, until the source has no more.

    Args:
        number: from 1.
        source: gives the jobs.
        toolbox: what all executions share.
        summary: is told how each job ended.
        ended: called at the end, in the slot's thread.
    """

    def __init__(
        self,
        number: int,
        source: Source,
        toolbox: Toolbox,
        summary: Summary,
        ended: Callable[[Slot], None],
    ) -> None:
        self._number = number
        self._source = source
        self._toolbox = toolbox
        self._summary = summary
        self._ended = ended
        self.execution: Execution | None = None
        """The job that it runs, if any."""
        self.error: BaseException | None = None
        """Why it ended early."""
        self._thread = Thread(target=self._run, name=f"dirjobs-slot-{number}", daemon=True)

    def start(self) -> None:
        """Begin to take jobs.

        Raises:
            OSError: this machine has no room for another thread.
        """
        threads.start(self._thread)

    def _run(self) -> None:
        try:
            while (job := self._source.next()) is not None:
                self._summary.started(job.name(), self._toolbox.dj.left)
                self.execution = Execution(job, self._toolbox, self._number)
                try:
                    self._summary.note(self._result_of(self.execution))
                finally:
                    self.execution = None
                    self._source.ended()
        except BaseException as error:  # noqa: BLE001 - it is raised again in the main thread
            self.error = error
        finally:
            self._ended(self)

    def _result_of(self, execution: Execution) -> JobResult:
        try:
            return execution.run()
        except BaseException:
            end = End.GIVEN_BACK if execution.given_back else End.NOT_ENDED
            self._summary.note(JobResult(execution.job.name(), end))
            raise


class Monitor:
    """A thread that does something for each job that runs, again and again.

    Args:
        do: what; by default looks at it.
        executions: gives those that are under way.
        shutdown: ends it.
        every: seconds between two times.
    """

    def __init__(
        self,
        executions: Callable[[], list[Execution]],
        shutdown: Shutdown,
        every: float | None = None,
        do: Callable[[Execution], None] = Execution.look,
    ) -> None:
        self._do = do
        self._executions = executions
        self._shutdown = shutdown
        self._every = LOOK if every is None else every
        self._lock = Lock()
        self._over = False
        self._thread = Thread(target=self._run, name="dirjobs-monitor", daemon=True)

    def start(self) -> None:
        threads.start(self._thread)

    def stop(self) -> None:
        """Let it end, and wait a moment for a look that is under way: after it the store is
        closed, and whoever uses it then opens it anew."""
        self._over = True
        self._shutdown.changed()
        if self._thread.is_alive():
            self._thread.join(_LAST_LOOK)

    def _run(self) -> None:
        while not self._shutdown.wait_for(lambda: self._over, self._every):
            children.bury_as_first_process()
            for execution in self._executions():
                self._do(execution)
