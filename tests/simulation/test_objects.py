"""Queues on object storage: some hundred runs, and every mutant found out."""

import pytest

from tests.amounts import amount
from tests.simulation.object_mutants import MUTANTS
from tests.simulation.objects import in_place, run_many

RUNS = amount(150, 3000)
SOON = {"whoever lost the claim may end the job": ("s", 60)}
"""Of mutants that are found out late: a run shortly before they are."""


def test_no_run_violates_anything():
    report = run_many("test", 0, RUNS)
    assert report.violations == {}
    assert report.crashes > RUNS / 10
    assert min(report.requests[verb] for verb in ("create", "remove", "stat", "read")) > RUNS


@pytest.mark.parametrize("mutant", MUTANTS)
def test_each_mutant_is_found_out(mutant):
    seed, first = SOON.get(mutant, ("s", 0))
    with in_place(mutant):
        report = run_many(seed, first, first + 100, until_violation=True)
    assert report.violations
