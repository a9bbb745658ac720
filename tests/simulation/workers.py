"""A simulated worker: the real one, its heartbeat, and what befalls its process."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dirjobs import layout
from dirjobs.admin.requeue import give_back
from dirjobs.errors import TRANSIENT_ERRORS, ClaimLost, ConfigurationError, WorkerIdInUse
from dirjobs.heartbeat_thread import HeartbeatThread
from dirjobs.layout import DONE, FAILED, RUNNING
from dirjobs.policy import Order, Policy, cautious
from dirjobs.protocol.candidates import Candidates
from dirjobs.protocol.exits import Claim
from dirjobs.protocol.me import Me
from dirjobs.protocol.parts import Parts
from dirjobs.protocol.share import Share
from dirjobs.recovery.heartbeat import Heartbeat
from dirjobs.recovery.membership import Membership
from dirjobs.recovery.process import Process
from dirjobs.store import Guarantees
from dirjobs.worker import Worker, retry_through_outages
from tests.simulation.requests import Request
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

    me_class: type[Me] = Me
    parts_class: type[Parts] = Parts
    membership_class: type[Membership] = Membership
    worker_class: type[Worker] = Worker

    takes_jobs = True

    def __init__(
        self,
        simulation: Simulation,
        wid: str,
        number: int,
        *,
        wish: Policy | None = None,
        insists: bool = False,
        forked: str = "",
    ) -> None:
        self.simulation = simulation
        self.forked = forked
        self.joined = False
        self.began_at = self.joined_at = simulation.now
        self.names_then: dict[str, str] = {}
        """The names of all workers when this one began."""
        self.insists = insists
        self._calls = False
        """Whether its own thread is claiming or ending a job."""
        self.wid = wid
        self.number = number
        self.view = f"{wid}/{number}"
        self.crashed = False
        """Whether the process is gone, be it by a clean end."""
        self.leaving = False
        self.closing = self.closed = False
        self._beats = False
        self.frozen_until = 0.0
        self.holding: dict[str, Claim] = {}
        scenario = simulation.scenario
        rng = random.Random(simulation.rng.random())
        self.latency = scenario.latency
        """The longest that its requests take on their way, one way."""
        if scenario.orphans and rng.random() < 0.5:
            self.latency /= 100
        promises = PROMISES.get(scenario.kind, Guarantees(visible_after=0))
        if scenario.untried:
            promises = Guarantees(visible_after=0)
        if scenario.recorded:
            promises = replace(promises, atomic_rename=False)
        if scenario.refused:
            promises = replace(promises, final_refusals=False)
        self.share = Share(SimulatedStore(), sleep, lambda: simulation.now)
        self.me = self.me_class(
            forked or wid,
            wish or (cautious(promises) if scenario.recorded else scenario.policy),
            promises,
            lambda: "".join(rng.choices(_ALPHABET, k=6)),
        )
        self.parts = self.parts_class(self.share, self.me)
        self.membership: Membership | None = None
        if scenario.lives:
            self.me.mode_not_requested = not insists
            process = Process(host=f"host{number}", pid=number)
            # A connection of its own, as in `DirJobs`.
            beating = self.parts.over(Share(SimulatedStore(), sleep, lambda: simulation.now))
            self.membership = self.membership_class(
                beating, process, max_attempts=scenario.max_attempts
            )
            self.membership.use(SimulatedStore())
            self.membership.peers.is_provably_dead = self._is_provably_dead
        candidates = Candidates(order=Order.NATURAL, rng=rng)
        sure = not (scenario.lost or scenario.mute or scenario.late or scenario.outage)
        self.worker = self.worker_class(self.parts, candidates, self.membership, names_suffice=sure)

    def hesitate(self, request: Request) -> float:
        """Seconds by which a request is held up."""
        return 0.0

    def _is_provably_dead(self, heartbeat: Heartbeat, _me: Process) -> bool:
        sim, pid = self.simulation, heartbeat.process.pid
        return sim.scenario.same_host and pid >= 0 and sim.workers[pid].crashed

    @property
    def is_paused(self) -> bool:
        """Whether it waits until the queue is resumed."""
        return self.worker.control.paused

    def begin(self) -> None:
        """Start working, and sweeping or beating."""
        self.began_at = self.simulation.now
        self.names_then = {one.view: one.me.worker for one in self.simulation.workers}
        if self.membership is not None:
            self._persist(self.membership.start, self._began)
            return
        if self.simulation.scenario.lost:  # else somebody may put it there after the look
            self._avoid_used_name()
        self._take()
        if self.simulation.scenario.sweeps:
            self.simulation.later(self.me.policy.heartbeat, self._keep_up)

    def _avoid_used_name(self) -> None:
        """As `Membership` does: nobody could tell what an earlier process left under the plain
        id from a claim of ours whose answer is missing."""
        claims = map(layout.parse_claim, self.simulation.world.folders[RUNNING])
        used = {claim.worker for claim in claims if claim}
        if self.simulation.scenario.leftover and self.me.worker in used:
            self.me.become(self.me.next_incarnation())

    def _began(self, _: object, error: Exception | None) -> None:
        sim = self.simulation
        if isinstance(error, WorkerIdInUse) and self.membership is not None and not self.forked:
            Task(self, self.membership.end, self._refused).go()
            return
        if isinstance(error, ConfigurationError) and self.insists:
            self.crashed = True  # as the message says: its mode was not to be had
            return
        if error is not None:
            raise Violation(f"{self.view}: start raised {error!r}")
        if self.leaving:
            self._close()
            return
        self.joined = True
        self.joined_at = sim.now
        sim.checks.joins(self)
        self._take()
        sim.later(self.me.policy.heartbeat, self._keep_up)

    def _refused(self, _: object, error: Exception | None) -> None:
        """As the message says: wait until the other one has ended, or is dead."""
        sim = self.simulation
        if error is not None and not isinstance(error, TRANSIENT_ERRORS):
            raise Violation(f"{self.view}: end() raised {error!r}")
        self.crashed = True
        pause = sim.rng.uniform(0.2, 1.5) * self.me.policy.lease
        sim.later(pause, lambda: sim.start_again(self))

    def crash(self) -> None:
        """The process is gone, at once; what it asked for may still be executed."""
        self.crashed = True
        self.simulation.killed.add(self.view)
        self._let_go()

    def _let_go(self) -> None:
        """What it held may rightly start again."""
        self.simulation.held -= len(self.holding)
        for content in self.holding:
            self.simulation.excused.add(content)

    def close(self) -> None:
        """Another thread closes the queue: the heartbeat's thread is told to end."""
        if self.leaving or self.membership is None:
            return
        self.leaving = self.closing = self.closed = True
        self.worker.control.drain()
        if self.joined and not self._beats:
            self._close()

    def _close(self) -> None:
        assert self.membership is not None
        self._let_go()
        self.holding.clear()
        Task(self, HeartbeatThread(self.worker, self.membership)._leave, self._closed).go()

    def _closed(self, _: object, error: Exception | None) -> None:
        if error is not None and not isinstance(error, TRANSIENT_ERRORS):
            raise Violation(f"{self.view}: close() raised {error!r}")
        self.closing = False
        if not self._calls:
            self._left(None, None)

    def _persist(
        self, call: Callable[[], Any], end: Callable[[Any, Exception | None], None]
    ) -> None:
        """Call the protocol, through every outage."""

        def through_outages() -> Any:
            try:
                return call()
            except TRANSIENT_ERRORS as error:
                return retry_through_outages(self.share, call, error)

        Task(self, through_outages, end).go()

    def _take(self) -> None:
        self._calls = True
        self._persist(self.worker.next, self._took)

    def _took(self, held: Claim | None, error: Exception | None) -> None:
        sim = self.simulation
        self._calls = False
        if error is not None:
            raise Violation(f"{self.view}: next() raised {error!r}")
        if self.closed and held is None:
            if not self.closing:
                self._left(None, None)
            return
        if held is None and (sim.scenario.leaves or self.worker.control.draining):
            self._leave()
            return
        if held is None:
            # Others may still give jobs back: come again, as `work --wait` does.
            if sim.is_busy():
                policy = self.me.policy
                pause = policy.lease / 4 if sim.scenario.lives else policy.heartbeat
                sim.later(pause + 4 * policy.wait, self._again)
            return
        sim.held += 1
        content = sim.start_job(self, held)
        self.holding[content] = held
        duration = sim.rng.choice((0.0, sim.rng.uniform(0, sim.scenario.work)))
        sim.later(duration, lambda: self._finish(held, content))

    def _leave(self) -> None:
        """End as `work` does when nothing is waiting: the heartbeat first."""
        self.leaving = True
        if self.membership is not None and not self._beats:
            self._persist(self.membership.end, self._left)

    def _left(self, _: object, error: Exception | None) -> None:
        if error is not None:
            raise Violation(f"{self.view}: end() raised {error!r}")
        self.crashed = True
        self.simulation.note_end(self)

    def _again(self) -> None:
        if not (self.crashed or self.leaving):
            self._take()

    def _finish(self, held: Claim, content: str) -> None:
        sim = self.simulation
        if self.crashed or content not in self.holding:
            return
        if sim.now < self.frozen_until:
            sim.later(self.frozen_until - sim.now, lambda: self._finish(held, content))
            return

        def alone(call: Callable[[], Any]) -> Callable[[], Any]:
            """As `Job` does: whoever closes the queue leaves the job to this thread."""

            def call_alone() -> Any:
                with self.worker.intents.end_alone(held.path):
                    return call()

            return call_alone

        self._calls = True
        if sim.rng.random() < sim.scenario.release:
            sim.started[content] -= 1

            def released(result: object, error: Exception | None) -> None:
                if isinstance(error, ClaimLost) and self.closed:
                    error = None  # it was given back when the queue was closed
                self._finished(content, result, error)

            self._persist(alone(lambda: self.worker.release(held)), released)
            return
        folder = DONE if sim.rng.random() < 0.8 else FAILED

        def end(name: str | None, error: Exception | None) -> None:
            if error is None:
                sim.committed(self, content)
            gap = self.membership is not None and (
                self.me.lease_gaps > held.lease_gaps or self.me.own_lease_expired(sim.now)
            )
            if isinstance(error, ClaimLost) and (
                content in sim.excused or gap or sim.scenario.refuted
            ):
                error = None  # whoever was silent for too long can't be sure
            self._finished(content, name, error)

        self._persist(alone(lambda: self.worker.finish(held, folder)), end)

    def _finished(self, content: str, _: object, error: Exception | None) -> None:
        if error is not None:
            raise Violation(f"{self.view}: ending {content} raised {error!r}")
        if self.holding.pop(content, None) is not None:
            self.simulation.held -= 1
        self._take()

    def _keep_up(self) -> None:
        """One heartbeat, or one sweep where there are none."""
        if self.crashed or self.leaving:
            return
        began = self.simulation.now
        self._beats = True

        def end(_: object, error: Exception | None) -> None:
            if error is not None and not isinstance(error, TRANSIENT_ERRORS):
                raise Violation(f"{self.view}: heartbeat or sweep raised {error!r}")
            self._beats = False
            if self.closed:
                self._close()
            elif self.leaving:
                self._leave()
            elif self.simulation.is_busy():
                took = self.simulation.now - began
                self.simulation.later(self.me.policy.heartbeat - took, self._keep_up)

        if self.membership is None:
            self._persist(self.parts.sweeper.sweep, end)
        else:
            # A beat that fails is simply followed by the next one, as in the real thread.
            Task(self, self.membership.beat, end).go()


class Visitor(SimulatedWorker):
    """A person, on a machine of their own, who requeues once what the dead left."""

    takes_jobs = False

    def hesitate(self, request: Request) -> float:
        rng, scenario = self.simulation.rng, self.simulation.scenario
        if rng.random() > _HESITATIONS or not scenario.hesitant(request):
            return 0.0
        return rng.uniform(0, scenario.visit_pause)

    def begin(self) -> None:
        assert self.membership is not None
        membership = self.membership
        Task(self, lambda: give_back(membership, (), dead=True), self._went).go()

    def _went(self, _: object, error: Exception | None) -> None:
        self.crashed = True  # the process has ended
        if error is not None and not isinstance(error, TRANSIENT_ERRORS):
            raise Violation(f"{self.view}: requeue raised {error!r}")
