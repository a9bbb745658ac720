"""Every mutant, and how soon it is found out."""

from __future__ import annotations

import time

from .claim_mutants import CLAIM_MUTANTS
from .dead_mutants import DEAD_MUTANTS
from .exit_mutants import EXIT_MUTANTS
from .life_mutants import LIFE_MUTANTS
from .member_mutants import MEMBER_MUTANTS
from .mutants import Mutant, in_place
from .runs import run_many

MUTANTS = CLAIM_MUTANTS + LIFE_MUTANTS + EXIT_MUTANTS + MEMBER_MUTANTS + DEAD_MUTANTS


def table_row(mutant: Mutant, most_runs: int) -> tuple[bool, str]:
    """Whether a mutant is found out within so many runs, and that in words."""
    began = time.process_time()
    with in_place(mutant):
        report = run_many(mutant.seed, 0, most_runs, mutant.family, until_violation=True)
    took = time.process_time() - began
    found = bool(report.violations)
    runs = f"{report.runs + found} runs" if found else f"survives {report.runs} runs"
    return found, f"{mutant.name:64} {mutant.family_name:20} {runs:>20} {took:6.1f} s"
