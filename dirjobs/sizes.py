"""Numbers of bytes, as people read them."""

from __future__ import annotations

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
"""Letter -> bytes."""


def told(number: float) -> str:
    """Bytes, for people."""
    for unit, factor in reversed(UNITS.items()):
        if unit and number >= factor:
            return f"{number / factor:.3g} {unit}iB"
    return f"{number:.0f} B"
