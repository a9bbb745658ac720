"""The command that `dirjobs work` runs for each job, and one run of it."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Thread

from dirjobs import threads
from dirjobs.errors import ConfigurationError
from dirjobs.files.output_buffer import OutputBuffer, follow
from dirjobs.placeholders import PlaceholderInScript, tells_of_job
from dirjobs.recovery.process import only_zombies, resume
from dirjobs.redaction import without_secrets
from dirjobs.runner import children
from dirjobs.runner.readable import Readable
from dirjobs.runner.scripts import scripts_in
from dirjobs.runner.template import PLACE, Subject, check_script, command_of, fill_argument
from dirjobs.runner.windows_command import (
    find_program,
    is_batch,
    is_run_by_batch,
    launched,
    started_as,
)
from dirjobs.shell import typed

if sys.platform == "win32":
    from dirjobs.runner.windows_job import JobObject

GRACE = 5.0
"""Seconds between asking a program to end and killing it."""
_LAST_WORDS = 1.0
"""Seconds to wait for the end of the output of a program that has ended."""
_LOOK = 0.02
"""Seconds between two looks at whether a process group is gone."""
_NUMBER = re.compile(r"-(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_ABOUT_THE_JOB = (errno.E2BIG, errno.ENAMETOOLONG)
_PASSES = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
_ABOUT_THE_JOB_ON_WINDOWS = (206,)
"""ERROR_FILENAME_EXCED_RANGE: a command line has at most 32,767 characters."""
_PASSES_ON_WINDOWS = (8, 14, 1450, 1455, 1816)
"""ERROR_NOT_ENOUGH_MEMORY, _OUTOFMEMORY, _NO_SYSTEM_RESOURCES, _COMMITMENT_LIMIT and
_NOT_ENOUGH_QUOTA."""
_CREATE_SUSPENDED = 0x4


class CannotStart(Exception):
    """The operating system refuses to start the program.

    Attributes:
        about_the_job: it may start for other jobs.
        passes: it may start later: this machine, or this user, has no room for another process,
            thread or open file just now.
    """

    def __init__(self, message: str, *, about_the_job: bool = False, passes: bool = False) -> None:
        super().__init__(message)
        self.about_the_job = about_the_job
        self.passes = passes

    @classmethod
    def of(cls, program: str, error: OSError, *, is_the_job: bool = False) -> CannotStart:
        """The operating system's refusal to start `program`.

        Args:
            is_the_job: what gets executed is the job's affair.
        """
        code = getattr(error, "winerror", None)
        about_the_job = error.errno in _ABOUT_THE_JOB or code in _ABOUT_THE_JOB_ON_WINDOWS
        return cls(
            f"{program!r} can't be started: {error.strerror}",
            about_the_job=is_the_job or about_the_job,
            passes=error.errno in _PASSES or code in _PASSES_ON_WINDOWS,
        )


class Program:
    """A command with placeholders in it, or whatever command a job brings along.

    Args:
        command: the program and its arguments; empty: those that each job brings along.
        keep_env: hand on the secrets of this process's environment, too.
        nice: by how much its priority is lower than this process's: 0 to 19.

    Raises:
        ConfigurationError: there is no such program, or names of jobs would be run as code.
    """

    def __init__(self, command: Sequence[str], *, keep_env: bool = False, nice: int = 0) -> None:
        self.keeps = True
        """Whether it may use checkpoints."""
        self.is_unfit = False
        """Whether it could not be run here, and may be run elsewhere: no command tells."""
        self._command = tuple(command)
        self._keep_env = keep_env
        self._nice = nice
        self._scripts = scripts_in(self._command)
        for number, script in self._scripts.items():
            try:
                check_script(self._command[number], script)
            except PlaceholderInScript as error:
                raise ConfigurationError(f"{error}.") from error
        name = self._command[0] if self._command else PLACE
        self.is_the_job = PLACE in name
        """Whether what gets executed is the job's affair: its file itself, or what it names."""
        self._program = None if "{" in name else find_program(name)
        if "{" not in name and self._program is None:
            raise ConfigurationError(
                f"the command {name!r} was not found or may not be executed: check its spelling"
                " and that it is installed on this machine."
            )

    def command_for(self, subject: Subject) -> list[str]:
        """The command for one job.

        Raises:
            UnknownParameter: it asks for a parameter that the job doesn't have.
            PlaceholderInScript: it asks for one where that would be run.
        """
        if not self._command:
            return command_of(subject)
        return [
            fill_argument(part, subject, self._scripts.get(number))
            for number, part in enumerate(self._command)
        ]

    def unused_parameter(self, subject: Subject) -> str:
        """A parameter of a job, if the command names neither any nor the job itself, and no
        variable that tells of them; empty if there is none, or if each job brings its command."""
        if not self._command or any(map(tells_of_job, self._command)):
            return ""
        return next(iter(subject.parameters or ()), "")

    well = "exit code 0"
    """How a run that has not failed has ended."""

    def shown(self, command: Sequence[str]) -> str:
        """A command of `command_for`, as it is typed."""
        return typed(command)

    def taken_for_option(self, command: Sequence[str]) -> str:
        """The first argument of a job's command that is an option only by what was filled in;
        empty if there is none."""
        if not self._command:
            return ""
        for part, argument in zip(self._command[1:], command[1:], strict=True):
            if part == "--":
                break
            became_one = argument.startswith("-") and not part.startswith("-")
            if became_one and not _NUMBER.fullmatch(argument):
                return argument
        return ""

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        output: OutputBuffer,
        changed: Callable[[], None],
    ) -> Run:
        """Start `command`, without a shell.

        Args:
            command: from `command_for`.
            environment: variables beside those of this process, of which the secret ones are
                left out.
            output: gets what it prints.
            changed: called, in another thread, when it has ended.

        Raises:
            CannotStart: the operating system refuses.
        """
        inherited = os.environ if self._keep_env else without_secrets(os.environ)
        # Else what Python programs have printed is in no log when they are killed.
        variables = {"PYTHONUNBUFFERED": "1", **_ENCODING, **inherited, **environment}
        try:
            return Run(self._started_as(command), variables, output, changed, self._nice)
        except ValueError as error:  # a NUL, or no valid Unicode
            told = f"its arguments can't be passed ({error})"
            raise CannotStart(told, about_the_job=True) from error
        except OSError as error:
            raise CannotStart.of(command[0], error, is_the_job=self.is_the_job) from error

    def _started_as(self, command: Sequence[str]) -> Sequence[str]:
        """What the operating system is given to start `command`.

        Raises:
            CannotStart: there is no such program, or a batch file would run what others wrote.
            OSError: there is nobody who runs such a file.
        """
        if sys.platform != "win32":
            return command
        program = self._program or find_program(command[0])
        if program is None:
            told = f"{command[0]!r} was not found or may not be executed"
            raise CannotStart(told, about_the_job=self.is_the_job)
        first, *words = launched(program, command[1:])
        if is_batch(first):
            self._check_for_batch(first, command, is_launcher=first != program)
        return started_as(first, words)

    def _check_for_batch(self, batch: str, command: Sequence[str], *, is_launcher: bool) -> None:
        """Refuse what a batch file would run of the words that others wrote.

        Args:
            batch: the batch file.
            command: from `command_for`.
            is_launcher: it is given the program, too, and is not the program itself.

        Raises:
            CannotStart: there is such a word.
        """
        typed = self._command or [""] * len(command)
        given = [*zip(typed, command, strict=True)]
        for part, argument in given if is_launcher else given[1:]:
            if part != argument and is_run_by_batch(argument):
                raise CannotStart(
                    f"the batch file {batch if is_launcher else command[0]!r} would run a part of"
                    f" {argument!r}: let it start a program that reads the job's file, or"
                    " DIRJOBS_PARAM_... ",
                    about_the_job=True,
                )


_STATUS_CONTROL_C_EXIT = 0xC000013A
_BY_SIGNAL = 128
"""What a shell adds to the number of the signal that has killed a program."""
_ENCODING = {"PYTHONIOENCODING": "utf-8"} if sys.platform == "win32" else {}
"""Else a Python program can't print what the code page of its Windows lacks."""


class Processes:
    """A process, and all that it starts in its process group.

    The thread that waits for its end is there before it is: at the limit of threads nothing is
    started that nobody would look after.

    Args:
        command: the program and its arguments.
        variables: its environment, all of it.
        output: the file to which it prints.
        ended: called, in another thread, when the first process has ended.
        nice: by how much its priority is lower.
        takes_input: it reads what `send` is given; else its standard input is empty.

    Raises:
        OSError, ValueError: the operating system refuses.
    """

    def __init__(
        self,
        command: Sequence[str],
        variables: Mapping[str, str],
        *,
        output: int,
        ended: Callable[[], None],
        nice: int = 0,
        takes_input: bool = False,
    ) -> None:
        self.ended = False
        self._when_ended = ended
        self._started: SimpleQueue[bool] = SimpleQueue()
        threads.start(Thread(target=self._wait, name="dirjobs-wait", daemon=True))
        try:
            source = subprocess.PIPE if takes_input else subprocess.DEVNULL
            self._process = self._start(command, variables, source, output, nice)
        except BaseException:
            self._started.put(False)
            raise
        self._started.put(True)

    def _start(
        self,
        command: Sequence[str],
        variables: Mapping[str, str],
        source: int,
        output: int,
        nice: int,
    ) -> subprocess.Popen[bytes]:
        spawn = partial(
            children.spawn,
            command,
            stdin=source,
            stdout=output,
            stderr=subprocess.STDOUT,
            bufsize=0,
            env=variables,
        )
        if sys.platform == "win32":
            priority = subprocess.BELOW_NORMAL_PRIORITY_CLASS if nice else 0
            self._all = JobObject()
            try:
                process = spawn(
                    creationflags=subprocess.CREATE_NEW_PROCESS_GROUP | _CREATE_SUSPENDED | priority
                )
                self._set_going(process)
            except BaseException:
                self._all.close()
                raise
        else:
            process = spawn(process_group=0)
            if nice:
                with suppress(ProcessLookupError):  # it has ended
                    # Whatever it may have started meanwhile, too.
                    ours = os.getpriority(os.PRIO_PROCESS, 0)
                    os.setpriority(os.PRIO_PGRP, process.pid, min(19, ours + nice))
        return process

    def _set_going(self, process: subprocess.Popen[bytes]) -> None:
        """Let a process of Windows run, that was started suspended, with all that it will start
        in a Job object.

        Raises:
            OSError: Windows refuses; the process has ended.
        """
        if sys.platform == "win32":
            try:
                self._all.take(int(process._handle))  # type: ignore[attr-defined]
                resume(process.pid)
            except BaseException:
                process.kill()
                children.wait(process)
                raise

    @property
    def group(self) -> int:
        """The number of its process group."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code; minus a signal's number if that killed it; None while it runs."""
        return self._process.returncode if self.ended else None

    def _wait(self) -> None:
        if not self._started.get():
            return
        children.wait(self._process)
        self.ended = True
        self._when_ended()

    def send(self, data: bytes) -> None:
        """Give it something to read, unless it has ended."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            while data:
                data = data[self._process.stdin.write(data) :]

    def close_input(self) -> None:
        """Give it nothing more to read."""
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()

    def stop(self, hurried: Callable[[], bool]) -> bool:
        """End what is left of the program and of all that it started in its group: asked
        first, killed after `GRACE` seconds.

        Args:
            hurried: True when there is no time for that.

        Returns:
            False if there was nothing left.
        """
        try:
            return self._stop(hurried)
        finally:
            if sys.platform == "win32":
                self._all.close()

    def _stop(self, hurried: Callable[[], bool]) -> bool:
        if not self._is_left():
            return False
        deadline = time.monotonic() + (GRACE if self._ask() else 0)
        while self._is_left() and time.monotonic() < deadline and not hurried():
            time.sleep(_LOOK)
        self._kill()
        deadline = time.monotonic() + GRACE  # for what hangs in the kernel there is no end
        while self._is_left() and time.monotonic() < deadline:
            time.sleep(_LOOK)
        return True

    def _ask(self) -> bool:
        """Ask all of them to end; whether that can be done."""
        if sys.platform != "win32":
            self._signal(signal.SIGTERM)
            return True
        try:
            os.kill(self.group, signal.CTRL_BREAK_EVENT)  # whose first process may have ended
        except (OSError, SystemError):  # this process has no console; some Pythons say so oddly
            return False
        return True

    def _kill(self) -> None:
        if sys.platform == "win32":
            self._all.kill()
        else:
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if sys.platform != "win32":
            with suppress(ProcessLookupError, PermissionError):  # all gone, or zombies (macOS)
                os.killpg(self.group, number)

    def _is_left(self) -> bool:
        """Whether any process of the program's group is left."""
        if not self.ended:
            return True
        if sys.platform == "win32":
            return not self._all.is_empty()
        try:
            os.killpg(self.group, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return not only_zombies(self.group)


class Run:
    """A program at work, in a process group of its own; arguments as `Program.start`, with all
    variables that it gets, and by how much its priority is lower."""

    def __init__(
        self,
        command: Sequence[str],
        variables: Mapping[str, str],
        output: OutputBuffer,
        changed: Callable[[], None],
        nice: int = 0,
    ) -> None:
        ours, theirs = os.pipe()
        try:
            stream = os.fdopen(ours, "rb", buffering=0)
            if sys.platform == "win32":
                readable = Readable(output.write)
                self._reader = follow(stream, readable, readable.close)
            else:
                self._reader = follow(stream, output)
            self._processes = Processes(command, variables, output=theirs, ended=changed, nice=nice)
        finally:
            os.close(theirs)
        self.stop = self._processes.stop

    @property
    def group(self) -> int:
        """The number of its process group."""
        return self._processes.group

    @property
    def ended(self) -> bool:
        """Whether the program itself has ended."""
        return self._processes.ended

    @property
    def code(self) -> int | None:
        """Its exit code; minus a signal's number if that killed it; None while it runs."""
        return self._processes.code

    def reason(self) -> str:
        """Why it failed, having ended; empty if it did not."""
        return outcome(self.code)

    def hear_out(self) -> None:
        """Wait for the last of the output, but not for a daemon that keeps it open."""
        self._reader.join(_LAST_WORDS)


def ending(code: int | None) -> tuple[int | None, str]:
    """The exit code of a program that ended with `code`, and the name of the signal that killed
    it; it has one of them at most."""
    if code is None or code >= 0:
        return code, ""
    try:
        return None, signal.Signals(-code).name
    except ValueError:
        return None, f"signal {-code}"


def ended_from_outside(code: int | None) -> bool:
    """Whether a program has ended as those do that are asked to: by SIGTERM, SIGINT or SIGHUP, or
    with the code by which a shell tells of that; on Windows by Ctrl-Break, or with its console."""
    if sys.platform == "win32":
        return code == _STATUS_CONTROL_C_EXIT
    asking = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    return code is not None and (-code in asking or code - _BY_SIGNAL in asking)


def outcome(code: int | None) -> str:
    """Why a program that ended with `code` failed; nothing if it did not."""
    if code == 0:
        return ""
    if code is None:
        return "it could not be ended"
    if code >= 0:
        return f"exit code {code}"
    name = ending(code)[1]
    return f"killed by signal {-code}" + (f" ({name})" if name.startswith("SIG") else "")
