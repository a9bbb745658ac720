"""The progress bar that a program in Python shows: tqdm's, or rich's where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from dirjobs.console.text import Bar

if TYPE_CHECKING:
    from dirjobs.admin.audience import Progress


def bar(what: str, total: int) -> Progress:
    """A bar on a terminal and in a notebook; elsewhere nothing is shown.

    Args:
        what: is done, such as ``waiting``.
        total: how many; may be changed.
    """
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return Bar(what, total)
    return _Tqdm(tqdm(desc=what, total=total, disable=None, leave=False))


class _Tqdm:
    """A bar of tqdm.

    Args:
        shown: the bar, just made.
    """

    def __init__(self, shown: Any) -> None:
        self._shown = shown
        self.total: int = shown.total

    def __enter__(self) -> Self:
        return self

    def show(self, number: int) -> None:
        """So many are done now."""
        self._shown.total = self.total
        self._shown.n = number
        self._shown.refresh()

    def __exit__(self, *error: object) -> None:
        self._shown.close()
