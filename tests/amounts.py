"""How much of everything: enough for each run, and more on request."""

from __future__ import annotations

import os

THOROUGH = os.environ.get("DIRJOBS_THOROUGH") == "1"
"""Whether to take the time for the amounts that nobody wants to wait for each day."""


def amount(daily: int, thorough: int) -> int:
    """So many jobs, rounds or repeats."""
    return thorough if THOROUGH else daily


PATIENCE = 300.0
"""Seconds after which what must come counts as never coming.  It ends a hang and measures
nothing: beside other work the machine may take a hundred times as long as alone."""
