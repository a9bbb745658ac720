"""Being seen: ids, takeovers, twins, the mode that all agree on, and what it costs."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections import Counter
from threading import Event, Thread

import pytest

from dirjobs.errors import AmbiguousResult, ClaimLost, ConfigurationError, NotFound, WorkerIdInUse
from dirjobs.heartbeat_thread import HeartbeatThread
from dirjobs.layers import Layer
from dirjobs.layout import AGREEMENT, DONE, RUNNING, WAITING, WORKERS, base_id
from dirjobs.policy import Mode, Policy, check_lease
from dirjobs.protocol.exits import Claim
from dirjobs.protocol.intents import State
from dirjobs.recovery.heartbeat import Heartbeat, heartbeat_path
from dirjobs.store import Entry
from tests.amounts import PATIENCE
from tests.unit.lives import POLICY, World

VERIFY = Policy(Mode.VERIFY, 0, 10, 100, 10, 20)


@pytest.fixture(autouse=True)
def audible(caplog):
    caplog.set_level(logging.INFO, "dirjobs")


@pytest.fixture
def world():
    return World()


@pytest.fixture
def gone():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.fixture
def alive():
    """A process that runs, but is not us; its start time is unknown to the test's beats."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield child.pid
    child.communicate(b"\n")


def beats(world):
    read = (Heartbeat.from_bytes(world.store.read(f"{WORKERS}/{n}")) for n in world.names(WORKERS))
    return {heartbeat.worker: heartbeat for heartbeat in read}


# -- ids ------------------------------------------------------------------------------------


def test_the_first_incarnation_has_the_plain_name(world):
    world.job()
    assert world.life("w1").start().next().path == f"{RUNNING}/w1.job.txt"


def test_after_a_clean_end_the_id_is_free_at_once(world):
    world.life("w1", host="far").start().end()
    assert world.life("w1").start().me.worker == "w1"


def test_an_id_with_an_unsettled_request_is_not_used_again(world):
    world.heartbeat_of("w1", ended=True, unsettled=1)
    life = world.life("w1").start()
    assert life.me.worker != "w1"
    assert base_id(life.me.worker) == "w1"


def test_after_a_kill_the_job_is_taken_up_again_at_once_on_this_host(world, gone):
    world.job()
    first = world.life("w1", "here", pid=gone).start()
    first.next()
    second = world.life("w1", "here").start()
    assert world.names(RUNNING) == []
    assert second.me.worker != "w1"
    held = second.next()
    assert base_id(held.worker) == "w1"
    with pytest.raises(ClaimLost):
        first.done(held_by(first))
    second.done(held)
    assert world.names(DONE) == ["job.txt"]


def held_by(life):
    ((path, intent),) = life.parts.intents.in_state(State.HELD).items()
    return Claim(intent.worker, intent.job, path)


def test_elsewhere_the_id_is_refused_with_host_pid_and_age(world):
    world.heartbeat_of("W1", process=world.process("pc-7", 4711))
    world.now += 42
    with pytest.raises(WorkerIdInUse, match=r"4711 on host 'pc-7'.*42 s ago") as caught:
        world.life("w1").start()
    assert "\n" not in str(caught.value)
    assert list(beats(world)) == ["W1"]  # the refused one left nothing


def test_who_is_refused_keeps_its_name_while_it_has_something_half_way(world):
    """A start that is tried again after an outage may be refused at the second try."""
    world.heartbeat_of("w1", process=world.process("pc-7"))
    life = world.life("w1", "pc-8")
    half = f"{WAITING}/~w1~abcdef.job.txt"
    life.parts.intents.ask(half, "w1", Entry("job.txt", 1.0, 4))
    life.parts.intents.leave_in_doubt(half)
    with pytest.raises(WorkerIdInUse):
        life.start()
    said = [Heartbeat.from_bytes(world.store.read(f"{WORKERS}/{n}")) for n in world.names(WORKERS)]
    assert [(one.process.host, one.ended, one.starting) for one in said if one.ended] == [
        ("pc-8", True, False)
    ]


def test_elsewhere_the_id_is_free_after_two_leases(world):
    world.heartbeat_of("w1")
    world.claim_of("w1")
    world.now += 2 * POLICY.lease + 1
    life = world.life("w1").start()
    assert life.me.worker != "w1"
    assert world.names(WAITING) == ["job.txt"]


def test_two_at_the_same_moment_both_find_out(world):
    """Whatever the interleaving of writing and listing, never do both go on."""
    one, two = world.life("w1"), world.life("w1", host="far")
    two_has_written, one_has_ended = Event(), Event()

    def until_two_has_written(seconds):
        """The first wait: the own heartbeat is written, those of the others come next."""
        assert len(world.names(WORKERS)) == 1
        thread.start()
        assert two_has_written.wait(PATIENCE)
        one.share.sleep = world.pass_time

    def until_one_has_ended(seconds):
        assert len(world.names(WORKERS)) == 2
        two.share.sleep = world.pass_time
        two_has_written.set()
        assert one_has_ended.wait(PATIENCE)

    one.share.sleep, two.share.sleep = until_two_has_written, until_one_has_ended
    found = []
    thread = Thread(target=lambda: found.append(two.start().me.worker), daemon=True)
    with pytest.raises(WorkerIdInUse):
        one.start()
    one_has_ended.set()
    thread.join(PATIENCE)
    assert found == ["w1"]  # the other one has withdrawn already


def test_two_that_list_at_the_same_moment_refuse_both(world):
    world.heartbeat_of("w1")  # what each finds of the other
    for host in ("pc-1", "pc-2"):
        with pytest.raises(WorkerIdInUse):
            world.life("w1", host=host).start()


class BeginsMeanwhile(Layer):
    """Before the next listing of claims a worker that was starting has begun, and has a job."""

    world = None

    def list(self, folder):
        if folder == RUNNING and self.world is not None:
            world, self.world = self.world, None
            world.heartbeat_of("w2", "bbbbbb", counter=8, running={"job.txt": 4})
            world.claim_of("w2")
        return super().list(folder)


def test_who_was_starting_when_it_was_read_may_have_a_job_now(world):
    """An earlier holder of the id is dead; whoever has it now is not."""
    observer = world.life("w1").start()
    world.heartbeat_of("w2", ended=True)
    world.watched_for(observer, POLICY.lease)
    world.heartbeat_of("w2", "bbbbbb", starting=True)
    meanwhile = observer.over(BeginsMeanwhile(world.store))
    meanwhile.world = world
    observer.beat()
    while meanwhile.world is not None:
        world.watched_for(observer, POLICY.heartbeat)
    assert world.names(RUNNING) == ["w2.job.txt"]


def test_a_second_queue_object_of_this_process_goes_on_under_another_name(world):
    one = world.life("w1").start()
    two = world.life("w1")
    two.membership.process = one.membership.process
    two.start()
    assert one.me.worker == "w1" != two.me.worker


def test_a_forked_child_is_not_refused_because_of_its_parent(world, alive):
    world.life("w1", "here", pid=alive).start()
    child = world.life("w1~abcd", "here").start()
    assert child.me.worker == "w1~abcd"


def test_a_twin_is_noticed_at_the_next_beat(world, caplog):
    one = world.life("w1").start()
    one.beat()
    world.heartbeat_of("w1", process=world.process("pc-7", 4711))
    one.beat()
    assert one.me.worker != "w1"
    assert "4711 on pc-7" in caplog.text
    caplog.clear()
    one.beat()
    assert not caplog.text


def test_claims_under_the_old_name_are_kept_up_after_a_twin_was_met(world):
    world.job()
    one = world.life("w1").start()
    held = one.next()
    world.heartbeat_of("w1", process=world.process("far"))
    one.beat()
    one.beat()
    mine = [file for file in one.membership.incarnations.file_names() if file.startswith("w1.")]
    assert mine
    one.done(held)
    one.beat()
    assert not [file for file in one.membership.incarnations.file_names() if file.startswith("w1.")]


# -- a name used again ------------------------------------------------------------------------


def test_what_was_left_under_an_ended_id_goes_back_when_the_id_comes_back(world):
    world.heartbeat_of("w1", ended=True)
    world.claim_of("w1")
    life = world.life("w1").start()
    assert base_id(life.me.worker) == "w1"
    assert life.me.worker != "w1"
    assert world.names(WAITING) == ["job.txt"]
    assert life.next().path == f"{RUNNING}/{life.me.worker}.job.txt"


def test_what_was_left_half_way_under_an_ended_id_goes_back_as_well(world):
    world.heartbeat_of("w1", ended=True)
    world.store.write(f"{WAITING}/~w1~abcdef.job.txt", b"data")
    life = world.life("w1", policy=VERIFY).start()
    world.watched_for(life, POLICY.lease + 3 * POLICY.heartbeat)
    assert world.names(WAITING) == ["job.txt"]


class Muted(Layer):
    """Sends no answer to one read of a file."""

    def __init__(self, store, path, which):
        super().__init__(store)
        self.path, self.which, self.reads = path, which, 0

    def read(self, path):
        self.reads += path == self.path
        if path == self.path and self.reads == self.which:
            raise AmbiguousResult("no answer")
        return self.store.read(path)


@pytest.mark.parametrize("which", [1, 2], ids=["at a glance", "right before it counts"])
def test_the_last_one_asks_again_whether_somebody_is_gone(world, which):
    life = world.life("w1", policy=VERIFY).start()
    world.heartbeat_of("w2", "bbbbbb", ended=True)
    world.store.write(f"{WAITING}/~w2~abcdef.job.txt", b"data")
    muted = life.over(Muted(world.store, heartbeat_path("w2", "bbbbbb"), which))
    life.end()
    assert muted.reads > which
    assert world.names(WAITING) == ["job.txt"]


@pytest.mark.parametrize(
    "left", [{"unsettled": 1}, {"running": {"job.txt": 4}}], ids=["unsettled", "held"]
)
def test_an_id_that_may_have_left_something_is_not_used_again(world, left):
    """What it asked for may be executed, or given back by somebody slow, at any time."""
    world.heartbeat_of("w1", ended=True, **left)
    life = world.life("w1").start()
    assert base_id(life.me.worker) == "w1" != life.me.worker


def test_claims_of_the_first_dirjobs_do_not_become_ours(world):
    """It has no heartbeat; a worker of ours with its id must not stand, or fall, for it."""
    world.claim_of("w1")
    observer = world.life("w2").start()
    life = world.life("w1").start()
    assert life.me.worker != "w1"
    life.end()
    world.watched_for(observer, 5 * POLICY.lease)
    assert world.names(RUNNING) == ["w1.job.txt"]


def test_what_another_thread_asks_for_at_the_end_is_said_to_be_unsettled(world):
    """A process that ends while a thread of it claims: the answer comes when it has ended."""
    life = world.life("w1").start()
    world.job()

    class EndsInTheMiddle(Layer):
        def rename(self, src, dst):
            life.end()
            self.store.rename(src, dst)

    life.over(EndsInTheMiddle(world.store))
    life.next()
    assert beats(world)["w1"].ended
    assert beats(world)["w1"].unsettled == 1
    again = world.life("w1").start()
    assert again.me.worker != "w1"
    assert world.names(WAITING) == ["job.txt"]


def test_an_ended_namesake_costs_nobody_a_job(world):
    """w1 ends, w1 starts again and works; w2 starts, and finds both heartbeats."""
    world.job()
    world.life("w1", host="far").start().end()
    second = world.life("w1", host="far").start()
    held = second.next()
    world.life("w2").start()
    assert world.names(RUNNING) == ["w1.job.txt"]
    second.done(held)


def test_an_ended_namesake_costs_nobody_a_job_later_either(world):
    world.job()
    observer = world.life("w2").start()
    world.life("w1", host="far").start().end()
    observer.beat()
    second = world.life("w1", host="far").start()
    second.next()
    for _ in range(60):
        world.now += POLICY.heartbeat
        second.beat()
        observer.beat()
    assert world.names(RUNNING) == ["w1.job.txt"]
    assert list(beats(world)) == ["w1", "w2"]
    assert len(world.names(WORKERS)) == 2


# -- the mode -----------------------------------------------------------------------------------


def test_newcomers_run_in_the_strictest_mode(world):
    strict = Policy(Mode.SYNC, 5.0, 10, 100, 10, 20)
    world.life("w1", policy=strict).start()
    newcomer = world.life("w2").start()
    assert newcomer.me.policy.mode is Mode.SYNC
    assert newcomer.me.policy.sync_time == 5.0


def test_the_running_become_stricter_at_the_next_beat(world, caplog):
    one = world.life("w1").start()
    world.heartbeat_of("w2", policy=Policy(Mode.SYNC, 5.0, 10, 100, 10, 20))
    one.beat()
    assert one.me.policy.mode is Mode.SYNC
    one.beat()
    assert sum("from now on" in record.message for record in caplog.records) == 1
    assert json.loads(world.store.read(AGREEMENT))["mode"] == "sync"


def test_nobody_becomes_less_strict_while_others_live(world):
    world.life("w1", policy=Policy(Mode.VERIFY, 0, 10, 100, 10, 20)).start()
    with pytest.raises(ConfigurationError, match="'trust'"):
        world.life("w2", insists=True).start()
    assert json.loads(world.store.read(AGREEMENT))["mode"] == "verify"
    assert list(beats(world)) == ["w1"]


def test_alone_one_may_insist_on_less(world):
    world.life("w1", policy=Policy(Mode.VERIFY, 0, 10, 100, 10, 20)).start().end()
    world.life("w2", insists=True).start()
    assert json.loads(world.store.read(AGREEMENT))["mode"] == "trust"


def living_while_others_wait(world, life):
    """Time passes for everybody: whoever waits lets `life` beat."""

    def wait(seconds):
        end = world.now + seconds
        while world.now + POLICY.heartbeat < end:
            world.now += POLICY.heartbeat
            life.beat()
        world.now = end

    return wait


@pytest.mark.parametrize("away", [3 * POLICY.lease, 3600])
def test_right_after_an_outage_nobody_is_overridden(world, away):
    """By their age the others are dead; but so is everybody."""
    one = world.life("w1", policy=VERIFY).start()
    world.now += away
    late = world.life("w2", insists=True)
    late.share.sleep = living_while_others_wait(world, one)
    with pytest.raises(ConfigurationError, match="1 other worker"):
        late.start()
    assert json.loads(world.store.read(AGREEMENT))["mode"] == "verify"
    assert one.me.policy.mode is Mode.VERIFY


def test_after_the_death_of_all_others_one_may_insist_on_less(world):
    """...when they stay silent for as long as they need for their next heartbeat."""
    world.life("w1", policy=VERIFY).start()
    world.now += 3 * POLICY.lease
    began = world.now
    world.life("w2", insists=True).start()
    assert json.loads(world.store.read(AGREEMENT))["mode"] == "trust"
    assert world.now - began >= 2 * POLICY.heartbeat + POLICY.timeout


def test_whoever_asks_for_nothing_less_strict_waits_for_nobody(world):
    world.life("w1", policy=VERIFY).start()
    world.now += 3 * POLICY.lease
    began = world.now
    world.life("w2").start()
    world.life("w3", policy=VERIFY, insists=True).start()
    assert world.now == began


def test_a_clock_that_is_set_in_the_middle_kills_nobody(world):
    """At the second look, too, everybody may look dead."""
    one = world.life("w1", policy=VERIFY).start()
    other = world.life("w3", policy=VERIFY).start()
    world.now += 3 * POLICY.lease

    def wait(seconds):
        if seconds:
            one.beat()
            other.beat()
            world.now += 3600  # they have written, and the clock is set right after that

    late = world.life("w2", insists=True)
    late.share.sleep = wait
    with pytest.raises(ConfigurationError, match=r"2 other worker\(s\)"):
        late.start()


def test_without_a_record_the_silent_count_as_well(world):
    """Somebody has deleted queue.json, and the share was away."""
    one = world.life("w1", policy=VERIFY).start()
    world.store._tree.folders["_queue"].pop("queue.json", None)
    world.now += 3 * POLICY.lease
    late = world.life("w2")
    late.share.sleep = living_while_others_wait(world, one)
    late.start()
    assert late.me.policy.mode is Mode.VERIFY


def test_a_broken_agreement_is_one_clear_sentence(world):
    world.store.write(AGREEMENT, b"{")
    with pytest.raises(ConfigurationError, match=r"_queue/queue.json can't be understood"):
        world.life("w1").start()


def test_a_broken_agreement_stops_no_heartbeat(world, caplog):
    one = world.life("w1").start()
    world.store.write(AGREEMENT, b"{")
    before = beats(world)["w1"].counter
    one.beat()
    one.beat()
    assert beats(world)["w1"].counter == before + 2
    assert "can't be understood" in caplog.text


# -- the lease -------------------------------------------------------------------------------------


def test_the_law_of_the_lease_is_one_clear_sentence():
    with pytest.raises(ConfigurationError) as caught:
        check_lease(Policy(heartbeat=30, lease=200, timeout=30, max_pause=60))
    assert str(caught.value) == (
        "lease=200 is too short for heartbeat=30, timeout=30, max_pause=60 and sync_time=0:"
        " use at least 210 seconds, or make the others shorter."
    )


def test_whoever_waits_longer_for_others_gets_a_longer_lease(world):
    """The others' sync_time counts in the law as well."""
    slow = Policy(Mode.SYNC, 500.0, 10, 600, 10, 20)
    world.heartbeat_of("w2", policy=slow)
    life = world.life("w1").start()
    assert life.me.policy.lease >= life.me.policy.shortest_lease
    other = World()
    life = other.life("w1").start()
    other.heartbeat_of("w2", policy=slow)
    life.beat()
    assert life.me.policy.lease >= life.me.policy.shortest_lease
    life.beat()
    assert beats(other)["w1"].policy.lease == life.me.policy.lease


def test_the_agreed_times_are_those_of_the_failure_detector_too(world):
    """Beats come as seldom as queue.json says: that must not look like an outage."""
    world.life("w1", policy=Policy(heartbeat=50, lease=500, timeout=10, max_pause=20)).start().end()
    late = world.life("w2").start()
    assert late.me.policy.heartbeat == 50
    world.heartbeat_of("w3")
    late.beat()
    world.now += 50
    late.beat()
    (name,) = [name for name in world.names(WORKERS) if name.startswith("w3")]
    assert late.membership.failure_detector.staleness.unchanged_for(name, world.now) == 50


def test_an_own_gap_means_a_new_name_and_a_lost_claim(world):
    world.job()
    world.job("job2.txt")
    one = world.life("w1").start()
    held = one.next()
    world.now += POLICY.lease + 1
    assert one.me.own_lease_expired(world.now)
    world.store.rename(held.path, f"{WAITING}/job.txt")
    with pytest.raises(ClaimLost):
        one.done(held)
    again = one.next()
    assert again.worker != "w1"
    assert one.me.lease_gaps == 1


class Sleeper:
    """A worker that slept until its heartbeat was removed, while its job went to another
    machine that has its id now."""

    def __init__(self, world):
        self.world = world
        world.job()
        self.life = world.life("w1").start()
        self.held = self.life.next()
        (file,) = world.names(WORKERS)
        world.now += 10 * POLICY.lease
        world.store.rename(self.held.path, f"{WAITING}/job.txt")
        world.store.remove(f"{WORKERS}/{file}")
        self.other = world.life("w1", host="far").start()
        self.others = self.other.next()
        assert self.others.path == self.held.path


def test_a_sleeper_ends_nothing_of_who_has_its_id_now(world, caplog):
    sleeper = Sleeper(world)
    with pytest.raises(ClaimLost, match="silent for so long that another one goes by its name"):
        sleeper.life.done(sleeper.held)
    assert not sleeper.life.worker.release(sleeper.held)
    assert not sleeper.life.worker.still_holds(sleeper.held)
    assert world.names(RUNNING) == ["w1.job.txt"]
    sleeper.other.done(sleeper.others)
    assert "uses its name 'w1' now" in caplog.text


def test_a_sleeper_that_beats_first_ends_nothing_of_the_others_either(world):
    sleeper = Sleeper(world)
    sleeper.life.beat()
    with pytest.raises(ClaimLost):
        sleeper.life.done(sleeper.held)
    world.job("job2.txt")
    assert sleeper.life.next().worker != "w1"
    sleeper.other.done(sleeper.others)


def test_a_sleeper_sweeps_nothing_of_the_others(world):
    """A request of its own without an answer may have the same name."""
    sleeper = Sleeper(world)
    sleeper.life.parts.intents.leave_in_doubt(sleeper.held.path)
    sleeper.life.beat()
    sleeper.life.beat()
    sleeper.life.end()
    sleeper.other.done(sleeper.others)


def test_a_sleeper_that_is_closed_gives_back_nothing_of_the_others(world):
    sleeper = Sleeper(world)
    thread = HeartbeatThread(sleeper.life.worker, sleeper.life.membership)
    thread._leave()
    with pytest.raises(ClaimLost):
        sleeper.life.done(sleeper.held)
    sleeper.other.done(sleeper.others)


@pytest.mark.parametrize("before", ["ended", "nobody"])
def test_a_sleeper_whose_id_is_nobody_elses_keeps_its_job(world, before):
    """An earlier holder of the id that has ended has nothing to lose."""
    if before == "ended":
        world.life("w1").start().end()
    world.job()
    life = world.life("w1").start()
    held = life.next()
    assert held.worker == "w1"
    world.now += 10 * POLICY.lease
    assert life.done(held) == "job.txt"


def test_a_sleeper_whose_heartbeat_is_there_keeps_its_job_beside_a_namesake(world):
    """Which was started meanwhile, and finds the name in use."""
    world.job()
    life = world.life("w1").start()
    held = life.next()
    world.now += 10 * POLICY.lease
    world.heartbeat_of("w1", starting=True)
    assert life.done(held) == "job.txt"


# -- what it costs ----------------------------------------------------------------


class Counting(Layer):
    def __init__(self, store):
        super().__init__(store)
        self.calls = Counter()

    def __getattribute__(self, name):
        if name in ("list", "rename", "exists", "mtime", "read", "write", "remove", "mkdir"):
            object.__getattribute__(self, "calls")[name] += 1
        return object.__getattribute__(self, name)


@pytest.mark.parametrize("mode", list(Mode))
def test_a_beat_costs_four_requests_whatever_the_number_of_jobs(world, mode):
    world.store = Counting(world.store)
    for number in range(300):
        world.job(f"job{number}.txt")
    policy = Policy(mode, 0, 10, 100, 10, 20)
    one, two = world.life("w1", policy=policy).start(), world.life("w2", policy=policy).start()
    one.beat()
    two.beat()
    for life in (one, two):
        for _ in range(20):
            life.done(life.next())
        life.next()
    world.store.calls.clear()
    for _ in range(10):
        world.now += 10
        one.beat()
        two.beat()
    assert sum(world.store.calls.values()) <= 4 * 10 * 2


def test_earlier_incarnations_without_a_claim_cost_nothing(world):
    """Names that never got an answer are swept for ever, but need no heartbeat."""
    one = world.life("w1").start()
    for number in range(5):
        job = next(iter([world.job(f"j{number}"), *world.store.list(WAITING)][1:]))
        path = f"{RUNNING}/{one.me.worker}.{job.name}"
        one.parts.intents.ask(path, one.me.worker, job)
        one.parts.intents.leave_in_doubt(path)
        one.membership.incarnations.next()
    one.beat()
    assert len(one.membership.incarnations.file_names()) == 1
    # ... and if one comes to be after all, it is given back.
    world.store.rename(f"{WAITING}/j0", f"{RUNNING}/w1.j0")
    one.beat()
    one.beat()
    assert "j0" in world.names(WAITING)


def test_a_beat_between_a_new_name_and_its_use_does_not_end_it(world, monkeypatch):
    one = world.life("w1").start()
    become, threads = one.me.become, []

    def become_late(worker):
        threads.append(Thread(target=one.beat))
        threads[0].start()
        threads[0].join(0.2)  # it waits for the name, or would have ended it by now
        become(worker)

    monkeypatch.setattr(one.me, "become", become_late)
    one.membership.incarnations.next()
    threads[0].join()
    assert {worker for worker, said in beats(world).items() if not said.ended} == {one.me.worker}


def test_nobody_claims_under_a_name_that_a_beat_has_ended(world):
    """Another thread goes on under a new name after this one has read the old."""
    world.job()
    one = world.life("w1").start()
    one.membership.incarnations.next()
    one.beat()
    one.me.worker = "w1"
    assert one.parts.claimer.claim(world.store.list(WAITING)[0]) is None
    assert world.names(WAITING) == ["job.txt"]


def test_a_name_that_comes_after_the_end_is_ended_as_well(world):
    one = world.life("w1").start()
    one.end()
    one.membership.incarnations.next()
    assert all(said.ended for said in beats(world).values())
    assert one.me.worker == "w1"


def test_folders_that_vanish_are_made_again(world):
    one = world.life("w1").start()
    for name in world.names(WORKERS):
        world.store.remove(f"{WORKERS}/{name}")
    tree = world.store._tree
    del tree.folders[WORKERS]
    del tree.folders["_queue"]["workers"]
    with pytest.raises(NotFound):
        world.store.list(WORKERS)
    one.beat()
    assert beats(world)["w1"].counter > 1


def test_an_end_is_told(world):
    one = world.life("w1").start()
    one.end()
    assert beats(world)["w1"].ended


def test_the_log_says_nothing_when_nothing_happens(world, caplog):
    caplog.set_level(logging.INFO)
    one, two = world.life("w1").start(), world.life("w2").start()
    for _ in range(50):
        world.now += 10
        one.beat()
        two.beat()
    assert not caplog.records


def test_a_later_name_is_none_that_an_earlier_process_had(world):
    """Of a million names two processes may draw the same: what the dead one has would count as
    the living one's."""
    world.heartbeat_of("w1~abcd", "bbbbbb", world.process("far"), ended=True)
    life = world.life("w1").start()
    tags = iter(["abcdxx", "efghzz"])
    life.me.nonce = lambda: next(tags)
    assert life.me.next_incarnation() == "w1~efgh"
