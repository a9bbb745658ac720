"""An empty place or a refusal is an outage, unless queue.json says that it is the queue."""

from __future__ import annotations

import json
import os
import threading

import pytest

from dirjobs import ClaimLost, DirJobs, Guarantees
from dirjobs.backends.memory import MemoryStore
from dirjobs.backends.posix.store import PosixStore
from dirjobs.errors import (
    AmbiguousResult,
    Denied,
    LogonRefused,
    NotFound,
    StoreError,
    Unavailable,
    Unsupported,
)
from dirjobs.layers import Layer
from dirjobs.layout import AGREEMENT, DONE, RUNNING, WAITING, WORKERS
from dirjobs.protocol import outage
from dirjobs.protocol.outage import PatienceOver, Presence, QueueAway, SameQueue
from tests.amounts import PATIENCE


class Refusing(Layer):
    """A store whose every request may be answered with one error.

    Attributes:
        kind: the class of that error; None while all is well.
        asked: the requests meanwhile.
    """

    def __init__(self, store):
        super().__init__(store)
        self.state = {"kind": None, "left": -1}
        self.asked = []

    def refuse(self, kind, times=-1):
        self.state.update(kind=kind, left=times)

    def call(self, verb, paths, action):
        self.asked.append((verb, *paths))
        kind = self.state["kind"]
        if kind is not None and self.state["left"] != 0:
            self.state["left"] -= 1
            raise kind("not now")
        return action()


class Away:
    """A queue in a local folder that goes away, and comes back."""

    def __init__(self, folder):
        self.folder, self.elsewhere = str(folder), f"{folder}.elsewhere"

    def go(self, how):
        os.rename(self.folder, self.elsewhere)
        if how == "bare":
            os.mkdir(self.folder)
        elif how == "another":
            with DirJobs(self.folder, "other", create=True) as other:
                other.next_and_lock()
                other.add("foreign.txt")
        self.before = self.tree()

    def tree(self):
        return sorted(
            os.path.join(where, name)
            for where, folders, files in os.walk(self.folder)
            for name in folders + files
        )

    def come_back(self):
        """Unless anything was made there meanwhile."""
        assert self.tree() == self.before
        if os.path.exists(self.folder):
            os.rename(self.folder, f"{self.folder}.phantom")
        os.rename(self.elsewhere, self.folder)


@pytest.fixture(params=["gone", "bare", "another"])
def away(request, tmp_path):
    place = Away(tmp_path / "jobs")
    place.how = request.param
    return place


class Waiter(threading.Thread):
    """Does something that may have to wait, and keeps what came of it."""

    def __init__(self, call):
        super().__init__(daemon=True)
        self.call, self.result = call, None
        self.start()

    def run(self):
        try:
            self.result = self.call()
        except BaseException as error:  # noqa: BLE001 - it is looked at
            self.result = error

    def outcome(self):
        self.join(PATIENCE)
        assert not self.is_alive()
        return self.result


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr("dirjobs.worker._LONGEST_PAUSE", 0.05)
    monkeypatch.setattr("dirjobs.worker._FIRST_PAUSE", 0.05)


def said(caplog):
    return [record.message.partition(" (")[0] for record in caplog.records]


def worker(folder, *jobs, **options):
    queue = DirJobs(folder, create=True, **options)
    for job in jobs:
        queue.add(job)
    return queue


# -- a local folder: renamed away, a bare mount point, another queue ------------------------------


def test_a_job_ends_when_its_queue_is_back(away, caplog):
    queue = worker(away.folder, "a.txt")
    job = queue.next_and_lock()
    away.go(away.how)
    done = Waiter(job.done)
    while not queue._generation.presence.is_away:
        assert done.is_alive()
    away.come_back()
    assert done.outcome() is None
    assert os.listdir(f"{away.folder}/{DONE}") == ["a.txt"]
    assert said(caplog).count("the queue is away") == 1
    assert said(caplog).count("the queue is there again; going on") == 1
    queue.close()


def test_whether_a_job_is_ours_is_not_known_while_its_queue_is_away(away):
    queue = worker(away.folder, "a.txt")
    job = queue.next_and_lock()
    away.go(away.how)
    asked = Waiter(job.still_mine)
    while not queue._generation.presence.is_away:
        assert asked.is_alive()
    away.come_back()
    assert asked.outcome() is True
    job.done()
    queue.close()


def test_a_heartbeat_that_goes_astray_makes_no_other_queue_ours(tmp_path, monkeypatch):
    """The queue is exchanged between a heartbeat's look and its writing."""
    place = Away(tmp_path / "jobs")
    queue = worker(place.folder, "a.txt")
    job = queue.next_and_lock()
    write = PosixStore.write

    def late(store, path, data):
        if path.startswith(WORKERS) and "w1." in path and not place.gone:
            place.gone = True
            place.go("another")
        write(store, path, data)

    place.gone = False
    with monkeypatch.context() as patch:
        patch.setattr(PosixStore, "write", late)
        queue._membership.beat()
    assert any(name.startswith("w1.") for name in os.listdir(f"{place.folder}/{WORKERS}"))
    done = Waiter(job.done)
    while not queue._generation.presence.is_away:
        assert done.is_alive()
    for _ in range(3):
        with pytest.raises(StoreError):
            queue._membership.beat()
    os.rename(place.folder, f"{place.folder}.phantom")
    os.rename(place.elsewhere, place.folder)
    assert done.outcome() is None
    assert os.listdir(f"{place.folder}/{DONE}") == ["a.txt"]
    queue.close()


def test_a_heartbeat_makes_nothing(away):
    queue = worker(away.folder, "a.txt")
    job = queue.next_and_lock()
    away.go(away.how)
    for _ in range(3):
        with pytest.raises(QueueAway):
            queue._membership.beat()
    away.come_back()
    queue._membership.beat()
    job.done()
    queue.close()


def test_a_waiting_worker_goes_on(away):
    queue = worker(away.folder)
    assert queue.next_and_lock() is None
    away.go(away.how)
    if away.how == "another":
        with pytest.raises(QueueAway):
            queue._membership.beat()
    looking = Waiter(queue.next_and_lock)
    while not queue._generation.presence.is_away:
        assert looking.is_alive()
    away.come_back()
    assert looking.outcome() is None
    queue.close()


def test_what_came_late_is_put_back_when_the_queue_is_back(away):
    queue = worker(away.folder, "a.txt")
    job = queue.next_and_lock()
    queue._worker.intents.leave_in_doubt(f"{RUNNING}/{job.full_name()}")
    away.go(away.how)
    with pytest.raises(QueueAway):
        queue._membership.beat()
    away.come_back()
    for _ in range(2):
        queue._membership.beat()
    assert os.listdir(f"{away.folder}/{WAITING}") == ["a.txt"]
    queue.close()


@pytest.mark.parametrize("how", ["gone", "bare"])
def test_adding_makes_no_queue_at_a_bare_mount_point(tmp_path, how, monkeypatch):
    monkeypatch.setattr("dirjobs.protocol.folders._PAUSES", (0.01, 0.01, 0.01))
    place = Away(tmp_path / "jobs")
    with DirJobs(place.folder, create=True) as queue:
        place.go(how)
        with pytest.raises(NotFound, match="there is no queue in"):
            queue.add("a.txt")
        place.come_back()
        queue.add("a.txt")


def test_a_claim_that_is_not_there_is_gone_if_the_queue_is(tmp_path):
    queue = worker(tmp_path, "a.txt")
    job = queue.next_and_lock()
    os.rename(tmp_path / RUNNING / "w1.a.txt", tmp_path / WAITING / "a.txt")
    with pytest.raises(ClaimLost):
        job.done()
    queue.close()


# -- everything is refused ------------------------------------------------------------------------

REFUSALS = [NotFound, Denied, Unsupported, StoreError]


@pytest.mark.parametrize("kind", [*REFUSALS, LogonRefused])
def test_a_job_ends_after_all_was_refused(kind, monkeypatch):
    monkeypatch.setattr(outage, "LOGON_PAUSES", (0.05, 0.05))
    store = Refusing(MemoryStore())
    queue = worker(store, "a.txt", mode="verify")
    job = queue.next_and_lock()
    store.refuse(kind)
    done = Waiter(job.done)
    while not queue._generation.presence.is_away:
        assert done.is_alive()
    store.refuse(None)
    assert done.outcome() is None
    assert [entry.name for entry in store.list(DONE)] == ["a.txt"]
    queue.close()


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_worker_that_finds_nothing_else_waits_for_what_is_refused(kind):
    store = Refusing(MemoryStore())
    queue = worker(store, "a.txt", "b.txt", job_ext="")
    queue.next_and_lock().done()
    store.refuse(kind)
    looking = Waiter(queue.next_and_lock)
    while not queue._generation.presence.is_away:
        assert looking.is_alive()
    store.refuse(None)
    job = looking.outcome()
    assert job.name() == "b.txt"
    job.done()
    queue.close()


def test_a_lost_race_costs_no_look(monkeypatch):
    store = Refusing(MemoryStore())
    queue = worker(store, "a.txt", "b.txt", "c.txt")
    queue.next_and_lock().done()
    store.store.remove(f"{WAITING}/b.txt")
    store.asked.clear()
    assert queue.next_and_lock().name() == "c.txt"
    assert ("read", AGREEMENT) not in store.asked
    queue.close()


@pytest.mark.parametrize("kind", REFUSALS)
def test_at_the_start_every_refusal_is_an_error_at_once(kind):
    store = Refusing(MemoryStore())
    queue = DirJobs(store)
    store.refuse(kind)
    with pytest.raises(kind):
        queue.next_and_lock()
    store.refuse(None)
    queue.close()


def test_a_refusal_of_one_file_is_believed(monkeypatch):
    store = Refusing(MemoryStore())
    queue = worker(store, "a.txt")
    job = queue.next_and_lock()

    def refuse(src, dst):
        raise Denied("not this one")

    with monkeypatch.context() as patch:
        patch.setattr(store, "rename", refuse)
        with pytest.raises(Denied, match="not this one"):
            job.done()
    assert not queue._generation.presence.is_away
    job.done()
    queue.close()


@pytest.mark.parametrize("kind", [Denied, NotFound, Unsupported])
def test_a_refusal_that_passes_at_once_is_no_verdict(kind, tmp_path):
    store = Refusing(MemoryStore())
    queue = worker(store, "a.txt")
    job = queue.next_and_lock()
    share = queue.share
    with (tmp_path / "result").open("w+b") as file:
        file.write(b"0123456789")
        file.seek(5)  # whoever goes on from somewhere goes on from there
        share.mkdir("results")
        store.refuse(Denied, times=1)
        share.upload("results/a", file)
    assert store.read("results/a") == b"56789"
    store.refuse(kind, times=1)
    assert [entry.name for entry in share.listed("01_running")] == [job.full_name()]
    store.refuse(kind, times=1)
    job.done()
    assert store.exists("02_done/a.txt")
    queue.close()


@pytest.mark.parametrize("kind", [Denied, NotFound])
def test_patience_ends_with_what_was_seen(kind):
    store = Refusing(MemoryStore())
    queue = worker(store, "a.txt", patience=0.2)
    job = queue.next_and_lock()
    store.refuse(kind)
    error = Waiter(job.done).outcome()
    assert isinstance(error, PatienceOver)
    assert "not now  The queue has been away for 0.2 s: giving up." in str(error)
    store.refuse(None)
    job.done()
    queue.close()


def test_a_refused_login_is_tried_three_times_by_all(monkeypatch):
    monkeypatch.setattr(outage, "LOGON_PAUSES", (0.05, 0.05))
    store = Refusing(MemoryStore())
    queue = worker(store, "a.txt", "b.txt")
    jobs = [queue.next_and_lock(), queue.next_and_lock()]
    store.asked.clear()
    store.refuse(LogonRefused)
    with pytest.raises(QueueAway):
        queue._membership.beat()
    waiters = [Waiter(job.done) for job in jobs]
    for waiter in waiters:
        error = waiter.outcome()
        assert isinstance(error, PatienceOver)
        assert "tried 3 times, and is tried no more" in str(error)
    assert len(store.asked) == 3
    queue.close()
    assert len(store.asked) == 3


# -- whose queue ----------------------------------------------------------------------------------


def test_the_first_worker_names_the_queue_and_the_others_keep_its_name():
    store = MemoryStore()
    with DirJobs(store) as one:
        one.next_and_lock()
        name = json.loads(store.read(AGREEMENT))["id"]
        with DirJobs(store, "w2") as other:
            other.next_and_lock()
            assert one._generation.presence.queue_id == other._generation.presence.queue_id == name


def test_two_that_begin_at_once_go_by_the_name_written_last():
    store = MemoryStore()
    with DirJobs(store) as queue:
        queue.next_and_lock()
        said = json.loads(store.read(AGREEMENT)) | {"id": "the other's"}
        store.write(AGREEMENT, json.dumps(said).encode())
        queue._membership.beat()
        assert queue._generation.presence.queue_id == "the other's"


def test_a_command_gives_no_queue_a_name():
    store = MemoryStore()
    with DirJobs(store) as queue:
        queue.requeue("nobody.txt")
    assert "id" not in json.loads(store.read(AGREEMENT))


def test_a_missing_queue_json_is_never_made_by_a_heartbeat():
    store = MemoryStore()
    with DirJobs(store) as queue:
        queue.next_and_lock()
        agreed = store.read(AGREEMENT)
        store.remove(AGREEMENT)
        with pytest.raises(QueueAway):
            queue._membership.beat()
        assert not store.exists(AGREEMENT)
        store.write(AGREEMENT, agreed)
        queue._membership.beat()


# -- the layer alone ------------------------------------------------------------------------------


def layer(now=lambda: 0.0):
    store = Refusing(MemoryStore())
    for folder in ("", WAITING, RUNNING, "_queue", WORKERS):
        store.mkdir(folder) if folder else None
    store.write(AGREEMENT, b'{"id": "mine"}')
    presence = Presence(10.0, now)
    presence.adopt("mine", "_queue/workers/w1.aaaaaa.json")
    return SameQueue(store, presence), store


@pytest.mark.parametrize(("final", "kind"), [(True, QueueAway), (False, AmbiguousResult)])
def test_a_rename_that_finds_nothing_may_have_been_done_behind_a_gateway(final, kind, monkeypatch):
    same, store = layer()
    monkeypatch.setattr(Refusing, "guarantees", Guarantees(final_refusals=final))
    store.refuse(NotFound)
    with pytest.raises(kind):
        same.rename(f"{RUNNING}/w1.a", f"{DONE}/a")


def test_what_has_no_verdict_is_no_outage():
    same, store = layer()
    store.refuse(Unavailable)
    with pytest.raises(Unavailable):
        same.list(WAITING)
    assert not same.presence.is_away


def test_a_look_that_can_not_be_had_leaves_it_open():
    same, store = layer()
    answers = iter([NotFound, Unavailable])
    store.call = lambda verb, paths, action: (_ for _ in ()).throw(next(answers)("x"))
    with pytest.raises(Unavailable):
        same.list(WAITING)
    assert not same.presence.is_away


def test_while_it_is_away_nothing_is_asked_of_another_queue():
    same, store = layer()
    store.store.write(AGREEMENT, b'{"id": "theirs"}')
    with pytest.raises(QueueAway):
        same.read(AGREEMENT)
    store.asked.clear()
    with pytest.raises(QueueAway):
        same.write(f"{WORKERS}/w1.x.json", b"")
    assert store.asked == [("read", AGREEMENT)]


def test_where_our_own_heartbeat_is_is_our_queue_whatever_its_id():
    """Somebody who began at the same time has written over the id that we had read."""
    same, store = layer()
    store.store.write(same.presence.own_file, b"")
    store.store.write(AGREEMENT, b'{"id": "theirs"}')
    assert b"theirs" in same.read(AGREEMENT)
    assert not same.presence.is_away
    assert same.list(WAITING) == []


# -- a worker that is to end ----------------------------------------------------------------------


class Throttling(Refusing):
    """Asks everybody to come back in five minutes."""

    def call(self, verb, paths, action):
        if self.state["kind"] is not None and verb in self.state["verbs"]:
            self.asked.append((verb, *paths))
            raise Unavailable("come back later", retry_after=1e9)
        return action()

    def throttle(self, *verbs):
        self.asked.clear()
        self.state.update(kind=Unavailable, verbs=verbs)


def asked(store):
    while not store.asked:
        threading.Event().wait(0.01)


@pytest.fixture
def no_grace(monkeypatch):
    monkeypatch.setattr("dirjobs.recovery.control._GRACE", 0.0)


def test_no_wait_for_a_job_outlasts_a_worker(no_grace):
    store = Throttling(MemoryStore())
    queue = worker(store)
    queue.next_and_lock()
    store.throttle("list")
    looking = Waiter(queue.next_and_lock)
    asked(store)
    queue.drain(at_once=True)
    looking.join(PATIENCE)
    assert not looking.is_alive()
    store.refuse(None)
    queue.close()


@pytest.mark.parametrize("verbs", [["rename"], ["rename", "exists"]])
def test_no_end_of_a_job_outlasts_a_worker(no_grace, verbs):
    store = Throttling(MemoryStore())
    queue = worker(store, "a.txt")
    job = queue.next_and_lock()
    store.throttle(*verbs)
    done = Waiter(job.done)
    asked(store)
    queue.drain(at_once=True)
    done.join(PATIENCE)
    assert isinstance(done.result, Unavailable)
    store.refuse(None)
    queue.close()
    assert [entry.name for entry in store.list(WAITING)] == ["a.txt"]


def test_no_wait_of_a_heartbeat_outlasts_its_worker():
    store = Throttling(MemoryStore())
    queue = worker(store, heartbeat=0.05, lease=300)
    queue.next_and_lock()
    store.throttle("read")
    asked(store)
    closing = Waiter(queue.close)
    closing.join(PATIENCE)
    assert not closing.is_alive()


# -- what others have left ------------------------------------------------------------------------


def test_a_claim_of_somebody_who_ended_is_given_back_when_the_queue_is_there(away):
    with DirJobs(away.folder, "w2", create=True) as other:
        other.add("a.txt")
        os.rename(f"{away.folder}/{WAITING}/a.txt", f"{away.folder}/elsewhere")
        other.next_and_lock()
    queue = worker(away.folder)
    queue.next_and_lock()
    os.rename(f"{away.folder}/elsewhere", f"{away.folder}/{RUNNING}/w2.a.txt")
    away.go(away.how)
    with pytest.raises(QueueAway):
        queue._membership.beat()
    with pytest.raises(QueueAway):
        recover(queue)
    away.come_back()
    recover(queue)
    assert os.listdir(f"{away.folder}/{WAITING}") == ["a.txt"]
    queue.close()


def recover(queue):
    """What a worker does about the others when it begins."""
    membership = queue._membership
    peers = membership.peers
    peers.recover_from(peers.snapshot(membership.incarnations.file_names()))
