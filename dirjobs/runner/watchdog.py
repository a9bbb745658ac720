"""Kills the programs of a worker that died, however it died."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Self

from dirjobs.redaction import without_secrets
from dirjobs.runner import children

log = logging.getLogger(__name__)

_SHELL = "/bin/sh"
# Each line names all groups there are.  No more lines come when the other end of the pipe is
# closed, by whatever killed the worker.
_SCRIPT = """\
trap '' HUP INT QUIT TERM
groups=
while read -r line; do groups=$line; done
for group in $groups; do kill -s KILL -- "-$group"; done
"""


class Watchdog:
    """A small process that outlives this one and then kills the process groups of its programs.

    It works on every POSIX system: a parent-death signal is Linux's alone, and reaches a
    program's children no more.  A program that left its group (`setsid`) is left alone, and
    one that was started in the very moment (some 0.1 ms) of the death is missed.  On Windows
    it does nothing: there each program is in a Job object that ends with this process.

    Used as a context manager, from several threads.
    """

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._lock:
            self._start()
        return self

    def __exit__(self, *error: object) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            _bury(process)

    @contextmanager
    def watching(self, group: int) -> Iterator[None]:
        """While this lasts, the process group `group` dies with this process."""
        with self._lock:
            self._groups.add(group)
            self._tell()
        try:
            yield
        finally:
            with self._lock:
                self._groups.discard(group)
                self._tell()

    def _start(self) -> None:
        if sys.platform == "win32":
            return
        try:
            self._process = children.spawn(
                [_SHELL, "-c", _SCRIPT, "dirjobs-watchdog"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                cwd="/",
                env=without_secrets(os.environ),
                start_new_session=True,  # neither Ctrl-C nor a closed terminal is meant for it
            )
        except OSError as error:
            log.warning(
                "%s can't be started (%s): if this worker is killed, its programs run on",
                _SHELL,
                error,
            )

    def _tell(self) -> None:
        if self._process is None:
            return
        try:
            self._write()
        except BrokenPipeError:  # somebody killed it
            _bury(self._process)
            self._process = None
            self._start()
            with suppress(BrokenPipeError):
                self._write()

    def _write(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            line = " ".join(map(str, sorted(self._groups)))
            self._process.stdin.write(f"{line}\n".encode())


def _bury(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()
    children.wait(process)
