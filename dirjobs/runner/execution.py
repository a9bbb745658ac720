"""One claimed job: the command runs for it, then the job is done, failed or given back."""

from __future__ import annotations

import base64
import logging
import math
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from itertools import islice
from threading import Lock
from typing import BinaryIO, cast

from dirjobs import layout, local_files
from dirjobs.clock import growing_pauses, utc_now
from dirjobs.console.errors import explained, say
from dirjobs.console.text import duration, printable
from dirjobs.errors import (
    TRANSIENT_ERRORS,
    ClaimLost,
    ConfigurationError,
    Denied,
    JobClosed,
    NotFound,
    StoreError,
)
from dirjobs.files.checkpoints import Checkpoints
from dirjobs.files.leftovers import NotAFile, contents
from dirjobs.files.output_buffer import OutputBuffer
from dirjobs.files.parameters import small_result
from dirjobs.files.room import Copy, NoRoom, check_room
from dirjobs.files.upload import Delivery
from dirjobs.files.workspace import Workspace, make, new_note
from dirjobs.functions.arguments import Damaged
from dirjobs.functions.calls import (
    NotACall,
    put_tag,
    python_problem,
    read_header,
    value_subject,
    value_tag,
)
from dirjobs.job import Job
from dirjobs.layout import LOGS, RUNNING
from dirjobs.placeholders import (
    NoParameters,
    PlaceholderInScript,
    UnknownParameter,
    variable_of,
)
from dirjobs.policy import DEFAULT_MAX_ATTEMPTS
from dirjobs.protocol.journal import Git, as_json
from dirjobs.queue import DirJobs
from dirjobs.redaction import redacted
from dirjobs.runner import children
from dirjobs.runner.calls import INLINE, Call, CallRun, Functions, Unfit
from dirjobs.runner.machine import Allotment
from dirjobs.runner.process import CannotStart, Program, Run, ended_from_outside, ending
from dirjobs.runner.shutdown import Shutdown, Stage
from dirjobs.runner.tee import Tee
from dirjobs.runner.template import Subject, environment
from dirjobs.runner.watchdog import Watchdog

log = logging.getLogger(__name__)

_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_HELD_PAUSE, _HELD_LOOKS = 0.05, 15
"""A scanner, or whoever wrote a file, has it open on Windows: for some 10 seconds at most."""
_STARTS = 6
"""How often a command is started where this machine has no room for it: for half a minute."""


class End(Enum):
    """How a job ended, in the words of the summary."""

    DONE = "done"
    FAILED = "failed"
    LOST = "lost"
    CANCELLED = "cancelled"
    GIVEN_BACK = "given back"
    REFUSED = "refused"
    """It is not signed: it failed without being started."""
    NOT_ENDED = "not ended"
    """The store took no end of it, nor did it take it back."""


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
        scratch: the local folder of all workspaces.
        timeout: seconds that the command may take for a job; None: any time.
        retries: how often it is run again when it fails.
        retry_delay: seconds before that.
        backoff: how much longer each such pause is than the one before.
        allotment: what each job may use of this machine.
        git: the state of the working folder, if it is a repository.
        tees: print what jobs print as well.
        functions: runs calls; None if this worker takes none.
        max_attempts: how many workers may find that they can't run a call until it has failed.
        unfit: names of calls that this worker can't run, and leaves to others.
        has_fitted: whether the command's placeholders have been right for any job.
        has_warned: whether it was told that a value looks like an option.
        has_hinted: whether it was told that the command names no parameter.
    """

    dj: DirJobs
    program: Program
    delivery: Delivery
    watchdog: Watchdog
    shutdown: Shutdown
    scratch: str
    timeout: float | None = None
    retries: int = 0
    retry_delay: float = 0.0
    backoff: float = 1.0
    allotment: Allotment = field(default_factory=Allotment)
    git: Git | None = None
    tees: bool = False
    functions: Functions | None = None
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    unfit: set[str] = field(default_factory=set)
    has_fitted: bool = field(default=False)
    has_warned: bool = field(default=False)
    has_hinted: bool = field(default=False)

    @cached_property
    def queue_id(self) -> str:
        """The queue's own id; empty if it has none."""
        return self.delivery.queue_id()


class Execution:
    """Runs the command for one job, and ends the job by what came of it.

    Args:
        job: just claimed.
        toolbox: see `Toolbox`.
        slot: number of the slot, from 1, that no other job has meanwhile.
    """

    def __init__(self, job: Job, toolbox: Toolbox, slot: int) -> None:
        self.job = job
        self._toolbox = toolbox
        self._slot = slot
        claim = layout.parse_claim(job.full_name())
        self._worker = claim.worker if claim else toolbox.dj.wid
        self._log_path = f"{LOGS}/{job.name()}.{self._worker}.log"
        self._lock = Lock()
        self._output: OutputBuffer | None = None
        self._workspace: Workspace | None = None
        self._checkpoints: Checkpoints | None = None
        self._has_ended = False
        self._is_quiet = False
        """Whether no log is written as long as nothing was printed."""
        self._logged = 0
        self._log_again = 0.0
        self._lost = False
        self._seconds = 0.0
        self._details = job.details
        self._details.git = toolbox.git
        self.given_back = False
        """Whether the store took the job back after an error."""

    def run(self) -> JobResult:
        """Run the command, hand in its results and its log, end the job.

        Whatever keeps it from that, results of the command stay on this machine.

        Raises:
            ConfigurationError: the command can't work for any job; this one was given back.
            OSError: this machine, or the store, refuses; the same.
        """
        job, toolbox = self.job, self._toolbox
        try:
            workspace = self._workspace = self._new_workspace()
            with closing(workspace):
                with self._output_in(workspace) as output:
                    result = self._work(workspace, output)
                workspace.remove()  # its output is closed: Windows removes no open file
                return result
        except ClaimLost as lost:
            is_cancelled, kept = toolbox.delivery.is_cancelled(job.name()), self._kept()
            if not is_cancelled:
                say(f"{lost}{kept}")
            elif kept:
                say(f"job {job.name()!r} was cancelled.{kept}")
            with suppress(JobClosed):  # else our heartbeat would go on naming it
                job.release()
            end = End.CANCELLED if is_cancelled else End.LOST
            return JobResult(job.name(), end, seconds=self._seconds)
        except BaseException as error:
            if kept := self._kept():
                say(f"job {job.name()!r} could not be ended.{kept}")
            if isinstance(error, TRANSIENT_ERRORS) and toolbox.shutdown.stage >= Stage.STOPPING:
                return JobResult(job.name(), End.NOT_ENDED)  # for the worker is to stop
            self._give_back_after(error)
            raise

    def _new_workspace(self) -> Workspace:
        dj, job = self._toolbox.dj, self.job
        local = dj.store.local_path("")
        note = new_note(
            queue=os.path.abspath(local) if local is not None else redacted(dj.store.url),
            queue_id=self._toolbox.queue_id,
            job=job.name(),
            claim=job.full_name(),
            worker=self._worker,
            began=utc_now(),
        )
        return make(self._toolbox.scratch, note)

    def _hint_at_parameters(self, subject: Subject) -> None:
        """Tell, once, that the command is the same for all jobs though they have parameters."""
        toolbox = self._toolbox
        name = "" if toolbox.has_hinted else toolbox.program.unused_parameter(subject)
        if name:
            toolbox.has_hinted = True
            say(
                f"the command names no parameter, such as {{{name}}}, and no {{}}: it is the same"
                f" for all jobs, unless it reads {variable_of(name)} and the like."
            )

    def _give_back_after(self, error: BaseException) -> None:
        if isinstance(error, TRANSIENT_ERRORS):
            return  # it was waited for already; `DirJobs.close` asks once more
        with suppress(JobClosed, StoreError):
            self.given_back = self.job.release()

    def _kept(self) -> str:
        """Keep what the command has left, if that is worth anything; tells where.

        Called by any thread when nothing more is done about it.
        """
        workspace = self._workspace
        if workspace is None or not (self._has_ended or workspace.has_results):
            if workspace is not None:
                workspace.remove()
            return ""
        workspace.keep()
        return (
            f"  Its results and its log are kept in {workspace.path!r} on {platform.node()}:"
            " `dirjobs deliver` hands them in."
        )

    def left_behind(self) -> str:
        """What to tell of this job since this process ends before it; empty if there is
        nothing to tell."""
        if not self._has_ended:
            return ""
        kept = self._kept()
        return f"job {self.job.name()!r} is not ended yet.{kept}" if kept else ""

    @contextmanager
    def _output_in(self, workspace: Workspace) -> Iterator[OutputBuffer]:
        """Takes in what the command prints, as long as this lasts."""
        tee = Tee(self.job.name()) if self._toolbox.tees else None
        with ExitStack() as stack:
            output = OutputBuffer(workspace.path, echo=None if tee is None else tee.write)
            stack.callback(output.close)
            if tee is not None:
                stack.callback(tee.close)
            with self._lock:
                self._output = output
            stack.callback(self._forget_output)
            yield output

    def _forget_output(self) -> None:
        with self._lock:
            self._output = None

    # -- running the command --------------------------------------------------------------

    def _work(self, workspace: Workspace, output: OutputBuffer) -> JobResult:
        job, toolbox = self.job, self._toolbox
        try:
            path = self._local_file(workspace)
            subject = self._subject(path)
            self._details.params = subject.record or {}
            workspace.record(size=os.lstat(path).st_size)
            self._hint_at_parameters(subject)
        except (NotFound, FileNotFoundError) as error:
            raise ClaimLost(
                f"the claim {job.full_name()!r} of job {job.name()!r} is gone: somebody moved it"
                " by hand, or another worker has the job; it was not started here."
            ) from error
        except (Denied, NotAFile, NoRoom) as error:
            return self._fail_unread(error, output)
        if toolbox.shutdown.stage >= Stage.STOPPING:
            return self._give_back()
        if reason := toolbox.delivery.signature_problem(job.name(), path):
            return self._fail_unstarted(End.REFUSED, reason, f"{reason}: not started", output)
        program: Program | Call = toolbox.program
        if toolbox.functions is not None and layout.is_call(job.name()):
            try:
                program = self._call(toolbox.functions, path, workspace)
                self._is_quiet = True
            except Unfit as error:
                return self._leave_to_others(str(error), output)
            except (NotACall, Damaged, NotFound, Denied) as error:
                told = f"it can't be run: {error}"
                return self._fail_unstarted(End.FAILED, told, told, output)
        checkpoints = self._new_checkpoints(path, workspace) if program.keeps else None
        attempt = 1 + toolbox.delivery.attempts_at(job.name())
        reason = ""
        for rerun in range(toolbox.retries + 1):
            if rerun:
                self._pause_after(reason, rerun, output)
            if self._lost:
                raise self._claim_lost()
            if toolbox.shutdown.stage >= Stage.STOPPING:
                return self._give_back()
            folders = {"out": workspace.empty_results()}
            if checkpoints is not None:
                folders["keep"] = checkpoints.folder
            reason = self._attempt(program, subject, attempt + rerun, folders, output)
            if self._lost:
                raise self._claim_lost()
            if program.is_unfit:
                return self._leave_to_others(reason, output)
            if reason == _STOPPED:
                return self._give_back()
            if not reason:
                break
        self._details.result = small_result(workspace.results)
        if isinstance(program, Call):
            self._take_value(program, workspace)
        self._note_end(workspace, reason, output)
        reason = self._hand_in(workspace, reason)
        if reason:
            self.save_checkpoint(patient=True)
        if self.log(patient=True):
            self._details.log = self._log_path if self._logged else ""
            self._record(workspace, log_stored=True)
        else:
            say(f"the log of job {job.name()!r} is not on the share.{self._kept()}")
        job.failed(reason) if reason else job.done()
        if not reason and checkpoints is not None:
            checkpoints.discard()
        end = End.FAILED if reason else End.DONE
        return JobResult(job.name(), end, reason, self._seconds)

    def _pause_after(self, reason: str, rerun: int, output: OutputBuffer) -> None:
        """Note why the command failed, and wait as long as the rules say before it is run again,
        for the `rerun`-th time."""
        toolbox = self._toolbox
        growth = toolbox.backoff ** min(rerun - 1, 100)
        pause = min(toolbox.retry_delay * growth, _LONGEST_DELAY)
        when = f" in {duration(pause)}" if pause else ""
        output.note(f"{reason}; running it again{when}")
        toolbox.delivery.note(self.job.name(), self._worker, reason)
        toolbox.shutdown.wait_for(self._is_over, pause)

    def _call(self, functions: Functions, path: str, workspace: Workspace) -> Call:
        """The call that this job is, with all that it needs on this machine.

        Raises:
            Unfit: it can't be run here.
            NotACall: the job is none.
            Damaged, NotFound, Denied: what is stored beside it can't be had.
        """
        fetch, share = functions.cache.fetch, self._toolbox.dj.share
        with open(path, "rb") as file:
            header = read_header(file)
        if problem := python_problem(header):
            raise Unfit(problem)
        stored = self._toolbox.delivery.through_outages(lambda: fetch(share, header.stored))
        call = Call(functions, header, path, stored, os.path.join(workspace.path, layout.VALUE))
        self._details.params = call.params
        return call

    def _take_value(self, call: Call, workspace: Workspace) -> None:
        """Put what came of a call into the record, or among its results if it is large."""
        value, signatures = call.take_value(), self._toolbox.delivery.signatures
        if value is None:
            return
        self._details.result = value.row or self._details.result
        if signatures is not None:
            with open(value.path, "r+b") as file:
                value_tag(file)
                put_tag(file, signatures.tag(value_subject(self.job.name()), file))
        if os.path.getsize(value.path) <= INLINE:
            with open(value.path, "rb") as file:
                self._details.value = base64.b64encode(file.read()).decode()
        elif os.path.isdir(workspace.results):
            local_files.replace(value.path, os.path.join(workspace.results, layout.VALUE))

    def _leave_to_others(self, reason: str, output: OutputBuffer) -> JobResult:
        """The end of an attempt at a call that can't be run here: it goes back, and has failed
        when so many workers could not run it that nobody may be able to."""
        job, toolbox = self.job, self._toolbox
        toolbox.unfit.add(job.name())
        output.note(f"{utc_now()} {reason}: left to other workers")
        toolbox.delivery.note(job.name(), self._worker, f"{_UNFIT}: {reason}")
        if toolbox.delivery.times_noted(job.name(), _UNFIT) >= toolbox.max_attempts:
            told = f"{reason}; {toolbox.max_attempts} workers could not run it"
            return self._fail_unstarted(End.FAILED, told, told, output)
        say(f"job {job.name()!r} is left to other workers: {reason}.")
        return self._give_back()

    def _attempt(
        self,
        program: Program | Call,
        subject: Subject,
        attempt: int,
        folders: Mapping[str, str],
        output: OutputBuffer,
    ) -> str:
        """Why one run of the command failed; nothing if it didn't."""
        toolbox = self._toolbox
        variables = environment(
            subject, wid=toolbox.dj.wid, attempt=str(attempt), **folders
        ) | toolbox.allotment.variables(self._slot, os.environ)
        began = time.monotonic()
        details = self._details
        details.attempt, details.exit_code, details.signal = attempt, None, ""
        self._seconds = 0.0
        try:
            command = program.command_for(subject)
            toolbox.has_fitted = True
            details.command = [redacted(part) for part in command]
            told = printable(redacted(program.shown(command)))
            host = platform.node()
            output.note(f"{utc_now()} attempt {attempt} by {self._worker} on {host}: {told}")
            if option := program.taken_for_option(command):
                self._warn_of(option, output)
            run = self._start(program, command, variables, output)
        except (UnknownParameter, PlaceholderInScript) as error:
            if not toolbox.has_fitted:
                raise ConfigurationError(f"{error}.") from error
            reason = str(error)
        except NoParameters as error:
            reason = str(error)
        except CannotStart as error:
            if error.passes or not error.about_the_job:
                raise ConfigurationError(f"{error}.") from error
            reason = str(error)
        else:
            reason = _STOPPED if run is None else self._outcome_of(run, began, output)
        details.seconds = self._seconds
        output.note(f"{utc_now()} after {duration(self._seconds)}: {reason or program.well}")
        return reason

    def _warn_of(self, option: str, output: OutputBuffer) -> None:
        """Tell that what was filled in may be taken for an option: in the log of each such job,
        and once on the terminal."""
        told = f"{option!r} may be taken for an option"
        output.note(f"{told}: nothing but the job's name or parameters made it one")
        toolbox = self._toolbox
        if not toolbox.has_warned:
            toolbox.has_warned = True
            say(
                f"{told} by the command of job {self.job.name()!r}: write -- before the"
                " placeholders where the command knows that, or --lr={lr}."
            )

    def _start(
        self,
        program: Program | Call,
        command: Sequence[str],
        variables: Mapping[str, str],
        output: OutputBuffer,
    ) -> Run | CallRun | None:
        """Start the command, sooner or later; None if the worker is to stop.

        At the limit of processes, threads or open files this waits some time for others to end.

        Raises:
            CannotStart: the operating system refuses.
        """
        toolbox = self._toolbox
        pauses = islice(growing_pauses(_PAUSE, _LONGEST_PAUSE), _STARTS - 1)
        while True:
            try:
                return program.start(command, variables, output, toolbox.shutdown.changed)
            except CannotStart as error:
                pause = next(pauses, None) if error.passes else None
                if pause is None:
                    raise
                if pause == _PAUSE:
                    say(f"{error}; trying again for half a minute.")
            if toolbox.shutdown.wait_for_stop(pause):
                return None

    def _outcome_of(self, run: Run | CallRun, began: float, output: OutputBuffer) -> str:
        toolbox, reason = self._toolbox, ""
        try:
            with self._known(run):
                reason = self._watch(run, began)
                ended = run.ended and not reason
                if run.stop(lambda: toolbox.shutdown.stage >= Stage.KILLING) and ended:
                    output.note("what it left running was ended")
        finally:
            run.stop(lambda: True)
            children.bury_as_first_process()
        run.hear_out()
        self._seconds = time.monotonic() - began
        self._details.exit_code, self._details.signal = ending(run.code)
        if reason == _STOPPED or (not reason and self._is_ended_with_us(run)):
            return _STOPPED  # whatever the program has said to that
        reason = reason or run.reason()
        # What fails says why on its last line, most of the time.
        words = redacted(output.last_line()) if (run.code or 0) > 0 and reason else ""
        return f"{reason}: {printable(words[:_LONGEST_WORDS])}" if words else reason

    def _is_ended_with_us(self, run: Run | CallRun) -> bool:
        """Whether what has ended by itself did not fail, but was ended together with this worker:
        a cluster, systemd and a closed window tell all processes at once, and the program may end
        before this worker is told."""
        if not run.code:
            return False
        shutdown = self._toolbox.shutdown
        if ended_from_outside(run.code):
            return shutdown.wait_for(lambda: shutdown.stage >= Stage.DRAINING, _UNTIL_TOLD)
        return shutdown.stage >= Stage.STOPPING

    def _watch(self, run: Run | CallRun, began: float) -> str:
        """Wait for the end of the program; why it is to be ended if that is not to be waited
        for."""
        toolbox, meter = self._toolbox, self._toolbox.allotment.meter(run.group)
        until = math.inf if toolbox.timeout is None else began + toolbox.timeout
        while True:
            left = max(0.0, until - time.monotonic())
            seconds = min(left, meter.pause)
            if toolbox.shutdown.wait_for(lambda: run.ended or self._is_over(), seconds):
                return "" if run.ended else _STOPPED
            problem = meter.look()
            self._details.memory = max(self._details.memory or 0, meter.peak) or None
            if problem:
                return problem
            if time.monotonic() >= until:
                return f"timeout after {toolbox.timeout:g} s"

    def _is_over(self) -> bool:
        return self._lost or self._toolbox.shutdown.stage >= Stage.STOPPING

    @contextmanager
    def _known(self, run: Run | CallRun) -> Iterator[None]:
        """While this lasts, the program dies with this worker, and whoever takes the worker
        for dead waits until the program has ended."""
        if os.name == "nt" or isinstance(run, CallRun):  # the group of calls is known already
            yield
            return
        with self._toolbox.watchdog.watching(run.group), self._toolbox.dj.runs_group(run.group):
            yield

    # -- the job's file and its end -------------------------------------------------------

    def _local_file(self, workspace: Workspace) -> str:
        """The job's file as a path of this machine: itself, or a copy for the time being, which
        nobody on the share can change when its signature has been looked for."""
        local = self.job.local_path()
        if local is not None and not self._toolbox.delivery.wants_signatures:
            return local
        path = workspace.path_for(self.job.name())
        check_room(workspace.path, os.lstat(local).st_size if local else self.job.size() or 0)
        pauses = growing_pauses(_PAUSE, _LONGEST_PAUSE)
        while True:
            try:
                with open(path, "wb") as file:
                    self.job.download(cast("BinaryIO", Copy(file, workspace.path)))
            except TRANSIENT_ERRORS as error:
                say(f"job {self.job.name()!r} can't be fetched now ({error}); trying again.")
                pause = max(next(pauses), getattr(error, "retry_after", None) or 0.0)
                if self._toolbox.shutdown.wait_for_stop(pause):
                    return path  # it will not be run
            else:
                return path

    def _subject(self, path: str) -> Subject:
        """The job as its command sees it; a file that another program has open on Windows is
        waited for.

        Raises:
            NotAFile, OSError: as `Subject.of_file`.
        """
        for pause in islice(growing_pauses(_HELD_PAUSE, _PAUSE), _HELD_LOOKS):
            subject = Subject.of_file(self.job.name(), path, self._slot)
            if not (subject.unread and sys.platform == "win32"):
                return subject
            if self._toolbox.shutdown.wait_for_stop(pause):
                break
        return subject

    def _fail_unread(self, error: OSError, output: OutputBuffer) -> JobResult:
        """The end of a job whose file is none, or can't be read; the others go on."""
        reason = f"its file can't be read: {explained(error)}"
        return self._fail_unstarted(End.FAILED, reason, reason, output)

    def _fail_unstarted(self, end: End, reason: str, told: str, output: OutputBuffer) -> JobResult:
        output.note(f"{utc_now()} {told}")
        if self.log(patient=True):
            self._details.log = self._log_path
        self.job.failed(reason)
        return JobResult(self.job.name(), end, reason)

    def _give_back(self) -> JobResult:
        self.save_checkpoint()
        self._note("given back")
        self.log(patient=False)
        if self.job.release():
            return JobResult(self.job.name(), End.GIVEN_BACK)
        say(f"job {self.job.name()!r} could not be given back: its claim was gone.")
        return JobResult(self.job.name(), End.LOST)

    def _note_end(self, workspace: Workspace, reason: str, output: OutputBuffer) -> None:
        """From now on there are results that nobody may throw away."""
        self._has_ended = True
        try:
            details = as_json(self._details)
            workspace.command_ended(utc_now(), reason, output.content(), details)
        except OSError as error:
            log.warning("%r can't be written to (%s)", workspace.path, error)

    def _hand_in(self, workspace: Workspace, reason: str) -> str:
        """Bring the results to the share; why the job failed, which may be for this."""
        if not os.path.lexists(workspace.results):
            return reason or "$DIRJOBS_OUT was removed while the command ran, with what was in it"
        if not os.path.isdir(workspace.results):
            told = f"$DIRJOBS_OUT is no folder any more, so nothing of it was stored.{self._kept()}"
            return f"{reason}; {told}" if reason else told
        if next(contents(workspace.results), None) is None:
            return reason
        if not self._is_ours():
            raise self._claim_lost()
        delivery = self._toolbox.delivery
        place = self._details.files = delivery.place_for(self.job.name(), self._worker)
        self._record(workspace, files=place)
        problem = delivery.results(place, workspace.results, self._note_and_say)
        if not problem:
            self._record(workspace, results_stored=True)
            return reason
        self._note(f"results could not be stored: {problem}")
        told = (
            f"{reason or 'the command ended well'}, but its results could not be stored:"
            f" {problem}.{self._kept()}"
        )
        self._record(workspace, refused=told)
        return told

    def _record(self, workspace: Workspace, **changes: object) -> None:
        try:
            workspace.record(**changes)
        except OSError as error:
            log.warning("%r can't be written to (%s)", workspace.path, error)

    # -- checkpoints ----------------------------------------------------------------------

    def _new_checkpoints(self, path: str, workspace: Workspace) -> Checkpoints:
        """What earlier attempts kept, fetched."""
        toolbox = self._toolbox
        self._checkpoints = checkpoints = Checkpoints(
            toolbox.dj.share,
            toolbox.delivery,
            job=self.job.name(),
            worker=self._worker,
            file=path,
            place=workspace.path,
            began=toolbox.dj.store_time(),
            signatures=toolbox.delivery.signatures,
        )
        if told := checkpoints.fetch():
            self._note(told)
        return checkpoints

    def save_checkpoint(self, *, patient: bool = False) -> None:
        """Bring what is in ``$DIRJOBS_KEEP`` to the share, if that has changed and the job is
        still ours.

        Called by another thread as well, now and then.

        Args:
            patient: wait through outages.
        """
        checkpoints = self._checkpoints
        if checkpoints is None:
            return
        if told := checkpoints.save_changes(self._is_ours, patient=patient):
            self._note_and_say(told)

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
        how = "had ended" if self._has_ended else "was stopped"
        return ClaimLost(
            f"job {self.job.name()!r} is no longer claimed by {self._worker}: somebody moved it,"
            f" or gave the job to another worker; its command {how}, its results are not stored."
        )

    def log(self, *, patient: bool) -> bool:
        """Write what the command has printed so far to the share, if that has changed; whether
        it is there."""
        with self._lock:  # so that an old one never replaces a newer one
            output = self._output
            if output is None or output.size == self._logged or self._says_nothing(output):
                return True
            size, delivery = output.size, self._toolbox.delivery
            if not delivery.log(self._log_path, output.content(), patient=patient):
                return False
            self._logged = size
            return True

    def _says_nothing(self, output: OutputBuffer) -> bool:
        """Whether a call has printed nothing so far: then its log would be ours alone, a request
        for each of thousands."""
        return self._is_quiet and not output.has_more_than_notes

    def log_soon(self) -> None:
        """Write the log if it has changed, as often as that takes next to no time.

        Called by another thread, again and again, where the queue is on a disk.
        """
        began = time.monotonic()
        if began >= self._log_again:
            self.log(patient=False)
            self._log_again = began + _LOGGING_TAKES * (time.monotonic() - began)

    def _note_and_say(self, text: str) -> None:
        self._note(text)
        say(f"job {self.job.name()!r}: {text}")

    def _note(self, text: str) -> None:
        if self._output is not None:
            self._output.note(f"{utc_now()} {text}")


_STOPPED = "stopped"
"""The reason of an attempt that was ended with its worker: that is no failure."""
_UNTIL_TOLD = 3.0
"""Seconds within which a worker is told, too, of what has ended its program."""
_UNFIT = "could not be run"
_LOGGING_TAKES = 50
"""Of a worker's time the writing of logs on a disk takes one part in so many."""
_LONGEST_DELAY = 24 * 3600.0
_LONGEST_WORDS = 200
