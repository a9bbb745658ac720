"""In no order of their steps do the threads of one `DirJobs` harm each other, and mutants do.

The seeds are fixed, so that the outcome is; for others,
``python -m tests.simulation --family threads``.
"""

from __future__ import annotations

import os

import pytest

from .schedule import stepping
from .thread_mutants import THREAD_MUTANTS, ThreadMutant
from .thread_runs import Run, run_many

RUNS = int(os.environ.get("DIRJOBS_SIMULATION_RUNS", "4000")) // 20


def test_no_order_of_steps_breaks_an_invariant() -> None:
    report = run_many("fixed", 0, RUNS)
    assert not report.violations
    assert set(report.kinds) == {"threads in trust", "threads in mode verify"}


def test_a_run_is_replayed_by_its_seed() -> None:
    with stepping() as module:
        first, again = Run("replay/1", module), Run("replay/1", module)
        first.play()
        again.play()
    assert (first.schedule.steps, first.schedule.now) == (again.schedule.steps, again.schedule.now)
    assert first.done == again.done


@pytest.mark.parametrize("mutant", THREAD_MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_mutant_is_found_out(mutant: ThreadMutant) -> None:
    """...by a run that the real package survives."""
    report = run_many(mutant.seed, 0, 2000, mutant.patches, until_violation=True)
    assert report.violations, f"{mutant.name}: survived {report.runs} runs"
    number = int(next(iter(report.violations)).rpartition("/")[2])
    assert not run_many(mutant.seed, number, number + 1).violations
