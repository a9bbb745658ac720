"""What people do to a queue while workers are at it: the commands, interleaved with them."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from dirjobs.admin import control, enqueue
from dirjobs.admin.cancel import cancel
from dirjobs.admin.locate import unchanged
from dirjobs.admin.requeue import give_back
from dirjobs.admin.retry import retry
from dirjobs.errors import ConfigurationError, JobExists, StoreError
from dirjobs.layout import FAILED, PARKED, RUNNING, WAITING, JobFile
from dirjobs.recovery.heartbeat import worker_of
from dirjobs.recovery.membership import Membership
from tests.simulation.tasks import Task
from tests.simulation.workers import SimulatedWorker, Violation

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation


class Person(SimulatedWorker):
    """Somebody who gives one command.

    Args:
        simulation: the run.
        wid: their name, as the queue sees it.
        number: of the process.
        act: which command; one of `ACTS`.
    """

    takes_jobs = False

    def __init__(self, simulation: Simulation, wid: str, number: int, act: str) -> None:
        super().__init__(simulation, wid, number)
        self._act = ACTS[act]

    def begin(self) -> None:
        Task(self, lambda: self._act(self), self._went).go()

    def _went(self, _: object, error: Exception | None) -> None:
        """The command has ended: with what is told to a person, if anything."""
        self.crashed = True
        if error is not None and not isinstance(error, StoreError | ConfigurationError):
            raise Violation(f"{self.view}: {self._act.__name__} raised {error!r}")

    def member(self) -> Membership:
        assert self.membership is not None
        return self.membership


def _add(person: Person) -> None:
    """A new job, or one of a name that is in use."""
    sim, parts = person.simulation, person.parts
    lags = sim.scenario.kind.lags
    used = [file.rpartition("#")[0] for file in sim.contents]
    name = f"new{person.number}.txt" if lags or sim.rng.random() < 0.7 else sim.rng.choice(used)
    content = sim.new_content(name, sim.rng.choice((0, 7, 1000)))
    size = sim.drafts[content].size
    try:
        enqueue.add(parts, name, io.BytesIO(content.encode()), size)
    except JobExists:
        sim.acts["add: refused, the name is in use"] += 1
    else:
        sim.acts["add: added"] += 1
        sim.promise(content)


def _cancel(person: Person) -> None:
    for file in _chosen(person, (WAITING, RUNNING)):
        person.simulation.taken_by_hand(file)
        moved = cancel(person.parts, file)
        person.simulation.acts[f"cancel: {'moved' if moved else 'gone'}"] += 1


def _retry(person: Person) -> None:
    for file in unchanged(person.parts, _chosen(person, (FAILED, PARKED))):
        real = person.simulation.world.get(file.path)
        if real is None or person.simulation.is_torn_for_good(real):
            continue  # whoever brings back what ended in a race looks at it before
        person.simulation.taken_by_hand(file)
        name = retry(person.parts, file)
        person.simulation.acts[f"retry: {'waits' if name else 'left alone'}"] += 1


def _chosen(person: Person, folders: tuple[str, ...]) -> list[JobFile]:
    """Every file of one job that a person sees, who joins to change it."""
    sim, member = person.simulation, person.member()
    member.announce()
    seen = [file for folder in folders for file in person.share.jobs_in(folder)]
    seen = [file for file in seen if not file.staged]
    if not seen:
        return []
    job = sim.rng.choice(seen).job.name
    return [file for file in seen if file.job.name == job]


def _leaving(command: Callable[[Person], None]) -> Callable[[Person], None]:
    def act(person: Person) -> None:
        try:
            command(person)
        finally:
            person.member().end()

    act.__name__ = command.__name__
    return act


def _requeue(person: Person) -> None:
    sim = person.simulation
    seen = [file for file in person.share.jobs_in(RUNNING) if not file.staged]
    if seen:
        file = sim.rng.choice(seen)
        sim.taken_by_hand(file)
        back = give_back(person.member(), [file.job.name], dead=False)
        sim.acts[f"requeue: {'given back' if back else 'left alone'}"] += 1


def _pause(person: Person) -> None:
    sim = person.simulation
    try:
        sim.acts[f"pause: {'new' if control.pause(person.share) else 'was paused'}"] += 1
    finally:
        person.share.sleep(sim.rng.uniform(0, sim.scenario.longest_break))
        control.resume(person.share)
        sim.acts["resume"] += 1


def _drain(person: Person) -> None:
    """One worker is drained; somebody starts another one."""
    sim = person.simulation
    files = [entry.name for entry in person.share.listed("_queue/workers")]
    workers = [worker for file in files if (worker := worker_of(file))]
    if workers:
        sim.later(0.0, sim.start_another)
        told = control.drain(person.share, [sim.rng.choice(workers)])
        sim.acts["drain"] += len(told)


ACTS: dict[str, Callable[[Person], None]] = {
    "add": _add,
    "cancel": _leaving(_cancel),
    "retry": _leaving(_retry),
    "requeue": _requeue,
    "pause": _pause,
    "drain": _drain,
}
