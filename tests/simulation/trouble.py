"""What befalls simulated workers and their heartbeats: crashes, pauses, lost files."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from dirjobs import layout
from dirjobs.layout import WORKERS
from tests.simulation.people import LONGEST_BREAK, Person
from tests.simulation.workers import SimulatedWorker, Visitor

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation


class Trouble:
    """Brings about what a scenario says, until its time is over.

    Args:
        simulation: the run that is troubled.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._sim = simulation

    def plan(self) -> None:
        """Draw when what happens, and when all heals."""
        sim, scenario, rng = self._sim, self._sim.scenario, self._sim.rng
        end = min(scenario.troubled_until, 1000.0)
        for _ in range(scenario.crashes):
            sim.later(rng.uniform(0, end), self._crash_one)
        for _ in range(scenario.pauses):
            sim.later(rng.uniform(0, end), self._freeze_one)
        for _ in range(scenario.missing):
            sim.later(rng.uniform(0, end), self._delete_heartbeat)
        for _ in range(scenario.visits):
            sim.later(rng.uniform(0, end), self._visit)
        for act in scenario.acts:
            sim.later(rng.uniform(0, end), partial(self._act, act))
        if scenario.outage:
            sim.outage_began = sim.now + rng.uniform(0, end)
        if scenario.clock_step:
            sim.later(rng.uniform(0, end), sim.world.step_clock(scenario.clock_step))
        if "pause" in scenario.acts:
            sim.later(end + LONGEST_BREAK + scenario.lateness + 60.0, sim.resume_for_good)
        # From then on nothing goes wrong, and somebody is there to work.
        sim.later(end, sim.start_another)

    def _living(self) -> list[SimulatedWorker]:
        return [
            w for w in self._sim.workers if not w.crashed and not isinstance(w, Visitor | Person)
        ]

    def _crash_one(self) -> None:
        sim, living = self._sim, self._living()
        if not living:
            return
        # Rather one that holds something: that is what a crash is about.
        worker = sim.rng.choice([w for w in living if w.holding] or living)
        worker.crash()
        if sim.scenario.restarts:
            delay = sim.rng.choice((0.1, sim.rng.uniform(0, 2 * sim.scenario.policy.lease)))
            sim.later(delay, partial(sim.start_again, worker))

    def _freeze_one(self) -> None:
        sim, living = self._sim, self._living()
        for worker in sim.rng.sample(living, min(1, len(living))):
            worker.frozen_until = sim.now + sim.rng.uniform(0, sim.scenario.pause)
            if sim.scenario.twins:
                # Somebody takes it for dead and starts it again.
                delay = sim.rng.uniform(0, sim.scenario.pause)
                sim.later(delay, partial(sim.start_again, worker))

    def _delete_heartbeat(self) -> None:
        sim = self._sim
        alive = {worker.wid for worker in self._living()}
        files = [
            name
            for name in sorted(sim.world.folders[WORKERS])
            if layout.base_id(name.partition(".")[0]) in alive
        ]
        if files:
            sim.world.put(f"{WORKERS}/{sim.rng.choice(files)}", None)

    def _act(self, act: str) -> None:
        sim = self._sim
        sim.start(Person(sim, f"person{len(sim.workers)}", len(sim.workers), act))

    def _visit(self) -> None:
        sim = self._sim
        sim.start(Visitor(sim, f"visitor{len(sim.workers)}", len(sim.workers)))
