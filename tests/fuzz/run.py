"""Tries inputs of one kind, and tells which were not read as they should."""

from __future__ import annotations

import logging
import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

if sys.platform != "win32":
    import resource

from tests.fuzz.kinds import KINDS, Kind

SECONDS = 1.0
"""Of the processor, which one input may take at most."""
MEGABYTES = 100
"""By which the process may grow."""
_PER_MEGABYTE = 1 << 20 if sys.platform == "darwin" else 1 << 10


class TooSlow(BaseException):
    """One input takes more than `SECONDS` of the processor."""


@dataclass
class Report:
    """What came of many inputs."""

    kind: str
    seed: str
    inputs: int = 0
    accepted: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    grown: float = 0.0
    faults: dict[str, str] = field(default_factory=dict)
    """By what was raised: the first input that raised it."""

    def __str__(self) -> str:
        lines = [
            f"{self.kind}: {self.inputs:,} inputs (seed {self.seed}), {self.accepted:,} accepted,"
            f" {self.seconds:.0f} s, slowest {1000 * self.slowest:.0f} ms,"
            f" {self.grown:.0f} MB more; {len(self.faults)} faults"
        ]
        return "\n".join([*lines, *(f"  {why}: {made}" for why, made in self.faults.items())])


def run(kind: str, seed: str, inputs: int, seconds: float | None = None) -> Report:
    """Try so many inputs, or as many as there is time for.

    Args:
        kind: one of `KINDS`.
        seed: gives the same inputs again.
        inputs: how many.
        seconds: after which it ends.
    """
    report = Report(kind, seed)
    before, began = _megabytes(), time.monotonic()
    dice = random.Random(f"{kind} {seed}")
    logging.disable(logging.CRITICAL)
    try:
        with alarm():
            while report.inputs < inputs:
                _try(KINDS[kind], dice, report)
                report.seconds = time.monotonic() - began
                if seconds is not None and report.seconds > seconds:
                    break
                report.grown = _megabytes() - before
                if report.grown > MEGABYTES:
                    report.faults["too much memory"] = f"input {report.inputs}"
                    break
    finally:
        logging.disable(logging.NOTSET)
    return report


def _try(kind: Kind, dice: random.Random, report: Report) -> None:
    made = kind.make(dice)
    report.inputs += 1
    began = time.process_time()
    accepted, why = attempt(kind, made)
    report.slowest = max(report.slowest, time.process_time() - began)
    report.accepted += accepted
    if why:
        report.faults.setdefault(why, repr(made)[:2000])


def attempt(kind: Kind, made: object) -> tuple[bool, str]:
    """Whether an input was accepted, and what should not have been raised; within `alarm`."""
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        kind.read(made)
    except kind.allowed:
        return False, ""
    except (Exception, TooSlow) as error:  # noqa: BLE001 - to be told
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        at = "" if where is None else f"{where.tb_frame.f_code.co_name}:{where.tb_lineno}"
        return False, f"{type(error).__name__} in {at} ({str(error)[:60]!r})"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return True, ""


@contextmanager
def alarm() -> Iterator[None]:
    """While this lasts, an input that takes too much of the processor is broken off."""

    def too_slow(*_: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGVTALRM, too_slow)
    try:
        yield
    finally:
        signal.signal(signal.SIGVTALRM, before)


def _megabytes() -> float:
    """The most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _PER_MEGABYTE
