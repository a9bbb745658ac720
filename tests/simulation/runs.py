"""Many runs, and what they found."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Self

from tests.simulation.simulation import Simulation, Violation

from .scenarios import Family, any_scenario

ENOUGH_RUNS = 4000
"""After so many runs of all kinds of share every rule has decided something."""


@dataclass
class Report:
    """What a number of runs found."""

    runs: int = 0
    steps: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    decided: Counter[str] = field(default_factory=Counter)
    violations: dict[str, str] = field(default_factory=dict)

    def __iadd__(self, other: Report) -> Self:
        self.runs += other.runs
        self.steps += other.steps
        self.seconds = max(self.seconds, other.seconds)
        self.kinds += other.kinds
        self.decided += other.decided
        self.violations |= other.violations
        return self


def run_one(seed: str, family: Family = any_scenario) -> Simulation:
    """One run, by its seed alone.

    Raises:
        Violation: it broke an invariant.
    """
    simulation = Simulation(family(random.Random(seed)), seed)
    simulation.run()
    return simulation


def run_many(
    seed: str,
    first: int,
    last: int,
    family: Family = any_scenario,
    *,
    until_violation: bool = False,
) -> Report:
    """The runs ``seed/first`` to ``seed/last - 1``."""
    report = Report()
    began = time.perf_counter()
    for number in range(first, last):
        name = f"{seed}/{number}"
        scenario = family(random.Random(name))
        simulation = Simulation(scenario, name)
        try:
            simulation.run()
        except Exception as violation:  # noqa: BLE001 a protocol that raises is broken, too
            what = violation if isinstance(violation, Violation) else repr(violation)
            report.violations[name] = f"{scenario.kind}: {what}"
            if until_violation:
                break
        report.runs += 1
        report.steps += simulation.steps
        report.kinds[f"{scenario.kind} in mode {scenario.policy.mode}"] += 1
        for worker in simulation.workers:
            report.decided += worker.me.decided
    report.seconds = time.perf_counter() - began
    return report
