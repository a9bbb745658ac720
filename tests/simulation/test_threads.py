"""In no order of their steps do the threads of one `DirJobs` harm each other, and mutants do.

The seeds are fixed, so that the outcome is; for others,
``python -m tests.simulation --family threads``.
"""

from __future__ import annotations

import os

import pytest

from tests.amounts import amount

from .replay import check_replay
from .thread_mutants import THREAD_MUTANTS, ThreadMutant
from .thread_runs import run_many

RUNS = int(os.environ.get("DIRJOBS_SIMULATION_RUNS", "4000")) // 20


def test_no_order_of_steps_breaks_an_invariant() -> None:
    report = run_many("fixed", 0, RUNS)
    assert not report.violations
    assert set(report.kinds) == {"threads in trust", "threads in mode verify"}


ONE_BY_ONE = """
import logging, sys
from tests.simulation.schedule import stepping
from tests.simulation.thread_runs import Run
logging.disable(logging.CRITICAL)
with stepping() as module:
    for number in map(int, sys.argv[1:]):
        run = Run(f"replay/{number}", module)
        run.play()
        print(number, run.schedule.steps, run.schedule.now, sorted(run.done.items()))
"""


def test_a_run_is_replayed_by_its_seed_alone() -> None:
    """...whatever the process did before, and however it hashes."""
    check_replay(ONE_BY_ONE, [str(number) for number in range(16)])


@pytest.mark.parametrize(
    "mutant",
    THREAD_MUTANTS[amount(1, 0) :: amount(3, 1)],
    ids=lambda mutant: mutant.name.replace(" ", "-"),
)
def test_mutant_is_found_out(mutant: ThreadMutant) -> None:
    """...by a run that the real package survives."""
    report = run_many(mutant.seed, 0, 10_000, mutant.patches, until_violation=True)
    assert report.violations, f"{mutant.name}: survived {report.runs} runs"
    number = int(next(iter(report.violations)).rpartition("/")[2])
    assert not run_many(mutant.seed, number, number + 1).violations
