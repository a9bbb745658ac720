"""How far the end of a worker has come; its threads wait here for what changes."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from threading import Condition


class Level(IntEnum):
    """What the slots of a worker may still do.  It only ever rises."""

    WORKING = 0
    DRAINING = 1
    """What runs may end; nothing new is taken."""
    STOPPING = 2
    """Programs are asked to end, and killed after a while; their jobs are given back."""
    KILLING = 3
    """Programs are killed now, and nothing is waited for."""


class Course:
    """What a worker's threads have in common: one level, one condition to wait on."""

    def __init__(self) -> None:
        self._level = Level.WORKING
        self._condition = Condition()

    @property
    def level(self) -> Level:
        return self._level

    def rise_to(self, level: Level) -> None:
        """Go at least as far as `level`."""
        with self._condition:
            self._level = max(self._level, level)
            self._condition.notify_all()

    def changed(self) -> None:
        """Something that somebody may wait for has changed."""
        with self._condition:
            self._condition.notify_all()

    def wait_for(self, predicate: Callable[[], bool], seconds: float | None = None) -> bool:
        """Wait until `predicate()` is true.

        Returns:
            False if that took longer than `seconds`.
        """
        with self._condition:
            return self._condition.wait_for(predicate, seconds)

    def wait_for_stop(self, seconds: float | None = None) -> bool:
        """Let `seconds` pass; True, and at once, when programs are to be stopped."""
        return self.wait_for(lambda: self._level >= Level.STOPPING, seconds)
