"""Starting threads where a machine may have no room for them."""

from __future__ import annotations

import errno
from threading import Thread


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
