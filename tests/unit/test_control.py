"""Orders to workers: what they cost, when they are seen, what they end."""

from __future__ import annotations

import os
from threading import Thread

import pytest

from dirjobs import DirJobs, Unavailable
from dirjobs.admin import control
from dirjobs.backends.memory import MemoryStore
from dirjobs.errors import ConfigurationError
from dirjobs.layout import RUNNING, WAITING, WORKERS
from dirjobs.protocol.share import Share
from dirjobs.recovery.control import drained
from tests.amounts import PATIENCE
from tests.command_line import wait_until
from tests.unit.lives import World


@pytest.fixture
def world():
    return World()


def orders_in(world):
    return [name for name in world.names(WORKERS) if name.startswith("~")]


class Hours(World):
    """A world in which something happens when time passes."""

    def __init__(self):
        super().__init__()
        self.events = []

    def pass_time(self, seconds):
        super().pass_time(seconds)
        if self.events and self.now >= self.events[0][0]:
            self.events.pop(0)[1]()


def test_a_paused_worker_takes_no_job_until_the_queue_is_resumed(caplog):
    world = Hours()
    world.job()
    life = world.life("w1").start()
    assert control.pause(world.share)
    assert not control.pause(world.share)
    life.beat()

    def resumed():
        assert world.names(RUNNING) == []
        assert control.resume(world.share)
        life.beat()

    world.events.append((world.now + 300, resumed))
    assert life.next().job.name == "job.txt"
    assert world.now >= 1300
    assert not control.resume(world.share)
    told = [record.message for record in caplog.records if "queue is" in record.message]
    assert [text.split(";")[1] for text in told] == [
        " waiting until somebody resumes it",
        " going on",
    ]


def test_a_newcomer_sees_the_pause_at_once(world):
    control.pause(world.share)
    assert world.life("w1").start().membership.control.paused


def test_orders_are_no_heartbeats(world):
    one = world.life("w1").start()
    control.pause(world.share)
    control.give(world.share, "~drain.w9.abcdef")
    world.life("w2").start().end()
    one.beat()
    assert orders_in(world) == ["~drain.w9.abcdef", "~pause"]


@pytest.mark.parametrize("named", ["w1", "W1"])
def test_a_drained_worker_takes_no_other_job(world, named, caplog):
    world.job()
    world.job("job2.txt")
    one, two = world.life("w1").start(), world.life("w2").start()
    held = one.next()
    assert control.drain(world.share, [named]) == ["w1"]
    assert len(orders_in(world)) == 1
    one.beat()
    two.beat()
    assert one.next() is None
    assert "drains this worker" in caplog.text
    one.done(held)
    assert two.next().job.name == "job2.txt"
    one.end()
    assert orders_in(world) == []


def test_a_drain_is_for_that_process_and_not_for_its_successor(world):
    world.job()
    world.life("w1").start()
    control.drain(world.share, ["w1"])
    world.now += 1000
    assert world.life("w1").start().next() is not None


def test_a_drain_finds_a_worker_that_goes_on_under_another_name(world):
    one = world.life("w1").start()
    one.membership.incarnations.next()
    second = one.me.worker
    assert control.drain(world.share, ["w1"]) == ["w1", second]
    one.beat()
    assert one.membership.control.draining


def test_all_that_have_not_ended_are_drained(world):
    world.life("w1").start()
    world.life("w2").start().end()
    assert control.drain(world.share, None) == ["w1"]
    assert len(drained(world.store.list(WORKERS))) == 1


def test_a_worker_that_nobody_knows_can_not_be_drained(world):
    world.life("w1").start()
    with pytest.raises(ConfigurationError, match=r"no worker .w2. .*; at work: w1"):
        control.drain(world.share, ["w1", "w2"])
    assert orders_in(world) == []


def test_orders_work_where_nobody_has_worked_yet():
    store = MemoryStore()
    share = Share(store, lambda _: None)
    assert not control.resume(share)
    assert control.pause(share)
    assert store.exists("_queue/workers/~pause")


def test_a_job_claimed_while_the_drain_came_is_given_back(world, monkeypatch):
    world.job()
    life = world.life("w1").start()
    claim = life.parts.claimer.claim

    def claimed_in_the_meantime(job):
        held = claim(job)
        life.membership.control.drain()
        return held

    monkeypatch.setattr(life.parts.claimer, "claim", claimed_in_the_meantime)
    assert life.next() is None
    assert world.names(WAITING) == ["job.txt"]


# -- one's own drain --------------------------------------------------------------------


def test_drain_oneself():
    with DirJobs(MemoryStore()) as queue:
        queue.add("a.txt")
        queue.add("b.txt")
        job = queue.next_and_lock()
        assert not queue.draining
        queue.drain()
        assert queue.draining
        assert queue.next_and_lock() is None
        job.done()
        queue.close()
        assert queue.next_and_lock() is None
        assert queue.status().waiting == 1


def test_who_is_drained_before_it_begins_never_becomes_a_worker():
    store = MemoryStore()
    with DirJobs(store) as queue:
        queue.drain()
        assert queue.next_and_lock() is None
    assert list(store.list(WORKERS)) == []


class Away(MemoryStore):
    away = False

    def list(self, folder):
        if self.away and folder == WAITING:
            raise Unavailable("away")
        return super().list(folder)


def waits_for_age(queue, store):
    queue.add("a.txt")


def waits_for_the_end_of_an_outage(queue, store):
    store.away = True


def waits_for_the_end_of_a_pause(queue, store):
    control.pause(queue.share)


@pytest.mark.parametrize(
    "arrange", [waits_for_age, waits_for_the_end_of_an_outage, waits_for_the_end_of_a_pause]
)
def test_a_waiting_thread_is_woken(arrange, monkeypatch):
    monkeypatch.setattr("dirjobs.layers.Retrying.FIRST", 0.0)
    store = Away()
    with DirJobs(store, min_age=1000) as queue:
        arrange(queue, store)
        found = ["nothing yet"]
        thread = Thread(target=lambda: found.append(queue.next_and_lock()), daemon=True)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        queue.drain()
        thread.join(PATIENCE)
        assert found == ["nothing yet", None]
        store.away = False


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("who", ["parent", "child"])
def test_a_forked_child_is_drained_on_its_own(tmp_path, who):
    queue = DirJobs(str(tmp_path / "jobs"), create=True)
    queue.add("a.txt")
    if who == "parent":
        queue.drain()
    child = os.fork()
    if child == 0:
        fine = False
        try:
            if who == "child":
                queue.drain()
            fine = (queue.next_and_lock() is None) == (who == "child")
            queue.close()
        finally:
            os._exit(0 if fine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert queue.draining == (who == "parent")
    queue.close()


def test_a_worker_drained_at_once_aborts_the_wait_for_a_job():
    store = MemoryStore()
    dj = DirJobs(store, mode="sync", sync_time=0.0)
    dj.add("a.txt")
    dj.close()
    dj = DirJobs(store, mode="sync", sync_time=1000, lease=2000)
    found = []
    thread = Thread(target=lambda: found.append(dj.next_and_lock()))
    dj._membership.me.adopt(dj._wish)  # as after the start, which waits as long
    dj._generation.begun = True
    thread.start()
    wait_until(lambda: list(store.list(RUNNING)))
    dj.drain(at_once=True)
    thread.join(timeout=PATIENCE)
    assert found == [None]
    dj._worker.ending.sweeper.sweep()
    assert [entry.name for entry in store.list(WAITING)] == ["a.txt"]
