"""What several threads do to one `DirJobs`: take and end jobs, close it, fork, forget it.

Invariants, in every order of their steps: nobody ends or takes the attempt of somebody who
holds it; who holds a job is not told that it is lost; every job is done once or waits again;
a worker that has ended leaves no claim and has said so; no thread waits for ever; no
exception but `ClaimLost` and `JobClosed`.
"""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Self, TypeVar

from dirjobs.backends.memory import MemoryStore
from dirjobs.errors import ClaimLost, JobClosed
from dirjobs.layers import Layer
from dirjobs.layout import DONE, FAILED, RUNNING, WAITING, WORKERS
from dirjobs.recovery.control import PAUSE
from dirjobs.recovery.heartbeat import Heartbeat
from dirjobs.store import Entry, Guarantees, split
from tests.simulation.runs import Report
from tests.simulation.schedule import Schedule, Task, in_charge, stepping
from tests.simulation.workers import Violation

T = TypeVar("T")
TIMES = {"timeout": 0.5, "max_pause": 0.5, "lease": 6.0}
_GROUP = 1 << 30
"""A group of processes that no system has."""


@dataclass(eq=False)
class Attempt:
    """One claim, from the rename that made it to the one that ended it.

    Attributes:
        path: its name.
        crew: whose it is.
        held: whether somebody has been given the job and has not begun to end it.
        free: whether others may end it: its queue is being closed, or a person took it.
    """

    path: str
    crew: Crew
    held: bool = False
    free: bool = False

    @property
    def worker(self) -> str:
        return split(self.path)[1].partition(".")[0]


@dataclass(eq=False)
class Crew:
    """The threads of one queue in one process.

    Attributes:
        queue: their `DirJobs`.
        closes: how often it was closed.
        closing: how many threads are at that.
    """

    name: str
    queue: Any
    closes: int = 0
    closing: int = 0

    def forget_finalizer(self) -> None:
        """Or the garbage collector calls it while another run is replayed."""
        finalizer = getattr(self.queue, "_finalizer", None)
        if finalizer is not None:
            finalizer.detach()


class WatchedStore(Layer):
    """The store in memory; sees whose attempt each request ends."""

    def __init__(self, run: Run, promises: Guarantees | None) -> None:
        super().__init__(MemoryStore(lambda: run.schedule.now))
        self.run = run
        self.promises = promises
        self.attempts: dict[str, Attempt] = {}
        self.ended: dict[str, bool] = {}
        """What each worker's heartbeat that was written last says."""

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self  # a forked child sees the same store

    @property
    def guarantees(self) -> Guarantees:
        return self.promises or self.store.guarantees

    def call(self, verb: str, paths: tuple[str, ...], action: Callable[[], T]) -> T:
        self.run.schedule.step()
        result = action()
        if verb == "rename":
            self._note(*paths)
        self.run.schedule.step()
        return result

    def write(self, path: str, data: bytes) -> None:
        super().write(path, data)
        said = Heartbeat.from_bytes(data) if split(path)[0] == WORKERS else None
        if said is None:
            return
        self.ended[said.worker] = said.ended
        for attempt in self.attempts.values():
            if said.ended and attempt.worker == said.worker and not attempt.free:
                raise Violation(f"{said.worker} is said to have ended, and holds {attempt.path}")

    def _note(self, src: str, dst: str) -> None:
        run, task = self.run, self.run.schedule.running
        doer = run.doers.get(task) if task is not None else None
        attempt = self.attempts.pop(src, None)
        if attempt is not None:
            folder = split(dst)[0]
            rightful = doer is not None and doer.ending is attempt
            if folder in (DONE, FAILED) and not rightful:
                raise Violation(f"{task and task.name} ends {src}, somebody else's attempt")
            if not (rightful or attempt.free) and (
                attempt.held or doer is None or doer.crew is not attempt.crew
            ):
                raise Violation(f"{task and task.name} takes {src} to {dst} from its holder")
        if split(dst)[0] == RUNNING and split(dst)[1][0] != "~":
            if doer is None:
                raise Violation(f"{task and task.name} claims {dst}")
            late = doer.closes < doer.crew.closes or bool(doer.crew.closing)
            doer.claimed = attempt = self.attempts[dst] = Attempt(dst, doer.crew, free=late)
            if self.ended.get(attempt.worker, True) and not late:
                raise Violation(f"{dst} is claimed under a name that is said to have ended")


@dataclass(eq=False)
class Doer:
    """One thread that uses a queue.

    Attributes:
        closes: how often the queue had been closed when its present call began.
        claimed: the attempt that it began last.
        ending: the attempt that it is ending.
    """

    crew: Crew
    closes: int = 0
    claimed: Attempt | None = None
    ending: Attempt | None = None


@dataclass
class Plan:
    """What happens in one run, drawn from its seed."""

    rng: random.Random
    verify: bool = False
    jobs: int = 4
    takers: int = 2
    closers: int = 0
    forkers: int = 0
    snatches: int = 0
    renames: int = 0
    heartbeat: float = 0.5
    pauses: bool = False
    forgets: bool = False
    rival: bool = True

    @classmethod
    def drawn(cls, rng: random.Random) -> Plan:
        if rng.random() < 0.25:  # names are used again and again
            return cls(
                rng, jobs=8, takers=3, snatches=6, renames=20, heartbeat=rng.choice((0.05, 0.5))
            )
        verify = rng.random() < 0.3
        return cls(
            rng,
            verify=verify,
            jobs=rng.randint(1, 6),
            takers=rng.randint(1, 3),
            closers=rng.choice((0, 1, 1, 2)),
            forkers=rng.choice((0, 0, 1)),
            # A file dragged by hand leaves no note: in verify its worker can't tell.
            snatches=0 if verify else rng.choice((0, 1, 3, 6)),
            pauses=rng.random() < 0.25,
            forgets=rng.random() < 0.3,
            rival=rng.random() < 0.7,
        )


@dataclass(eq=False)
class Run:
    """One run, by its seed."""

    seed: str
    module: ModuleType
    doers: dict[Task, Doer] = field(default_factory=dict)
    crews: list[Crew] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    decided: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.schedule = Schedule(self.seed)
        self.rng = self.schedule.rng
        self.plan = Plan.drawn(self.rng)
        promises = Guarantees(visible_after=0) if self.plan.verify else None
        self.store = WatchedStore(self, promises)

    def __deepcopy__(self, memo: dict[int, object]) -> Run:
        return self

    def play(self) -> None:
        """Do it all.

        Raises:
            Violation, Stuck: an invariant does not hold.
        """
        plan, schedule = self.plan, self.schedule
        with in_charge(schedule):
            self._prepare()
            for number in range(plan.takers):
                self._use(f"taker {number}", self.crews[0], self._take)
            if plan.rival:
                self._use("rival", self.crews[1], self._take)
            for number in range(plan.closers):
                self._use(f"closer {number}", self.crews[0], self._close_some_time)
            for number in range(plan.forkers):
                self._use(f"forker {number}", self.crews[0], self._fork)
            people = [lambda: self._snatch()] * plan.snatches
            people += [self._rename] * plan.renames
            people += [self._pause_and_resume] * plan.pauses
            for person in people:
                schedule.spawn("person", person)
            self._use("the end", self.crews[0], self._end)
            try:
                schedule.run_until(lambda: all(task.greenlet.dead for task in schedule.tasks))
            finally:
                schedule.end()
                for crew in self.crews:
                    crew.forget_finalizer()
            self._check()

    def _prepare(self) -> None:
        for number in range(self.plan.jobs):
            self.store.store.mkdir(WAITING) if not number else None
            self.store.store.write(f"{WAITING}/job{number}.txt", b"data")
        for name in ("w1", "w2")[: 1 + self.plan.rival]:
            queue = self.module.DirJobs(
                self.store, wid=name, heartbeat=self.plan.heartbeat, **TIMES
            )
            self.crews.append(Crew(name, queue))

    def _use(self, name: str, crew: Crew, call: Callable[[Crew], object], pid: int = 1) -> Task:
        task = self.schedule.spawn(f"{name} of {crew.name}", lambda: call(crew), pid)
        self.doers[task] = Doer(crew)
        return task

    def _me(self) -> Doer:
        assert self.schedule.running is not None
        return self.doers[self.schedule.running]

    # -- what threads do ------------------------------------------------------------------

    def _take(self, crew: Crew) -> None:
        for _ in range(self.rng.choice((1, 2))):
            self._idle(2.0)
            me = self._me()
            me.closes = crew.closes
            if self.rng.random() < 0.5:
                for job in crew.queue:
                    self._work(job)
                    me.closes = crew.closes
            else:
                while (job := crew.queue.next_and_lock()) is not None:
                    self._work(job)
                    me.closes = crew.closes

    def _idle(self, seconds: float) -> None:
        self.schedule.sleep(self.rng.choice((0.0, self.rng.uniform(0, seconds))))

    def _work(self, job: Any) -> None:
        path = f"{RUNNING}/{job.full_name()}"
        attempt = self._me().claimed
        if attempt is None or attempt.path != path:
            raise Violation(f"{path} was given to a thread that did not claim it")
        attempt.held = True
        if self.rng.random() < 0.3:
            with self._me().crew.queue.runs_group(_GROUP):
                self._idle(3.0)
        else:
            self._idle(3.0)
        how = self.rng.choice(("done", "done", "done", "failed", "release", "block", "leave"))
        me = self._me()
        if how == "leave":
            return  # the end of its queue gives it back
        me.ending = attempt
        try:
            if how == "block":
                with job:
                    pass
            else:
                getattr(job, how)()
        except ClaimLost:
            self.lost += 1
            if not attempt.free:
                raise Violation(f"{path} is said to be lost, and nobody took it") from None
        else:
            attempt.held = False
            if how in ("done", "block"):
                self.done[job.name()] += 1
        finally:
            me.ending = None

    def _close_some_time(self, crew: Crew) -> None:
        self._idle(6.0)
        self._close(crew)

    def _close(self, crew: Crew) -> None:
        crew.closing += 1
        for attempt in self.store.attempts.values():
            attempt.free |= attempt.crew is crew
        crew.queue.close()
        crew.closing -= 1
        crew.closes += 1

    def _snatch(self) -> None:
        """A person drags a claim back, or puts a job of a used name there."""
        self._idle(6.0)
        folder = self.rng.choice((RUNNING, DONE))
        listed = [entry.name for entry in self.store.store.list(folder) if entry.name[0] != "~"]
        if not listed:
            return
        name = self.rng.choice(listed)
        job = name.partition(".")[2] if folder == RUNNING else name
        if self.store.store.exists(f"{WAITING}/{job}"):
            return
        attempt = self.store.attempts.pop(f"{folder}/{name}", None)
        if attempt is not None:
            attempt.free = True
        self.store.store.rename(f"{folder}/{name}", f"{WAITING}/{job}")

    def _rename(self) -> None:
        """The worker goes on under another name, as after a gap in its heartbeat."""
        self._idle(4.0)
        generation = self.crews[0].queue._generation
        if generation.begun:
            generation.worker._next_incarnation()

    def _pause_and_resume(self) -> None:
        self._idle(3.0)
        self.store.write(f"{WORKERS}/{PAUSE}", b"")
        self.schedule.sleep(self.rng.choice((3.0, 20.0)))
        self.store.remove(f"{WORKERS}/{PAUSE}")

    def _fork(self, crew: Crew) -> None:
        """Fork, in a block of a job or outside, while the other threads are wherever they are."""
        me = self._me()
        me.closes = crew.closes
        job = crew.queue.next_and_lock() if self.rng.random() < 0.7 else None
        self._idle(2.0)
        child = Crew(f"{crew.name}'s child", None)
        child.queue, its_job = self._forked(crew.queue, job)
        pid = 2 + len(self.crews)
        self.crews.append(child)
        self._use("child", child, lambda _: self._live_on(child, its_job), pid)
        if job is not None:
            self._work(job)

    def _forked(self, queue: Any, job: Any) -> tuple[Any, Any]:
        """A copy of the process's memory, as far as it is a queue's."""
        memo: dict[int, object] = {}
        finalizer = getattr(queue, "_finalizer", None)
        for shared in (self, self.schedule, self.store, finalizer):
            memo[id(shared)] = shared
        child = copy.deepcopy(queue, memo)
        its_job = copy.deepcopy(job, memo)
        before, self.module._queues = self.module._queues, {child}  # type: ignore[attr-defined]
        try:
            self.module._fresh_locks()
        finally:
            self.module._queues = before  # type: ignore[attr-defined]
        return child, its_job

    def _live_on(self, crew: Crew, parents_job: Any) -> None:
        if parents_job is not None and self.rng.random() < 0.7:
            leaving = self.rng.choice((ValueError, KeyboardInterrupt, SystemExit))
            with suppress(leaving), parents_job:
                raise leaving
        elif parents_job is not None:
            try:
                self.rng.choice((parents_job.done, parents_job.release))()
            except JobClosed:
                pass
            else:
                raise Violation(f"{crew.name} ends the job of its parent")
        self._take(crew)
        self._close(crew)

    def _end(self, crew: Crew) -> None:
        """In the end every queue is closed, or forgotten."""
        schedule = self.schedule
        schedule.sleep(12.0)
        for one in self.crews:
            to_be_forgotten = one is crew and self.plan.forgets and not self.plan.pauses
            if one.queue is not None and not to_be_forgotten:
                self._close(one)  # else who waits in a pause would wait for long
        me = schedule.running
        schedule.wait(lambda: all(one is me or one.greenlet.dead for one in self.doers))
        for one in self.crews:
            finalizer = getattr(one.queue, "_finalizer", None)
            if self.plan.forgets and finalizer is not None and finalizer.alive and one is crew:
                self._forget(one, finalizer)
            else:
                self._close(one)

    def _forget(self, crew: Crew, finalizer: Callable[[], object]) -> None:
        """The garbage collector finds a queue: in any thread, the heartbeat's most likely."""
        crew.closes += 1
        for attempt in self.store.attempts.values():
            attempt.free |= attempt.crew is crew
        self.schedule.interrupts.append(finalizer)

    # -- the end --------------------------------------------------------------------------

    def _check(self) -> None:
        for task in self.schedule.tasks:
            if task.error is not None:
                raise Violation(f"{task.name} raised {task.error!r}") from task.error
        places: Counter[str] = Counter()
        for folder in (WAITING, RUNNING, DONE, FAILED, "_queue/parked"):
            for entry in self._listed(folder):
                if folder == RUNNING or entry.name[0] == "~":
                    raise Violation(f"{folder}/{entry.name} is left by workers that have ended")
                places[entry.name] += 1
        names = {f"job{number}.txt" for number in range(self.plan.jobs)}
        if places != Counter(names):
            raise Violation(f"jobs are lost or doubled: {sorted(places.elements())}")
        for entry in self._listed(WORKERS):
            said = Heartbeat.from_bytes(self.store.store.read(f"{WORKERS}/{entry.name}"))
            if said is not None and not said.ended:
                raise Violation(f"the worker of {entry.name} has ended, and has not said so")

    def _listed(self, folder: str) -> list[Entry]:
        base = self.store.store
        return [*base.list(folder)] if base.exists(folder) else []


def run_many(
    seed: str,
    first: int,
    last: int,
    patches: tuple[tuple[str, str, str], ...] = (),
    *,
    until_violation: bool = False,
) -> Report:
    """The runs ``seed/first`` to ``seed/last - 1``, with a mutant's patches."""
    report = Report()
    with stepping(patches) as module:
        for number in range(first, last):
            run = Run(f"{seed}/{number}", module)
            try:
                run.play()
            except Exception as violation:  # noqa: BLE001 - what raises is broken, too
                known = isinstance(violation, AssertionError)
                report.violations[run.seed] = str(violation) if known else repr(violation)
                if until_violation:
                    break
            report.runs += 1
            report.steps += run.schedule.steps
            report.kinds["threads in mode verify" if run.plan.verify else "threads in trust"] += 1
    return report
