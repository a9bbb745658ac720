"""Time: a clock that counts while the machine is suspended, the date, pauses that grow."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial

_SLICE = 0.2


def _boot_clock() -> Callable[[], float]:
    clock = getattr(time, "CLOCK_BOOTTIME", None) or getattr(time, "CLOCK_MONOTONIC_RAW", None)
    if clock is None or sys.platform not in ("linux", "darwin"):
        return time.monotonic  # Windows: counts while suspended
    return partial(time.clock_gettime, clock)


monotonic = _boot_clock()
"""Seconds that never go back and, where the system can tell, count while suspended."""

wall = time.time
"""Seconds since the epoch; somebody may set it to anything."""

sleep = time.sleep
"""Lets seconds pass."""


def utc_now() -> str:
    """The date and the time, for people: ``2025-04-10T09:01:00+00:00``."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def utc(at: float) -> str:
    """A time of `wall`, to the millisecond: ``2025-04-10T09:01:00.123+00:00``."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def sleep_unless(
    over: Callable[[], bool], seconds: float, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Let seconds pass, or fewer once `over` says so; it is asked five times a second."""
    slices = math.ceil(seconds / _SLICE)
    for _ in range(slices):
        if over():
            return
        sleep(seconds / slices)


def growing_pauses(first: float, longest: float) -> Iterator[float]:
    """Seconds to wait before each further try: each pause is twice the one before."""
    pause = first
    while True:
        yield pause
        pause = min(2 * pause, longest)
