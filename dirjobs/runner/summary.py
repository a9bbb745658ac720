"""The results of one worker's jobs: printed, counted, and watched for a black hole."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from threading import Lock

from dirjobs.console.text import brief_duration, duration, show
from dirjobs.recovery.silence import Held
from dirjobs.runner.execution import End, JobResult

_FAILURES, _AT_ONCE = 5, 1.0


class Summary:
    """Prints and counts the results of all slots.

    A host where a library or a mount is missing fails job after job within a second: a black
    hole that would swallow the whole queue.

    Args:
        black_hole: called, once, with why this worker must take no other job; None if it
            may go on in any case.
    """

    def __init__(self, black_hole: Callable[[str], None] | None) -> None:
        self._black_hole = black_hole
        self._began = time.monotonic()
        self._lock = Lock()
        self._tally: Counter[End] = Counter()
        self._latest: deque[JobResult] = deque(maxlen=_FAILURES)
        self._started = 0
        self._labels: dict[str, str] = {}
        self.is_black_hole = False

    def started(self, job: str, left: int) -> None:
        """Print that a job is run: the how many-th of this worker, and how many wait.

        Args:
            job: its name.
            left: how many wait for any worker, so far as this one knows.
        """
        with self._lock:
            self._started += 1
            self._labels[job] = f"[{self._started}] {job} ..."
            wait = f"{left:,} {'waits' if left == 1 else 'wait'}"
            show(f"[{self._started}, {wait}] {job} ...")

    def note(self, result: JobResult) -> None:
        """Count and print how one job ended."""
        with self._lock:
            self._tally[result.end] += 1
            self._latest.append(result)
            label = self._labels.pop(result.job, f"{result.job} ...")
            if result.end is not End.LOST:
                show(f"{label} {_told(result)}", result.end.value)
            if self._black_hole is None or self.is_black_hole:
                return
            self.is_black_hole = len(self._latest) == _FAILURES and all(map(_at_once, self._latest))
        if self.is_black_hole:
            self._black_hole(
                f"the last {_FAILURES} jobs failed within a second each, {result.job!r} with"
                f" {result.reason!r}: something may be missing on this machine, so this worker"
                " stops; see their logs, `dirjobs retry --failed` when it is put right, or use"
                " --keep-going."
            )

    def __bool__(self) -> bool:
        return bool(self._tally)

    @property
    def all_done(self) -> bool:
        return set(self._tally) <= {End.DONE, End.CANCELLED}

    @property
    def any_failed(self) -> bool:
        return bool(set(self._tally) & {End.FAILED, End.REFUSED})

    def __str__(self) -> str:
        """The summary."""
        parts = [f"{self._tally[end]} {end.value}" for end in End if self._tally[end]]
        return f"{', '.join(parts)} in {duration(time.monotonic() - self._began)}"


def _at_once(result: JobResult) -> bool:
    return result.end is End.FAILED and result.seconds < _AT_ONCE


def _told(result: JobResult) -> str:
    if result.end in (End.GIVEN_BACK, End.NOT_ENDED, End.CANCELLED):
        return str(result.end.value)
    reason = f": {result.reason}" if result.reason else ""
    return f"{result.end.value} in {duration(result.seconds)}{reason}"


def told_of(held: Held | None) -> str:
    """What to tell of jobs that others run, to somebody for whom none is waiting."""
    if held is None:
        return ""
    run = "1 job runs" if held.jobs == 1 else f"{held.jobs:,} jobs run"
    more = len(held.workers) - 1
    others = f" and {more} other {'worker' if more == 1 else 'workers'}" if more else ""
    life = "no heartbeat" if held.age is None else f"last heartbeat {brief_duration(held.age)} ago"
    return (
        f"; {run} at {held.workers[0]}{others} ({life}): --wait stays, and takes over what dead"
        " workers leave"
    )
