"""What one worker has done lately: its heartbeat tells it to whoever looks.

Times are durations by the worker's own clock: a rename keeps a file's mtime, so the files
themselves don't tell since when a job runs or when it ended.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from dirjobs.policy import Seconds
from dirjobs.protocol.records import Count

_WINDOW = 30


class Pace(NamedTuple):
    """How fast a worker ends jobs.

    Attributes:
        jobs: how many it ended, done or failed, in the last `seconds`.
        seconds: how long that took: its last 30 jobs, or all its time if they were fewer.
    """

    jobs: Count = 0
    seconds: Seconds = 0.0


class Throughput:
    """Counts jobs; used by the threads that take jobs and by the heartbeat's."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._ends: deque[float] = deque(maxlen=_WINDOW + 1)

    def started(self, now: float) -> None:
        """The worker began to work, if it had not: its pace counts from here."""
        if not self._ends:
            self._ends.append(now)

    def claimed(self, path: str, now: float) -> None:
        """A claim is ours since `now` (seconds, monotonic)."""
        self.started(now)
        self._since[path] = now

    def let_go(self, path: str) -> None:
        """A claim is about to be ours no more."""
        self._since.pop(path, None)

    def ended(self, now: float) -> None:
        """A job is done or failed."""
        self._ends.append(now)

    def held_for(self, path: str, now: float) -> float:
        """For how many seconds a claim has been ours."""
        return max(0.0, now - self._since.get(path, now))

    def pace(self, now: float) -> Pace:
        """How fast jobs ended lately."""
        ends = tuple(self._ends)
        return Pace(len(ends) - 1, max(0.0, now - ends[0])) if ends else Pace()
