"""Queues on object storage, simulated: the real protocol over markers, request by request.

Workers run the code of `DirJobs` (`dirjobs.worker.Worker`) on `dirjobs.protocol.markers.Markers`
over a store in memory that has no rename.  Each request to that store is carried out when its
turn comes, in any order; it may be executed though its answer is lost, never, late, or twice; a
create may be answered "exists" though it was carried out, or though nobody has the name.  Workers
crash after any request, are taken for dead while they live, and people retry and cancel jobs.
After every request it is checked that no job is lost and that none was ended by two; a job is
started once, unless somebody was taken for dead or a person wanted it.

    python -m tests.simulation.objects --runs 100000 [--seed s] [--mutants]
"""

from __future__ import annotations

import argparse
import heapq
import inspect
import logging
import multiprocessing
import os
import random
import re
import sys
import time
import types
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from greenlet import GreenletExit, getcurrent, greenlet

from dirjobs.admin import move as by_hand
from dirjobs.admin import retry as again
from dirjobs.backends.memory import MemoryStore
from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    ClaimLost,
    NotFound,
    StoreError,
    Unavailable,
    Unsupported,
)
from dirjobs.layers import Layer
from dirjobs.layout import DONE, FAILED, FOLDERS, RUNNING, WAITING
from dirjobs.policy import Order, Policy
from dirjobs.protocol import markers as real
from dirjobs.protocol.candidates import Candidates
from dirjobs.protocol.exits import Claim
from dirjobs.protocol.intents import State
from dirjobs.protocol.me import Me
from dirjobs.protocol.parts import Parts
from dirjobs.protocol.share import Share
from dirjobs.store import Guarantees, split
from dirjobs.worker import Worker
from tests.simulation.object_mutants import MUTANTS
from tests.simulation.workers import Violation

T = TypeVar("T")

CHANGES = frozenset({"create", "write", "remove", "upload"})
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_LONGEST = 3_000.0
"""Virtual seconds of a run, at most."""


@dataclass
class Trouble:
    """What goes wrong in one run: chances, and numbers.

    Attributes:
        lost, mute, late, doubled, twice, conflict, refused: chances of one request.
        crashes: workers that are killed.
        robberies: workers that are taken for dead while they live.
        wishes: jobs that people retry, or cancel.
    """

    lost: float = 0.0
    mute: float = 0.0
    late: float = 0.0
    doubled: float = 0.0
    twice: float = 0.0
    conflict: float = 0.0
    refused: float = 0.0
    crashes: int = 0
    robberies: int = 0
    wishes: int = 0

    @classmethod
    def drawn(cls, rng: random.Random) -> Trouble:
        calm = rng.random() < 0.2
        faults = {
            name: rng.choice((0.0, 0.02, 0.06, 0.15))
            for name in ("lost", "mute", "late", "doubled", "twice", "conflict", "refused")
        }
        return cls(
            **({} if calm else faults),
            crashes=rng.choice((0, 0, 1, 2)),
            robberies=rng.choice((0, 0, 1, 2)),
            wishes=rng.choice((0, 1, 3)),
        )


class Bucket(MemoryStore):
    """What is really there: a folder comes with the first file in it."""

    def create(self, path: str, data: bytes) -> None:
        above = path.split("/")[:-1]
        for depth in range(1, len(above) + 1):
            with suppress(AlreadyExists):
                self.mkdir("/".join(above[:depth]))
        super().create(path, data)


class Objects(Layer):
    """One worker's connection to the store: no rename, and trouble.

    Args:
        store: what is really there.
        run: decides when a request is carried out, and what becomes of it.
    """

    def __init__(self, store: Bucket, run: Run) -> None:
        super().__init__(store)
        self._run = run

    @property
    def guarantees(self) -> Guarantees:
        return Guarantees(exclusive_create=True, visible_after=0)

    ignores_conditions = False

    def rename(self, src: str, dst: str) -> None:
        raise Unsupported(f"{src} is not renamed to {dst}")

    def create(self, path: str, data: bytes) -> None:
        if self.ignores_conditions:
            self.write(path, data)
        else:
            super().create(path, data)

    def call(self, verb: str, paths: tuple[str, ...], action: Callable[[], T]) -> T:
        return self._run.request(verb, action)


@dataclass
class Job:
    """What came of one job's bytes.

    Attributes:
        starts: attempts that began, by the object in ``00_waiting``.
        told: who was told that it ended the job, by the object in ``00_waiting``: a job that is
            retried is another one.
    """

    starts: dict[str, set[str]] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)


class Run:
    """One run.

    Args:
        seed: replays it.
    """

    def __init__(self, seed: object) -> None:
        self.rng = random.Random(str(seed))
        self.now = 0.0
        self.is_changed = True
        self.trouble = Trouble.drawn(self.rng)
        self.requests: Counter[str] = Counter()
        self.decided: Counter[str] = Counter()
        self.memory = Bucket(clock=lambda: 1e6 + self.now)
        for folder in FOLDERS:
            self.memory.mkdir(folder)
        self.jobs: dict[str, Job] = {}
        self.dead: set[str] = set()
        self.crashed = 0
        self.actors: dict[str, Actor] = {}
        self.robbed: set[tuple[str, str]] = set()
        """Attempts, by worker and job, that were taken away."""
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        for number in range(self.rng.choice((1, 1, 2, 4))):
            self.add(f"job{number}.txt")
        for number in range(self.rng.choice((2, 2, 3, 4))):
            self.start(WorkerActor(self, f"w{number}"))
        self.start(ReaperActor(self, "reaper"))
        if self.trouble.wishes:
            self.start(PersonActor(self, "person"))

    # -- time, and requests -------------------------------------------------------------------

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        self._serial += 1
        heapq.heappush(self._queue, (self.now + seconds, self._serial, action))

    def start(self, actor: Actor) -> None:
        self.actors[actor.name] = actor
        self.later(self.rng.uniform(0, 2), actor.proceed)

    def sleep(self, seconds: float) -> None:
        """Let virtual seconds pass for whoever calls."""
        actor = self._caller()
        self.later(max(seconds, 0.001), actor.proceed)
        actor.pause()

    def _caller(self) -> Actor:
        actor = getcurrent()
        assert isinstance(actor, Actor), "only actors send requests"
        return actor

    def request(self, verb: str, action: Callable[[], T]) -> T:
        """Carry out one request of whoever calls, in its turn."""
        actor, rng, trouble = self._caller(), self.rng, self.trouble
        self.requests[verb] += 1
        slow = rng.random() < 0.05
        self.later(rng.uniform(0, 30 if slow else 0.1), actor.proceed)
        actor.pause()
        if verb not in CHANGES:
            return action()
        self.is_changed = True
        if actor.is_calm:
            return action()
        chance = rng.random()
        for name in ("lost", "mute", "late", "doubled", "twice", "conflict", "refused"):
            chance -= getattr(trouble, name)
            if chance < 0:
                return self._gone_wrong(name, verb, action)
        return action()

    def _gone_wrong(self, how: str, verb: str, action: Callable[[], T]) -> T:
        if how == "refused":
            raise Unavailable("503")
        if how == "lost":
            raise AmbiguousResult("the request was lost")
        if how == "mute":
            with suppress(StoreError):
                action()
            raise AmbiguousResult("the answer was lost")
        if how == "late":
            self._execute_late(action)
            raise AmbiguousResult("the request is late")
        if how == "doubled":
            self._execute_late(action)
            return action()
        if how == "twice" and verb == "create":
            action()
            return action()
        if how == "conflict" and verb == "create":
            raise AmbiguousResult("409")
        return action()

    def _execute_late(self, action: Callable[[], object]) -> None:
        def execute() -> None:
            self.is_changed = True
            with suppress(StoreError):
                action()

        self.later(self.rng.uniform(0.1, 60), execute)

    # -- the run --------------------------------------------------------------------------------

    def run(self) -> None:
        """Run to the end, then let somebody tidy up.

        Raises:
            Violation: an invariant does not hold.
        """
        self._go_on()
        for actor in self.actors.values():
            actor.kill_at_once()
            self.dead.add(actor.name)
        self.trouble = Trouble()
        self.start(ReaperActor(self, "last reaper", calm=True))
        self._go_on()
        self.start(WorkerActor(self, "last", calm=True))
        self._go_on()
        self.start(ReaperActor(self, "sweeper", calm=True))
        self._go_on()
        self._check_end()

    def _go_on(self) -> None:
        while self._queue:
            self.now, _, action = heapq.heappop(self._queue)
            action()
            self._check()
            if self.now > _LONGEST * (1 + len(self.dead)):
                raise Violation(f"still busy after {self.now:.0f} virtual seconds")

    def add(self, name: str) -> None:
        self.jobs[name] = Job()
        self.memory.write(f"{WAITING}/{name}", name.encode())

    def job(self, content: bytes) -> Job:
        return self.jobs[content.decode()]

    def started(self, worker: str, content: bytes, waited: str) -> None:
        """A worker believes that it has a job, which waited as this object."""
        name = content.decode()
        starts = self.job(content).starts.setdefault(waited, set())
        starts.add(worker)
        if len({one for one in starts if (one, name) not in self.robbed}) > 1:
            raise Violation(f"{name} was started by {sorted(starts)}")

    def rob(self, worker: str, name: str) -> None:
        """Somebody takes an attempt away."""
        self.robbed.add((worker, _plain(name)))

    def told(self, worker: str, content: bytes, waited: str) -> None:
        """A worker was told that it ended a job, which waited as this object."""
        job = self.job(content)
        if waited in job.told:
            raise Violation(f"{content.decode()} was ended by {worker} and {job.told[waited]}")
        job.told[waited] = worker

    def lost(self, store: real.Markers, claim: Claim, waited: str) -> None:
        """A worker was told that somebody else has ended its job, or taken it away."""
        held = store._held.get(split(claim.path)[1])
        if held is None or store.store.full_path(held.life.path) != waited:
            return
        with suppress(NotFound):
            ended = self.memory.read(held.life.fence)
            if store._by.encode() in ended and f'"{split(claim.path)[1]}"'.encode() in ended:
                raise Violation(
                    f"{claim.worker} ended {claim.job.name}, and is told that it did not"
                )

    def wished(self, name: str) -> None:
        """A person lets a job wait again: all attempts before this are over."""
        name = _plain(name)
        for workers in self.jobs[name].starts.values():
            self.robbed |= {(worker, name) for worker in workers}

    def contents(self, *folders: str) -> list[str]:
        """The bytes in some folders, of objects that are jobs."""
        found = []
        for folder in folders:
            for entry in self.memory.list(folder):
                if not entry.name.startswith("~"):
                    found.append(self.memory.read(f"{folder}/{entry.name}").decode())
        return found

    def _check(self) -> None:
        """No job is lost, whatever was changed last."""
        if not self.is_changed:
            return
        self.is_changed = False
        lost = self.jobs.keys() - set(self.contents(WAITING, DONE, FAILED))
        if lost:
            raise Violation(f"lost: {sorted(lost)}")

    def _check_end(self) -> None:
        if left := [entry.name for entry in self.memory.list(RUNNING)]:
            raise Violation(f"markers are left: {left}")
        if waiting := self.contents(WAITING):
            raise Violation(f"never done: {waiting}")
        for name, job in self.jobs.items():
            if job.told and name not in self.contents(DONE, FAILED):
                raise Violation(f"{job.told} ended {name}, and it is not there")


def _plain(name: str) -> str:
    """A job's name, whatever number it has because another one is called so."""
    return re.sub(r"~\d+(?=\.)", "", name)


class Actor(greenlet):
    """Somebody who sends requests, one after the other.

    Args:
        run: the run.
        name: who.
        calm: nothing goes wrong for this one.
    """

    layer: type[real.Markers] = real.Markers

    def __init__(self, run: Run, name: str, *, calm: bool = False) -> None:
        super().__init__(self.live)
        self.simulation, self.name, self.is_calm = run, name, calm
        self.is_killed = False
        rng = random.Random(run.rng.random())

        def nonce() -> str:
            return "".join(rng.choices(_ALPHABET, k=6))

        self.store = self.layer(Objects(run.memory, run), nonce)
        self.share = Share(self.store, run.sleep, lambda: run.now)
        self.me = Me(name, Policy(), self.store.guarantees, nonce)
        self.parts = Parts(self.share, self.me)

    def live(self) -> None:
        raise NotImplementedError

    def proceed(self) -> None:
        """Go on from the request, or the wait, that is over."""
        if not self.is_killed:
            self.switch()

    def pause(self) -> None:
        """Give others their turn."""
        assert self.parent is not None
        self.parent.switch()

    def kill_at_once(self) -> None:
        """It is no more: nothing of it is executed from here on."""
        self.is_killed = True
        with suppress(GreenletExit):
            self.throw(GreenletExit)

    def persist(self, call: Callable[[], T]) -> T | None:
        """Repeat what has failed for a while; None if it never succeeds."""
        for _ in range(12):
            try:
                return call()
            except (Unavailable, AmbiguousResult):
                self.simulation.sleep(self.simulation.rng.uniform(0.5, 5))
        return None


class WorkerActor(Actor):
    """A worker: it claims, works, and ends jobs, or gives them back."""

    def live(self) -> None:
        run = self.simulation
        rng = random.Random(run.rng.random())
        worker = Worker(self.parts, Candidates(order=Order.NATURAL, job_ext="", rng=rng))
        idle = 0
        if run.trouble.crashes and not self.is_calm and rng.random() < 0.5:
            run.trouble.crashes -= 1
            run.later(rng.expovariate(0.05), self._crash)
        while idle < 4:
            claim = self.persist(worker.next)
            if claim is None:
                idle += 1
                run.sleep(rng.uniform(1, 20))
                continue
            idle = 0
            self._work(worker, claim, rng)
        for name, intent in self.parts.intents.in_state(State.HELD).items():
            self.persist(
                lambda name=name, intent=intent: self.parts.exits.release(name, intent.job)
            )  # type: ignore[misc]
        self.persist(self.parts.sweeper.sweep)
        run.dead.add(self.name)

    def _work(self, worker: Worker, claim: Claim, rng: random.Random) -> None:
        run = self.simulation
        waited = self.store.full_path(claim.path)
        try:
            content = self.persist(lambda: self.share.read(claim.path))
        except NotFound:
            return  # somebody has taken it away
        if content is None:
            return
        run.started(claim.worker, content, waited)
        run.sleep(rng.choice((0.0, 1.0, rng.uniform(0, 60))))
        chance = rng.random()
        if chance < 0.15:
            run.rob(claim.worker, content.decode())
            self.persist(lambda: worker.release(claim))
            return
        folder = FAILED if chance < 0.4 else DONE
        try:
            name = self.persist(lambda: worker.finish(claim, folder))
        except ClaimLost:
            run.lost(self.store, claim, waited)
            return
        if name is not None:
            run.told(claim.worker, content, waited)

    def _crash(self) -> None:
        if not self.dead and not self.is_killed:
            self.simulation.dead.add(self.name)
            self.simulation.crashed += 1
            self.kill_at_once()


class ReaperActor(Actor):
    """Gives back what the dead left, and now and then what the living have."""

    def live(self) -> None:
        run = self.simulation
        for turn in range(3 if self.is_calm else 12):
            run.sleep(run.rng.uniform(1, 40))
            files = self.persist(lambda: self.share.jobs_in(RUNNING)) or []
            self.persist(lambda: self.share.jobs_in(WAITING))
            for file in files:
                base = file.worker.partition("~")[0]
                is_dead = base in run.dead
                if not is_dead and run.trouble.robberies and run.rng.random() < 0.3:
                    run.trouble.robberies -= 1
                    is_dead = True
                if is_dead:
                    run.rob(file.worker, file.job.name)
                    self.persist(partial(self.parts.exits.put_back, file.path, file.job))
            if (
                not self.is_calm
                and turn > 3
                and all(actor.dead or actor is self for actor in run.actors.values())
            ):
                return


class PersonActor(Actor):
    """Retries what has failed, and cancels what waits."""

    def live(self) -> None:
        run = self.simulation
        while run.trouble.wishes > 0:
            run.trouble.wishes -= 1
            run.sleep(run.rng.uniform(1, 60))
            folder = run.rng.choice((FAILED, FAILED, WAITING, RUNNING))
            places = self.persist(partial(self.share.jobs_in, folder)) or []
            if not places:
                continue
            place = run.rng.choice(places)
            name = place.job.name
            if folder == FAILED:
                run.wished(name)
                self.persist(partial(again.retry, self.parts, place))
            else:
                run.rob(place.worker, name)
                self.persist(partial(by_hand.move, self.parts, place, FAILED))


def run_one(seed: str) -> Run:
    """One run, by its seed alone.

    Raises:
        Violation: it broke an invariant.
    """
    run = Run(seed)
    run.run()
    return run


@dataclass
class Report:
    """What a number of runs found."""

    runs: int = 0
    crashes: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    violations: dict[str, str] = field(default_factory=dict)


def run_many(seed: str, first: int, last: int, *, until_violation: bool = False) -> Report:
    """The runs ``seed/first`` to ``seed/last - 1``."""
    report = Report()
    for number in range(first, last):
        name = f"{seed}/{number}"
        report.runs += 1
        try:
            run = run_one(name)
        except Exception as violation:  # noqa: BLE001 a protocol that raises is broken, too
            what = violation if isinstance(violation, Violation) else repr(violation)
            report.violations[name] = str(what)
            if until_violation:
                break
        else:
            report.requests += run.requests
            report.crashes += run.crashed
    return report


@contextmanager
def in_place(mutant: str) -> Iterator[None]:
    """Let simulated workers move jobs by a mutant."""
    source = inspect.getsource(real)
    for old, new in MUTANTS[mutant]:
        assert source.count(old) == 1, f"{mutant}: {old!r} is there {source.count(old)} times"
        source = source.replace(old, new)
    module = types.ModuleType(real.__name__)
    sys.modules[real.__name__] = module  # msgspec looks names up there
    exec(compile(source, f"<{mutant}>", "exec"), module.__dict__)
    before = Objects.ignores_conditions
    try:
        Actor.layer = module.Markers
        Objects.ignores_conditions = mutant == "the server ignores conditions"
        yield
    finally:
        Actor.layer, Objects.ignores_conditions = real.Markers, before
        sys.modules[real.__name__] = real


def main() -> int:
    logging.getLogger("dirjobs").setLevel(logging.CRITICAL)
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.objects")
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seed", default="s")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--mutants", action="store_true", help="how soon each is found out")
    given = parser.parse_args()
    if given.mutants:
        alive = 0
        for mutant in MUTANTS:
            with in_place(mutant):
                found = run_many(given.seed, 0, given.runs, until_violation=True)
            alive += not found.violations
            told = next(iter(found.violations.values()), "SURVIVES")
            print(f"{mutant:50} after {found.runs:5} runs: {told[:100]}", flush=True)
        return int(alive > 0)
    began, total = time.monotonic(), Report()
    step = 100
    parts = [(given.seed, n, min(n + step, given.runs)) for n in range(0, given.runs, step)]
    with multiprocessing.Pool(given.processes) as pool:
        for done in pool.imap_unordered(_part, parts):
            total.runs += done.runs
            total.crashes += done.crashes
            total.requests += done.requests
            total.violations |= done.violations
            for seed, what in done.violations.items():
                print(f"run {seed}: {what}", flush=True)
            if total.runs % 10_000 == 0:
                print(f"{total.runs:,} runs", flush=True)
    spent, requests = time.monotonic() - began, sum(total.requests.values())
    print(
        f"{total.runs:,} runs, {total.crashes:,} crashes, {requests:,} requests,"
        f" {len(total.violations)} violations, {spent:.0f} s"
    )
    return int(bool(total.violations))


def _part(what: tuple[str, int, int]) -> Report:
    return run_many(*what)


if __name__ == "__main__":
    sys.exit(main())
