"""Whose attempt is it?  Only who claimed a job ends it: not after its queue was closed, not in
a forked child, and not two threads at once."""

import gc
import json
import os
import signal
import threading

import pytest

from dirjobs import ClaimLost, DirJobs, Guarantees, JobClosed
from dirjobs.layers import Layer
from dirjobs.layout import DONE, RUNNING, WAITING
from tests.amounts import PATIENCE

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
forks = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def beats(place):
    """The heartbeats that are there, by incarnation."""
    names = [name for name in place.names("_queue/workers") if name.endswith(".json")]
    records = [json.loads(place.store.read(f"_queue/workers/{name}")) for name in names]
    return {record["worker"]: record for record in records}


class Meanwhile(Layer):
    """A store at which something happens while one request is under way.

    Args:
        store: answers.
        before: called with verb and paths; where it returns True it is called no more.
    """

    def __init__(self, store, before):
        super().__init__(store)
        self.before = before

    def _happens(self, *request):
        before, self.before = self.before, lambda *_: False
        if not before(*request):
            self.before = before

    def list(self, folder):
        self._happens("list", folder)
        return super().list(folder)

    def names_of_files(self, folder):
        self._happens("list", folder)
        return self.store.names_of_files(folder)

    def rename(self, src, dst):
        self._happens("rename", src, dst)
        super().rename(src, dst)

    def write(self, path, data):
        self._happens("write", path)
        super().write(path, data)


# -- a queue that was closed ------------------------------------------------------------------


@pytest.mark.parametrize("end", ["done", "failed"])
def test_a_job_of_a_closed_queue_ends_nobody_elses_attempt(place, end):
    place.put("job1.txt")
    first = place.open()
    old = first.next_and_lock()
    first.close()
    new = place.open().next_and_lock()
    assert new.full_name() == old.full_name()
    assert not old.still_mine()
    with pytest.raises(ClaimLost, match=r"'01_running/w1\.job1\.txt' was given back when its"):
        getattr(old, end)()
    assert place.jobs() == {RUNNING: ["w1.job1.txt"]}
    new.done()
    assert place.jobs() == {DONE: ["job1.txt"]}


def test_a_job_of_a_closed_queue_can_be_given_back_in_vain(place):
    place.put("job1.txt")
    first = place.open()
    with pytest.raises(KeyboardInterrupt), first.next_and_lock():
        first.close()
        new = place.open().next_and_lock()
        raise KeyboardInterrupt
    new.done()


def test_a_queue_that_begins_anew_claims_under_names_of_its_own(place):
    place.put("job1.txt", "job2.txt")
    queue = place.open()
    queue.close()
    assert queue.next_and_lock().full_name() == "w1.job1.txt"
    queue.close()
    assert queue.next_and_lock().full_name().startswith("w1~")


def test_a_job_that_ends_while_its_queue_is_closed_is_ended(place):
    """Nobody gives it back meanwhile, and nobody uses its claim's name again."""
    place.put("job1.txt", "job2.txt")
    store = place.store
    place.store = Meanwhile(store, lambda *_: False)
    queue = place.open()
    job, other = queue.next_and_lock(), queue.next_and_lock()

    def close(verb, *paths):
        if verb == "rename" and paths[1].startswith(DONE):
            queue.close()
            return True
        return False

    place.store.before = close
    job.done()
    assert place.jobs() == {DONE: ["job1.txt"], WAITING: ["job2.txt"]}
    assert (beats(place)["w1"]["ended"], beats(place)["w1"]["unsettled"]) == (True, 1)
    with pytest.raises(ClaimLost):
        other.done()
    assert place.open().next_and_lock().full_name().startswith("w1~")


def test_a_job_that_is_claimed_while_its_queue_is_closed_is_given_back(place):
    """The end says that something is under way, so that nobody uses the claim's name."""
    place.put("job1.txt")
    store = place.store
    place.store = Meanwhile(store, lambda *_: False)
    queue = place.open()

    def close(verb, *paths):
        if verb == "rename" and paths[1].startswith(RUNNING):
            queue.close()
            return True
        return False

    place.store.before = close
    assert queue.next_and_lock() is None
    assert place.jobs() == {WAITING: ["job1.txt"]}
    assert (beats(place)["w1"]["ended"], beats(place)["w1"]["unsettled"]) == (True, 1)


def test_a_call_that_was_under_way_takes_no_job_of_a_closed_queue(place):
    """Not under the name of the worker after it, either, which has no heartbeat yet."""
    place.put("job1.txt")
    store = place.store
    place.store = Meanwhile(store, lambda *_: False)
    queue = place.open()
    assert queue.next_and_lock().release()

    def close(verb, *paths):
        if (verb, *paths) == ("list", WAITING):
            queue.close()
            return True
        return False

    place.store.before = close
    assert queue.next_and_lock() is None
    assert place.jobs() == {WAITING: ["job1.txt"]}


def test_a_loop_ends_when_its_queue_is_closed(place):
    place.put("job1.txt", "job2.txt", "job3.txt")
    queue = place.open()
    for number, job in enumerate(queue):
        job.done()
        if number:
            queue.close()
    assert place.jobs() == {DONE: ["job1.txt", "job2.txt"], WAITING: ["job3.txt"]}
    assert [job.name() for job in queue] == ["job3.txt"]


def test_a_thread_that_waits_in_a_pause_ends_when_its_queue_is_closed(place):
    place.put("job1.txt", "job2.txt")
    queue = place.open()
    queue.next_and_lock().done()
    queue._membership.control.paused = True
    found = []
    thread = threading.Thread(target=lambda: found.append(queue.next_and_lock()))
    thread.start()
    queue.close()
    thread.join(PATIENCE)
    assert found == [None]


def test_a_drained_queue_stays_drained_when_it_is_closed(place):
    place.put("job1.txt", "job2.txt")
    queue = place.open()
    queue.next_and_lock().done()
    queue.drain()
    queue.close()
    assert queue.draining
    assert queue.next_and_lock() is None


def test_two_threads_do_not_end_one_job(place):
    place.put("job1.txt")
    store = place.store
    place.store = Meanwhile(store, lambda *_: False)
    job = place.open().next_and_lock()

    def release(verb, *paths):
        if verb == "rename":
            with pytest.raises(JobClosed, match="another thread is ending"):
                job.release()
            return True
        return False

    place.store.before = release
    job.done()
    assert place.jobs() == {DONE: ["job1.txt"]}


class Unsure(Layer):
    """A store that may have executed a rename for which it says that nothing was there."""

    guarantees = Guarantees(visible_after=0)


def test_a_job_given_back_by_hand_and_done_by_another_is_not_done_by_the_first(place):
    place.put("job1.txt")
    place.store = Unsure(place.store)
    first, second = place.open("a"), place.open("b")
    old = first.next_and_lock()
    assert first.requeue("job1.txt") == ["job1.txt"]
    second.next_and_lock().done()
    with pytest.raises(ClaimLost):
        old.done()
    assert place.jobs() == {DONE: ["job1.txt"]}


# -- forked children --------------------------------------------------------------------------


@needs_fork
@forks
@pytest.mark.parametrize("how", [None, ValueError, SystemExit, KeyboardInterrupt])
def test_a_child_that_leaves_its_parents_block_leaves_the_job_alone(local, how):
    local.put("job1.txt")
    queue = local.open()
    child = parent = os.getpid()
    try:
        with queue.next_and_lock():
            child = os.fork()
            if child == 0 and how is not None:
                raise how
            if child != 0:
                os.waitpid(child, 0)
                assert local.jobs() == {RUNNING: ["w1.job1.txt"]}
    finally:
        if os.getpid() != parent:
            os._exit(0)
    assert local.jobs() == {DONE: ["job1.txt"]}


@needs_fork
@forks
def test_a_child_can_not_end_its_parents_job(local):
    local.put("job1.txt")
    job = local.open().next_and_lock()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        for end in (job.done, job.failed, job.release):
            try:
                end()
            except JobClosed as error:
                os.write(writing, f"{error} {job.still_mine()}\n".encode())
        os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    sentence = f"job 'job1.txt' is held by process {os.getpid()}, which forked this one"
    assert told == f"{sentence}: end it there. False\n" * 3
    assert job.still_mine()
    job.done()


@needs_fork
@forks
def test_a_child_forked_while_a_thread_begins_does_not_wait_for_it(local):
    local.put("job1.txt", "job2.txt")
    begins, go_on = threading.Event(), threading.Event()
    parent = os.getpid()

    def wait(verb, *paths):
        if verb == "write" and paths[0].startswith("_queue/workers") and os.getpid() == parent:
            begins.set()
            go_on.wait(PATIENCE)
            return True
        return False

    local.store = Meanwhile(local.store, wait)
    queue = local.open()
    thread = threading.Thread(target=lambda: queue.next_and_lock().done())
    thread.start()
    begins.wait(PATIENCE)
    child = os.fork()
    if child == 0:
        signal.alarm(int(PATIENCE))
        status = 1
        try:
            queue.next_and_lock().done()
            queue.close()
            queue.next_and_lock().release()  # under a name of its own again
            queue.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    go_on.set()
    thread.join(PATIENCE)
    assert local.jobs() == {DONE: ["job1.txt", "job2.txt"]}


# -- a queue that is forgotten ----------------------------------------------------------------


def test_a_queue_that_its_own_heartbeat_collects_ends_well(local):
    local.put("job1.txt")

    def collect(verb, *_):
        if verb == "write" and threading.current_thread().name == "dirjobs-heartbeat":
            gc.collect()
            return not held

        return False

    class Application:
        def __init__(self):
            self.queue = DirJobs(
                Meanwhile(local.store, collect),
                heartbeat=0.02,
                timeout=0.1,
                max_pause=0.1,
                lease=1,
            )
            self.job = self.queue.next_and_lock()
            self.me = self

    held = [Application()]
    thread = held[0].queue._generation.thread._thread
    gc.disable()
    try:
        held.clear()
        thread.join(PATIENCE)
    finally:
        gc.enable()
    assert not thread.is_alive()
    assert local.jobs() == {WAITING: ["job1.txt"]}
    assert beats(local)["w1"]["ended"]


def test_the_end_of_a_forgotten_queue_may_come_at_any_moment(local):
    """Also while its thread is told to end: a collection takes no lock twice."""
    local.put("job1.txt")
    queue = local.open(heartbeat=30)
    queue.next_and_lock()
    heartbeat = queue._generation.thread
    heartbeat.tell_to_end()
    heartbeat.tell_to_end()
    heartbeat.stop()
    assert local.jobs() == {WAITING: ["job1.txt"]}
