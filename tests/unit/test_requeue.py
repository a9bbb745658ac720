"""Giving jobs back by hand, asking whether one is still ours, and forks."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from dirjobs import ClaimLost, ConfigurationError, DirJobs
from dirjobs.admin.locate import unchanged
from dirjobs.admin.requeue import give_back
from dirjobs.backends.memory import MemoryStore
from dirjobs.layers import Layer
from dirjobs.layout import ATTEMPTS, DONE, PARKED, RUNNING, WAITING, WORKERS
from dirjobs.policy import Mode, Policy
from dirjobs.recovery.heartbeat import Heartbeat, heartbeat_path
from dirjobs.recovery.process import Process
from dirjobs.store import Guarantees
from tests.unit.lives import POLICY, World


@pytest.fixture
def folder(tmp_path):
    with DirJobs(str(tmp_path / "jobs"), "adder", create=True) as queue:
        for name in ("a.txt", "b.txt"):
            queue.add(name, name)
    return tmp_path / "jobs"


def names(folder, name):
    return sorted(os.listdir(folder / name))


@pytest.fixture(params=["trust", "verify"])
def queue(folder, request):
    with DirJobs(str(folder), "w1", mode=request.param) as queue:
        yield queue


def left_by(folder, worker, job, **fields):
    """A claim of a worker elsewhere, and its heartbeat."""
    path = folder / heartbeat_path(worker, "aaaaaa")
    path.parent.mkdir(parents=True, exist_ok=True)
    policy = fields.pop("policy", Policy())
    path.write_bytes(Heartbeat(worker, 1, policy, Process("far"), **fields).to_bytes())
    (folder / WAITING / job).rename(folder / RUNNING / f"{worker}.{job}")
    return path


def test_by_name_whoever_holds_it(folder, queue):
    job = queue.next_and_lock()
    assert job.still_mine()
    with DirJobs(str(folder)) as person:
        assert person.requeue("a.txt", "no such job") == ["a.txt"]
        assert person.requeue("a.txt") == []
    assert names(folder, WAITING) == ["a.txt", "b.txt"]
    assert not job.still_mine()
    with pytest.raises(ClaimLost):
        job.done()
    assert not job.still_mine()
    assert "given back by hand" in (folder / ATTEMPTS / "a.txt.json").read_text()


def test_an_ended_job_is_not_mine(queue):
    job = queue.next_and_lock()
    job.done()
    assert not job.still_mine()


def test_only_of_the_dead(folder, queue):
    job = queue.next_and_lock()
    left_by(folder, "w7", "b.txt", ended=True)
    with DirJobs(str(folder)) as person:
        assert person.requeue() == ["b.txt"]
        assert person.requeue() == []
    assert names(folder, WAITING) == ["b.txt"]
    assert job.still_mine()


def test_of_the_living_nothing(folder):
    left_by(folder, "w7", "b.txt")
    with DirJobs(str(folder)) as person:
        assert person.requeue() == []
        assert person.requeue("b.txt", dead=True) == ["b.txt"]


def test_of_those_that_were_silent_for_two_leases(folder):
    path = left_by(folder, "w7", "b.txt", policy=Policy(heartbeat=0.01, timeout=0.01))
    long_ago = path.stat().st_mtime - 601
    os.utime(path, (long_ago, long_ago))
    with DirJobs(str(folder)) as person:
        assert person.requeue() == ["b.txt"]


def visit(world, meanwhile):
    """Requeue by a visitor to whom `meanwhile` happens as soon as it waits."""
    visitor = world.life("requeue-1")
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        world.pass_time(seconds)
        meanwhile()

    visitor.share.sleep = sleep
    given_back = give_back(visitor.membership, (), dead=True)
    return given_back, [seconds for seconds in waits if seconds]


def test_nobody_is_robbed_right_after_an_outage():
    world = World()
    living, dead = world.life("w1").start(), world.life("w2").start()
    for name in ("a.txt", "b.txt"):
        world.job(name)
    (mine, _) = living.next(), dead.next()
    world.now += 500  # nobody reached the share
    given_back, waits = visit(world, living.beat)
    assert given_back == ["b.txt"]
    assert waits == [2 * POLICY.heartbeat + POLICY.timeout]
    assert living.parts.look.is_there(mine.path)


def test_the_silent_who_left_nothing_are_not_waited_for():
    world = World()
    world.heartbeat_of("w2")
    world.now += 500
    assert visit(world, lambda: None) == ([], [])


def test_after_too_many_deaths_it_is_given_up(folder):
    left_by(folder, "w7", "b.txt", ended=True)
    with DirJobs(str(folder), max_attempts=1) as person:
        assert person.requeue() == ["b.txt"]
    assert names(folder, "99_failed") == ["b.txt"]


@pytest.mark.parametrize("number", [0, -1, 1.5, True, "3", None])
def test_max_attempts(folder, number):
    with pytest.raises(ConfigurationError, match=r"max_attempts=.* whole number"):
        DirJobs(str(folder), max_attempts=number)


def test_the_visitor_says_that_it_has_gone(folder):
    with DirJobs(str(folder)) as person:
        person.requeue()
    (name,) = [name for name in names(folder, WORKERS) if name.startswith("requeue-")]
    assert Heartbeat.from_bytes((folder / WORKERS / name).read_bytes()).ended


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("before", [True, False])
def test_children_work_on_as_workers_of_their_own(folder, before):
    """Whether the parent has begun to work before the fork, or never does."""
    queue = DirJobs(str(folder), "w1")
    if before:
        queue.next_and_lock().done()
    child = os.fork()
    if child == 0:
        fine = False
        try:
            job = queue.next_and_lock()
            fine = job is not None and job.full_name().startswith("w1~")
            job.done()
            queue.close()
        finally:
            os._exit(0 if fine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(names(folder, DONE)) == 1 + before
    queue.close()


def unsure():
    """A world where a rename may be copy and delete."""
    return World(Unsure(MemoryStore()))


class Unsure(Layer):
    guarantees = Guarantees(visible_after=0)


VERIFY = replace(POLICY, mode=Mode.VERIFY)


def test_a_torn_claim_does_not_go_back_by_name():
    """What a dead worker has left of a copy ran, though its whole job was waiting elsewhere."""
    world = unsure()
    world.claim_of("w3", "a.txt", b"abc")
    world.store.write(f"{WAITING}/~w1~abcdef.a.txt", b"abcdefg")
    person = world.life("requeue-1", policy=VERIFY)
    assert give_back(person.membership, ["a.txt"], dead=False) == []
    assert world.names(RUNNING) == []
    assert world.names(PARKED) == ["requeue-1.a.txt"]
    assert world.names(WAITING) == ["~w1~abcdef.a.txt"]


def test_a_claim_that_still_grows_does_not_go_back_by_name(caplog):
    world = unsure()
    world.claim_of("w3", "a.txt", b"abc")
    person = world.life("requeue-1", policy=VERIFY)

    def grow(seconds):
        if seconds:
            world.claim_of("w3", "a.txt", b"abcdefg")

    person.share.sleep = grow
    assert give_back(person.membership, ["a.txt"], dead=False) == []
    assert world.names(RUNNING) == ["w3.a.txt"]
    assert "still changes" in caplog.text


@pytest.mark.parametrize("mode", [Mode.TRUST, Mode.VERIFY])
def test_a_failed_job_that_is_still_copied_is_not_retried(mode):
    world = unsure()
    for name in ("a.txt", "b.txt"):
        world.store.write(f"99_failed/{name}", b"abc")
    person = world.life("retry-1", policy=replace(POLICY, mode=mode))
    person.share.sleep = lambda _: world.store.write("99_failed/a.txt", b"abcdefg")
    failed = unchanged(person.parts, world.share.jobs_in("99_failed"))
    assert {file.job.name for file in failed} >= {"b.txt"}
    assert len(failed) == (2 if mode is Mode.TRUST else 1)
