"""Names that are changed on the way: found by a check, recorded, and used by nobody."""

from __future__ import annotations

import json
from dataclasses import replace
from urllib.parse import quote

import pytest

from dirjobs import DirJobs
from dirjobs.backends.memory import MemoryStore
from dirjobs.check import check
from dirjobs.check.file_semantics import find_changed_names
from dirjobs.check.record import record
from dirjobs.errors import InvalidName, JobsRefused
from dirjobs.layers import Layer
from dirjobs.names import CHANGEABLE, change_problem, is_changeable
from dirjobs.protocol.agreement import changed_names, further_keys
from dirjobs.testing.names import ODD_NAMES
from tests.check.test_record import agreed, outcome
from tests.fake_webdav import PERSONALITIES
from tests.fake_webdav.fixtures import serve_fake

__all__ = ["serve_fake"]


class Changes(Layer):
    """Renames to other names than it was asked for."""

    def rename(self, src, dst):
        super().rename(src, dst.replace(" ", "%20").replace("\u00e4", "a"))


class Counts(Layer):
    """Notes which files are read."""

    def __init__(self, store):
        super().__init__(store)
        self.read_paths = []

    def read(self, path):
        self.read_paths.append(path)
        return super().read(path)


class ListsLate(Layer):
    """Shows in listings what was there at the last one but one; knows single files at once."""

    def __init__(self, store):
        super().__init__(store)
        self.before = {}

    def list(self, folder):
        shown = self.before.get(folder, [])
        self.before[folder] = [*super().list(folder)]
        return shown


@pytest.fixture
def store():
    return MemoryStore()


def test_a_check_finds_what_is_changed(store):
    done = check(Changes(store), rounds=2, short=True)
    assert done.findings.changed_names == ["spaces", "letters beyond ASCII"]
    (told,) = (sentence for sentence in done.verdict.avoid if "renamed are changed" in sentence)
    assert "if they have spaces, letters beyond ASCII: use letters, digits" in told
    assert not [entry for entry in store.list("") if entry.name.startswith("~check")]


def test_a_late_listing_is_no_evidence(store):
    assert find_changed_names(ListsLate(store), "here", "tag", 0.0) == []
    assert find_changed_names(ListsLate(Changes(store)), "there", "tag", 0.0) != []


@pytest.mark.parametrize("changes", [True, False])
def test_a_check_of_a_server_behind_a_proxy(serve_fake, changes):
    server = serve_fake(replace(PERSONALITIES["atomic"], encodes_again=changes))
    done = check(server.url, rounds=2, short=True)
    assert done.findings.changed_names == ([*CHANGEABLE] if changes else [])
    assert server.tree() == {}


def test_the_record_goes_when_names_arrive_again(store):
    record(store, outcome(changed_names=["spaces", "'%'"]))
    assert agreed(store)["changed_names"] == ["spaces", "'%'"]
    with DirJobs(store) as queue:  # a worker writes what it found there
        queue.next_and_lock()
    assert agreed(store)["changed_names"] == ["spaces", "'%'"]
    record(store, outcome(changed_names=[]))
    assert agreed(store)["changed_names"] == []


@pytest.mark.parametrize(
    "odd", ["spaces", 5, None, {"spaces": 1}, [["spaces"], None, 5, "kobolds"]]
)
def test_a_record_that_makes_no_sense_forbids_nothing(odd):
    assert changed_names(further_keys(json.dumps({"changed_names": odd}).encode())) == ()


def test_a_record_is_bounded_by_what_is_known():
    assert changed_names({"changed_names": ["'%'", "spaces", "new", "spaces"] * 999}) == (
        "spaces",
        "'%'",
    )
    assert changed_names({}) == ()


def test_whatever_has_to_be_encoded_is_of_some_kind():
    for name in (pattern.format("x") for pattern in ODD_NAMES.values()):
        assert is_changeable(name) == (quote(name) != name)
        assert bool(change_problem(name, CHANGEABLE)) == is_changeable(name)
    assert not is_changeable("lr0.1_seed-3.json")


@pytest.mark.parametrize("mode", ["trust", "verify", "sync"])
def test_nobody_takes_or_adds_what_is_recorded(store, mode):
    record(store, outcome(changed_names=["spaces"]))
    for name in ("a b.txt", "a+b.txt"):
        store.write(f"00_waiting/{name}", b"x")
    more = {"sync_time": 0.01} if mode == "sync" else {}
    with DirJobs(store, mode=mode, **more) as queue:
        with pytest.raises(InvalidName, match=r"job name 'c d.txt' can't be used here: .* spaces"):
            queue.add("c d.txt")
        assert queue.next_and_lock().name() == "a+b.txt"
        with pytest.raises(JobsRefused, match=r"1 job could not be taken, 'a b.txt': .* spaces"):
            queue.next_and_lock()
        queue.add("plain.txt")
        assert queue.next_and_lock().name() == "plain.txt"
    assert store.exists("00_waiting/a b.txt")


def test_a_plain_name_costs_no_look_at_the_record(store):
    record(store, outcome(changed_names=["spaces"]))
    counts = Counts(store)
    with DirJobs(counts) as queue:
        queue.add("a.txt")
        queue.status()
        assert counts.read_paths == []
        queue.add("a+b.txt")
        assert counts.read_paths == ["_queue/queue.json"]
