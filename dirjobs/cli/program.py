"""The command that `dirjobs work` runs for each job."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress

from ..errors import ConfigurationError
from ..queue import DirJobs
from .interruption import Interrupted, Interruption

PLACEHOLDER = "{}"
GRACE = 5.0
"""Seconds between asking a program to end and killing it."""

_POSIX = sys.platform != "win32"


class CannotStart(Exception):
    """The operating system refuses to start the program."""


class Program:
    """A command with the place of the job's file marked in it.

    Args:
        command: the program and its arguments; ``{}`` in any of them is the job's file.
        interruption: ends the wait for the program.

    Raises:
        ConfigurationError: there is no such program.
    """

    def __init__(self, command: Sequence[str], interruption: Interruption) -> None:
        self._command = tuple(command)
        self._interruption = interruption
        name = self._command[0]
        if not self.is_the_job and shutil.which(name) is None:
            raise ConfigurationError(
                f"the command {name!r} was not found or may not be executed: check its spelling"
                " and that it is installed on this machine."
            )

    @property
    def is_the_job(self) -> bool:
        """Whether the job's file itself is what gets executed."""
        return PLACEHOLDER in self._command[0]

    def run(self, path: str, dj: DirJobs) -> str:
        """Run the command without a shell, in a process group of its own.

        Args:
            path: takes the place of ``{}``.
            dj: is told of the process group.

        Returns:
            why it failed, such as ``exit code 3`` or ``killed by signal 9``; nothing if
            it ended well.  Signals are held back from then on: its job must end, too.

        Raises:
            CannotStart: the operating system refuses.
            Interrupted: and then no process of the group is left.
        """
        process: subprocess.Popen[bytes] | None = None
        try:
            with self._interruption.held_back():
                process = self._start([part.replace(PLACEHOLDER, path) for part in self._command])
            self._interruption.check()
            group: AbstractContextManager[None] = nullcontext()
            if _POSIX:
                group = dj.runs_group(process.pid)
            with group:
                process.wait()
            self._interruption.hold()
        except Interrupted:
            if process is None:
                raise
            if process.poll() is None:
                stop(process)
                raise
            self._interruption.hold()  # it was faster than the signal: its job has ended
        except BaseException:
            if process is not None:
                stop(process)
            raise
        return outcome(process.returncode)

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        try:
            if sys.platform == "win32":
                flags = subprocess.CREATE_NEW_PROCESS_GROUP
                return subprocess.Popen(command, stdin=subprocess.DEVNULL, creationflags=flags)
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)
        except OSError as error:
            raise CannotStart(f"{command[0]!r} can't be started: {error.strerror}") from error


def outcome(code: int) -> str:
    """Why a program that ended with `code` failed; nothing if it did not."""
    if code == 0:
        return ""
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"


def stop(process: subprocess.Popen[bytes], grace: float = GRACE) -> None:
    """End a program with all that it started: asked first, killed after `grace` seconds.

    An impatient person's next signal kills it at once.
    """
    with suppress(Interrupted):
        _signal(process, kill=False)
        deadline = time.monotonic() + grace
        while _is_left(process) and time.monotonic() < deadline:
            time.sleep(0.02)
    _signal(process, kill=True)
    process.wait()


def _signal(process: subprocess.Popen[bytes], *, kill: bool) -> None:
    if sys.platform == "win32":
        if process.poll() is None:
            process.kill() if kill else process.terminate()
        return
    with suppress(ProcessLookupError, PermissionError):  # all gone, or only zombies (macOS)
        os.killpg(process.pid, signal.SIGKILL if kill else signal.SIGTERM)


def _is_left(process: subprocess.Popen[bytes]) -> bool:
    """Whether any process of the program's group is left."""
    running = process.poll() is None
    if sys.platform == "win32" or running:
        return running
    try:
        os.killpg(process.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
