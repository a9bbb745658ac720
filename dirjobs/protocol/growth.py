"""Copies that a server is still writing."""

from __future__ import annotations


class GrowthWatch:
    """Tells a copy that still grows from one that is torn.

    Args:
        patience: seconds without growth after which a copy counts as torn.

    Attributes:
        looks: how often the file was looked at.
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.looks = 0
        self._size: int | None = None
        self._since = 0.0

    def stands_still(self, size: int | None, now: float) -> bool:
        """Take note of the size at `now` (monotonic): whether it has been so for too long."""
        if not self.looks or size != self._size:
            self._size, self._since = size, now
        self.looks += 1
        return now - self._since > self.patience
