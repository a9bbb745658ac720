"""What a worker in Python records of its attempts, whatever becomes of them."""

import json

import pytest

from dirjobs import ClaimLost, Denied, NoSpace, Unavailable
from dirjobs.layers import Layer
from dirjobs.layout import DONE, FAILED, JOURNAL, RUNNING, WAITING


def records(place):
    return [
        json.loads(line)
        for name in place.names(JOURNAL)
        for line in place.store.read(f"{JOURNAL}/{name}").splitlines()
    ]


def told(place, *names):
    return [tuple(record.get(name) for name in names) for record in records(place)]


def test_each_end_leaves_a_record(place):
    place.put("a.txt", "b.txt", "c.txt", "d.txt")
    queue = place.open()
    queue.next_and_lock().done()
    queue.next_and_lock().failed("no idea")
    queue.next_and_lock().release()
    with pytest.raises(ZeroDivisionError), queue.next_and_lock():
        1 / 0  # noqa: B018 - for its error
    assert told(place, "job", "end", "reason", "worker")[:2] == [
        ("a.txt", "done", None, "w1"),
        ("b.txt", "failed", "no idea", "w1"),
    ]
    assert told(place, "job", "end", "reason")[2:] == [
        ("c.txt", "given back", None),
        ("d.txt", "failed", "ZeroDivisionError: division by zero"),
    ]
    assert all(record["seconds"] >= 0 for record in records(place))
    assert all(record["started"] <= record["ended"] for record in records(place))


def test_what_a_program_tells_of_its_attempt(place):
    place.put("a.txt")
    job = place.open().next_and_lock()
    job.details.params = {"lr": 0.1}
    job.details.result = {"loss": 0.5}
    job.done()
    assert told(place, "params", "result") == [({"lr": 0.1}, {"loss": 0.5})]


def test_the_record_is_there_before_the_job_has_ended(place):
    place.put("a.txt")
    seen = []

    class Watching(Layer):
        def rename(self, src, dst):
            if dst.startswith(DONE):
                seen.append(told(place, "job", "end"))
            super().rename(src, dst)

    store, place.store = place.store, Watching(place.store)
    job = place.open().next_and_lock()
    place.store = store
    job.done()
    assert seen == [[("a.txt", "done")]]


def test_an_attempt_that_lost_its_job_does_not_count(place):
    place.put("a.txt")
    job = place.open().next_and_lock()
    place.store.rename(f"{RUNNING}/w1.a.txt", f"{WAITING}/a.txt")
    with pytest.raises(ClaimLost):
        job.done()
    assert told(place, "job", "end", "lost") == [("a.txt", "done", True)]


def test_a_job_whose_name_is_taken_is_recorded_under_its_new_one(place):
    place.put("a.txt")
    job = place.open().next_and_lock()
    place.put("a.txt", folder=FAILED)
    job.failed("again")
    assert place.names(FAILED) == ["a.txt", "a~2.txt"]
    assert told(place, "job", "ended_as") == [("a.txt", "a~2.txt")]


def test_a_job_whose_end_is_asked_for_twice_has_one_record(place):
    """The first time the share refuses; the times are those of then."""
    place.put("a.txt")

    class Refusing(Layer):
        refuses = True

        def rename(self, src, dst):
            if self.refuses and dst.startswith(DONE):
                raise Denied(dst)
            super().rename(src, dst)

    store, place.store = place.store, Refusing(place.store)
    job = place.open().next_and_lock()
    with pytest.raises(Denied):
        job.done()
    (first,) = records(place)
    place.store.refuses = False
    job.failed("after all")
    place.store = store
    (second,) = records(place)
    assert second == {**first, "end": "failed", "reason": "after all"}


class Troubled(Layer):
    """A store that takes no records."""

    def __init__(self, store, error, times):
        super().__init__(store)
        self.error, self.times = error, times

    def write(self, path, data):
        if path.startswith(JOURNAL) and self.times > 0:
            self.times -= 1
            raise self.error("no record today")
        super().write(path, data)


@pytest.mark.parametrize("error", [Denied, NoSpace])
def test_a_share_that_takes_no_records_keeps_no_job_from_its_end(place, caplog, error):
    place.put("a.txt", "b.txt", "c.txt")
    store, place.store = place.store, Troubled(place.store, error, 10**9)
    queue = place.open()
    queue.next_and_lock().done()
    queue.next_and_lock().failed("x")
    queue.next_and_lock().release()
    assert place.jobs() == {DONE: ["a.txt"], FAILED: ["b.txt"], WAITING: ["c.txt"]}
    assert records(place) == []
    assert caplog.text.count("what came of jobs can't be recorded (no record today)") == 1
    place.store = store


def test_an_outage_is_waited_for(place, monkeypatch):
    monkeypatch.setattr("dirjobs.worker._FIRST_PAUSE", 0.01)
    place.put("a.txt")
    store, place.store = place.store, Troubled(place.store, Unavailable, 9)
    place.open().next_and_lock().done()
    place.store = store
    assert told(place, "job", "end") == [("a.txt", "done")]


def test_a_queue_that_is_closed_and_used_again_goes_on_in_another_file(place):
    place.put("a.txt", "b.txt")
    queue = place.open()
    queue.next_and_lock().done()
    queue.close()
    queue.next_and_lock().done()
    assert place.names(JOURNAL)[0] == "w1.1.jsonl"
    assert told(place, "job") == [("a.txt",), ("b.txt",)]
