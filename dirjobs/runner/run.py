"""One worker of `dirjobs work`: its slots run jobs until there are none, or it is stopped."""

from __future__ import annotations

import logging
import math
import os
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from dirjobs.console.errors import explained, say
from dirjobs.console.text import show
from dirjobs.errors import JobsRefused, StoreError
from dirjobs.files.upload import Delivery
from dirjobs.layout import WAITING, is_call
from dirjobs.policy import DEFAULT_MAX_ATTEMPTS
from dirjobs.queue import DirJobs
from dirjobs.runner.calls import Functions
from dirjobs.runner.execution import Execution, Toolbox
from dirjobs.runner.git import state_of_this_folder
from dirjobs.runner.machine import Allotment
from dirjobs.runner.process import Program
from dirjobs.runner.shutdown import Shutdown, Stage
from dirjobs.runner.signals import Interruption
from dirjobs.runner.slots import Monitor, Slot, Source
from dirjobs.runner.summary import Summary, told_of
from dirjobs.runner.watchdog import Watchdog
from dirjobs.signing import SigningKey

log = logging.getLogger(__name__)

CHECKPOINT_EVERY = 60.0
_LOG_SOON = 0.5
"""Seconds between two looks whether there is new output, where the queue is on a disk."""
_SOON, _SOON_ON_A_DISK = 0.5, 0.01
"""Seconds until a worker that runs calls looks for the next one."""
_LEAVE_BEHIND = 3.0
"""Seconds that slots have to end when the worker is to stop."""
_SLICE = 0.5
"""Seconds at most until a signal is seen."""


@dataclass(frozen=True)
class Rules:
    """How a worker works.

    Attributes:
        slots: how many jobs at once.
        wait: go on looking for jobs when there are none.
        poll: seconds between two looks.
        max_jobs: how many jobs to take at most.
        max_hours: for how long to take jobs.
        timeout: seconds that the command may take.
        retries: how often it is run again when it fails.
        retry_delay: seconds before that.
        backoff: how much longer each such pause is than the one before.
        gpus: of which each slot gets one.
        memory: bytes that the processes of a job may use together.
        drain: the first signal lets the jobs end.
        keep_going: although every job fails at once.
        tee: print what jobs print.
        checkpoint_every: seconds between two looks whether there is a new checkpoint.
        max_attempts: how many workers may find that they can't run a call until it has failed.
    """

    slots: int = 1
    wait: bool = False
    poll: float = 10.0
    max_jobs: int | None = None
    max_hours: float | None = None
    timeout: float | None = None
    retries: int = 0
    retry_delay: float = 0.0
    backoff: float = 1.0
    gpus: Sequence[str] = ()
    memory: int | None = None
    drain: bool = False
    keep_going: bool = False
    tee: bool = False
    checkpoint_every: float = CHECKPOINT_EVERY
    max_attempts: int = DEFAULT_MAX_ATTEMPTS


class Runner:
    """Runs a program for each job of a queue, in as many slots as the rules say.

    Args:
        dj: the queue; closed at the end.
        program: what to run.
        rules: how.
        interruption: ends it all.
        scratch: the folder of this machine in which jobs work.
        key: run only jobs that it has signed.
        functions: run calls as well; None if there are none for this worker.
        unfit: gets the names of calls that can't be run here; the queue's filter leaves them out.
    """

    def __init__(
        self,
        dj: DirJobs,
        program: Program,
        rules: Rules,
        interruption: Interruption,
        scratch: str,
        key: SigningKey | None = None,
        functions: Functions | None = None,
        unfit: set[str] | None = None,
    ) -> None:
        self._functions = functions
        self._unfit = set() if unfit is None else unfit
        self._dj = dj
        self._program = program
        self._rules = rules
        self._interruption = interruption
        self._scratch = scratch
        self._key = key
        self._shutdown = Shutdown()
        # A call may well raise at once: what a machine lacks is told of calls in another way.
        goes_on = rules.keep_going or functions is not None
        self._summary = Summary(None if goes_on else self._stop_taking)
        self._events: SimpleQueue[Slot | int] = SimpleQueue()
        """Slots that have ended, and signals."""
        self._working: set[Slot] = set()
        self._error: BaseException | None = None
        self._refusal: JobsRefused | None = None
        self._others = ""
        """What others ran when this worker found nothing to do."""
        self._deadline = math.inf
        self._leave_at = math.inf
        self._signals = 0

    def work(self) -> int:
        """Work until there is nothing more to do.

        Returns:
            the exit code: 0 if all jobs are done, 1 if not.

        Raises:
            Interrupted: after the jobs that ran were given back.
            ConfigurationError, StoreError: as `DirJobs.next_and_lock`.
        """
        try:
            with ExitStack() as stack:
                stack.callback(self._close)
                stack.enter_context(self._interruption.told_to(self._events.put))
                if self._functions is not None:
                    self._dj.offers_calls(self._rules.slots)
                    stack.callback(self._functions.close)
                watchdog = stack.enter_context(Watchdog())
                self._run(self._toolbox(watchdog))
        finally:
            if self._summary:
                show(str(self._summary))
        if self._error is not None:
            raise self._error
        if self._refusal is not None:
            raise self._refusal
        if self._shutdown.stage >= Stage.STOPPING:
            raise self._interruption.interrupted()
        if not self._summary and self._shutdown.stage is Stage.WORKING and not self._dj.draining:
            where = self._dj.full_path(WAITING)
            show(f"No job is waiting in {where}{self._others}{self._calls()}.")
        elif self._summary.any_failed:
            show("See `dirjobs list --failed --reason` and `dirjobs logs JOB`.")
        return 0 if self._summary.all_done else 1

    def _calls(self) -> str:
        """That calls wait which this worker does not take; one request."""
        if self._functions is not None:
            return ""
        try:
            count = sum(map(is_call, self._dj.share.names_of_files(WAITING)))
        except StoreError as error:
            log.info("%s can't be listed (%s)", WAITING, error)
            return ""
        if not count:
            return ""
        wait = "1 call waits" if count == 1 else f"{count:,} calls wait"
        return f", but {wait} for workers with --functions"

    def _toolbox(self, watchdog: Watchdog) -> Toolbox:
        if self._functions is not None and os.name != "nt":
            self._functions.known_by(watchdog.watching, self._dj.runs_group)
        delivery = Delivery(
            self._dj.share, tell=say, wait_for_stop=self._shutdown.wait_for_stop, key=self._key
        )
        rules = self._rules
        return Toolbox(
            self._dj, self._program, delivery, watchdog, self._shutdown, self._scratch,
            rules.timeout, rules.retries, rules.retry_delay, rules.backoff,
            Allotment(rules.slots, rules.gpus, rules.memory), state_of_this_folder(),
            rules.tee, self._functions, rules.max_attempts, self._unfit,
        )  # fmt: skip

    def _run(self, toolbox: Toolbox) -> None:
        rules = self._rules
        if rules.max_hours is not None:
            self._deadline = time.monotonic() + 3600 * rules.max_hours
        source = Source(
            self._dj,
            self._shutdown,
            wait=rules.wait,
            poll=rules.poll,
            max_jobs=rules.max_jobs,
            first=self._soon(),
        )
        slots = [
            Slot(number, source, toolbox, self._summary, self._events.put)
            for number in range(1, rules.slots + 1)
        ]

        def executions() -> list[Execution]:
            return [slot.execution for slot in slots if slot.execution is not None]

        # Two threads: a checkpoint may be large.
        monitors = [
            Monitor(executions, self._shutdown),
            Monitor(executions, self._shutdown, rules.checkpoint_every, Execution.save_checkpoint),
        ]
        if self._dj.store.names_suffice:
            monitors.append(Monitor(executions, self._shutdown, _LOG_SOON, Execution.log_soon))
        for monitor in monitors:
            monitor.start()
        self._look_at_the_clock()
        try:
            self._start(slots)
            while self._working and not self._may_leave():
                self._next_event()
                self._look_at_the_clock()
        finally:
            for monitor in monitors:
                monitor.stop()
        for execution in filter(None, (slot.execution for slot in self._working)):
            if told := execution.left_behind():
                say(told)
        if self._shutdown.stage is Stage.WORKING:
            self._refusal = source.refusal
            self._others = told_of(self._dj.held_by_others)

    def _soon(self) -> float | None:
        """Seconds until the first look for another job: whoever waits for the value of a call may
        have the next one."""
        if self._functions is None:
            return None
        return _SOON_ON_A_DISK if self._dj.store.names_suffice else _SOON

    def _start(self, slots: Sequence[Slot]) -> None:
        """Start as many slots as this machine has room for.

        Raises:
            OSError: it has room for none.
        """
        for slot in slots:
            self._working.add(slot)
            try:
                slot.start()
            except OSError as error:
                self._working.discard(slot)
                if not self._working:
                    raise
                say(f"{error.strerror}; {len(self._working)} of {len(slots)} slots work.")
                break

    def _next_event(self) -> None:
        try:
            # Never for ever: Python sees a signal that comes right before a wait, or to
            # another thread, when the wait is over.
            event = self._events.get(timeout=_SLICE)
        except Empty:
            return
        if isinstance(event, Slot):
            self._working.discard(event)
            if event.error is not None and self._error is None:
                self._error = event.error
                self._end(Stage.DRAINING)
                if isinstance(event.error, Exception) and any(s.execution for s in self._working):
                    say(f"{explained(event.error)}  The other jobs that run are finished first.")
        else:
            self._interrupted(event)

    def _look_at_the_clock(self) -> None:
        if time.monotonic() >= self._deadline:
            self._deadline = math.inf
            show(f"{self._rules.max_hours:g} hours are over: no other job is taken.")
            self._end(Stage.DRAINING)

    # -- the end --------------------------------------------------------------------------

    def _stop_taking(self, why: str) -> None:
        say(why)
        self._end(Stage.DRAINING)

    def _interrupted(self, number: int) -> None:
        """One stage further with each signal; all of them where the system waits for nothing."""
        self._signals += 1
        step = self._signals + (0 if self._rules.drain else 1)
        if self._interruption.last_seconds:
            step = 3
        stage = (Stage.DRAINING, Stage.STOPPING, Stage.KILLING)[min(step, 3) - 1]
        running = sum(slot.execution is not None for slot in self._working)
        if stage is Stage.DRAINING and running:
            name = signal.Signals(number).name
            say(f"{name}: ending when the {running} running jobs have ended; again: giving back.")
        self._end(stage)

    def _end(self, stage: Stage) -> None:
        is_further = stage > self._shutdown.stage
        self._shutdown.advance_to(stage)
        self._dj.drain(at_once=stage >= Stage.STOPPING)
        if stage >= Stage.STOPPING and is_further:
            self._leave_at = time.monotonic() + _LEAVE_BEHIND

    def _may_leave(self) -> bool:
        """Whether to leave slots behind that still work.  Idle ones get `_LEAVE_BEHIND`
        seconds; in stage KILLING busy ones are not waited for either.  What they hold is given
        back by `DirJobs.close`, or by other workers, since this one says that it has ended."""
        if time.monotonic() < self._leave_at:
            return False
        return self._shutdown.stage is Stage.KILLING or not any(s.execution for s in self._working)

    def _close(self) -> None:
        if self._shutdown.stage is Stage.KILLING:
            self._dj.close()
            return
        with self._interruption.held_back():
            self._dj.close()
