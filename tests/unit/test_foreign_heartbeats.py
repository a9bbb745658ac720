"""Files among the heartbeats that are none, or can't be read: one warning, and life goes on."""

from __future__ import annotations

import json
import logging
import os

import pytest

from dirjobs.admin.control import drain
from dirjobs.admin.inspect import Inspector
from dirjobs.admin.report import State
from dirjobs.backends.posix.store import PosixStore
from dirjobs.errors import AmbiguousResult, ConfigurationError, Denied
from dirjobs.layers import Layer
from dirjobs.layout import RUNNING, WAITING, WORKERS, base_id
from dirjobs.policy import Mode, Policy
from dirjobs.recovery.heartbeat import Heartbeat, read
from dirjobs.recovery.process import Process, group_is_gone, is_surely_gone, this_process
from dirjobs.store import MAX_READ
from tests.unit.lives import POLICY, World

BAD = "a9.abcdef.json"
VERIFY = Policy(Mode.VERIFY, 0, 10, 100, 10, 20)


@pytest.fixture(autouse=True)
def audible(caplog):
    caplog.set_level(logging.INFO, "dirjobs")


class Refusing(Layer):
    """Another user's heartbeat: everybody sees it, nobody may read it."""

    error: type[Exception] = Denied
    name = BAD

    def read(self, path):
        if path == f"{WORKERS}/{self.name}":
            raise self.error("not yours")
        return self.store.read(path)


def refused(world):
    world.store.write(f"{WORKERS}/{BAD}", b"{}")
    world.store = Refusing(world.store)


def folder(world):
    os.mkdir(world.store.full_path(f"{WORKERS}/{BAD}"))


def link(world):
    os.symlink(world.store.full_path("nowhere"), world.store.full_path(f"{WORKERS}/{BAD}"))


def fifo(world):
    os.mkfifo(world.store.full_path(f"{WORKERS}/{BAD}"))


@pytest.fixture(params=[refused, folder, link, fifo], ids=lambda make: make.__name__)
def unreadable(request, tmp_path):
    """A world with such a file, and a claim of the worker that it names."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("needs links and FIFOs")
    world = World(PosixStore(tmp_path))
    request.param(world)
    world.claim_of("a9", "its.txt")
    return world


@pytest.fixture
def world():
    return World()


def warnings(caplog, name=BAD):
    said = [r.message for r in caplog.records if r.levelno >= logging.WARNING]
    return [one for one in said if name in one]


class Unsure(Refusing):
    error = AmbiguousResult


def test_one_that_no_disk_gives_keeps_nobody_from_beginning(world, caplog):
    world.store.write(f"{WORKERS}/{BAD}", b"{}")
    world.claim_of("a9", "its.txt")
    world.store = Unsure(world.store)
    observer = world.life("w2").start()
    world.heartbeat_of("w1")
    world.claim_of("w1")
    world.watched_for(observer, POLICY.lease + 2 * POLICY.heartbeat)
    assert world.names(WAITING) == ["job.txt"]
    assert world.names(RUNNING) == ["a9.its.txt"]
    assert len(warnings(caplog)) == 1


def test_an_outage_is_not_taken_for_one_heartbeat_that_can_not_be_read(world):
    world.store.write(f"{WORKERS}/{BAD}", b"{}")
    newcomer = world.life("w2")

    class Away(Layer):
        def read(self, path):
            if path.startswith(WORKERS):
                raise AmbiguousResult("the share is away")
            return self.store.read(path)

    newcomer.share.use(Away(world.store))
    with pytest.raises(AmbiguousResult):
        newcomer.start()


def test_who_can_read_none_and_whose_own_was_removed_begins_at_the_next_try(world):
    world.store.write(f"{WORKERS}/{BAD}", b"{}")
    newcomer = world.life("w2")

    class Removed(Layer):
        def read(self, path):
            if path == f"{WORKERS}/{BAD}":
                for name in world.names(WORKERS):
                    if name.startswith("w2."):
                        self.store.remove(f"{WORKERS}/{name}")
                raise AmbiguousResult("no answer")
            return self.store.read(path)

    newcomer.share.use(Removed(world.store))
    with pytest.raises(AmbiguousResult):
        newcomer.start()
    newcomer.share.use(world.store)
    newcomer.start()
    assert any(name.startswith("w2.") for name in world.names(WORKERS))


def test_it_stops_no_burial_and_its_worker_counts_as_alive(unreadable, caplog):
    observer = unreadable.life("w2").start()
    unreadable.heartbeat_of("w1")
    unreadable.claim_of("w1")
    unreadable.watched_for(observer, POLICY.lease + 2 * POLICY.heartbeat)
    assert unreadable.names(WAITING) == ["job.txt"]
    unreadable.watched_for(observer, 8 * POLICY.lease)
    assert unreadable.names(RUNNING) == ["a9.its.txt"]
    assert BAD in unreadable.names(WORKERS)
    (said,) = warnings(caplog)
    assert "counts as alive" in said


def test_it_stops_no_start_and_no_end(unreadable):
    unreadable.job()
    life = unreadable.life("w2").start()
    life.done(life.next())
    life.end()


def test_its_id_is_not_used_again(unreadable):
    """Whether that worker lives nobody knows; under a name of its own ours is safe."""
    life = unreadable.life("a9").start()
    assert life.me.worker != "a9"
    assert base_id(life.me.worker) == "a9"


def test_while_it_is_there_the_mode_becomes_no_less_strict(unreadable):
    unreadable.life("w1", policy=VERIFY).start().end()
    with pytest.raises(ConfigurationError, match="1 other worker"):
        unreadable.life("w2", insists=True).start()


def test_people_are_shown_a_silent_worker(unreadable):
    there = unreadable.life("w2").start()
    found = Inspector(this_process()).look(there.share)
    (seen,) = [one for one in found.workers if one.id == "a9"]
    assert seen.state in (State.WORKING, State.SILENT)
    assert [job.job for job in seen.jobs] == ["its.txt"]
    drain(there.share, None)


def test_it_appears_while_others_work(world, caplog):
    observer = world.life("w2").start()
    world.heartbeat_of("w1")
    world.claim_of("w1")
    observer.beat()
    refused(world)
    observer.over(world.store)
    world.watched_for(observer, POLICY.lease + 2 * POLICY.heartbeat)
    assert world.names(WAITING) == ["job.txt"]
    assert len(warnings(caplog)) == 1


def test_one_that_can_be_read_no_more_is_not_dead(world):
    observer = world.life("w2").start()
    world.heartbeat_of("a9", "abcdef")
    world.claim_of("a9")
    observer.beat()
    observer.over(Refusing(world.store))
    world.watched_for(observer, 5 * POLICY.lease)
    assert world.names(RUNNING) == ["a9.job.txt"]
    observer.over(world.store)
    world.watched_for(observer, 2 * POLICY.lease)
    assert world.names(WAITING) == ["job.txt"]


def test_one_that_can_be_read_again_is_followed(world):
    refused(world)
    one = world.life("w1").start()
    refusing = one.connection.store
    world.now += POLICY.heartbeat
    one.beat()
    assert one.me.policy.mode is Mode.TRUST
    refusing.name = ""
    world.heartbeat_of("a9", "abcdef", policy=VERIFY)
    world.now += POLICY.heartbeat
    one.beat()
    assert one.me.policy.mode is Mode.VERIFY


def test_one_file_that_always_fails_stops_no_burial(world, caplog):
    """A bad sector, or a server that answers 500 for this one."""
    refused(world)
    world.store.error = AmbiguousResult
    observer = world.life("w2")
    observer.over(world.store.store)
    observer.start()
    observer.over(world.store)
    for worker in ("a9", "w1", "w3"):
        world.heartbeat_of(worker, "abcdef")
        world.claim_of(worker, f"{worker}.txt")
    world.watched_for(observer, POLICY.lease + 3 * POLICY.heartbeat)
    assert world.names(WAITING) == ["w1.txt", "w3.txt"]
    world.watched_for(observer, 3 * POLICY.lease)
    assert world.names(RUNNING) == ["a9.a9.txt"]
    assert len(warnings(caplog)) == 1


def test_a_heartbeat_that_may_not_be_removed_is_told_once(world, caplog):
    class Sticky(Layer):
        def remove(self, path):
            raise Denied("not yours")

    observer = world.life("w2").start()
    observer.over(Sticky(world.store))
    world.heartbeat_of("a9", "abcdef")
    world.heartbeat_of("w1")
    world.watched_for(observer, 12 * POLICY.lease)
    assert len(warnings(caplog)) == 1
    assert "can't be removed" in warnings(caplog)[0]


# -- what makes no sense ----------------------------------------------------------------------


def said(**changed):
    record = json.loads(
        Heartbeat("a9", 7, POLICY, Process("far", "m", "b", "n", 7, "1")).to_bytes()
    )
    return json.dumps({**record, **changed}).encode()


NONSENSE = {
    "nothing": b"",
    "cut off": b'{"wor',
    "another's": said(worker="w2"),
    "an escape": said(worker="a9\x1b[31m"),
    "a list": b"[1, 2]",
    "too deep": b"[" * 100_000,
    "a host": said(process={"host": ["a"]}),
    "a pid": said(process={"pid": "x"}),
    "a huge pid": said(process={"pid": 10**30}),
    "a long host": said(process={"host": "h" * 400}),
    "a negative group": said(groups=[-1]),
    "many groups": said(groups=list(range(2, 20_000))),
    "a huge lease": said(terms={"mode": "trust", "heartbeat": 1e300, "lease": 1e301}),
    "a long wait": said(terms={"mode": "sync", "sync_time": 1e9}),
    "no pause between two": said(terms={"mode": "trust", "heartbeat": 0}),
    "a huge counter": said(counter=10**4000),
    "the counter of a stand-in": said(counter=-(1 << 40)),
    "an endless time": said(held_for={"job": 1}).replace(b'"job": 1', b'"job": 1e999'),
    "no number": said(pace=[1, float("nan")]),
    "a negative size": said(running={"job": -1}),
    "a list for a size": said(running={"job": {"a": 1}}),
    "longer than any": said(host="h" * MAX_READ),
}


@pytest.mark.parametrize("data", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_stops_no_burial_and_is_told_once(world, caplog, data):
    world.store.write(f"{WORKERS}/{BAD}", data)
    world.claim_of("a9", "its.txt")
    observer = world.life("w2").start()
    world.heartbeat_of("w1")
    world.claim_of("w1")
    world.watched_for(observer, POLICY.lease + 2 * POLICY.heartbeat)
    assert world.names(WAITING) == ["its.txt", "job.txt"]
    assert observer.me.worker == "w2"
    world.watched_for(observer, 5 * POLICY.lease)
    assert BAD not in world.names(WORKERS)
    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize("number", [10**30, -1, -(10**30), 2**31])
def test_numbers_that_no_process_has_prove_nothing(number):
    me = this_process()
    other = Process(me.host, me.machine, me.boot, me.namespace, number, "1")
    assert not is_surely_gone(other, me)
    assert not group_is_gone(number)


def test_a_heartbeat_speaks_for_nobody_else(world):
    """A copy, or a forgery, of another one's must not stand for that one's life."""
    world.store.write(f"{WORKERS}/{BAD}", Heartbeat("w1", 7, POLICY).to_bytes())
    assert read(world.share, BAD).worker == "a9"
    assert read(world.share, BAD).is_stand_in


def test_a_worker_with_very_many_jobs_is_still_understood():
    """Nobody reads more of a heartbeat than `MAX_READ`."""
    held = {f"{'x' * 180}{number}": 1 for number in range(10_000)}
    written = Heartbeat("w1", 7, POLICY, running=held, held_for=dict.fromkeys(held, 1.0))
    data = written.to_bytes()
    assert len(data) <= MAX_READ
    found = Heartbeat.from_bytes(data)
    assert (found.worker, found.counter, found.policy) == ("w1", 7, POLICY)
    assert set(found.running) < set(held)
    few = Heartbeat("w1", 7, POLICY, running={"job": 1}, held_for={"job": 1.0})
    assert Heartbeat.from_bytes(few.to_bytes()) == few
