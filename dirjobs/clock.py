"""Monotonic time that counts while the machine is suspended."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial


def _boot_clock() -> Callable[[], float]:
    clock = getattr(time, "CLOCK_BOOTTIME", None) or getattr(time, "CLOCK_MONOTONIC_RAW", None)
    if clock is None or sys.platform not in ("linux", "darwin"):
        return time.monotonic  # Windows: counts while suspended
    return partial(time.clock_gettime, clock)


monotonic = _boot_clock()
"""Seconds that never go back and, where the system can tell, count while suspended."""
