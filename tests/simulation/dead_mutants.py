"""Mutants of what is done about those who died before."""

from __future__ import annotations

from functools import partial

from .mutants import Mutant
from .scenarios import orphaned
from .world import Kind

DEAD_MUTANTS = (
    Mutant(
        "whoever gives back many orphans writes no heartbeat meanwhile",
        partial(orphaned, kind=Kind.ATOMIC),
        (
            ("recovery.punctual", "if not self._writing and not writes_one:", "if False:"),
            ("recovery.orphans", "if tried and now() > until:", "if False:"),
        ),
    ),
)  # fmt: skip
