"""A simulated worker: the real one, its heartbeat, and what befalls its process."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dirjobs.admin.requeue import requeue
from dirjobs.errors import ClaimLost, WorkerIdInUse
from dirjobs.layout import DONE, FAILED
from dirjobs.policy import Order
from dirjobs.process import Process
from dirjobs.protocol.candidates import Waiting
from dirjobs.protocol.claim import Claims
from dirjobs.protocol.effects import Driver, Request, Steps
from dirjobs.protocol.give_back import Held
from dirjobs.recovery.heartbeat import Beat
from dirjobs.recovery.membership import Presence
from dirjobs.store import Guarantees
from dirjobs.worker import OUTAGE, Worker, through_outages
from tests.simulation.scenario import PROMISES
from tests.simulation.tasks import SimulatedStore, Task, sleep

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

_HESITATIONS = 0.25
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"


class Violation(AssertionError):
    """An invariant does not hold."""


class SimulatedWorker:
    """A worker that takes jobs while there are any, and sweeps (or beats) now and then."""

    claims_class: type[Claims] = Claims
    presence_class: type[Presence] = Presence
    worker_class: type[Worker] = Worker

    def __init__(self, simulation: Simulation, wid: str, number: int) -> None:
        self.simulation = simulation
        self.wid = wid
        self.number = number
        self.view = f"{wid}/{number}"
        self.crashed = False
        """Whether the process is gone, be it by a clean end."""
        self.leaving = False
        self._beats = False
        self.frozen_until = 0.0
        self.holding: dict[str, Held] = {}
        scenario = simulation.scenario
        rng = random.Random(simulation.rng.random())
        self.claims = self.claims_class(
            wid,
            scenario.terms,
            PROMISES.get(scenario.kind, Guarantees(visible_after=0)),
            lambda: "".join(rng.choices(_ALPHABET, k=6)),
            lambda: simulation.now,
        )
        self.presence: Presence | None = None
        if scenario.lives:
            process = Process(host=f"host{number}", pid=number)
            self.presence = self.presence_class(self.claims, process, max_attempts=100)
            self.presence.others.is_provably_dead = self._is_provably_dead
        waiting = Waiting(order=Order.NATURAL, rng=rng)
        sure = not (scenario.lost or scenario.mute or scenario.late or scenario.outage)
        self.worker = self.worker_class(self.claims, waiting, self.presence, names_suffice=sure)

    def hesitate(self, request: Request) -> float:
        """Seconds by which a request is held up."""
        return 0.0

    def _is_provably_dead(self, beat: Beat, _me: Process) -> bool:
        sim = self.simulation
        return sim.scenario.same_host and sim.workers[beat.process.pid].crashed

    def begin(self) -> None:
        """Start working, and sweeping or beating."""
        if self.presence is not None:
            self._task(self.presence.start, self._began)
            return
        self._take()
        if self.simulation.scenario.sweeps:
            self.simulation.later(self.claims.terms.heartbeat, self._keep_up)

    def _began(self, _: object, error: Exception | None) -> None:
        sim = self.simulation
        if isinstance(error, WorkerIdInUse) and self.presence is not None:
            self._call(self.presence.end(), self._refused)
            return
        if error is not None:
            raise Violation(f"{self.view}: start raised {error!r}")
        self._take()
        sim.later(self.claims.terms.heartbeat, self._keep_up)

    def _refused(self, _: object, error: Exception | None) -> None:
        """As the message says: wait until the other one has ended, or is dead."""
        sim = self.simulation
        if error is not None and not isinstance(error, OUTAGE):
            raise Violation(f"{self.view}: end() raised {error!r}")
        self.crashed = True
        pause = sim.rng.uniform(0.2, 1.5) * self.claims.terms.lease
        sim.later(pause, lambda: sim.start_again(self))

    def crash(self) -> None:
        """The process is gone, at once; what it asked for may still be executed."""
        self.crashed = True
        self.simulation.held -= len(self.holding)
        for content in self.holding:
            self.simulation.excused.add(content)

    def _task(
        self, steps: Callable[[], Steps[Any]], end: Callable[[Any, Exception | None], None]
    ) -> None:
        def persistent() -> Steps[Any]:
            try:
                return (yield from steps())
            except OUTAGE as error:
                return (yield from through_outages(steps, error))

        self._call(persistent(), end)

    def _call(self, steps: Steps[Any], end: Callable[[Any, Exception | None], None]) -> None:
        Task(self, lambda: Driver(SimulatedStore(), sleep).run(steps), end).go()

    def _take(self) -> None:
        self._task(self.worker.next, self._took)

    def _took(self, held: Held | None, error: Exception | None) -> None:
        sim = self.simulation
        if error is not None:
            raise Violation(f"{self.view}: next() raised {error!r}")
        if held is None and sim.scenario.leaves:
            self._leave()
            return
        if held is None:
            # Others may still give jobs back: come again, as `work --wait` does.
            if sim.is_busy():
                terms = self.claims.terms
                pause = terms.lease / 4 if sim.scenario.lives else terms.heartbeat
                sim.later(pause + 4 * terms.wait, self._again)
            return
        sim.held += 1
        content = sim.start_job(self, held)
        self.holding[content] = held
        duration = sim.rng.choice((0.0, sim.rng.uniform(0, sim.scenario.work)))
        sim.later(duration, lambda: self._finish(held, content))

    def _leave(self) -> None:
        """End as `work` does when nothing is waiting: the heartbeat first."""
        self.leaving = True
        if self.presence is not None and not self._beats:
            self._task(self.presence.end, self._left)

    def _left(self, _: object, error: Exception | None) -> None:
        if error is not None:
            raise Violation(f"{self.view}: end() raised {error!r}")
        self.crashed = True
        self.simulation.note_end()

    def _again(self) -> None:
        if not self.crashed:
            self._take()

    def _finish(self, held: Held, content: str) -> None:
        sim = self.simulation
        if self.crashed:
            return
        if sim.now < self.frozen_until:
            sim.later(self.frozen_until - sim.now, lambda: self._finish(held, content))
            return
        if sim.rng.random() < sim.scenario.release:
            sim.started[content] -= 1

            def released(result: object, error: Exception | None) -> None:
                self._finished(content, result, error)

            self._task(lambda: self.worker.release(held), released)
            return
        folder = DONE if sim.rng.random() < 0.8 else FAILED

        def end(name: str | None, error: Exception | None) -> None:
            if error is None:
                sim.committed(self, content)
            gap = self.presence is not None and (
                self.presence.claims.robberies > held.robberies
                or self.presence.may_be_dead_to_others(sim.now)
            )
            if isinstance(error, ClaimLost) and (content in sim.excused or gap):
                error = None  # whoever was silent for too long can't be sure
            self._finished(content, name, error)

        self._task(lambda: self.worker.finish(held, folder), end)

    def _finished(self, content: str, _: object, error: Exception | None) -> None:
        if error is not None:
            raise Violation(f"{self.view}: ending {content} raised {error!r}")
        self.simulation.held -= 1
        self.holding.pop(content, None)
        self._take()

    def _keep_up(self) -> None:
        """One heartbeat, or one sweep where there are none."""
        if self.crashed or self.leaving:
            return
        began = self.simulation.now
        self._beats = True

        def end(_: object, error: Exception | None) -> None:
            if error is not None and not isinstance(error, OUTAGE):
                raise Violation(f"{self.view}: heartbeat or sweep raised {error!r}")
            self._beats = False
            if self.leaving:
                self._leave()
            elif self.simulation.is_busy():
                took = self.simulation.now - began
                self.simulation.later(self.claims.terms.heartbeat - took, self._keep_up)

        if self.presence is None:
            self._task(self.claims.sweep, end)
        else:
            # A beat that fails is simply followed by the next one, as in the real thread.
            self._call(self.presence.beat(), end)


class Visitor(SimulatedWorker):
    """A person, on a machine of their own, who requeues once what the dead left."""

    def hesitate(self, request: Request) -> float:
        rng, scenario = self.simulation.rng, self.simulation.scenario
        if rng.random() > _HESITATIONS or not scenario.hesitant(request):
            return 0.0
        return rng.uniform(0, scenario.visit_pause)

    def begin(self) -> None:
        assert self.presence is not None
        self._call(requeue(self.presence, (), dead=True), self._went)

    def _went(self, _: object, error: Exception | None) -> None:
        self.crashed = True  # the process has ended
        if error is not None and not isinstance(error, OUTAGE):
            raise Violation(f"{self.view}: requeue raised {error!r}")
