"""Threads that a seed schedules: one `DirJobs`, several threads, every order of their steps.

The real code runs, over the store in memory.  Each thread is a greenlet.  Before every
statement of the modules under test, at every lock and around every request to the store the
schedule may go on with another one; time is virtual.  The package gets its locks, threads and
clock from `dirjobs.threads` and `dirjobs.clock`, and its chances from `dirjobs.names` and
`dirjobs.protocol.candidates`, so these are all that is replaced.
"""

from __future__ import annotations

import ast
import gc
import random
import secrets
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty
from typing import Any

from greenlet import getcurrent, greenlet

from dirjobs import clock, names, threads
from tests.simulation.mutants import anew, modules_restored

_LONGEST = 60_000
"""Steps of a run that must have come to its end."""
_LONGEST_STEP = 0.02
"""Seconds: so that what is due comes in the middle of what others do."""
_LONGEST_STANDSTILL = 0.5
"""Seconds for which a thread gets no turn: enough for a heartbeat of another, not for a lease."""


class Stuck(AssertionError):
    """Threads wait, and nobody will wake them."""


class Task:
    """One thread: a greenlet, and what it waits for."""

    def __init__(self, schedule: Schedule, name: str, call: Callable[[], object], pid: int) -> None:
        self.schedule = schedule
        self.name = name
        self.pid = pid
        self.error: BaseException | None = None
        self.ready: Callable[[], bool] | None = None
        """Whether it may go on; None if it waits for nothing."""
        self.until: float | None = None
        """When it goes on in any case."""
        self.greenlet = greenlet(lambda: self._run(call))

    def _run(self, call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - the run's end looks at it
            self.error = error

    @property
    def may_go_on(self) -> bool:
        if self.ready is None and self.until is None:
            return True
        return self.is_woken or (self.ready is not None and self.ready())

    @property
    def is_woken(self) -> bool:
        return self.until is not None and self.schedule.now >= self.until


class Schedule:
    """Who goes on next.

    Args:
        seed: replays it.
    """

    def __init__(self, seed: object) -> None:
        self.rng = random.Random(str(seed))
        self.eagerness = self.rng.choice((0.02, 0.1, 0.4))
        """How often another thread goes on between two statements."""
        self.standstill = self.rng.choice((0.0, 0.003, 0.02))
        """How often a thread stands still between two statements while all others go on."""
        self.now = 1000.0
        self.steps = 0
        self.tasks: list[Task] = []
        self.hub = getcurrent()
        self.running: Task | None = None
        self.interrupts: deque[Callable[[], object]] = deque()
        """What the garbage collector calls, in whichever thread takes a step."""

    def spawn(self, name: str, call: Callable[[], object], pid: int = 1) -> Task:
        task = Task(self, name, call, pid)
        task.greenlet.parent = self.hub
        self.tasks.append(task)
        return task

    def run_until(self, done: Callable[[], bool]) -> None:
        """Let threads go on until something holds.

        Raises:
            Stuck: it never will.
        """
        while not done():
            self.steps += 1
            living = [task for task in self.tasks if not task.greenlet.dead]
            able = [task for task in living if task.may_go_on]
            if not able or self.steps > _LONGEST:
                times = [task.until for task in living if task.until is not None]
                if not times or self.steps > _LONGEST:
                    raise Stuck(", ".join(task.name for task in living))
                self.now = min(times)
                continue
            self.now += self.rng.uniform(0, _LONGEST_STEP)
            self.running = self.rng.choice(able)
            self.running.greenlet.switch()
            self.running = None

    # -- what threads call ----------------------------------------------------------------

    def end(self) -> None:
        """Break off whoever has not ended: later it would go on at a moment that no seed
        replays, when the garbage collector finds it."""
        for task in self.tasks:
            if not task.greenlet.dead:
                task.greenlet.throw()

    def step(self) -> None:
        """A moment in which another thread may go on."""
        task = self.running
        if task is None or getcurrent() is not task.greenlet:
            return  # nobody's thread: a scene is being set
        if self.rng.random() < self.eagerness:
            self.hub.switch()
        elif self.rng.random() < self.standstill:
            self.sleep(self.rng.uniform(0, _LONGEST_STANDSTILL))
        if self.interrupts and self.rng.random() < 0.1:
            self.interrupts.popleft()()

    def wait(self, ready: Callable[[], bool] | None, seconds: float | None = None) -> bool:
        """Wait until something holds; False if it took too long."""
        task = self.running
        if task is None or getcurrent() is not task.greenlet:
            if ready is None or ready():
                return True
            raise Stuck("nobody's thread waits")
        task.ready = ready
        task.until = None if seconds is None else self.now + max(0.0, seconds)
        self.hub.switch()
        task.ready = task.until = None
        return ready is None or ready()

    def sleep(self, seconds: float) -> None:
        self.wait(lambda: False, seconds)

    def pid(self) -> int:
        return self.running.pid if self.running is not None else 1


class Lock:
    """Not reentrant: a thread that asks twice waits for ever."""

    reentrant = False

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._owner: object = None
        self._count = 0

    def __deepcopy__(self, memo: dict[int, object]) -> Lock:
        """In a forked child: whoever held it is no thread of the child's."""
        copy = type(self)(self._schedule)
        copy._owner, copy._count = (None, 0) if self._owner is None else ("nobody here", 1)
        return copy

    def acquire(self) -> bool:
        schedule = self._schedule
        schedule.step()
        me = schedule.running
        if self._owner is not None and not (self.reentrant and self._owner is me):
            schedule.wait(lambda: self._owner is None)
        self._owner = me or "nobody"
        self._count += 1
        return True

    def release(self) -> None:
        self._count -= 1
        if not self._count:
            self._owner = None
        self._schedule.step()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class RLock(Lock):
    reentrant = True


class Local:
    """Values that each thread has for itself."""

    def __init__(self, schedule: Schedule) -> None:
        vars(self).update(_schedule=schedule, _values={})

    def __deepcopy__(self, memo: dict[int, object]) -> Local:
        return Local(self._schedule)

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[self._schedule.running, name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: object) -> None:
        self._values[self._schedule.running, name] = value


class SimpleQueue:
    """`put` may be called at any moment, also in the middle of another call of it."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._items: deque[Any] = deque()

    def put(self, item: object) -> None:
        self._items.append(item)

    def get(self, timeout: float | None = None) -> Any:
        if not self._schedule.wait(lambda: bool(self._items), timeout):
            raise Empty
        return self._items.popleft()


class Thread:
    """A thread of the schedule."""

    def __init__(
        self,
        schedule: Schedule,
        target: Callable[[], object],
        name: str = "thread",
        daemon: bool = False,
    ) -> None:
        self._schedule = schedule
        self._target = target
        self.name = name
        self.task: Task | None = None

    def __deepcopy__(self, memo: dict[int, object]) -> Thread:
        """In a forked child it does not run."""
        return Thread(self._schedule, lambda: None, self.name)

    def start(self) -> None:
        self._schedule.step()
        self.task = self._schedule.spawn(self.name, self._target, self._schedule.pid())
        self._schedule.step()

    def is_alive(self) -> bool:
        return self.task is not None and not self.task.greenlet.dead

    def join(self, timeout: float | None = None) -> None:
        if self.task is None:
            raise RuntimeError("cannot join thread before it is started")
        if self.task is self._schedule.running:
            raise RuntimeError("cannot join current thread")
        self._schedule.wait(lambda: not self.is_alive(), timeout)


def _candidates() -> types.ModuleType:
    return sys.modules["dirjobs.protocol.candidates"]


@contextmanager
def in_charge(schedule: Schedule) -> Iterator[None]:
    """Let the package get its threads, locks and time from a schedule."""
    made: dict[str, object] = {
        "Lock": lambda: Lock(schedule),
        "RLock": lambda: RLock(schedule),
        "local": lambda: Local(schedule),
        "SimpleQueue": lambda: SimpleQueue(schedule),
        "Thread": lambda **options: Thread(schedule, **options),
        "is_current": lambda thread: thread.task is not None and thread.task is schedule.running,
        "getpid": schedule.pid,
    }
    times: dict[str, object] = {"sleep": schedule.sleep, "monotonic": lambda: schedule.now}
    before = {name: getattr(threads, name) for name in made}
    before_times = {name: getattr(clock, name) for name in times}
    try:
        for name, replacement in made.items():
            setattr(threads, name, replacement)
        for name, replacement in times.items():
            setattr(clock, name, replacement)
        names.secrets = schedule.rng  # type: ignore[assignment]
        chances = types.SimpleNamespace(Random=lambda: random.Random(schedule.rng.random()))
        _candidates().random = chances  # type: ignore[attr-defined]
        # Which garbage is found when depends on what the process did before.
        gc.disable()
        _in_charge.append(schedule)
        yield
    finally:
        _in_charge.remove(schedule)
        gc.enable()
        _candidates().random = random  # type: ignore[attr-defined]
        names.secrets = secrets
        for name, original in before.items():
            setattr(threads, name, original)
        for name, original in before_times.items():
            setattr(clock, name, original)


# -- a step before every statement ------------------------------------------------------------


class _Steps(ast.NodeTransformer):
    """Puts a call of ``_step()`` before every statement of every function."""

    def _with_steps(self, body: list[ast.stmt]) -> list[ast.stmt]:
        stepped: list[ast.stmt] = []
        for statement in body:
            if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
                call = ast.Expr(ast.Call(ast.Name("_step", ast.Load()), [], []))
                stepped.append(ast.copy_location(call, statement))
            stepped.append(statement)
        return stepped

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        for part in ast.walk(node):
            for field in ("body", "orelse", "finalbody"):
                body = getattr(part, field, None)
                if isinstance(body, list) and not isinstance(part, ast.ClassDef):
                    setattr(part, field, self._with_steps(body))
        return node


MODULES = (
    "recovery.control",
    "protocol.candidates",
    "protocol.me",
    "protocol.intents",
    "protocol.store_clock",
    "protocol.look",
    "protocol.audit",
    "protocol.resolve",
    "protocol.exits",
    "protocol.sweep",
    "protocol.claim",
    "protocol.parts",
    "recovery.staleness",
    "recovery.incarnations",
    "recovery.orphans",
    "recovery.peers",
    "recovery.failure_detector",
    "recovery.membership",
    "worker",
    "heartbeat_thread",
    "job",
    "queue",
)
"""What takes steps, in the order in which they import each other."""


@contextmanager
def stepping(patches: tuple[tuple[str, str, str], ...] = ()) -> Iterator[types.ModuleType]:
    """The package with a step before every statement; yields its module ``queue``.

    Args:
        patches: module, old text (there exactly once), new text: a mutant.
    """
    with modules_restored(MODULES):
        for name in MODULES:
            module, source = anew(name, patches)
            module.__dict__["_step"] = _step
            tree = ast.fix_missing_locations(_Steps().visit(ast.parse(source)))
            assert module.__file__ is not None
            exec(compile(tree, module.__file__, "exec"), module.__dict__)
        yield sys.modules["dirjobs.queue"]


_in_charge: list[Schedule] = []


def _step() -> None:
    if _in_charge:
        _in_charge[-1].step()
