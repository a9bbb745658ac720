"""What must hold beside the great invariants: modes, pauses, deaths, names, ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dirjobs import layout
from dirjobs.layout import FAILED, PARKED, RUNNING, WAITING, WORKERS
from dirjobs.policy import Mode
from dirjobs.protocol.exits import Claim
from dirjobs.recovery.control import PAUSE
from dirjobs.store import split
from tests.simulation.workers import SimulatedWorker, Violation
from tests.simulation.world import File, Kind

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation


class Checks:
    """Watches what workers ask for, and what they begin.

    Args:
        simulation: the run.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._sim = simulation
        self._deaths: dict[str, set[str]] = {}
        self._strict_since: dict[str, tuple[int, float]] = {}
        """By worker: how strict its mode is, and since when."""
        self._asked_in: dict[str, Mode] = {}
        self._evidence_since = float("inf")
        self._halfway_since: dict[str, float] = {}

    def _in_time(self) -> float:
        """Seconds after which every worker has done what a heartbeat tells it."""
        scenario = self._sim.scenario
        policy = scenario.policy
        return 2 * policy.heartbeat + policy.timeout + 40 * scenario.latency

    def _others(self, worker: SimulatedWorker) -> list[SimulatedWorker]:
        """Who is alive and at work beside `worker`."""
        now = self._sim.now
        return [
            other
            for other in self._sim.workers
            if other is not worker
            and other.joined
            and not (other.crashed or other.leaving)
            and other.frozen_until <= now
        ]

    # -- what is asked for ----------------------------------------------------------------

    def note_rename(self, worker: SimulatedWorker, owner: str, src: str, dst: str) -> None:
        """A rename is about to be executed.

        Args:
            worker: who asked for it.
            owner: the process that made `src`, if it is a claim.
            src: what is renamed.
            dst: its new name.
        """
        file = self._sim.world.get(src)
        if file is None:
            return
        folder, name = split(src)
        if folder == WAITING and layout.is_job_name(name):
            self._note_ask(worker, dst)
        elif folder == RUNNING and layout.parse_claim(name) and owner != worker.view:
            self._note_death(owner, src, dst, file)

    def _note_ask(self, worker: SimulatedWorker, dst: str) -> None:
        """Somebody asks for a waiting job."""
        staged = split(dst)[0] == WAITING
        mode = Mode.VERIFY if staged else worker.me.policy.mode
        if not staged and mode is Mode.VERIFY:
            mode = Mode.TRUST  # it was so when this was sent
        claim = layout.parse_staged(split(dst)[1]) if staged else layout.parse_claim(split(dst)[1])
        if claim is None or not worker.takes_jobs:
            return
        self._asked_in[f"{worker.view} {claim.job}"] = mode
        if self._sim.scenario.punctual:
            self._check_pause(worker)
            self._check_mode(worker, mode)

    def _check_pause(self, worker: SimulatedWorker) -> None:
        order = self._sim.world.get(f"{WORKERS}/{PAUSE}")
        if order is not None and self._sim.now - order.mtime > self._in_time():
            since = self._sim.now - order.mtime
            raise Violation(f"{worker.view} takes a job, {since:.0f} s after a pause")

    def _check_mode(self, worker: SimulatedWorker, mode: Mode) -> None:
        """Whoever is the first to be more strict waits for the others; they follow in time."""
        now, others = self._sim.now, self._others(worker)
        if mode is Mode.TRUST and now - self._evidence_since > self._in_time():
            raise Violation(f"{worker.view} trusts, though somebody knows better for long")
        since = {
            other.view: self._strict_since[other.view]
            for other in [worker, *others]
            if other.view in self._strict_since
        }
        for other in others:
            strict, when = since.get(other.view, (0, now))
            if strict > mode.strictness and now - when > self._in_time():
                raise Violation(
                    f"{worker.view} asks in mode {mode}, {now - when:.0f} s after"
                    f" {other.view} has become more strict"
                )
        mine = since.get(worker.view)
        if mine is None or mine[0] != mode.strictness:
            return
        if mine[1] > min(w for strict, w in self._strict_since.values() if strict >= mine[0]):
            return  # it follows somebody, who waits
        for other in others:
            if other.me.policy.mode.strictness < mode.strictness:
                raise Violation(
                    f"{worker.view} asks in mode {mode}, and {other.view} is yet in mode"
                    f" {other.me.policy.mode}"
                )

    def note_modes(self) -> None:
        """See who has become more strict, or has a reason to."""
        for worker in self._sim.workers:
            if worker.joined and worker.parts.evidence.found:
                self._evidence_since = min(self._evidence_since, self._sim.now)
            strict = worker.me.policy.mode.strictness
            if self._strict_since.get(worker.view, (-1, 0.0))[0] != strict:
                self._strict_since[worker.view] = strict, self._sim.now

    def trusted(self, worker: SimulatedWorker, job: str) -> bool:
        """Whether a worker asked for a job in mode trust."""
        return self._asked_in.get(f"{worker.view} {job}") is Mode.TRUST

    # -- what the dead leave --------------------------------------------------------------

    def _note_death(self, owner: str, src: str, dst: str, file: File) -> None:
        """Somebody takes a claim from a worker that died."""
        limit = self._sim.scenario.max_attempts
        if owner not in self._sim.killed or not self._sim.scenario.counts_deaths:
            return
        if split(dst)[0] == PARKED:
            return  # a torn copy, or one of what another one is giving up just now
        deaths = self._deaths.setdefault(file.content, set())
        deaths.add(f"{owner} {src}")
        given_up = split(dst)[0] == FAILED
        if given_up and len(deaths) < limit:
            raise Violation(f"{file.content} is given up after {len(deaths)} deaths")
        if not given_up and len(deaths) >= limit:
            raise Violation(f"{file.content} is given back after {len(deaths)} deaths")

    def watch_halfway(self) -> None:
        """See, every now and then, what lies half way though nobody has its job."""
        sim = self._sim
        running = sim.world.folders[RUNNING]
        claimed = {claim.job for name in running if (claim := layout.parse_claim(name))}
        since, self._halfway_since = self._halfway_since, {}
        for name in sim.world.folders[WAITING]:
            staged = layout.parse_staged(name)
            if staged is None or staged.job in claimed:
                continue
            self._halfway_since[name] = when = since.get(name, sim.now)
            if sim.now - when > sim.scenario.prompt:
                raise Violation(f"{name} lies half way since {when:.0f}; {sim.picture()}")
        if sim.is_busy():
            sim.later(10.0, self.watch_halfway)

    # -- who begins what ------------------------------------------------------------------

    def joins(self, worker: SimulatedWorker) -> None:
        """A worker was told that its id is free."""
        if not self._sim.scenario.namesakes or worker.forked:
            return
        for other in self._others(worker):
            if other.wid.casefold() != worker.wid.casefold() or other.forked:
                continue
            same = other.me.worker.casefold() == worker.me.worker.casefold()
            # One that wakes up while the other begins goes by a later name from then on, and is
            # met under neither: both may claim, under names of their own.
            woke_up = worker.names_then.get(other.view) != other.me.worker
            if same or (other.joined_at < worker.began_at and not woke_up):
                raise Violation(f"{worker.view} joins, though {other.view} lives")

    def starts(self, worker: SimulatedWorker, held: Claim) -> None:
        """A worker begins a job."""
        sim = self._sim
        if worker.leaving:
            raise Violation(f"{worker.view} starts {held.path} though it has ended")
        for other in sim.workers:
            if (
                other is not worker
                and sim.scenario.punctual
                and not other.crashed
                and any(
                    one.worker.casefold() == held.worker.casefold()
                    for one in other.holding.values()
                )
            ):
                raise Violation(f"{worker.view} and {other.view} both work as {held.worker}")
        if sim.scenario.kind is Kind.ATOMIC and sim.world.get(held.path) is None:
            by_hand = any(c.rpartition("#")[0] == held.job.name for c in sim.snatched)
            if not by_hand and not sim.scenario.missing:
                raise Violation(f"{worker.view} starts {held.path}, which was taken from it")
