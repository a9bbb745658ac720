"""One fault at the n-th request of an operation, for n = 1, 2, 3, ...

Whatever happens there: what the program says must be what is on the disk, and when all
is over each job is where it belongs, once, with its content, and was started once.
"""

from __future__ import annotations

import io
import itertools
import zlib
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from dirjobs.admin import enqueue
from dirjobs.admin.cancel import cancel
from dirjobs.admin.remove import removable, remove
from dirjobs.admin.retry import retry
from dirjobs.errors import (
    TRANSIENT_ERRORS,
    AmbiguousResult,
    ClaimLost,
    ConfigurationError,
    StoreError,
)
from dirjobs.files.upload import Delivery
from dirjobs.layout import (
    AGREEMENT,
    DONE,
    FAILED,
    FOLDERS,
    LOGS,
    PARKED,
    RUNNING,
    TRASH,
    WAITING,
)
from dirjobs.policy import Mode
from dirjobs.protocol import attempts
from dirjobs.protocol.agreement import to_bytes
from dirjobs.protocol.exits import Claim
from dirjobs.protocol.intents import State
from dirjobs.protocol.outage import Presence, SameQueue
from dirjobs.worker import retry_through_outages
from tests.amounts import amount
from tests.unit.lives import World


def numbers(operation, *case):
    """The requests of an operation to try, by their number.

    Daily that is every sixth one, and every tenth of a requeue, whose many heartbeats are
    alike.  The first of them depends on the case, so that like cases try all of them together.
    """
    step = amount(10 if operation == "requeue" else 6, 1)
    return itertools.count(1 + zlib.crc32(repr(case).encode()) % step, step)


JOBS = {"job1.txt": b"first", "job2.txt": b"the second one"}


class Scene:
    """A queue, one worker at it, and the store that will fail it once.

    Args:
        store: what is really there.
        faulty: the same, as the worker gets to it; `arm(n)` on it plans the fault.
    """

    def __init__(self, store, faulty, policy, now=1000.0):
        self.world = World(store)
        self.world.now = now
        self.policy, self.faulty = policy, faulty
        self.starts = Counter()
        self.refusals = 0  # so often an operation was refused, and said so
        self.life = self.failing("w1")
        for name, content in JOBS.items():
            self.world.job(name, content)
        self.life.start()
        if isinstance(faulty, SameQueue):
            faulty.presence.now = lambda: self.world.now
            membership = self.life.membership
            own_file = membership.incarnations.all()[0].path
            faulty.presence.adopt(membership.agreement.queue_id, own_file)

    def failing(self, wid):
        """A worker, or somebody else, on the store that will fail."""
        store, self.world.store = self.world.store, self.faulty
        try:
            return self.world.life(wid, policy=self.policy)
        finally:
            self.world.store = store

    def newcomer(self, wid):
        """A worker that is only beginning, and knows no queue yet."""
        faulty = self.faulty
        if isinstance(faulty, SameQueue):
            self.faulty = SameQueue(faulty.store, Presence(now=lambda: self.world.now))
            self.faulty.presence.beginning = True
        try:
            return self.failing(wid)
        finally:
            self.faulty = faulty

    def persist(self, call):
        """As `DirJobs` does what may be repeated."""
        try:
            return call()
        except TRANSIENT_ERRORS as error:
            return retry_through_outages(self.world.share, call, error)

    def insist(self, call, undone):
        """Do what a worker may do again after a refusal, which must be true: `undone()`."""
        for _ in range(5):
            try:
                return self.persist(call)
            except ClaimLost as error:
                raise AssertionError("nobody else was there") from error
            except StoreError as error:
                self.refusals += 1
                assert undone(), error
        raise AssertionError("it is refused for ever")

    def next(self, life=None):
        held = self.persist((life or self.life).worker.next)
        if held is not None:
            self.starts[held.job.name] += 1
        return held

    def where(self):
        """Each content of a job, and the names it has."""
        found = {content: [] for content in JOBS.values()}
        made = [TRASH] if self.is_there(TRASH) else []
        for folder in (*FOLDERS, *made):
            for entry in self.world.store.list(folder):
                if folder.startswith("_queue") and folder not in (PARKED, TRASH):
                    continue
                path = f"{folder}/{entry.name}"
                content = self.world.store.read(path)
                assert content in found or path.endswith(".part"), (path, content)
                found.setdefault(content, []).append(path)
        return found

    def is_there(self, path):
        return self.world.store.exists(path)

    def at_rest(self, *, hurried=False):
        """Close the worker as `DirJobs.close` does, then let another one do the rest.

        Args:
            hurried: don't wait whether anything comes to pass when all seems to be done.
        """
        life = self.life
        for path, intent in life.parts.intents.in_state(State.HELD).items():
            self.starts[intent.job.name] -= 1  # it says so: given back
            claim = Claim(intent.worker, intent.job, path)
            self.persist(lambda c=claim: life.worker.release(c))
        self.persist(life.membership.end)
        other = self.world.life("w2", policy=self.policy).start()
        for _ in range(2):
            if not hurried or self.world.names(RUNNING) or self.has_drafts():
                self.world.watched_for(other, 2 * self.policy.lease)
            while (held := self.next(other)) is not None:
                other.done(held)
        other.end()

    def has_drafts(self):
        return any(name.startswith("~") for name in self.world.names(WAITING))

    def assert_all_is_well(self, jobs=JOBS, again=()):
        where = self.where()
        for name, content in jobs.items():
            (path,) = where[content]
            assert path in (f"{DONE}/{name}", f"{FAILED}/{name}")
            assert self.starts[name] <= 1 + (name in again), self.starts
        assert self.world.names(RUNNING) == []
        assert [n for n in self.world.names(WAITING) if not n.endswith(".part")] == []


# -- the operations: each prepares, yields, acts, and checks what it is told -------------------


def claim(scene):
    yield
    held = scene.insist(scene.next, lambda: True)
    yield
    assert held is not None, "jobs are waiting"
    assert scene.where()[JOBS[held.job.name]] == [held.path]


def look(scene):
    while (held := scene.next()) is not None:
        scene.life.done(held)
    yield
    assert scene.insist(scene.next, lambda: True) is None
    yield


def _finish(folder, reason=""):
    def finish(scene):
        held = scene.next()
        yield
        if reason:
            attempts.note(scene.life.share, held.job.name, held.worker, reason)
        name = scene.insist(
            lambda: scene.life.worker.finish(held, folder), lambda: scene.is_there(held.path)
        )
        yield
        assert scene.where()[JOBS[held.job.name]] == [f"{folder}/{name}"]

    return finish


def give_back(scene):
    held = scene.next()
    yield
    scene.insist(lambda: scene.life.worker.release(held), lambda: True)
    scene.starts[held.job.name] -= 1
    yield
    # Where renames take several steps, an unclear one is left to the sweep.
    for _ in range(8):
        scene.life.beat()
    assert scene.where()[JOBS[held.job.name]] == [f"{WAITING}/{held.job.name}"]


def beat_again(scene, times):
    """Until so many heartbeats have gone well; a refused login is tried again after minutes."""
    for _ in range(16 + times):
        try:
            scene.life.beat()
        except StoreError:
            pass
        else:
            times -= 1
        if not times:
            return
        scene.world.now += scene.policy.heartbeat
    raise AssertionError("the heartbeat never came back")


def heartbeat(scene):
    held = scene.next()
    yield
    beat_again(scene, 1)
    yield
    assert scene.where()[JOBS[held.job.name]] == [held.path]
    scene.life.done(held)


def sweep(scene):
    """A name of ours that was given up comes to be."""
    (job, _) = scene.world.store.list(WAITING)
    path = f"{RUNNING}/w1.{job.name}"
    scene.life.parts.intents.ask(path, "w1", job)
    scene.life.parts.intents.leave_in_doubt(path)
    scene.world.store.rename(f"{WAITING}/{job.name}", path)
    yield
    scene.insist(scene.life.parts.sweeper.sweep, lambda: True)
    yield
    for _ in range(8):
        scene.life.beat()
    assert scene.where()[JOBS[job.name]] == [f"{WAITING}/{job.name}"]


def requeue(scene):
    """The one who requeues is the one whom the fault hits."""
    scene.world.store.rename(f"{WAITING}/job1.txt", f"{RUNNING}/w0.job1.txt")
    scene.world.heartbeat_of("w0", policy=scene.policy, running={"job1.txt": len(JOBS["job1.txt"])})
    scene.world.watched_for(scene.life, scene.policy.lease)
    yield
    beat_again(scene, 3)
    yield
    scene.world.watched_for(scene.life, 10 * scene.policy.heartbeat)
    assert scene.where()[JOBS["job1.txt"]] == [f"{WAITING}/job1.txt"]


def add(scene):
    content = b"a new one"
    yield
    said = None
    try:
        enqueue.add(scene.life.parts, "new.txt", io.BytesIO(content), len(content))
    except StoreError as error:
        said = error
    yield
    is_there = scene.is_there(f"{WAITING}/new.txt")
    if said is None:
        assert scene.world.store.read(f"{WAITING}/new.txt") == content
    elif not isinstance(said, AmbiguousResult):
        assert not is_there, said
    if is_there:
        assert scene.world.store.read(f"{WAITING}/new.txt") == content
        scene.world.store.remove(f"{WAITING}/new.txt")
    for name in scene.world.names(WAITING):
        if name.endswith(".part"):
            scene.world.store.remove(f"{WAITING}/{name}")


def start(scene):
    """A refusal is believed at a worker's start, which may be tried again; but what others have
    agreed on stays.
    """
    scene.life.membership.end()
    stricter = replace(scene.policy, mode=Mode.SYNC, sync_time=7.0)
    agreed = to_bytes(stricter, {"id": "the very queue", "min_age": 1})
    scene.world.store.write(AGREEMENT, agreed)
    newcomer = scene.newcomer("w3")
    yield
    with suppress(StoreError, ConfigurationError):
        newcomer.start()
    yield
    newcomer.start()
    assert scene.world.store.read(AGREEMENT) == agreed
    held = scene.next(newcomer)
    newcomer.done(held)
    newcomer.end()
    scene.life = scene.newcomer("w1").start()


def log(scene):
    held = scene.next()
    path, data = f"{LOGS}/{held.job.name}.w1.log", b"what it printed"
    yield
    told = Delivery(scene.life.share).log(path, data, patient=True)
    yield
    if told:
        assert scene.world.store.read(path) == data
    scene.life.done(held)


def results(scene):
    held = scene.next()
    made = {"a.txt": b"1", "deep/b.txt": b"2"}
    yield
    with TemporaryDirectory() as folder:
        for name, data in made.items():
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        delivery = Delivery(scene.life.share)
        place = delivery.place_for(held.job.name, held.worker)
        problem = delivery.results(place, folder)
    yield
    if not problem:
        for name, data in made.items():
            assert scene.world.store.read(f"{place}/{name}") == data
    scene.life.done(held)


def _by_hand(change, start, target, prepare, restore=None):
    """A person does something about a job, and again until it is where it was to go; then it is
    put where others end it, if it was out of the way there."""

    def act(scene):
        prepare(scene, scene.next())
        person = scene.failing("person")
        person.membership.announce()
        yield
        for _ in range(16):
            try:
                files = person.share.jobs_in(start)
                found = [file for file in files if file.job.name == "job1.txt"]
                for file in found:
                    change(person.parts, file)
            except StoreError:
                scene.world.now += scene.policy.heartbeat
                continue
            if not found:
                break
        yield
        person.membership.end()
        scene.world.watched_for(scene.life, 10 * scene.policy.heartbeat)
        assert scene.where()[JOBS["job1.txt"]] == [f"{target}/job1.txt"]
        if restore:
            scene.world.store.rename(f"{target}/job1.txt", f"{restore}/job1.txt")

    return act


def _remove(parts, file):
    for whole in removable(parts, [file]):
        remove(parts, whole)


def _fail(scene, held):
    scene.life.worker.finish(held, FAILED)
    scene.starts[held.job.name] -= 1  # it may be started once more


def _end(scene, held):
    scene.life.done(held)
    scene.starts[held.job.name] -= 1


def _give_back(scene, held):
    scene.life.worker.release(held)
    scene.starts[held.job.name] -= 1


def _go_on(scene, held):
    assert held.job.name == "job1.txt"


BY_HAND = {
    "retry": _by_hand(retry, FAILED, WAITING, _fail),
    "repeat": _by_hand(retry, DONE, WAITING, _end),
    "cancel": _by_hand(cancel, RUNNING, FAILED, _go_on),
    "remove": _by_hand(_remove, WAITING, TRASH, _give_back, restore=WAITING),
    "remove what failed": _by_hand(_remove, FAILED, TRASH, _fail, restore=WAITING),
}
OF_WORKERS = {
    "claim": claim,
    "look": look,
    "done": _finish(DONE),
    "failed": _finish(FAILED, "it did not work"),
    "give back": give_back,
    "heartbeat": heartbeat,
    "requeue": requeue,
    "sweep": sweep,
    "add": add,
}
OF_RUNNERS = {"start": start, "log": log, "results": results}
OPERATIONS = {**OF_WORKERS, **BY_HAND}
EVERYTHING = {**OPERATIONS, **OF_RUNNERS}


def play(scene, operation, n, *, hurried=False):
    """Run an operation with a fault at its n-th request; False if it has fewer."""
    steps = EVERYTHING[operation](scene)
    next(steps)
    scene.faulty.arm(n)
    next(steps)
    fired = scene.faulty.disarm()
    for _ in steps:
        raise AssertionError("an operation has two stops")
    scene.at_rest(hurried=hurried)
    scene.assert_all_is_well()
    return fired
