"""The event loop of a process, in a thread of its own: all threads send through it.

asyncssh needs one.  A forked child has no such thread, so it starts one of its own.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_loops: dict[int, asyncio.AbstractEventLoop] = {}
"""By process id; those of other processes are kept, so that nothing in them is ever closed."""


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run `coroutine` in the loop and wait for it; it bounds its own time."""
    return asyncio.run_coroutine_threadsafe(coroutine, _loop()).result()


def _loop() -> asyncio.AbstractEventLoop:
    pid = os.getpid()
    found = _loops.get(pid)
    if found is None:
        started = asyncio.new_event_loop()
        # No lock, which might have been held at the moment of a fork.
        found = _loops.setdefault(pid, started)
        if found is started:
            threading.Thread(target=found.run_forever, name="dirjobs-sftp", daemon=True).start()
        else:
            started.close()
    return found
