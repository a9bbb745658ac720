"""Threads and locks, in one place: whoever replaces these decides who runs when.

`tests/simulation/schedule.py` does, so that a seed replays every order of events between the
threads of one `DirJobs`.  Use them by the module's name (``threads.Lock()``).
"""

from __future__ import annotations

import errno
import threading
from os import getpid
from queue import SimpleQueue
from threading import Lock, RLock, Thread, local

__all__ = ["Lock", "RLock", "SimpleQueue", "Thread", "getpid", "is_current", "local", "start"]


def is_current(thread: Thread) -> bool:
    """Whether it is the thread that asks."""
    return thread is threading.current_thread()


def start(thread: Thread) -> None:
    """Start a thread.

    Raises:
        OSError: this machine, or this user, may have no more threads now (EAGAIN).
    """
    try:
        thread.start()
    except RuntimeError as error:
        raise OSError(
            errno.EAGAIN,
            "this machine has no room for another thread: see `ulimit -u`, or a container's limit"
            " of processes",
        ) from error
