"""The command that `dirjobs work` runs for each job, and one run of it."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread

from dirjobs import threads
from dirjobs.errors import ConfigurationError
from dirjobs.recovery.process import only_zombies
from dirjobs.redaction import without_secrets
from dirjobs.runner import children
from dirjobs.runner.output_buffer import OutputBuffer, follow
from dirjobs.runner.scripts import scripts_in
from dirjobs.runner.template import (
    PLACE,
    PlaceholderInScript,
    Subject,
    check_script,
    command_of,
    fill_argument,
)

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
        if "{" not in name and shutil.which(name) is None:
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
        variables = {"PYTHONUNBUFFERED": "1", **inherited, **environment}
        try:
            return Run(command, variables, output, changed, self._nice)
        except ValueError as error:  # a NUL, or no valid Unicode
            told = f"its arguments can't be passed ({error})"
            raise CannotStart(told, about_the_job=True) from error
        except OSError as error:
            raise CannotStart(
                f"{command[0]!r} can't be started: {error.strerror}",
                about_the_job=self.is_the_job or error.errno in _ABOUT_THE_JOB,
                passes=error.errno in _PASSES,
            ) from error


class Run:
    """A program at work, in a process group of its own; arguments as `Program.start`, with all
    variables that it gets, and by how much its priority is lower.

    The threads that look after it are there before it is: at the limit of threads nothing is
    started that nobody would look after.
    """

    def __init__(
        self,
        command: Sequence[str],
        variables: Mapping[str, str],
        output: OutputBuffer,
        changed: Callable[[], None],
        nice: int = 0,
    ) -> None:
        self.ended = False
        self._changed = changed
        self._started: SimpleQueue[bool] = SimpleQueue()
        ours, theirs = os.pipe()
        try:
            self._reader = follow(os.fdopen(ours, "rb", buffering=0), output)
            try:
                threads.start(Thread(target=self._wait, name="dirjobs-wait", daemon=True))
                self._process = self._start(command, variables, theirs, nice)
            except BaseException:
                self._started.put(False)
                raise
        finally:
            os.close(theirs)
        self._started.put(True)

    def _start(
        self, command: Sequence[str], variables: Mapping[str, str], output: int, nice: int
    ) -> subprocess.Popen[bytes]:
        if sys.platform == "win32":
            priority = subprocess.BELOW_NORMAL_PRIORITY_CLASS if nice else 0
            process = children.spawn(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=variables,
                creationflags=subprocess.CREATE_NEW_PROCESS_GROUP | priority,
            )
            try:
                self._all = JobObject(process)
            except BaseException:
                process.kill()
                children.wait(process)
                raise
        else:
            process = children.spawn(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=variables,
                process_group=0,
            )
            if nice:
                with suppress(ProcessLookupError):  # it has ended
                    # Whatever it may have started meanwhile, too.
                    ours = os.getpriority(os.PRIO_PROCESS, 0)
                    os.setpriority(os.PRIO_PGRP, process.pid, min(19, ours + nice))
        return process

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
        self._changed()

    def stop(self, hurried: Callable[[], bool]) -> bool:
        """End what is left of the program and of all that it started in its group: asked
        first, killed after `GRACE` seconds.

        Args:
            hurried: True when there is no time for that.

        Returns:
            False if there was nothing left.
        """
        if not self._is_left():
            if sys.platform == "win32":
                self._all.kill()  # what it started may run on
            return False
        self._ask()
        deadline = time.monotonic() + GRACE
        while self._is_left() and time.monotonic() < deadline and not hurried():
            time.sleep(_LOOK)
        self._kill()
        deadline = time.monotonic() + GRACE  # for what hangs in the kernel there is no end
        while self._is_left() and time.monotonic() < deadline:
            time.sleep(_LOOK)
        return True

    def hear_out(self) -> None:
        """Wait for the last of the output, but not for a daemon that keeps it open."""
        self._reader.join(_LAST_WORDS)

    def _ask(self) -> None:
        if sys.platform == "win32":
            with suppress(OSError):
                self._process.send_signal(signal.CTRL_BREAK_EVENT)
        else:
            self._signal(signal.SIGTERM)

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
        if not self.ended or sys.platform == "win32":
            return not self.ended
        try:
            os.killpg(self.group, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return not only_zombies(self.group)


def ending(code: int | None) -> tuple[int | None, str]:
    """The exit code of a program that ended with `code`, and the name of the signal that killed
    it; it has one of them at most."""
    if code is None or code >= 0:
        return code, ""
    try:
        return None, signal.Signals(-code).name
    except ValueError:
        return None, f"signal {-code}"


def outcome(code: int | None) -> str:
    """Why a program that ended with `code` failed; nothing if it did not."""
    if code == 0:
        return ""
    if code is None:
        return "it could not be ended"
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
