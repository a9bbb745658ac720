"""What the dead leave is given back: surely, once, and only what is theirs."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from contextlib import suppress

import pytest

from dirjobs.errors import AmbiguousResult, Busy, Denied, Unavailable
from dirjobs.layers import Layer
from dirjobs.layout import ATTEMPTS, DONE, FAILED, PARKED, RUNNING, WAITING, WORKERS
from dirjobs.policy import Mode, Policy
from dirjobs.recovery.heartbeat import heartbeat_path
from tests.unit.lives import POLICY, World

VERIFY = Policy(Mode.VERIFY, 0, 10, 100, 10, 20)


@pytest.fixture(autouse=True)
def audible(caplog):
    caplog.set_level(logging.INFO, "dirjobs")


@pytest.fixture
def world():
    return World()


def attempts(world, job="job.txt"):
    return json.loads(world.store.read(f"{ATTEMPTS}/{job}.json"))["attempts"]


# -- death -----------------------------------------------------------------------------------


def test_dead_after_the_lease_and_not_before(world):
    observer = world.life("w2").start()
    world.heartbeat_of("w1")
    world.claim_of("w1")
    world.watched_for(observer, POLICY.lease)
    assert world.names(RUNNING) == ["w1.job.txt"]
    world.watched_for(observer, 2 * POLICY.heartbeat)
    assert world.names(WAITING) == ["job.txt"]
    (attempt,) = attempts(world)
    assert attempt["died"]
    assert attempt["worker"] == "w1"
    assert "no heartbeat for" in attempt["reason"]


def test_a_vanished_heartbeat_is_one_that_does_not_change(world):
    observer = world.life("w2").start()
    world.heartbeat_of("w1")
    world.claim_of("w1")
    observer.beat()
    world.store.remove(heartbeat_path("w1", "aaaaaa"))
    world.watched_for(observer, POLICY.lease)
    assert world.names(RUNNING) == ["w1.job.txt"]
    world.watched_for(observer, 3 * POLICY.heartbeat)
    assert world.names(WAITING) == ["job.txt"]


def test_whoever_beats_lives(world):
    observer = world.life("w2").start()
    one = world.life("w1").start()
    world.job()
    one.next()
    for _ in range(50):
        world.now += POLICY.heartbeat
        one.beat()
        observer.beat()
    assert world.names(RUNNING) == ["w1.job.txt"]


def test_after_an_outage_nobody_is_dead(world):
    observer = world.life("w2").start()
    world.heartbeat_of("w1")
    world.claim_of("w1")
    world.watched_for(observer, 90)
    world.now += 200  # nobody could write, nobody could list
    observer.beat()
    world.watched_for(observer, 90)
    assert world.names(RUNNING) == ["w1.job.txt"]


def test_who_was_dead_before_an_outage_is_so_after_it(world):
    """An outage makes silence no death, and no death undone."""
    observer = world.life("w2").start()
    world.heartbeat_of("w1")
    world.claim_of("w1")
    world.watched_for(observer, POLICY.lease)

    class Down(Layer):
        def rename(self, src, dst):
            raise Unavailable("down")

    observer.over(Down(world.store))
    for _ in range(3):
        world.now += POLICY.heartbeat
        with suppress(Unavailable):
            observer.beat()
    observer.over(world.store)
    world.now += 500
    observer.beat()
    assert world.names(WAITING) == ["job.txt"]


class Timeless(Layer):
    """A store that tells no mtimes."""

    def list(self, folder):
        return [entry._replace(mtime=None) for entry in self.store.list(folder)]


def test_without_mtimes_the_counter_shows_who_lives(world):
    world.store = Timeless(world.store)
    one, observer = world.life("w1").start(), world.life("w2").start()
    world.job()
    one.next()
    for number in range(100):
        world.now += POLICY.heartbeat
        observer.beat()
        if number % 9 == 0:  # seldom, but within the lease
            one.membership.incarnations.all()[0].counter %= 10  # no new digit, so no new size
            one.beat()
    assert world.names(RUNNING) == ["w1.job.txt"]
    world.watched_for(observer, 3 * POLICY.lease)
    assert world.names(WAITING) == ["job.txt"]


def test_a_verdict_is_about_one_counter(world):
    """Where no times tell, and it beats so seldom that it was found dead wrongly: what was read
    right before its job would be moved undoes that, also when nothing changes next time."""
    world.store = Timeless(world.store)
    observer = world.life("w2").start()
    world.heartbeat_of("w1")
    world.claim_of("w1")
    world.watched_for(observer, 150)

    class Late(Layer):
        def list(self, folder):
            entries = self.store.list(folder)
            if folder == RUNNING and world.names(RUNNING):
                world.heartbeat_of("w1", counter=8)
            return entries

    observer.over(Late(world.store))
    world.watched_for(observer, 4 * POLICY.heartbeat)
    observer.over(world.store)
    world.watched_for(observer, POLICY.lease / 2)
    assert world.names(RUNNING) == ["w1.job.txt"]
    world.watched_for(observer, 2 * POLICY.lease)
    assert world.names(WAITING) == ["job.txt"]


def test_a_half_written_heartbeat_is_a_sign_of_life(world):
    """It is rewritten in the moment before its worker's job would be taken."""

    class Torn(Layer):
        reads = 0

        def read(self, path):
            if path.startswith(f"{WORKERS}/w1."):
                self.reads += 1
                return b'{"worker": "w1", ' + b" " * self.reads
            return self.store.read(path)

    observer = world.life("w2").start()
    world.heartbeat_of("w1")
    world.claim_of("w1")
    world.watched_for(observer, 90)
    observer.over(Torn(world.store))
    world.watched_for(observer, 300)
    assert world.names(RUNNING) == ["w1.job.txt"]


def test_who_died_while_writing_its_heartbeat_is_dead_all_the_same(world):
    observer = world.life("w2").start()
    world.store.write(heartbeat_path("w1", "aaaaaa"), b'{"wor')
    world.claim_of("w1")
    world.watched_for(observer, POLICY.lease + 2 * POLICY.heartbeat)
    assert world.names(WAITING) == ["job.txt"]


def test_a_look_back_at_the_last_moment_saves_the_living(world):
    class Late(Layer):
        """Lists, and w1 beats."""

        def list(self, folder):
            entries = self.store.list(folder)
            if folder == RUNNING:
                world.heartbeat_of("w1", counter=8)
            return entries

    observer = world.life("w2").start()
    world.heartbeat_of("w1")
    world.claim_of("w1")
    world.watched_for(observer, POLICY.lease)
    observer.over(Late(world.store))
    world.watched_for(observer, 2 * POLICY.heartbeat)
    assert world.names(RUNNING) == ["w1.job.txt"]


def test_proof_needs_no_waiting(world):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    observer = world.life("w2", "here").start()
    world.heartbeat_of("w1", process=world.process("here", child.pid))
    world.claim_of("w1")
    observer.beat()
    assert world.names(WAITING) == ["job.txt"]
    assert "on this machine is gone" in attempts(world)[0]["reason"]


def test_a_vanished_heartbeat_does_not_hide_a_proof(world):
    """Nor may it stand for somebody alive, who keeps whatever has that name, for ever."""
    observer = world.life("w2").start()
    world.heartbeat_of("w1")
    world.claim_of("w1")
    observer.beat()
    assert world.names(RUNNING) == ["w1.job.txt"]
    observer.membership.peers.is_provably_dead = lambda heartbeat, _: heartbeat.worker == "w1"
    world.store.remove(heartbeat_path("w1", "aaaaaa"))
    observer.beat()
    assert world.names(WAITING) == ["job.txt"]


# -- whose ----------------------------------------------------------------------------------------


def test_claims_of_ids_that_never_had_a_heartbeat_are_left_alone(world):
    observer = world.life("w2").start()
    world.claim_of("old")
    world.heartbeat_of("w1")
    world.claim_of("w1", "job2.txt")
    world.watched_for(observer, 5 * POLICY.lease)
    assert world.names(RUNNING) == ["old.job.txt"]


def test_names_that_look_like_others(world):
    observer = world.life("w2").start()
    world.heartbeat_of("w1")
    for worker in ("w11", "W1", "w1~abcd", "w1-"):
        world.claim_of(worker)
    world.claim_of("w1", "w11.job.txt")
    world.watched_for(observer, 2 * POLICY.lease)
    assert "w1.w11.job.txt" not in world.names(RUNNING)
    assert len(world.names(RUNNING)) == 4


def test_half_claims_of_the_dead_come_back(world):
    observer = world.life("w2", policy=VERIFY).start()
    world.heartbeat_of("w1", running={"b.txt": 4})
    world.store.write(f"{WAITING}/~w1~abcdef.a.txt", b"data")
    world.store.write(f"{RUNNING}/~w1~abcdef.w9.b.txt", b"data")
    world.watched_for(observer, POLICY.lease + 3 * POLICY.heartbeat)
    assert world.names(WAITING) == ["a.txt", "b.txt"]
    assert world.names(RUNNING) == []
    assert world.names(ATTEMPTS) == []  # half a claim was never started


def test_a_living_twin_keeps_what_has_its_name(world):
    """Two processes of one id; one died.  Which claim is whose can't be told."""
    world.heartbeat_of("w1", "dead")
    one = world.life("w2").start()
    living = world.life("w1", host="other")
    living.membership.incarnations.start()
    world.job()
    living.next()
    for _ in range(30):
        world.now += POLICY.heartbeat
        living.membership.incarnations.tell()
        one.beat()
    assert world.names(RUNNING) == ["w1.job.txt"]


def test_a_worker_born_between_verdict_and_action_keeps_its_claim(world):
    observer = world.life("w2").start()
    world.heartbeat_of("w1", "ended1", ended=True)
    world.watched_for(observer, POLICY.lease)

    class Birth(Layer):
        def list(self, folder):
            if folder == RUNNING and not self.store.exists(f"{RUNNING}/w1.job.txt"):
                world.heartbeat_of("w1", "second")
                world.claim_of("w1")
            return self.store.list(folder)

    observer.over(Birth(world.store))
    world.watched_for(observer, 3 * POLICY.heartbeat)
    assert world.names(RUNNING) == ["w1.job.txt"]


# -- how often, and by how many -----------------------------------------------------------------


def test_after_three_deaths_the_job_counts_as_failed(world, caplog):
    observer = world.life("w9").start()
    for number in range(1, 4):
        if number > 1:
            assert world.names(WAITING) == ["job.txt"]
            world.store.remove(f"{WAITING}/job.txt")
        world.heartbeat_of(f"w{number}")
        world.claim_of(f"w{number}")
        world.watched_for(observer, POLICY.lease + 2 * POLICY.heartbeat)
    assert world.names(FAILED) == ["job.txt"]
    assert [attempt["worker"] for attempt in attempts(world)] == ["w1", "w2", "w3"]
    assert "3 workers died at it" in caplog.text


def test_a_failed_name_is_not_overwritten(world):
    observer = world.life("w9", max_attempts=1).start()
    world.store.write(f"{FAILED}/job.txt", b"older")
    world.heartbeat_of("w1")
    world.claim_of("w1")
    world.watched_for(observer, POLICY.lease + 2 * POLICY.heartbeat)
    assert world.names(FAILED) == ["job.txt", "job~2.txt"]
    assert world.store.read(f"{FAILED}/job.txt") == b"older"


def test_two_observers_at_once_give_back_once(world):
    two, three = world.life("w2").start(), world.life("w3").start()
    world.heartbeat_of("w1")
    world.claim_of("w1")
    for _ in range(20):
        world.now += POLICY.heartbeat
        two.beat()
        three.beat()
    assert world.names(WAITING) == ["job.txt"]
    assert len(attempts(world)) == 1
    assert len(two.membership.peers.orphans.requeued + three.membership.peers.orphans.requeued) == 1


def notes_and_dies(world, observer):
    """Somebody finds out a death, notes it, and dies over the rename."""

    class Dies(Layer):
        def rename(self, src, dst):
            raise Unavailable("down")

    observer.over(Dies(world.store))
    for _ in range(13):
        world.now += POLICY.heartbeat
        with suppress(Unavailable):
            observer.beat()


def test_a_death_is_noted_first_and_once(world):
    """Whoever requeues may die over it, and leave that to the next one."""
    two, three = world.life("w2").start(), world.life("w3").start()
    world.heartbeat_of("w1")
    world.claim_of("w1")
    notes_and_dies(world, two)
    assert world.names(WAITING) == []
    (noted,) = attempts(world)
    assert noted["died"] and "claimed as w1.job.txt" in noted["reason"]
    world.watched_for(three, POLICY.lease + 2 * POLICY.heartbeat)
    assert world.names(WAITING) == ["job.txt"]
    assert attempts(world) == [noted]


@pytest.mark.parametrize("had_it", [False, True])
def test_a_later_process_of_its_name_that_dies_as_well(world, had_it):
    """Whoever noted the first death died before it gave the job back; the heartbeat that it was
    about is gone.  A process that never had the job makes no second death of it."""
    two = world.life("w2").start()
    world.heartbeat_of("w1", running={"job.txt": 4})
    world.claim_of("w1")
    notes_and_dies(world, two)
    (noted,) = attempts(world)
    world.store.remove(heartbeat_path("w1", "aaaaaa"))
    later = world.process("elsewhere")
    running = {"job.txt": 4} if had_it else {}
    world.heartbeat_of("w1", "bbbbbb", later, running=running)
    three = world.life("w3", max_attempts=2).start()
    world.watched_for(three, POLICY.lease + 2 * POLICY.heartbeat)
    if had_it:
        assert world.names(FAILED) == ["job.txt"]
        assert len(attempts(world)) == 2
    else:
        assert world.names(WAITING) == ["job.txt"]
        assert attempts(world) == [noted]


def test_two_observers_between_one_anothers_requests(world):
    """The second one requeues while the first one is on its way."""
    two, three = world.life("w2").start(), world.life("w3").start()
    world.heartbeat_of("w1")
    world.claim_of("w1")
    for _ in range(11):
        world.now += POLICY.heartbeat
        two.beat()
        three.beat()

    class Interrupted(Layer):
        busy = False

        def rename(self, src, dst):
            if not self.busy and src == f"{RUNNING}/w1.job.txt":
                self.busy = True
                three.beat()
            self.store.rename(src, dst)

    interrupted = two.over(Interrupted(world.store))
    world.now += POLICY.heartbeat
    two.beat()
    assert interrupted.busy
    assert world.names(WAITING) == ["job.txt"]
    assert len(attempts(world)) == 1


@pytest.mark.parametrize("folder", [DONE, FAILED])
def test_a_second_copy_of_what_is_finished_is_parked(world, folder):
    observer = world.life("w2", policy=VERIFY).start()
    world.heartbeat_of("w1")
    world.claim_of("w1")
    world.now += 1
    world.store.write(f"{folder}/job.txt", b"data")
    world.watched_for(observer, POLICY.lease + 3 * POLICY.heartbeat)
    assert world.names(PARKED) == ["w2.job.txt"]
    assert world.names(WAITING) == []


def test_a_second_copy_waits_for_its_living_owner(world):
    """However long that takes: the heartbeat of the dead stays until then."""
    observer = world.life("w2", policy=VERIFY).start()
    world.heartbeat_of("w1")
    world.claim_of("w1")
    living = world.life("w3", policy=VERIFY).start()
    world.claim_of("w3")
    for _ in range(60):  # six leases
        world.now += POLICY.heartbeat
        living.beat()
        observer.beat()
    assert world.names(RUNNING) == ["w1.job.txt", "w3.job.txt"]
    world.store.rename(f"{RUNNING}/w3.job.txt", f"{DONE}/job.txt")
    world.watched_for(observer, 3 * POLICY.heartbeat)
    assert world.names(RUNNING) == []
    assert world.names(PARKED) == ["w2.job.txt"]


def test_a_torn_copy_is_never_requeued(world):
    observer = world.life("w2", policy=VERIFY).start()
    world.heartbeat_of("w1", running={"job.txt": 400})
    world.claim_of("w1")
    world.watched_for(observer, POLICY.lease + 3 * POLICY.heartbeat)
    assert world.names(WAITING) == []
    assert world.names(PARKED) == ["w2.job.txt"]


def test_the_last_words_count_not_the_first(world):
    """The sizes of the jobs it held are those of its last heartbeat."""
    observer = world.life("w2", policy=VERIFY).start()
    world.heartbeat_of("w1")
    observer.beat()
    world.heartbeat_of("w1", counter=8, running={"job.txt": 400})
    world.claim_of("w1")
    world.watched_for(observer, POLICY.lease + 4 * POLICY.heartbeat)
    assert world.names(PARKED) == ["w2.job.txt"]


# -- trouble ----------------------------------------------------------------------


@pytest.mark.parametrize("refusal", [Busy, Denied, AmbiguousResult])
def test_a_file_that_can_not_be_moved_does_not_hold_up_the_others(world, caplog, refusal):
    class InUse(Layer):
        def rename(self, src, dst):
            if src == f"{RUNNING}/w1.a.txt":
                raise refusal("not now")
            self.store.rename(src, dst)

    observer = world.life("w2").start()
    world.heartbeat_of("w1")
    for job in "abc":
        world.claim_of("w1", f"{job}.txt")
    observer.over(InUse(world.store))
    # Trying it takes more than half an interval: then the others' turn comes the next time.
    world.watched_for(observer, POLICY.lease + 3 * POLICY.heartbeat)
    assert world.names(WAITING) == ["b.txt", "c.txt"]
    world.watched_for(observer, 5 * POLICY.lease)
    assert caplog.text.count("can't be taken back now") == 1
    observer.over(world.store)
    world.watched_for(observer, POLICY.heartbeat)
    assert world.names(WAITING) == ["a.txt", "b.txt", "c.txt"]


def test_an_outage_in_the_middle_of_a_requeue(world):
    class Down(Layer):
        down = True

        def rename(self, src, dst):
            if self.down:
                raise Unavailable("down")
            self.store.rename(src, dst)

    observer = world.life("w2").start()
    world.heartbeat_of("w1")
    world.claim_of("w1")
    world.watched_for(observer, POLICY.lease + POLICY.heartbeat)
    down = observer.over(Down(world.store))
    world.now += POLICY.heartbeat
    with pytest.raises(Unavailable):
        observer.beat()
    down.down = False
    world.watched_for(observer, POLICY.heartbeat)
    assert world.names(WAITING) == ["job.txt"]


def test_what_an_ended_worker_left_long_ago_is_found_at_a_start(world):
    """Its late request came when nobody looked; the heartbeat goes only after that."""
    world.heartbeat_of("w1", ended=True, unsettled=1)
    world.claim_of("w1")
    world.now += 10 * POLICY.lease
    world.life("w2").start()
    assert world.names(WAITING) == ["job.txt"]
    world.life("w3").start()
    assert not [name for name in world.names(WORKERS) if name.startswith("w1.")]


def test_old_heartbeats_are_removed_when_nothing_is_left(world):
    observer = world.life("w2").start()
    world.heartbeat_of("w1")
    world.watched_for(observer, 4 * POLICY.lease)
    assert len(world.names(WORKERS)) == 2
    world.watched_for(observer, POLICY.lease)
    assert len(world.names(WORKERS)) == 1


def test_nothing_but_heartbeats_is_ever_removed(world):
    removed = []

    world.store = Layer(world.store)
    world.store.remove = removed.append
    observer = world.life("w2").start()
    for number in range(5):
        world.heartbeat_of(f"x{number}", ended=bool(number % 2))
        world.claim_of(f"x{number}", f"job{number}.txt")
    world.watched_for(observer, 6 * POLICY.lease)
    assert removed
    assert all(path.startswith(f"{WORKERS}/x") for path in removed)
