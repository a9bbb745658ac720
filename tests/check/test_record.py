"""The outcome of a check, written into queue.json and used by workers."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from dirjobs import DirJobs
from dirjobs.backends.memory import MemoryStore
from dirjobs.check import Check, Findings, Lag, Race, decide
from dirjobs.check.file_semantics import Partial
from dirjobs.check.record import record
from dirjobs.layers import Layer
from dirjobs.store import Guarantees

GOOD = Race(rounds=300, contested=300)
BAD = Race(rounds=9, contested=9, failed=3, failures=Counter({"several were told yes": 3}))

BAD_NAMES = Race(rounds=30, contested=30, failed=29, failures=Counter({"a file is lost": 29}))


class Modest(Layer):
    """Promises nothing about renames, as WebDAV."""

    @property
    def guarantees(self):
        return Guarantees(visible_after=0)


@pytest.fixture
def store():
    return Modest(MemoryStore())


def outcome(**what):
    found = Findings(
        "memory://", Guarantees(visible_after=0), **{"across": GOOD, "collisions": GOOD} | what
    )
    return Check(found, decide(found))


def agreed(store):
    return json.loads(store.read("_queue/queue.json"))


def test_a_check_makes_the_queue_and_says_how_it_works(store):
    told = record(store, outcome())
    assert (told.mode, told.sync_time) == ("trust", 0)
    assert told.sentence == "Recorded in _queue/queue.json: mode trust."
    document = agreed(store)
    assert document["mode"] == "trust"
    assert document["min_age"] == 0
    assert document["checked"]["rounds"] == 300
    assert document["checked"]["bound"] == 0.01
    assert document["checked"]["collisions"] == 300
    assert store.exists("00_waiting")
    store.write("00_waiting/job1.txt", b"")
    with DirJobs(store, "w1") as queue:
        assert queue.next_and_lock() is not None
        assert queue.mode == "trust"
    assert agreed(store) == document


@pytest.mark.parametrize(
    ("what", "mode", "wait"),
    [
        ({"across": BAD}, "verify", 0),
        ({"collisions": BAD_NAMES}, "verify", 0),
        ({"lag": Lag(new=0.01)}, "sync", 10),
    ],
)
def test_what_was_refuted_is_recorded(store, what, mode, wait):
    record(store, outcome())
    record(store, outcome(**what))
    assert (agreed(store)["mode"], agreed(store)["sync_time"]) == (mode, wait)


def test_a_longer_wait_gets_a_longer_lease(store):
    told = record(store, outcome(lag=Lag(new=80.0)))
    assert told.sync_time == 140
    assert agreed(store)["lease"] == 350


def test_files_that_grow_in_sight_wait(store):
    record(store, outcome(partial=Partial.MOVABLE))
    assert agreed(store)["min_age"] == 10


def test_keys_of_a_later_version_stay(store):
    record(store, outcome())
    document = agreed(store) | {"later": {"key": [1]}}
    store.write("_queue/queue.json", json.dumps(document).encode())
    with DirJobs(store, "w1", mode="verify") as queue:
        store.write("00_waiting/job1.txt", b"")
        queue.next_and_lock()
    assert agreed(store)["mode"] == "verify"
    assert agreed(store)["later"] == {"key": [1]}
    assert agreed(store)["checked"]["rounds"] == 300
    record(store, outcome())
    assert agreed(store)["mode"] == "trust"
    assert agreed(store)["later"] == {"key": [1]}


def test_while_others_work_the_queue_only_gets_more_careful(store):
    record(store, outcome(across=BAD))
    store.write("00_waiting/job1.txt", b"")
    with DirJobs(store, "w1") as queue:
        queue.next_and_lock()
        told = record(store, outcome())
        assert told.mode == "verify"
        assert "1 other worker(s) run: check again when none does" in told.sentence
        assert agreed(store)["mode"] == "verify"
        assert agreed(store)["checked"]["verdict"] == "trust"
    assert record(store, outcome()).mode == "trust"


def test_trust_that_was_refuted_at_work_does_not_come_back(store):
    record(store, outcome())
    why = "job 'job1.txt' is claimed by w1 and w2"
    document = agreed(store) | {"mode": "verify", "refuted": {"why": why}}
    store.write("_queue/queue.json", json.dumps(document).encode())
    told = record(store, outcome())
    assert told.mode == agreed(store)["mode"] == "verify"
    assert why in told.sentence
    assert agreed(store)["refuted"] == {"why": why}
