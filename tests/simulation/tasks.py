"""One call of the protocol, driven by the simulation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO

from greenlet import getcurrent, greenlet

from dirjobs import layout
from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    ClaimLost,
    ConfigurationError,
    NotFound,
    StoreError,
    Unavailable,
)
from dirjobs.layout import WAITING
from dirjobs.store import Entry, Guarantees, Store, split
from tests.simulation.requests import (
    Exists,
    List,
    ListNames,
    Mkdir,
    Read,
    Remove,
    Rename,
    Request,
    Upload,
    Wait,
    Write,
)
from tests.simulation.world import File

if TYPE_CHECKING:
    from tests.simulation.workers import SimulatedWorker


class SimulatedStore(Store):
    """A store whose every verb hands a request to the simulation, and gets its answer.

    The protocol calls it as it calls any store: plain code in a greenlet of its own, which
    the simulation puts aside until it has an answer.
    """

    url = "simulated://"
    guarantees = Guarantees()

    def list(self, folder: str) -> list[Entry]:
        return _ask(List(folder))

    def names_of_files(self, folder: str) -> list[str]:
        return _ask(ListNames(folder))

    def rename(self, src: str, dst: str) -> None:
        _ask(Rename(src, dst))

    def exists(self, path: str) -> bool:
        return _ask(Exists(path))

    def read(self, path: str) -> bytes:
        return _ask(Read(path))

    def write(self, path: str, data: bytes) -> None:
        _ask(Write(path, data))

    def upload(self, path: str, source: BinaryIO) -> None:
        _ask(Upload(path, source.read()))

    def remove(self, path: str) -> None:
        _ask(Remove(path))

    def mkdir(self, path: str) -> None:
        _ask(Mkdir(path))

    def mtime(self, path: str) -> float:
        raise NotImplementedError(path)

    def download(self, path: str, target: BinaryIO) -> None:
        raise NotImplementedError(path)


def _ask(request: Request) -> Any:
    """Hand a request to the simulation; returns, or raises, its answer."""
    return getcurrent().parent.switch(request)


def sleep(seconds: float) -> None:
    """Let virtual seconds pass."""
    _ask(Wait(seconds))


class Task:
    """A call of the protocol, whose requests the simulation carries out."""

    def __init__(
        self,
        worker: SimulatedWorker,
        call: Callable[[], Any],
        end: Callable[[Any, Exception | None], None],
    ) -> None:
        self.simulation = worker.simulation
        self.worker = worker
        self.view = worker.view
        self.end = end
        self._greenlet = greenlet(lambda _: call())
        # Kept to the end of the run: what is collected earlier would go on with its
        # `finally` clauses at a moment that no seed replays.
        self.simulation.greenlets.append(self._greenlet)

    def go(self, answer: Any = None, error: StoreError | None = None) -> None:
        """Give the protocol its answer, and take its next request."""
        sim = self.simulation
        if self.worker.crashed:
            return
        if sim.now < self.worker.frozen_until:
            sim.later(self.worker.frozen_until - sim.now, lambda: self.go(answer, error))
            return
        task = self._greenlet
        task.parent = getcurrent()
        try:
            request = task.throw(error) if error else task.switch(answer)
        except (StoreError, ClaimLost, ConfigurationError) as failure:
            self.end(None, failure)
            return
        if task.dead:
            self.end(request, None)
        elif isinstance(request, Wait):
            sim.later(request.seconds, self.go)
        else:
            self._send(request)

    def _send(self, request: Request) -> None:
        """Carry the request to the share and its answer back, or not."""
        sim, scenario = self.simulation, self.simulation.scenario
        rng = sim.rng
        latency = self.worker.latency
        there, back = rng.uniform(0, latency), rng.uniform(0, latency)
        there += self.worker.hesitate(request)
        if scenario.slowness and scenario.slow(request) and rng.random() < 0.5:
            there += rng.uniform(0, scenario.slowness)
        fate = 1.0
        troubled = scenario.faults_from <= sim.now < scenario.troubled_until
        if scenario.faulty(request) and troubled:
            fate = rng.random()
        if sim.outage_began <= sim.now < sim.outage_began + scenario.outage:
            fate = 0.0 if scenario.lost else -1.0
        no_answer = AmbiguousResult("no answer")
        if isinstance(request, Rename) and split(request.src)[0] == WAITING:
            name = split(request.src)[1]
            staged = layout.parse_staged(name)
            sim.asked_by.setdefault(staged.job if staged else name, set()).add(self.view)
        elif isinstance(request, Rename) and split(request.dst)[1].startswith("~"):
            sim.check_withdrawal(self.view, request.src)

        def answer(result: object, error: StoreError | None) -> None:
            sim.later(back, lambda: self.go(result, error))

        def mute(_result: object, _error: StoreError | None) -> None:
            sim.later(back, lambda: self.go(None, no_answer))

        def answer_twice(_result: object, error: StoreError | None) -> None:
            refusal = rng.choice((NotFound("404"), AlreadyExists("412")))
            sim.later(back, lambda: self.go(None, error or refusal))

        def silence(_result: object, _error: StoreError | None) -> None:
            pass

        unanswered = scenario.lost + scenario.mute + scenario.late
        if fate < 0:
            sim.later(there + back, lambda: self.go(None, Unavailable("the share is away")))
        elif fate < scenario.lost:
            sim.later(there + back, lambda: self.go(None, no_answer))
        elif fate < scenario.lost + scenario.mute:
            sim.later(there, lambda: self._execute(request, mute))
        elif fate < unanswered and isinstance(request, Rename | Write):
            sim.later(there + back, lambda: self.go(None, no_answer))
            delay = rng.uniform(0, scenario.lateness)
            sim.later(there + back + delay, lambda: self._execute(request, silence))
        elif unanswered <= fate < unanswered + scenario.refused and isinstance(request, Rename):
            sim.later(there, lambda: self._execute(request, answer_twice))
        else:
            sim.later(there, lambda: self._execute(request, answer))

    def _execute(
        self, request: Request, answer: Callable[[object, StoreError | None], None]
    ) -> None:
        world = self.simulation.world
        try:
            match request:
                case Rename(src, dst):
                    self.simulation.note_rename(self.worker, src, dst)
                    world.rename(self.view, src, dst, lambda error: answer(None, error))
                    self.simulation.trouble.strike(self.worker, request)
                    return
                case List(folder):
                    result: object = world.entries(self.view, folder)
                case ListNames(folder):
                    result = [entry.name for entry in world.entries(self.view, folder)]
                case Exists(path):
                    folder, name = split(path)
                    result = path in world.folders or name in world.seen(self.view, folder)
                case Read(path):
                    file = world.seen(self.view, split(path)[0]).get(split(path)[1])
                    if file is None:
                        raise NotFound(path)
                    result = file.data
                case Write(path, data):
                    file = File(path, len(data), len(data), float(int(world.server_time())), data)
                    world.put(path, file)
                    result = None
                case Remove(path):
                    world.put(path, None)
                    result = None
                case Mkdir(path):
                    raise AlreadyExists(path)
                case Upload(path, data):
                    world.put(path, self.simulation.drafts[data.decode()])
                    result = None
                case Wait():
                    raise NotImplementedError(request)
        except StoreError as error:
            answer(None, error)
        else:
            answer(result, None)
