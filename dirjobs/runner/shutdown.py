"""The shutdown stage that all threads of a worker watch."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from threading import Condition


class Stage(IntEnum):
    """What the slots of a worker may still do.  Stages only follow each other upwards."""

    WORKING = 0
    DRAINING = 1
    """What runs may end; nothing new is taken."""
    STOPPING = 2
    """Programs are asked to end, and killed after a while; their jobs are given back."""
    KILLING = 3
    """Programs are killed now, and nothing is waited for."""


class Shutdown:
    """The stage, and the one condition on which all threads of a worker wait."""

    def __init__(self) -> None:
        self._stage = Stage.WORKING
        self._condition = Condition()

    @property
    def stage(self) -> Stage:
        return self._stage

    def advance_to(self, stage: Stage) -> None:
        """Go at least as far as `stage`."""
        with self._condition:
            self._stage = max(self._stage, stage)
            self._condition.notify_all()

    def changed(self) -> None:
        """Let everybody who waits look at their predicate again."""
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
        """Sleep for `seconds`; True, at once, from stage STOPPING on."""
        return self.wait_for(lambda: self._stage >= Stage.STOPPING, seconds)
