"""What befalls simulated workers and their heartbeats: crashes, pauses, lost files."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from dirjobs import layout
from dirjobs.layout import WORKERS
from tests.simulation.people import Person
from tests.simulation.requests import Request
from tests.simulation.workers import SimulatedWorker, Visitor

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

_FATALITY = 0.25
"""Chance that a worker is killed after a request that may be its last."""


class Trouble:
    """Brings about what a scenario says, until its time is over.

    Args:
        simulation: the run that is troubled.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._sim = simulation
        self._deaths_left = simulation.scenario.deaths

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
        for _ in range(scenario.newcomers):
            sim.later(rng.uniform(0, end), sim.start_newcomer)
        for _ in range(scenario.hidden):
            sim.later(rng.uniform(0, scenario.faults_from / 2), self._hide_one)
        for _ in range(scenario.closes):
            sim.later(rng.uniform(0, end), self._close_one)
        for _ in range(scenario.forks):
            sim.later(rng.uniform(0, end), self._fork_one)
        for act in scenario.acts:
            sim.later(rng.uniform(0, end), partial(self._act, act))
        if scenario.outage:
            sim.outage_began = sim.now + rng.uniform(0, end)
            if scenario.namesakes:
                over = sim.outage_began - sim.now + scenario.outage
                sim.later(over + rng.uniform(0, 1), self._start_all_again)
        if scenario.clock_step:
            sim.later(rng.uniform(0, end), sim.world.step_clock(scenario.clock_step))
        if "pause" in scenario.acts:
            over = end + scenario.longest_break + scenario.lateness + 60.0
            sim.later(over, sim.resume_for_good)
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
        self._kill(worker)

    def strike(self, worker: SimulatedWorker, request: Request) -> None:
        """A request has been carried out: its worker may be killed before it is told so."""
        sim = self._sim
        if (
            self._deaths_left
            and worker.takes_jobs
            and not worker.crashed
            and sim.now < sim.scenario.troubled_until
            and sim.scenario.fatal(request)
            and sim.rng.random() < _FATALITY
        ):
            self._deaths_left -= 1
            self._kill(worker)

    def _kill(self, worker: SimulatedWorker) -> None:
        sim = self._sim
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

    def _hide_one(self) -> None:
        """Nobody sees that an id is in use."""
        sim = self._sim
        joined = [worker for worker in self._living() if worker.joined]
        if joined:
            worker = sim.rng.choice(joined)
            for name in sorted(sim.world.folders[WORKERS]):
                if layout.base_id(name.partition(".")[0]) == worker.wid:
                    sim.world.put(f"{WORKERS}/{name}", None)
            sim.start(SimulatedWorker(sim, worker.wid, len(sim.workers)))

    def _start_all_again(self) -> None:
        """People take for dead whoever was silent during an outage."""
        sim = self._sim
        for worker in [worker for worker in self._living() if worker.joined]:
            sim.start(SimulatedWorker(sim, worker.wid, len(sim.workers)))

    def _close_one(self) -> None:
        living = self._living()
        if living:
            self._sim.rng.choice(living).close()

    def _fork_one(self) -> None:
        sim = self._sim
        living = [worker for worker in self._living() if worker.joined]
        if living:
            parent = sim.rng.choice(living)
            name = layout.next_incarnation(parent.wid, "".join(sim.rng.choices("abcdef", k=4)))
            sim.start(SimulatedWorker(sim, parent.wid, len(sim.workers), forked=name))

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
