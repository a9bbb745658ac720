"""What a comparison with the version before the rebuild has shown; each was lost on the way."""

from __future__ import annotations

import gc
import json
import os
import sys

import pytest

from dirjobs import DirJobs, Guarantees, JobExists
from dirjobs.backends.memory import MemoryStore
from dirjobs.layers import Layer
from dirjobs.layout import AGREEMENT, ATTEMPTS
from dirjobs.protocol import attempts
from dirjobs.protocol.share import Share
from tests.amounts import PATIENCE

# -- a job is of a queue, whoever still has a name for that ---------------------------------------


def of_a_call(folder):
    return DirJobs(folder, create=True).next_and_lock()


def of_a_loop(folder):
    for job in DirJobs(folder, create=True):
        return job
    return None


def of_an_iterator(folder):
    return next(iter(DirJobs(folder, create=True)))


def of_a_name_that_is_gone(folder):
    queue = DirJobs(folder, create=True)
    job = queue.next_and_lock()
    del queue
    return job


@pytest.mark.parametrize("taken", [of_a_call, of_a_loop, of_an_iterator, of_a_name_that_is_gone])
def test_a_job_keeps_its_queue_alive(local, taken):
    local.put("a.txt")
    job = taken(local.folder)
    gc.collect()
    assert local.jobs() == {"01_running": ["w1.a.txt"]}
    assert job.still_mine()
    with job:
        assert job.read_text() == "data"
    assert local.jobs() == {"02_done": ["a.txt"]}
    thread = job._queue._generation.thread._thread
    del job
    gc.collect()
    thread.join(PATIENCE)
    (heartbeat,) = (name for name in local.names("_queue/workers"))
    assert json.loads(local.store.read(f"_queue/workers/{heartbeat}"))["ended"]


# -- whose settings -------------------------------------------------------------------------------


def test_a_requeue_goes_by_its_queues_settings(local):
    times = {"heartbeat": 0.2, "lease": 2, "timeout": 0.05, "max_pause": 0.1}
    queue = local.open(mode="verify", **times)
    assert queue.requeue() == []
    said = json.loads(local.store.read(AGREEMENT))
    assert (said["mode"], said["heartbeat"], said["lease"]) == ("verify", 0.2, 2.0)


class Unsure(Layer):
    """Nobody knows how late its listings are."""

    guarantees = Guarantees()


def test_an_agreed_wait_is_followed_without_a_word_of_the_lease():
    store = Unsure(MemoryStore())
    store.mkdir("_queue")
    store.write(AGREEMENT, b'{"mode": "sync", "sync_time": 120, "lease": 330}')
    with DirJobs(store) as queue:
        assert queue.mode == "sync"
        assert queue._wish.lease >= 330


# -- what people and other programs write ---------------------------------------------------------

SAID = {"mode": "verify", "sync_time": 0, "checked": {"lag": float("nan")}, "min_age": 3}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_an_agreement_edited_by_hand_in_any_editor(place, encoding):
    place.put(folder="_queue")
    place.store.write(AGREEMENT, json.dumps(SAID).encode(encoding))
    place.put("a.txt")
    queue = place.open(min_age=0.0)
    queue._worker.candidates.min_age = 0.0
    queue._begun()
    assert queue.mode == "verify"
    assert queue._membership.agreement.min_age == 3


@pytest.mark.parametrize("odd", ["x", None, 3, []])
def test_odd_notes_hide_no_others(place, odd):
    share = Share(place.store)
    place.put(folder=ATTEMPTS.partition("/")[0])
    place.put(folder=ATTEMPTS)
    notes = [{"reason": "one", "died": True}, odd, {"reason": "caf\udce9", "died": True}]
    data = json.dumps({"format": 1, "attempts": notes}).encode("utf-8-sig")
    place.store.write(f"{ATTEMPTS}/a.txt.json", data)
    assert attempts.note(share, "a.txt", "w1", "three", died=True) == 3
    reasons = [note["reason"] for note in attempts.read(share, "a.txt")]
    assert reasons == ["one", "caf\udce9", "three"]


# -- connections ----------------------------------------------------------------------------------


class Counted(Layer):
    """Counts who asks for another connection, and can refuse it."""

    def __init__(self, store, made):
        super().__init__(store)
        self.made = made

    def another(self):
        if self.made is None:
            raise ConnectionRefusedError("no more connections")
        self.made.append("another")
        return type(self)(self.store, self.made)


def test_only_a_worker_has_a_connection_for_its_heartbeat():
    made = []
    with DirJobs(Counted(MemoryStore(), made)) as queue:
        queue.add("a.txt")
        queue.status()
        assert made == []
        queue.next_and_lock().done()
        assert made == ["another"]
        queue.store.made = None
    assert made == ["another"]


# -- names that are in use ------------------------------------------------------------------------


def link_to_a_device(path):
    if sys.platform == "win32":
        pytest.skip("making links needs rights there")
    os.symlink("/dev/null", path)


@pytest.mark.parametrize("folder", ["00_waiting", "02_done", "99_failed"])
@pytest.mark.parametrize("make", [os.mkdir, link_to_a_device], ids=["folder", "link"])
def test_whatever_has_a_name_is_in_the_way_of_a_new_job(local, folder, make):
    queue = local.open()
    make(f"{local.folder}/{folder}/a.txt")
    with pytest.raises(JobExists, match=folder):
        queue.add("a.txt")


class OneCase(Layer):
    """A store for which case makes no other name."""

    guarantees = Guarantees(visible_after=0)

    def exists(self, path):
        folder, _, name = path.rpartition("/")
        if not folder:
            return super().exists(path)
        return name.lower() in {entry.name.lower() for entry in self.store.list(folder)}


def test_a_name_in_other_letters_is_in_use_where_the_store_says_so():
    store = OneCase(MemoryStore())
    with DirJobs(store) as queue:
        queue.add("job.txt")
        queue.next_and_lock().failed("why")
        with pytest.raises(JobExists):
            queue.add("JOB.txt")
