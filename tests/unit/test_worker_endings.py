"""A worker ends when nothing is left for it, and not before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dirjobs.errors import AmbiguousResult, Busy, JobsRefused, NotFound, Unavailable
from dirjobs.heartbeat_thread import HeartbeatThread
from dirjobs.layers import Layer
from dirjobs.layout import AGREEMENT, PARKED, RUNNING, WAITING
from dirjobs.policy import Mode
from dirjobs.recovery.heartbeat import heartbeat_path
from dirjobs.store import Guarantees
from dirjobs.testing import Lagging
from tests.unit.lives import POLICY, World


class LosesTheAnswer(Layer):
    """Carries out one claim, loses its answer, and is not there for the look after it."""

    claims = looks = 1

    def rename(self, src, dst):
        super().rename(src, dst)
        if dst.startswith(RUNNING) and self.claims:
            self.claims = 0
            raise AmbiguousResult("Nobody knows whether this was done.")

    def exists(self, path):
        if path.startswith(RUNNING) and self.looks:
            self.looks = 0
            raise Unavailable("Can't look: the connection broke.")
        return super().exists(path)


def test_an_own_claim_in_doubt_is_no_reason_to_end():
    """The sweep at the next heartbeat, or at the end, would find it; but who takes it then?"""
    world = World()
    world.store = LosesTheAnswer(world.store)
    world.job()
    life = world.life("w1").start()
    with pytest.raises(Unavailable):
        life.next()
    held = life.next()
    life.end()
    left = [*world.store.list(WAITING), *world.store.list(RUNNING)]
    assert held is not None or not left


class OpenElsewhere(Layer):
    """Jobs can't be claimed `times` times, since somebody has them open."""

    times = 0

    def rename(self, src, dst):
        if src.startswith(WAITING) and self.times:
            self.times -= 1
            raise Busy("Somebody has it open.")
        super().rename(src, dst)


@pytest.mark.parametrize("times", [1, 4])
def test_a_moment_in_other_hands_is_no_reason_to_end(times):
    world = World()
    world.store = OpenElsewhere(world.store)
    world.job()
    life = world.life("w1").start()
    began, world.store.times = world.now, times
    assert life.next() is not None
    assert world.now - began < 5


def test_what_stays_in_other_hands_is_told_and_is_not_nothing():
    world = World()
    world.store = OpenElsewhere(world.store)
    world.job()
    life = world.life("w1").start()
    began, world.store.times = world.now, 1000
    with pytest.raises(JobsRefused, match=r"^1 job could not be taken, 'job.txt': Somebody has"):
        life.next()
    assert world.now - began < 5


def test_a_claim_that_comes_after_the_end_is_given_back():
    """The end, in another thread, has looked for claims before this one was there."""
    world = World()
    world.job()
    life = world.life("w1").start()

    class Ended(Layer):
        def rename(self, src, dst):
            life.worker.control.drain()
            super().rename(src, dst)

    life.over(Ended(world.store))
    assert life.next() is None
    assert world.names(WAITING) == ["job.txt"]
    assert life.next() is None


class Unpromising(Layer):
    """A store whose renames may be copies: mode verify."""

    guarantees = Guarantees(visible_after=0)


def unpromising():
    world = World()
    world.store = Unpromising(world.store)
    policy = replace(POLICY, mode=Mode.VERIFY)
    return world, world.life("w1", policy=policy).start()


def staged(world, job, data=b"data", **fields):
    """A job that a worker, which has ended, left on its way back."""
    world.heartbeat_of("w9", ended=True, **fields)
    world.store.write(f"{WAITING}/~w9~abcdef.{job}", data)


def test_who_finds_nothing_takes_over_what_the_gone_left_half_way():
    world, life = unpromising()
    staged(world, "job.txt")
    held = life.next()
    assert held is not None
    assert held.job.name == "job.txt"
    life.done(held)
    assert life.next() is None


def test_half_way_files_of_the_living_are_asked_about_once():
    """A worker that waits for jobs looks every few seconds."""
    world, life = unpromising()
    for worker in ("w8", "w9"):
        world.heartbeat_of(worker)
    world.store.write(f"{WAITING}/~w9~abcdef.job.txt", b"data")
    reads = []

    class Counting(Layer):
        def read(self, path):
            reads.append(path)
            return super().read(path)

    life.over(Counting(world.store))
    assert [life.next() for _ in range(3)] == [None] * 3
    assert [path for path in reads if path != AGREEMENT] == [heartbeat_path("w9", "aaaaaa")]


def test_the_last_to_end_leaves_nothing_half_way():
    """The copy had to wait while its job was claimed; that job is done now."""
    world, life = unpromising()
    world.job()
    held = life.next()
    assert held is not None
    staged(world, "job.txt")
    life.done(held)
    life.end()
    assert world.names(WAITING) == world.names(RUNNING) == []
    assert world.names(PARKED) == ["w1.job.txt"]


class Unsure(Layer):
    guarantees = Guarantees(visible_after=0)


class EndsMeanwhile(Layer):
    """While one rename is under way, its worker is closed by another thread, and a rival, that
    saw the claim and so left its copy of the job half way, ends as well."""

    life = None

    def rename(self, src, dst):
        super().rename(src, dst)
        if self.life is None or not (src.startswith(RUNNING) or dst.startswith(RUNNING)):
            return
        life, self.life = self.life, None
        life.worker.control.drain()
        HeartbeatThread(life.worker, life.membership)._leave()
        life.world.heartbeat_of("w2", ended=True, unsettled=1)
        life.world.store.write(f"{WAITING}/~w2~abcdef.job.txt", b"data")


@pytest.fixture
def closed_meanwhile():
    world = World()
    world.store = Unsure(world.store)
    world.job()
    life = world.life("w1", policy=replace(POLICY, mode=Mode.VERIFY)).start()
    return life, life.over(EndsMeanwhile(world.store))


def nothing_half_way(world):
    return [one for one in world.names(WAITING) + world.names(RUNNING) if one != "job.txt"] == []


def test_who_withdraws_after_its_worker_has_ended_looks_back(closed_meanwhile):
    """Else nobody does: whoever ended the worker looked while the claim was there."""
    life, store = closed_meanwhile
    store.life = life
    assert life.next() is None
    assert nothing_half_way(life.world)
    assert life.world.names(WAITING) == ["job.txt"]


@pytest.mark.parametrize("ends", ["done", "release"])
def test_who_ends_a_job_after_its_worker_has_ended_looks_back(closed_meanwhile, ends):
    life, store = closed_meanwhile
    held = life.next()
    store.life = life
    with life.parts.intents.end_alone(held.path):
        life.done(held) if ends == "done" else life.worker.release(held)
    assert nothing_half_way(life.world)


def refuse_to_look(life):
    asked = []

    def refuse(parts):
        asked.append(parts)
        raise Unavailable("The share is away.")

    life.membership.look_after_end = refuse
    return asked


def test_who_can_not_look_back_has_ended_its_job_all_the_same(closed_meanwhile, caplog):
    life, store = closed_meanwhile
    held = life.next()
    store.life = life
    asked = refuse_to_look(life)
    with life.parts.intents.end_alone(held.path):
        assert life.done(held) == "job.txt"
    assert len(asked) == 1
    assert "could not look whether anything is left half way" in caplog.text


def test_who_can_not_look_back_does_not_ask_again_and_again(closed_meanwhile):
    """A worker that is drained waits for no outage: between its tries there is no pause."""
    life, store = closed_meanwhile
    store.life = life
    asked = refuse_to_look(life)
    assert life.next() is None
    assert len(asked) == 1


class ListedAndGone(Layer):
    """Lists jobs, and says of each that it is asked for: it is not there."""

    def rename(self, src, dst):
        if src.startswith(WAITING):
            raise NotFound("There is no such file.")
        super().rename(src, dst)


def test_jobs_that_are_listed_and_always_gone_are_not_nothing():
    world = World()
    world.store = ListedAndGone(world.store)
    world.job()
    life = world.life("w1").start()
    with pytest.raises(JobsRefused, match=r"^1 job could not be taken, 'job.txt': it is listed in"):
        life.next()


class LateListings(Lagging):
    """Shows a folder as it was: the protocol knows by which mode."""

    def rename(self, src, dst):
        self.call("rename", (src, dst), lambda: self.store.rename(src, dst))


def test_late_listings_that_the_mode_reckons_with_are_waited_for():
    """They show a job that another worker has taken meanwhile."""
    world = World()
    world.job()
    memory = world.store
    world.store = LateListings(memory, lambda: world.now, lag=40.0)
    policy = replace(POLICY, mode=Mode.SYNC, sync_time=70.0).with_legal_lease()
    life = world.life("w1", policy=policy).start()
    assert [entry.name for entry in world.store.list(WAITING)] == ["job.txt"]
    world.store.rename(f"{WAITING}/job.txt", "02_done/job.txt")
    assert [entry.name for entry in world.store.list(WAITING)] == ["job.txt"]
    assert life.next() is None
