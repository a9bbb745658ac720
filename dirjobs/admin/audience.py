"""Whom to tell of what takes a while: the person at a terminal, at a notebook, or a log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, Self

log = logging.getLogger(__name__)


class Progress(Protocol):
    """Shows how many of some things are done, in a ``with`` block.

    Attributes:
        total: how many there are; may be changed.
    """

    total: int

    def __enter__(self) -> Self: ...

    def show(self, number: int) -> None:
        """So many are done now."""

    def __exit__(self, *error: object) -> None: ...


class Unseen:
    """The progress of which nobody is told.

    Args:
        what: is done, such as ``adding``.
        total: how many.
    """

    def __init__(self, what: str, total: int) -> None:
        self.what = what
        self.total = total

    def __enter__(self) -> Self:
        return self

    def show(self, number: int) -> None:
        """Tell nobody."""

    def __exit__(self, *error: object) -> None: ...


@dataclass(frozen=True)
class Audience:
    """How somebody is told.

    Attributes:
        tell: is given sentences.
        progress: makes what shows how far something has come, of what is done, such as
            ``adding``, and of how many there are.
    """

    tell: Callable[[str], object] = field(default=log.warning)
    progress: Callable[[str, int], Progress] = Unseen


LOG = Audience()
"""Sentences go to the log; of progress nobody is told."""


class Outage:
    """Tells, once for each outage, that the store can't be reached.

    Args:
        tell: is given the sentence.
    """

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self._is_told = False

    def note(self, error: Exception) -> None:
        """A request failed for it."""
        if not self._is_told:
            self._tell(out_of_reach(error))
        self._is_told = True

    def is_over(self) -> None:
        """A request was answered."""
        self._is_told = False


def out_of_reach(error: Exception) -> str:
    """What to tell while the store is away."""
    return f"the store can't be reached ({error}); waiting until it can"
