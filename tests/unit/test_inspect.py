"""What is seen of a queue by somebody who only looks, and what looking costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dirjobs.admin.control import drain, pause
from dirjobs.admin.inspect import Inspector
from dirjobs.admin.report import State
from dirjobs.backends.memory import MemoryStore
from dirjobs.console.words import how_long, speed
from dirjobs.errors import Denied
from dirjobs.layers import Layer
from dirjobs.layout import DONE, FAILED, PARKED, RUNNING, WAITING, WORKERS
from dirjobs.protocol import attempts
from dirjobs.protocol.share import Share
from dirjobs.recovery.throughput import Pace, Throughput
from tests.simulation.requests import List, Read, Write
from tests.unit.lives import POLICY, World


@pytest.fixture
def world():
    return World()


class Noting(Layer):
    """Notes what is asked."""

    def __init__(self, store):
        super().__init__(store)
        self.requests = []

    def list(self, folder):
        self.requests.append(List(folder))
        return super().list(folder)

    def read(self, path):
        self.requests.append(Read(path))
        return super().read(path)

    def write(self, path, data):
        self.requests.append(Write(path, data))
        super().write(path, data)

    def _unexpected(self, *arguments):
        raise AssertionError(f"somebody who only looks asked for {arguments}")

    exists = rename = upload = download = remove = mkdir = rmdir = mtime = _unexpected


class Watcher:
    """Somebody who looks; counts the requests."""

    def __init__(self, world, **options):
        self.inspector = Inspector(world.process("desk"), clock=lambda: world.now, **options)
        self.store = Noting(world.store)
        self.share = Share(self.store, world.pass_time)

    @property
    def requests(self):
        return self.store.requests

    def look(self):
        self.requests.clear()
        return self.inspector.look(self.share)


@pytest.fixture
def watcher(world):
    return Watcher(world)


def test_an_empty_queue(watcher):
    found = watcher.look()
    assert (found.total, found.workers, found.failures, found.rate) == (0, (), (), None)
    assert len(watcher.requests) == 6


def test_a_queue_that_nobody_has_used_yet():
    store = MemoryStore()
    store.mkdir(WAITING)
    world = World(store)
    for folder in (DONE, FAILED, PARKED):
        store.rmdir(folder)
    assert Watcher(world).look().total == 0


class MovesOn(Layer):
    """While somebody looks, one job is claimed and another one ends."""

    def list(self, folder):
        found = list(super().list(folder))
        if folder == WAITING:
            self.store.rename(f"{WAITING}/a", f"{RUNNING}/w1.a")
        elif folder == RUNNING and self.store.exists(f"{RUNNING}/w1.b"):
            self.store.rename(f"{RUNNING}/w1.b", f"{DONE}/b")
        return found


def test_a_job_that_moves_on_meanwhile_is_counted_once(world):
    for path in (f"{WAITING}/a", f"{RUNNING}/w1.b", f"{FAILED}/c"):
        world.store.write(path, b"")
    world.store = MovesOn(world.store)
    found = Watcher(world).look()
    assert (found.waiting, found.running, found.done, found.failed) == (0, 1, 1, 1)


def test_a_copy_of_a_finished_job_counts_when_it_runs_again(world, watcher):
    """Explorer and `cp -p` keep the time."""
    for path in (f"{DONE}/a", f"{RUNNING}/w1.a", f"{DONE}/b", f"{WAITING}/b"):
        world.store.write(path, b"")
    found = watcher.look()
    assert (found.waiting, found.running, found.done) == (1, 1, 2)


def test_jobs_are_counted_where_they_are(world, watcher):
    for name in ("a", "b", ".hidden", "x~", "~abc.part"):
        world.store.write(f"{WAITING}/{name}", b"")
    world.store.write(f"{WAITING}/~w1~abc.half", b"")
    world.store.write(f"{RUNNING}/w1.c", b"")
    world.store.write(f"{RUNNING}/~w1~abc.w1.d", b"")
    world.store.write(f"{RUNNING}/nonsense", b"")
    world.store.write(f"{DONE}/e", b"")
    world.store.write(f"{FAILED}/f", b"")
    world.store.write(f"{PARKED}/w1.c", b"")
    found = watcher.look()
    counted = (found.waiting, found.running, found.done, found.failed, found.parked)
    assert counted == (3, 2, 1, 1, 1)
    assert found.total == 7
    (worker,) = found.workers
    assert (worker.id, worker.state) == ("w1", State.UNKNOWN)
    assert sorted(job.job for job in worker.jobs) == ["c", "d"]


def test_a_worker_with_its_job_since_when_and_how_fast(world, watcher):
    for number in range(4):
        world.job(f"job{number}")
    life = world.life("w1").start()
    for _ in range(2):
        held = life.next()
        world.now += 30
        life.done(held)
    life.next()
    world.now += 7
    life.beat()
    world.now += 3
    found = watcher.look()
    (worker,) = found.workers
    assert (worker.id, worker.state, worker.mode) == ("w1", State.WORKING, "trust")
    assert worker.host.startswith("pc")
    assert worker.pid
    assert worker.age == pytest.approx(3, abs=1)
    (job,) = worker.jobs
    assert job.job == "job2"
    assert job.seconds == pytest.approx(10, abs=1)
    assert found.rate == pytest.approx(3600 * 2 / 67, rel=0.05)
    assert found.remaining == pytest.approx(67, rel=0.05)


@pytest.mark.parametrize(
    ("seconds", "state"),
    [
        (0, State.IDLE),
        (2 * POLICY.heartbeat, State.IDLE),
        (2 * POLICY.heartbeat + POLICY.timeout + 5, State.SILENT),
        (2 * POLICY.lease + 5, State.DEAD),
    ],
)
def test_silence(world, watcher, seconds, state):
    world.life("w1").start()
    world.now += seconds
    assert watcher.look().workers[0].state is state


def test_a_process_that_is_gone_from_this_machine_is_dead_at_once(world):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    world.heartbeat_of("w1", process=world.process("here", child.pid))
    found = Inspector(world.process("here"), clock=lambda: world.now).look(world.share)
    assert found.workers[0].state is State.DEAD


def test_who_has_ended_is_shown_only_if_it_left_something(world, watcher):
    world.life("w1").start().end()
    world.heartbeat_of("w2", ended=True)
    world.claim_of("w2")
    assert [(worker.id, worker.state) for worker in watcher.look().workers] == [("w2", State.ENDED)]


def test_the_living_namesake_has_the_claims(world, watcher):
    world.heartbeat_of("w1", "aaaaaa", ended=True)
    world.heartbeat_of("w1", "zzzzzz", running={"job.txt": 4})
    world.claim_of("w1")
    (worker,) = watcher.look().workers
    assert (worker.state, len(worker.jobs)) == (State.WORKING, 1)


def test_orders_are_shown(world, watcher):
    world.life("w1").start()
    world.life("w2").start()
    pause(world.share)
    drain(world.share, ["w2"])
    found = watcher.look()
    assert found.paused
    assert [worker.draining for worker in found.workers] == [False, True]


def test_an_end_is_not_estimated_while_the_queue_is_paused(world, watcher):
    world.job()
    world.heartbeat_of("w1", pace=Pace(3, 60.0))
    assert watcher.look().remaining == pytest.approx(20)
    pause(world.share)
    assert watcher.look().remaining is None


def test_a_share_that_may_only_be_read(world):
    class ReadOnly(MemoryStore):
        def write(self, path, data):
            raise Denied("read-only")

    world.heartbeat_of("w1")
    world.now += 50
    world.heartbeat_of("w2")
    world.now += 500
    world.store.__class__ = ReadOnly
    watcher = Watcher(world)
    ages = [worker.age for worker in watcher.look().workers]
    assert ages == pytest.approx([50, 0], abs=1)  # at least so old
    world.now += 20
    assert [worker.age for worker in watcher.look().workers] == pytest.approx([70, 20], abs=1)
    assert not [request for request in watcher.requests if isinstance(request, Write)]


def fail(world, *names):
    for name in names:
        world.store.write(f"{FAILED}/{name}", b"")
        attempts.note(world.share, name, "w1", f"why {name}")
        world.now += 10


def test_the_latest_failures(world):
    watcher = Watcher(world, failures=3)
    fail(world, "c", "a", "b")
    world.store.write(f"{FAILED}/by hand", b"")
    attempts.note(world.share, "never failed", "w1", "given back")
    found = watcher.look()
    assert [failure.job for failure in found.failures] == ["b", "a", "c"]
    assert found.failures[0].reason == "why b"
    assert found.failures[0].at - found.failures[1].at == 10
    fail(world, "d")
    assert [failure.job for failure in watcher.look().failures] == ["d", "b", "a"]
    assert sum(request[0].startswith("_queue/attempts/") for request in watcher.requests) == 1
    assert found.as_json()["failures"][0]["at"] == "1970-01-01T00:17:00+00:00"


def test_failures_that_nobody_noted(world, watcher):
    world.store.write(f"{FAILED}/by hand", b"")
    (failure,) = watcher.look().failures
    assert (failure.job, failure.at, failure.reason) == ("by hand", None, "")


def test_what_a_look_costs(world, watcher):
    for number in range(300):
        world.job(f"job{number}")
    fail(world, *(f"f{number}" for number in range(50)))
    for number in range(4):
        world.life(f"w{number}").start()
    world.life("w9").start().end()
    watcher.look()
    # 5 folders of jobs, workers, attempts, journal; 5 heartbeats, 5 notes; the clock once.
    assert len(watcher.requests) == 8 + 5 + 5 + 2
    watcher.look()
    assert len(watcher.requests) == 8
    assert {request.folder for request in watcher.requests} >= {WAITING, RUNNING, WORKERS}


def test_heartbeats_of_a_store_without_times(world):
    class Timeless(MemoryStore):
        def list(self, folder):
            return [entry._replace(mtime=None) for entry in super().list(folder)]

    world.heartbeat_of("w1")
    world.store.__class__ = Timeless
    (worker,) = Watcher(world).look().workers
    assert (worker.age, worker.state) == (None, State.IDLE)


@pytest.mark.parametrize("field", ['"held_for": {"a": -1}', '"pace": ["x", 1]', '"pace": [1, NaN]'])
def test_a_heartbeat_with_nonsense_is_an_unreadable_one(world, watcher, field):
    heartbeat = world.heartbeat_of("w1")
    data = heartbeat.to_bytes().replace(b'"format"', field.encode() + b', "format"')
    for old in (b'"held_for": {}', b'"pace": [\n  0,\n  0.0\n ]'):
        assert old in data
        data = data.replace(old, b'"x": 0')
    world.store.write(f"{WORKERS}/w1.aaaaaa.json", data)
    assert watcher.look().workers[0].host == ""


def test_the_pace_is_none_before_the_first_job_was_claimed():
    """A heartbeat may be begun before another thread claims, and be written after it."""
    throughput = Throughput()
    throughput.claimed("path", 5.0)
    assert throughput.pace(4.9) == Pace(0, 0.0)


def test_the_pace_is_that_of_the_last_jobs():
    throughput = Throughput()
    assert throughput.pace(5.0) == Pace(0, 0.0)
    throughput.claimed("a", 0.0)
    assert throughput.pace(10.0) == Pace(0, 10.0)
    for number in range(100):
        throughput.ended(1000.0 + number)
    assert throughput.pace(1100.0) == Pace(30, 31.0)
    throughput.let_go("a")
    assert throughput.held_for("a", 2000.0) == 0.0


def test_a_job_that_hangs_is_told_of_and_no_end_is_estimated(world, watcher):
    """Ten jobs took 2 s each, one of two slots has had its job for 800 s since."""
    for name in ("job0", "job1"):
        world.job(name)
    world.heartbeat_of("w1", running={"job1": 4}, held_for={"job1": 800.0}, pace=Pace(10, 820.0))
    world.claim_of("w1", "job1")
    found = watcher.look()
    (job,) = found.workers[0].jobs
    assert found.usual == pytest.approx(2.0)
    assert found.times_usual(job) == pytest.approx(400, rel=0.1)
    assert how_long(found, job).endswith(" x the usual time")
    assert found.remaining is None
    assert "left" not in speed(found)


def test_the_end_is_a_range_that_narrows(world, watcher):
    world.job()
    world.heartbeat_of("w1", pace=Pace(4, 400.0))
    assert speed(watcher.look()) == "36 jobs an hour; about 1 min 07 s to 2 min 30 s left"
    world.heartbeat_of("w1", pace=Pace(100, 10000.0))
    found = watcher.look()
    assert found.remaining == pytest.approx(100)
    assert found.doubt == pytest.approx(0.1)
