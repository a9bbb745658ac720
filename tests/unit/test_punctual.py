"""However much the dead have left: the heartbeat of whoever sees to it is not late."""

from __future__ import annotations

import pytest

from dirjobs.errors import NoSpace
from dirjobs.layers import Layer
from dirjobs.layout import RUNNING, WAITING, WORKERS
from dirjobs.policy import Mode, Policy
from dirjobs.recovery.heartbeat import heartbeat_path
from tests.unit.lives import POLICY, World

VERIFY = Policy(Mode.VERIFY, 0, 10, 100, 10, 20)
MANY = 40


class Slow(Layer):
    """Each request takes as long as this; when own heartbeats are begun is noted."""

    def __init__(self, world, seconds):
        super().__init__(world.store)
        self.world = world
        self.seconds = seconds
        self.beats = []

    def call(self, verb, paths, action):
        if verb == "write" and paths[0].startswith(f"{WORKERS}/w2."):
            self.beats.append(self.world.now)
        self.world.now += self.seconds
        return action()

    def longest_gap(self):
        return max(b - a for a, b in zip(self.beats, self.beats[1:], strict=False))


def slow_worker(world, seconds, policy=POLICY):
    life = world.life("w2", policy=policy)
    slow = Slow(world, seconds)
    life.membership.use(slow)
    return life, slow


def leave(world, count=MANY, tag="aaaaaa", **fields):
    """A rack that lost its power."""
    for number in range(count):
        world.heartbeat_of(f"d{number}", tag, **fields)
        world.claim_of(f"d{number}", f"job{number}.txt")


def beat(world, life):
    """One heartbeat, begun in time if the one before allows that; returns how long it took."""
    began = world.now
    life.beat()
    took = world.now - began
    world.now = max(world.now, began + POLICY.heartbeat)
    return took


@pytest.mark.parametrize("policy", [POLICY, VERIFY], ids=["trust", "verify"])
@pytest.mark.parametrize("seconds", [0.1, 1.0])
def test_many_orphans_make_no_heartbeat_late(world, seconds, policy):
    life, slow = slow_worker(world, seconds, policy)
    life.start()
    leave(world, ended=True)
    beats = 0
    while world.names(RUNNING):
        beat(world, life)
        beats += 1
        assert beats < 500
    assert len(world.names(WAITING)) == MANY
    # The one under way when half an interval is over, and the pause of a quick beat.
    assert slow.longest_gap() <= max(POLICY.heartbeat, POLICY.heartbeat / 2 + seconds) + seconds


def test_giving_back_yields_to_what_else_a_heartbeat_is_for(world):
    """The mode of the others is followed, and orders are seen, within one interval."""
    life, _ = slow_worker(world, 0.2)
    life.start()
    leave(world, 200, ended=True)
    longest = 0.0
    while world.names(RUNNING):
        longest = max(longest, beat(world, life))
    assert longest <= 2 * POLICY.heartbeat


def test_nothing_is_buried_before_all_of_it_was_seen_to(world):
    """Those whose turn did not come keep their heartbeats."""
    life, _ = slow_worker(world, 1.0)
    life.start()
    leave(world, ended=True)
    for _ in range(5):
        beat(world, life)
    left = {name.partition(".")[0] for name in world.names(RUNNING)}
    assert left
    assert left <= {name.partition(".")[0] for name in world.names(WORKERS)}


def test_a_start_leaves_the_rest_to_the_heartbeats(world):
    leave(world, ended=True)
    life, slow = slow_worker(world, 1.0)
    began = world.now
    life.start()
    assert 0 < len(world.names(WAITING)) < MANY
    assert world.now - began < 10 * POLICY.heartbeat
    assert slow.longest_gap() <= POLICY.heartbeat
    while world.names(RUNNING):
        beat(world, life)
    assert len(world.names(WAITING)) == MANY


@pytest.mark.parametrize("policy", [POLICY, VERIFY], ids=["trust", "verify"])
def test_slow_requests_add_up_to_no_late_heartbeat(world, policy):
    """One orphan takes ten requests, each nearly as long as `timeout` allows."""
    leave(world, ended=True)
    life, slow = slow_worker(world, 8.0, policy)
    life.start()
    for _ in range(20):
        beat(world, life)
    assert 0 < len(world.names(WAITING)) < MANY
    # By the law of the lease: half an interval, and the request that is under way then.
    assert slow.longest_gap() <= POLICY.heartbeat / 2 + 2 * 8.0


def test_those_that_cannot_be_moved_do_not_take_the_time_of_the_others(world):
    class Stuck(Slow):
        def rename(self, src, dst):
            if "stuck" in src:
                self.world.now += self.seconds
                raise NoSpace("none left")
            super().rename(src, dst)

    life = world.life("w2")
    life.membership.use(Stuck(world, 1.0))
    life.start()
    world.heartbeat_of("a1", ended=True)
    for number in range(30):
        world.claim_of("a1", f"a stuck {number}.txt")
    world.claim_of("a1", "z.txt")
    for _ in range(60):
        beat(world, life)
    assert "z.txt" in world.names(WAITING)


def test_many_heartbeats_that_are_read_make_none_late(world):
    leave(world, 60)
    life, slow = slow_worker(world, 2.0)
    life.start()
    leave(world, 60, "second")
    for _ in range(60):
        beat(world, life)
    assert slow.longest_gap() <= POLICY.heartbeat + 2.0
    assert len(life.membership.peers.known) >= 120


def test_many_late_requests_that_are_swept_make_no_heartbeat_late(world):
    life, slow = slow_worker(world, 1.0)
    life.start()
    for number in range(MANY):
        world.job(f"job{number}.txt")
        (job,) = [e for e in world.store.list(WAITING) if e.name == f"job{number}.txt"]
        path = f"{RUNNING}/w2.{job.name}"
        life.parts.intents.ask(path, "w2", job)
        life.parts.intents.leave_in_doubt(path)
        world.store.rename(f"{WAITING}/{job.name}", path)
    longest = 0.0
    while world.names(RUNNING):
        longest = max(longest, beat(world, life))
    assert slow.longest_gap() <= POLICY.heartbeat + 1.0
    assert longest <= 2 * POLICY.heartbeat


def test_many_old_heartbeats_are_removed_a_few_at_a_time(world):
    life, slow = slow_worker(world, 1.0)
    life.start()
    for number in range(MANY):
        world.heartbeat_of(f"d{number}", ended=True)
    for _ in range(120):
        beat(world, life)
    assert len(world.names(WORKERS)) == 1
    assert slow.longest_gap() <= POLICY.heartbeat + 1.0


def test_a_heartbeat_that_cannot_be_written_in_between_stops_no_release(world):
    """On a full disk jobs can be given back all the same."""
    life, slow = slow_worker(world, 1.0)
    life.start()
    world.job()
    held = life.next()

    class Full(Layer):
        def write(self, path, data):
            raise NoSpace("none left")

    slow.store = Full(world.store)
    world.now += POLICY.heartbeat
    assert life.membership.parts.exits.release(held.path, held.job)
    assert world.names(WAITING) == ["job.txt"]


def test_after_the_end_no_heartbeat_takes_that_back(world):
    life, _ = slow_worker(world, 1.0, VERIFY)
    life.start()
    leave(world, ended=True)
    life.membership._finish_deferred_returns = lambda _: [
        life.share.list(RUNNING) for _ in range(50)
    ]
    life.end()
    assert b'"ended": true' in world.store.read(heartbeat_path("w2", file_tag(world)))


def file_tag(world):
    (name,) = [name for name in world.names(WORKERS) if name.startswith("w2.")]
    return name.split(".")[1]


@pytest.fixture
def world():
    return World()
