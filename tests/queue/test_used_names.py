"""Jobs that people save anew, or whose names they use again, while workers have old listings."""

import pytest

from dirjobs import DirJobs, Guarantees
from dirjobs.backends.memory import MemoryStore
from dirjobs.layers import Layer

TIMES = {"heartbeat": 30.0, "timeout": 1.0, "max_pause": 1.0, "lease": 300.0}


class Untried(Layer):
    """A WebDAV server that nobody has checked: it promises nothing about renames."""

    @property
    def guarantees(self):
        return Guarantees(visible_after=0)


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def join(store):
    workers = []

    def start(wid):
        workers.append(DirJobs(Untried(store), wid, **TIMES))
        return workers[-1]

    yield start
    for worker in workers:
        worker.close()


def names(store, folder):
    return [entry.name for entry in store.list(folder)]


def test_a_job_that_was_saved_anew_after_it_was_listed_is_run(store, join):
    worker = join("a")
    worker.add("job1.txt", b"1")
    worker.add("job2.txt", b"2")
    first = worker.next_and_lock()
    store.write("00_waiting/job2.txt", b"longer parameters")
    first.done()
    second = worker.next_and_lock()
    assert second.read_bytes() == b"longer parameters"
    second.done()
    assert names(store, "02_done") == ["job1.txt", "job2.txt"]
    assert names(store, "_queue/parked") == []


def test_a_new_job_under_a_name_just_used_is_run(store, join):
    ours, other = join("a"), join("b")
    for number in (1, 2, 3):
        ours.add(f"job{number}.txt", b"1")
    held = other.next_and_lock()  # lists all three
    done = ours.next_and_lock()
    done.done()
    store.write(f"00_waiting/{done.name()}", b"2")
    held.done()
    seen = {}
    for job in other:
        seen[job.name()] = job.read_bytes()
        job.done()
    assert seen[done.name()] == b"2"
    assert len(names(store, "02_done")) == 4
    assert names(store, "_queue/parked") == []


def test_a_name_that_leaves_no_room_for_the_workers_id_is_left_alone(store, join, caplog):
    """Its claim has one name, and the way back needs longer ones: up to 255 bytes."""
    wid = "gpu-node-0123456789-gpu-node-0123456789a"
    longest = "ü" * 74 + "a.txt"  # 153 bytes
    store.mkdir("00_waiting")
    for name in (longest, "b" + longest):
        store.write(f"00_waiting/{name}", b"")
    worker = join(wid)
    job = worker.next_and_lock()
    assert job.name() == longest
    assert worker.next_and_lock() is None
    job.release()
    assert sorted(names(store, "00_waiting")) == sorted([longest, "b" + longest])
    assert caplog.text.count("can take names of up to 153; rename it") == 1
    assert join("w2").next_and_lock() is not None
