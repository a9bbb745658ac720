"""The mode that the workers of a queue agree on, and agreements that make no sense."""

import json
import threading

import pytest

from dirjobs import ConfigurationError
from dirjobs.store import MAX_READ


def beats(place):
    """The heartbeats that are there, as records by incarnation."""
    names = [name for name in place.names("_queue/workers") if name.endswith(".json")]
    records = [json.loads(place.store.read(f"_queue/workers/{name}")) for name in names]
    return {record["worker"]: record for record in records}


def mode_of(place):
    return json.loads(place.store.read("_queue/queue.json"))["mode"]


def test_worker_sync_claims_after_two_waits(local):
    local.put("job1.txt")
    queue = local.open(worker_sync=True, sync_time=0.05)
    assert queue.mode == "sync"
    with queue.next_and_lock() as job:
        assert job.full_name() == "w1.job1.txt"
    assert local.jobs() == {"02_done": ["job1.txt"]}
    assert mode_of(local) == "sync"


@pytest.mark.parametrize("order", [("w1", "w2"), ("w2", "w1")])
def test_workers_in_sync_drain_a_queue_together(local, order):
    local.put(*(f"job{number}.txt" for number in range(4)))
    started, errors = [], []

    def work(wid):
        try:
            with local.open(wid, worker_sync=True, sync_time=0.05) as queue:
                for job in queue:
                    with job:
                        started.append(job.name())
        except BaseException as error:  # noqa: BLE001 - shown below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(wid,)) for wid in order]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(started) == [f"job{number}.txt" for number in range(4)]


def test_who_names_no_mode_takes_over_the_one_agreed_on(place):
    place.put("job1.txt", "job2.txt")
    careful, other = place.open("w1", mode="verify"), place.open("w2")
    careful.next_and_lock()
    other.next_and_lock()
    assert other.mode == "verify"
    assert beats(place)["w2"]["terms"]["mode"] == "verify"


def test_a_less_careful_mode_is_refused_while_others_work(place):
    place.put("job1.txt", "job2.txt")
    place.open("w1", mode="verify").next_and_lock()
    with pytest.raises(ConfigurationError, match=r"^this queue works in mode 'verify' .* first\.$"):
        place.open("w2", mode="trust").next_and_lock()
    assert set(beats(place)) == {"w1"}
    assert mode_of(place) == "verify"


def test_a_less_careful_mode_is_agreed_on_when_nobody_else_works(place):
    place.put("job1.txt", "job2.txt")
    with place.open("w1", mode="verify") as queue:
        queue.next_and_lock().done()
    place.open("w2", mode="trust").next_and_lock()
    assert mode_of(place) == "trust"


def test_a_more_careful_mode_is_agreed_on_by_all(place):
    place.put("job1.txt", "job2.txt", "job3.txt")
    times = {"heartbeat": 0.05, "timeout": 0.01, "max_pause": 0.1, "lease": 5.0}
    first = place.open("w1", **times)
    first.next_and_lock()
    assert mode_of(place) == "trust"
    place.open("w2", mode="verify", **times).next_and_lock()
    assert mode_of(place) == "verify"
    first._membership.beat()
    assert first.mode == "verify"


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"{}", b'{"mode": "fast"}', b'{"mode": ["sync"]}', b"\xff\xfe"]
    + [b'{"mode": "sync", "sync_time": %s}' % value for value in (b'"70s"', b"-1", b"NaN", b"1e12")]
    + [b'{"mode": "trust", "heartbeat": %s}' % value for value in (b"0", b"1e9", b"1" * 5000)]
    + [b'{"mode": "trust", "lease": 1e300}', b'{"mode": "trust", "min_age": 1e300}']
    + [b'{"mode": "trust", "more": ' + b"[" * depth + b"]" * depth + b"}" for depth in (60, 100000)]
    + [b'{"mode": "trust", "more": 1e999}', b'{"mode": "trust"}' + b" " * MAX_READ],
    ids=lambda content: f"{content[:50]!r} {len(content)}",
)
def test_a_broken_agreement_is_one_clear_sentence(place, content):
    place.put("job1.txt")
    place.put("queue.json", folder="_queue", data=content)
    with pytest.raises(ConfigurationError, match=r"^_queue/queue\.json can't be understood") as one:
        place.open().next_and_lock()
    assert str(one.value).endswith(".")
    assert "\n" not in str(one.value)
    assert place.jobs() == {"00_waiting": ["job1.txt"]}


@pytest.mark.parametrize(
    ("agreed", "options", "lease"),
    [
        ({"lease": 1}, {}, 210),
        ({"heartbeat": 200}, {}, 550),
        ({"lease": 300}, {"lease": 900, "timeout": 200}, 720),
        ({"lease": 1, "mode": "sync", "sync_time": 0.05}, {}, 210.05),
        ({"lease": 400}, {}, 400),
    ],
)
def test_a_lease_too_short_for_an_agreement_is_lengthened(place, agreed, options, lease):
    place.put("job1.txt")
    record = {"mode": "trust", "sync_time": 0, "heartbeat": 30, "lease": 300} | agreed
    written = json.dumps(record).encode()
    place.put("queue.json", folder="_queue", data=written)
    job = place.open(**options).next_and_lock()
    assert job.full_name() == "w1.job1.txt"
    terms = beats(place)["w1"]["terms"]
    assert terms["lease"] == pytest.approx(lease)
    assert {key: terms[key] for key in ("mode", "heartbeat", "sync_time")} == {
        key: record[key] for key in ("mode", "heartbeat", "sync_time")
    }
    said = json.loads(place.store.read("_queue/queue.json"))
    assert said.pop("id")  # a queue of an older version gets one
    assert said == record


def beat(queue):
    queue._membership.beat()


def test_an_agreement_that_is_broken_later_stops_no_sweep(place):
    place.put("job1.txt")
    queue = place.open()
    job = queue.next_and_lock()
    path = f"01_running/{job.full_name()}"
    queue._worker.intents.leave_in_doubt(path)  # as if its answer had been lost
    place.store.write("_queue/queue.json", b"{ by hand")
    for _ in range(2):
        beat(queue)
    assert place.jobs() == {"00_waiting": ["job1.txt"]}


def test_an_agreement_that_is_broken_later_is_told_once_and_left_alone(place, caplog):
    place.put("job1.txt")
    queue = place.open()
    queue.next_and_lock()
    counter = beats(place)["w1"]["counter"]
    told = []
    for content in (b"{ by hand", b"{ by hand", b"{ by hand", b"[]"):
        place.store.write("_queue/queue.json", content)
        beat(queue)
        told.append(caplog.text.count("_queue/queue.json can't be understood"))
        assert place.store.read("_queue/queue.json") == content
    assert told == [1, 1, 1, 2]
    assert beats(place)["w1"]["counter"] == counter + 4
    assert queue.mode == "trust"


def test_an_agreement_that_is_mended_holds_again(place, caplog):
    place.put("job1.txt")
    queue = place.open()
    queue.next_and_lock()
    mended = json.loads(place.store.read("_queue/queue.json")) | {"mode": "verify"}
    for content in (b"{ by hand", json.dumps(mended).encode(), b"{ by hand"):
        place.store.write("_queue/queue.json", content)
        beat(queue)
    assert queue.mode == "verify"
    assert caplog.text.count("_queue/queue.json can't be understood") == 2
