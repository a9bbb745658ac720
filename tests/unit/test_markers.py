"""Renames on a store that has none: each error, each odd thing that may lie there."""

from __future__ import annotations

import json

import pytest

from dirjobs.backends.memory import MemoryStore
from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    ConfigurationError,
    Denied,
    NotFound,
    Unavailable,
    Unsupported,
)
from dirjobs.layers import Layer
from dirjobs.layout import DONE, FAILED, FOLDERS, RUNNING, TRASH, WAITING
from dirjobs.policy import moves_by_markers
from dirjobs.protocol.conditions import require_exclusive_create
from dirjobs.protocol.markers import Markers, renaming
from dirjobs.store import Guarantees


class NoRename(Layer):
    """A store like a bucket; `faults` are raised instead of what a path's next create is told."""

    def __init__(self, store):
        super().__init__(store)
        self.faults = {}

    @property
    def guarantees(self):
        return Guarantees(exclusive_create=True, visible_after=0)

    def rename(self, src, dst):
        raise Unsupported(src)

    def create(self, path, data):
        for part, fault in list(self.faults.items()):
            if part in path:
                del self.faults[part]
                error, carried_out = fault
                if carried_out:
                    super().create(path, data)
                raise error
        super().create(path, data)


@pytest.fixture
def bucket():
    memory = MemoryStore(clock=lambda: 1e6)
    for folder in FOLDERS:
        memory.mkdir(folder)
    return NoRename(memory)


@pytest.fixture
def store(bucket):
    return renaming(bucket)


def names(store, folder):
    return sorted(entry.name for entry in store.list(folder))


def put(store, name, data=b"content"):
    store.store.write(f"{WAITING}/{name}", data)


def claim(store, name="job.txt", worker="w1"):
    store.rename(f"{WAITING}/{name}", f"{RUNNING}/{worker}.{name}")


def test_who_gets_markers():
    assert moves_by_markers(Guarantees(exclusive_create=True, visible_after=0))
    assert not moves_by_markers(Guarantees(exclusive_create=True))
    assert not moves_by_markers(Guarantees(visible_after=0))
    memory = MemoryStore()
    assert renaming(memory) is memory, "what renames needs none"


def test_a_job_goes_its_way(store, bucket):
    put(store, "job.txt")
    claim(store)
    assert (names(store, WAITING), names(store, RUNNING)) == ([], ["w1.job.txt"])
    assert store.read(f"{RUNNING}/w1.job.txt") == b"content"
    assert store.full_path(f"{RUNNING}/w1.job.txt") == bucket.full_path(f"{WAITING}/job.txt")
    store.rename(f"{RUNNING}/w1.job.txt", f"{DONE}/job.txt")
    assert (names(store, RUNNING), names(store, DONE)) == ([], ["job.txt"])
    assert store.read(f"{DONE}/job.txt") == b"content"
    assert names(bucket, WAITING) == names(bucket, RUNNING) == []


def test_the_second_finds_nothing(store, bucket):
    put(store, "job.txt")
    other = Markers(bucket)
    assert names(other, WAITING) == ["job.txt"]
    claim(store)
    with pytest.raises(NotFound):
        claim(other, worker="w2")
    assert names(other, RUNNING) == ["w1.job.txt"]


def test_a_job_that_was_given_back_is_claimed_again(store, bucket):
    put(store, "job.txt")
    other = Markers(bucket)
    for worker in ("w1", "w2", "w3"):
        claim(store, worker=worker)
        other.rename(f"{RUNNING}/{worker}.job.txt", f"{WAITING}/job.txt")
        with pytest.raises(NotFound):
            store.rename(f"{RUNNING}/{worker}.job.txt", f"{DONE}/job.txt")
        assert names(store, WAITING) == ["job.txt"]
    claim(other)
    other.rename(f"{RUNNING}/w1.job.txt", f"{FAILED}/job.txt")
    assert names(bucket, RUNNING) == []


def test_only_one_of_two_ends_counts(store, bucket):
    put(store, "job.txt")
    claim(store)
    other = Markers(bucket)
    other.rename(f"{RUNNING}/w1.job.txt", f"{FAILED}/job.txt")
    with pytest.raises(NotFound):
        store.rename(f"{RUNNING}/w1.job.txt", f"{DONE}/job.txt")
    assert (names(store, DONE), names(store, FAILED)) == ([], ["job.txt"])


@pytest.mark.parametrize("carried_out", [True, False])
def test_an_end_without_an_answer_may_be_sent_again(store, bucket, carried_out):
    put(store, "job.txt")
    claim(store)
    bucket.faults["_queue/ended"] = AmbiguousResult("no answer"), carried_out
    if not carried_out:
        with pytest.raises(AmbiguousResult):
            store.rename(f"{RUNNING}/w1.job.txt", f"{DONE}/job.txt")
    store.rename(f"{RUNNING}/w1.job.txt", f"{DONE}/job.txt")
    assert names(store, DONE) == ["job.txt"]


def test_exists_may_be_our_own_success(store, bucket):
    put(store, "job.txt")
    names(store, WAITING)
    bucket.faults[RUNNING] = AlreadyExists("sent twice"), True
    claim(store)
    assert store.exists(f"{RUNNING}/w1.job.txt")


def test_a_conflict_is_nobodys_success(store, bucket):
    put(store, "job.txt")
    names(store, WAITING)
    bucket.faults[RUNNING] = AlreadyExists("409"), False
    with pytest.raises(AmbiguousResult):
        claim(store)
    assert not store.exists(f"{RUNNING}/w1.job.txt")
    claim(store)


def test_a_refusal_leaves_the_job_where_it_is(store, bucket):
    put(store, "job.txt")
    names(store, WAITING)
    bucket.faults[RUNNING] = Unavailable("503"), False
    with pytest.raises(Unavailable):
        claim(store)
    claim(store)


def test_a_retried_job_has_a_place_of_its_own(store, bucket):
    put(store, "job.txt")
    for _ in range(3):
        claim(store, worker=f"w{len(names(bucket, FAILED))}")
        [running] = names(store, RUNNING)
        store.rename(f"{RUNNING}/{running}", f"{FAILED}/job.txt")
        store.rename(f"{FAILED}/job.txt", f"{WAITING}/job.txt")
        assert names(store, WAITING) == ["job.txt"]
        assert names(bucket, WAITING) != ["job.txt"]


def test_a_name_used_again_has_a_place_of_its_own(store, bucket):
    for turn in range(2):
        bucket.write(f"{WAITING}/~abc.part", b"%d" % turn)
        store.rename(f"{WAITING}/~abc.part", f"{WAITING}/job.txt")
        assert (names(bucket, WAITING) == ["job.txt"]) == (turn == 0)
        with pytest.raises(AlreadyExists):
            bucket.write(f"{WAITING}/~def.part", b"")
            store.rename(f"{WAITING}/~def.part", f"{WAITING}/job.txt")
        bucket.remove(f"{WAITING}/~def.part")
        claim(store, worker=f"w{turn}")
        store.rename(f"{RUNNING}/w{turn}.job.txt", f"{TRASH}/job.txt")
    assert names(store, TRASH) == ["job.txt", "job~2.txt"]


def test_somebody_elses_end_is_carried_out(store, bucket):
    """He crashed right after he had decided."""
    put(store, "job.txt")
    claim(store)
    bucket.faults[DONE] = Unavailable("503"), False
    with pytest.raises(AmbiguousResult):
        store.rename(f"{RUNNING}/w1.job.txt", f"{DONE}/job.txt")
    other = Markers(bucket)
    with pytest.raises(NotFound):
        other.rename(f"{RUNNING}/w1.job.txt", f"{WAITING}/job.txt")
    assert (names(other, DONE), names(other, WAITING)) == (["job.txt"], [])
    assert names(bucket, RUNNING) == []


def test_markers_of_a_job_that_is_gone_go(store, bucket):
    bucket.write(f"{RUNNING}/job.txt~0123456789ab.1", b"{}")
    bucket.write(f"{RUNNING}/job.txt~0123456789ab.1.end", b"{}")
    for _ in range(2):
        assert names(store, WAITING) == []
    assert names(bucket, RUNNING) == []


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"by": "x", "claim": "../w1.x"}', b"\xff" * 100]
)
def test_a_claim_that_makes_no_sense_holds_nobody_up(store, bucket, content):
    put(store, "job.txt")
    claim(store)
    [marker] = names(bucket, RUNNING)
    bucket.write(f"{RUNNING}/{marker}", content)
    other = Markers(bucket)
    assert names(other, RUNNING) == []
    assert names(other, RUNNING) == []
    assert names(other, WAITING) == ["job.txt"]


@pytest.mark.parametrize("to", ["", "../x", "results/x", "02_done/../x", "02_done/a/b", 7])
def test_an_end_that_makes_no_sense_is_told(store, bucket, to):
    put(store, "job.txt")
    claim(store)
    [marker] = names(bucket, RUNNING)
    identity = marker.rpartition("~")[2].partition(".")[0]
    for folder in ("", "/00_waiting", "/00_waiting/job.txt"):
        bucket.mkdir(f"_queue/ended{folder}")
    end = json.dumps({"by": "x", "to": to}).encode()
    bucket.write(f"_queue/ended/00_waiting/job.txt/{identity}", end)
    with pytest.raises(Denied, match="can't be understood: delete it"):
        store.rename(f"{RUNNING}/w1.job.txt", f"{DONE}/job.txt")
    assert bucket.read(f"{WAITING}/job.txt") == b"content"


def test_names_like_ours_are_refused(store):
    assert store.name_problem("job.txt~0123456789ab")
    assert store.name_problem("job~2.txt") is None


def test_a_server_that_lets_all_create_is_found_out(bucket):
    require_exclusive_create(bucket)
    bucket.create = bucket.write
    with pytest.raises(ConfigurationError, match="ignores the condition"):
        require_exclusive_create(bucket)
    with pytest.raises(ConfigurationError, match="ignores the condition"):
        require_exclusive_create(bucket, rounds=0)
    assert not [name for name in names(bucket, "_queue") if name.startswith("~")]
