"""What each slot of a worker gets of this machine: cores, a device, memory, priority."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from dirjobs.errors import ConfigurationError
from dirjobs.recovery.process import memory_of
from dirjobs.sizes import UNITS, told

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_LEAST_MEMORY = 1 << 20

_FIRST_PAUSE, _LONGEST_PAUSE, _PAUSE_WITH_LIMIT = 0.05, 5.0, 1.0
"""Seconds between two looks at how much memory a program uses."""
_SHARE = 100
"""Times as long as a look takes is the pause after it."""

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""How the libraries behind NumPy and others are told how many threads to use: otherwise each
job uses all cores, and several at once are slower than one after the other."""


def cores() -> int:
    """How many cores this process may use: by its affinity, and by its control group (a
    container's, a batch system's), if one limits it."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    count = (os.cpu_count() or 1) if affinity is None else len(affinity(0))
    with suppress(OSError, ValueError):
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
        count = min(count, max(1, int(quota) // int(period)))  # no number: "max"
    return count


def size(text: str) -> int:
    """Bytes, as in ``2G``, ``500M`` or ``1.5 GiB``: multiples of 1024.

    Raises:
        ConfigurationError: it is no size, or of less than 1 MiB.
    """
    match = _SIZE.fullmatch(text.strip())
    number = int(float(match[1]) * UNITS[match[2].upper()]) if match else 0
    if number < _LEAST_MEMORY:
        raise ConfigurationError(
            f"{text!r} is no size of memory: write one such as 500M or 2G (at least 1M)."
        )
    return number


def devices(text: str) -> tuple[str, ...]:
    """GPUs, as in ``0,1`` or ``GPU-5c89...``: one for each slot.

    Raises:
        ConfigurationError: there is none, or one is named twice.
    """
    found = tuple(part.strip() for part in text.split(","))
    if not all(found):
        raise ConfigurationError(f"--gpus {text!r} names no GPU: write one such as 0,1.")
    if len(set(found)) < len(found):
        raise ConfigurationError(f"--gpus {text!r} names a GPU twice: each slot gets its own.")
    return found


def slots(wanted: str, gpus: Sequence[str]) -> int:
    """How many jobs at once.

    Args:
        wanted: a number, ``auto``, or nothing.
        gpus: the GPUs of which each slot gets one.

    Raises:
        ConfigurationError: there are more than GPUs.
    """
    if wanted in ("", "auto"):
        return len(gpus) or (cores() if wanted else 1)
    count = int(wanted)
    if gpus and count > len(gpus):
        raise ConfigurationError(
            f"--slots {count} is more than the {len(gpus)} of --gpus: each slot gets one GPU."
        )
    return count


@dataclass(frozen=True)
class Allotment:
    """What the jobs of each slot may use.

    Attributes:
        slots: how many there are.
        gpus: one for each slot; none if that is nobody's business.
        memory: bytes that a job's processes may use together; None: any.
    """

    slots: int = 1
    gpus: Sequence[str] = ()
    memory: int | None = None

    def variables(self, slot: int, environment: Mapping[str, str]) -> dict[str, str]:
        """The environment that tells the programs of a slot what they may use.

        Args:
            slot: from 1.
            environment: what is set already stays as it is; a GPU is the slot's in any case.
        """
        found = {name: self._threads for name in _THREADS if name not in environment}
        if self.gpus:
            found["CUDA_VISIBLE_DEVICES"] = self.gpus[slot - 1]
        return found

    @cached_property
    def _threads(self) -> str:
        """How many a job may use: asked of the system once, not for each job."""
        return str(max(1, cores() // self.slots))

    def meter(self, group: int) -> MemoryMeter:
        """What measures the programs of a process group (on Windows: of a process and its
        descendants)."""
        return MemoryMeter(group, self.memory)


class MemoryMeter:
    """How much memory the programs of a process group use.

    Args:
        group: the group.
        limit: bytes that they may use together; None: any.

    Attributes:
        peak: bytes that they used together, at most; 0 if they had ended before the first look.
        pause: seconds until the next look: short at first, for short programs, and so long that
            the looks cost next to nothing.
    """

    def __init__(self, group: int, limit: int | None) -> None:
        self._group = group
        self._limit = limit
        self._longest = _LONGEST_PAUSE if limit is None else _PAUSE_WITH_LIMIT
        self.peak = 0
        self.pause = _FIRST_PAUSE

    def look(self) -> str:
        """Measure; why the programs are to be ended, empty if they need not be."""
        began = time.monotonic()
        used = memory_of(self._group)
        cost = time.monotonic() - began
        self.peak = max(self.peak, used)
        self.pause = max(min(2 * self.pause, self._longest), _SHARE * cost)
        if self._limit is None or used <= self._limit:
            return ""
        return f"used {told(used)} of memory, and may use {told(self._limit)}"
