"""Who finds nothing else to do looks whether those who hold the last jobs are dead."""

from __future__ import annotations

import pytest

from dirjobs.errors import Denied
from dirjobs.layers import Layer
from dirjobs.layout import RUNNING, WAITING, WORKERS
from dirjobs.policy import Mode, Policy
from dirjobs.runner.shutdown import Shutdown
from dirjobs.runner.slots import Source
from tests.unit.lives import POLICY, World

DAYS = 3 * 86400
VERIFY = Policy(Mode.VERIFY, 0, 10, 100, 10, 20)


@pytest.fixture
def world():
    return World()


def silence(life, wanted=lambda name: True):
    return life.membership.silence(life.share, wanted)


def waited_for(world, life):
    """Beat until nobody is waited for; returns for how long."""
    began = world.now
    while silence(life) is not None:
        assert world.now - began < 20 * POLICY.lease
        world.now += POLICY.heartbeat
        life.beat()
    return world.now - began


@pytest.mark.parametrize("policy", [POLICY, VERIFY], ids=["trust", "verify"])
def test_jobs_of_a_machine_that_died_days_ago_are_waited_for_and_taken(world, policy):
    world.heartbeat_of("w3", running={"a.txt": 4, "b.txt": 4})
    world.claim_of("w3", "a.txt")
    world.claim_of("w3", "b.txt")
    world.now += DAYS
    life = world.life("w1", policy=policy).start()
    assert life.next() is None
    found = silence(life)
    assert (found.jobs, found.workers) == (2, ("w3",))
    assert found.age == pytest.approx(DAYS, abs=POLICY.heartbeat)
    assert POLICY.lease < found.sure_in <= POLICY.lease + 2 * POLICY.heartbeat
    told = found.sure_in
    assert waited_for(world, life) <= told + 2 * POLICY.heartbeat
    assert life.next() is not None


def test_whoever_is_not_late_is_not_waited_for(world):
    """A queue whose last jobs run elsewhere: its other workers end at once."""
    other = world.life("w3").start()
    world.job()
    other.next()
    world.now += 1.5 * POLICY.heartbeat
    life = world.life("w1").start()
    assert silence(life) is None
    held = life.membership.silent_holders.others
    assert (held.jobs, held.workers) == (1, ("w3",))
    assert held.age == pytest.approx(1.5 * POLICY.heartbeat, abs=1)


def test_whoever_writes_again_is_not_waited_for_any_more(world):
    """A machine that slept for days."""
    other = world.life("w3").start()
    world.job()
    other.next()
    world.now += DAYS
    life = world.life("w1").start()
    assert silence(life) is not None
    other.beat()
    assert silence(life) is None


def test_claims_without_a_heartbeat_are_left_alone(world):
    world.claim_of("old")
    life = world.life("w1").start()
    assert silence(life) is None
    assert life.membership.silent_holders.others.age is None


def test_a_heartbeat_that_cannot_be_read_counts_as_alive(world):
    class NotOurs(Layer):
        def read(self, path):
            if path.startswith(f"{WORKERS}/w3."):
                raise Denied("not yours")
            return self.store.read(path)

    world.heartbeat_of("w3")
    world.claim_of("w3")
    world.now += DAYS
    life = world.life("w1")
    life.over(NotOurs(world.store))
    life.start()
    assert silence(life) is None


def test_an_id_that_somebody_living_has_is_not_waited_for(world):
    world.heartbeat_of("w3")
    world.claim_of("w3")
    world.now += DAYS
    world.heartbeat_of("w3", "second")
    assert silence(world.life("w1").start()) is None


def test_jobs_that_this_worker_would_not_take_are_not_waited_for(world):
    world.heartbeat_of("w3")
    world.claim_of("w3")
    world.now += DAYS
    life = world.life("w1").start()
    assert silence(life, lambda name: name.endswith(".dat")) is None


def test_our_own_claims_are_not_waited_for(world):
    world.job()
    life = world.life("w1").start()
    life.next()
    world.now += DAYS
    assert silence(life) is None


def test_what_cannot_be_given_back_is_not_waited_for_for_ever(world):
    class Stuck(Layer):
        def rename(self, src, dst):
            raise Denied("read-only")

    world.heartbeat_of("w3")
    world.claim_of("w3")
    world.now += DAYS
    life = world.life("w1").start()
    life.over(Stuck(world.store))
    assert waited_for(world, life) < 3 * POLICY.lease
    assert world.names(RUNNING) == ["w3.job.txt"]


def test_while_some_are_given_back_the_others_are_waited_for(world):
    """More than one heartbeat has time for."""

    class Slow(Layer):
        def call(self, verb, paths, action):
            world.now += 1.0
            return action()

    for number in range(40):
        world.claim_of("w3", f"job{number}.txt")
    world.heartbeat_of("w3")
    world.now += DAYS
    life = world.life("w1").start()
    life.membership.use(Slow(world.store))
    began = world.now
    while silence(life) is not None:
        assert world.now - began < 100 * POLICY.lease
        next_beat = world.now + POLICY.heartbeat
        life.beat()
        world.now = max(world.now, next_beat)
    assert len(world.names(WAITING)) == 40


def test_nobody_asks_for_much(world):
    """At the end of a queue all workers ask."""
    asked = []

    class Counting(Layer):
        def call(self, verb, paths, action):
            asked.append(verb)
            return action()

    for number in range(50):
        world.life(f"w{number}").start()
        world.claim_of(f"w{number}", f"job{number}.txt")
    life = world.life("x").start()
    life.over(Counting(world.store))
    assert silence(life) is None
    assert asked == ["list", "list"]


# -- in `dirjobs work` ------------------------------------------------------------------------


class Queue:
    """What a `Source` asks: answers in turn."""

    draining = False

    def __init__(self, jobs, silences):
        self.jobs, self.silences = list(jobs), list(silences)

    def next_and_lock(self):
        return self.jobs.pop(0)

    look_for_job = next_and_lock

    def silence(self):
        return self.silences.pop(0)


def silent(world):
    world.heartbeat_of("w3")
    world.claim_of("w3")
    world.now += DAYS
    return silence(world.life("w1").start())


def source(queue, **rules):
    return Source(queue, Shutdown(), poll=0.01, **rules)


def test_a_worker_waits_for_the_dead_before_it_ends_and_says_so_once(world, capsys):
    found = silent(world)
    queue = Queue([None, None, "job"], [found, found])
    assert source(queue).next() == "job"
    (line,) = capsys.readouterr().err.splitlines()
    assert "1 job is held by w3, without a sign of life for 3 d; waiting 2 min" in line
    assert "`dirjobs requeue JOB` gives it back at once" in line


def test_a_worker_ends_when_they_live_after_all(world):
    queue = Queue([None, None, None], [silent(world), None])
    assert source(queue).next() is None
    assert not queue.jobs


def test_a_worker_takes_what_is_requeued_between_its_two_looks(world):
    queue = Queue([None, "job"], [None])
    assert source(queue).next() == "job"
    queue = Queue([None, None, "job"], [silent(world), None])
    assert source(queue).next() == "job"


def test_a_worker_that_waits_anyway_asks_for_nobody():
    queue = Queue([None, None, "job"], [])
    assert source(queue, wait=True).next() == "job"
