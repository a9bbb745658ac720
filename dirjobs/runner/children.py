"""The processes that a worker starts, and those that it inherits as process 1 of a container.

Whose parent has ended is handed to process 1, which must bury it: nobody else will, and the
dead fill the table of processes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from threading import Lock
from typing import Any

_lock = Lock()
_ours: set[int] = set()


def spawn(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a process whose end the caller waits for, see `wait`; as `subprocess.Popen`.

    Raises:
        OSError, ValueError: it can't be started.
    """
    with _lock:  # it may end before it is known to be ours
        process = subprocess.Popen(command, **options)
        _ours.add(process.pid)
    return process


def wait(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a process that `spawn` started."""
    process.wait()
    with _lock:
        _ours.discard(process.pid)


def bury_strangers() -> int:
    """Bury the dead that `spawn` did not start; how many there were."""
    if sys.platform == "win32" or not hasattr(os, "waitid"):
        return 0
    buried = 0
    with _lock:
        while (dead := _next_dead()) and dead not in _ours:
            os.waitpid(dead, 0)
            buried += 1
    return buried


def _next_dead() -> int:
    """The number of a child that has ended, which stays as it is; 0 if there is none."""
    if sys.platform == "win32":
        return 0
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    return 0 if found is None else found.si_pid


def bury_as_first_process() -> None:
    """Bury strangers if this is process 1."""
    if os.getpid() == 1:
        bury_strangers()
