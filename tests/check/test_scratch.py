"""A check touches its own folder and nothing else, and what it leaves goes with the next."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict, replace

import pytest

from dirjobs.backends.memory import MemoryStore
from dirjobs.backends.posix.store import PosixStore
from dirjobs.check import check
from dirjobs.check.scratch import OWNER, Below, scratch
from dirjobs.errors import ConfigurationError, Denied, StoreError
from dirjobs.layers import Layer
from dirjobs.recovery.process import Process, this_process
from dirjobs.store import FileKind
from tests.command_line import starting, wait_until

TAG = "abcdefghjk"
ELSEWHERE = Process("far", "another machine", "boot", "namespace", 1, "start")


def tree(store, folder=""):
    found = {}
    for entry in store.list(folder):
        path = f"{folder}/{entry.name}" if folder else entry.name
        found |= tree(store, path) if entry.kind is FileKind.FOLDER else {path: store.read(path)}
    return found


class Clock:
    now = 1_000_000.0


@pytest.fixture
def store():
    store = MemoryStore(lambda: Clock.now)
    for folder in ("00_waiting", "_queue"):
        store.mkdir(folder)
    store.write("00_waiting/job1.txt", b"payload")
    return store


@pytest.fixture(autouse=True)
def _at_the_beginning():
    Clock.now = 1_000_000.0


def leave(store, owner, parent="_queue/"):
    folder = f"{parent}~check-{TAG}"
    for each in (folder, f"{folder}/to"):
        store.mkdir(each)
    if owner is not None:
        store.write(f"{folder}/{OWNER}", json.dumps(asdict(owner)).encode())
    store.write(f"{folder}/to/w1.j1.{TAG}", b"left")
    return folder


def test_the_folder_is_in_the_queue_and_goes_again(store):
    before = tree(store)
    with scratch(store, 2) as place:
        assert place.here.folder == f"_queue/~check-{place.tag}"
        place.here.mkdir("inside")
        for number in range(7):
            place.here.write(f"inside/{number}.{place.tag}", b"")
        assert len(tree(store)) == len(before) + 8
    assert tree(store) == before
    assert [*store.list("_queue")] == []


def test_where_no_queue_is_the_folder_is_made_directly():
    store = MemoryStore()
    with scratch(store, 2) as place:
        assert place.here.folder == f"~check-{place.tag}"
    assert [*store.list("")] == []


def test_nothing_outside_of_it_can_be_named(store):
    below = Below(store, "_queue/~check-x")
    for path in ("../job", "a/../../job", "/etc", "a//b", "."):
        for verb in (below.remove, below.rmdir, below.read, below.list, below.exists):
            with pytest.raises(ValueError, match="not a store path"):
                verb(path)


@pytest.mark.parametrize("parent", ["_queue/", ""])
def test_what_a_process_left_that_is_gone_is_removed(store, parent):
    before = tree(store)
    leave(store, replace(this_process(), started="never"), parent)
    with scratch(store, 2):
        pass
    assert tree(store) == before


@pytest.mark.parametrize("owner", [ELSEWHERE, this_process(), None])
def test_what_may_still_be_used_stays_for_an_hour(store, owner):
    before = tree(store)
    leave(store, owner)
    Clock.now += 3500
    with scratch(store, 2):
        pass
    assert tree(store).keys() - before.keys() >= {f"_queue/~check-{TAG}/to/w1.j1.{TAG}"}
    Clock.now += 200
    with scratch(store, 2):
        pass
    assert (tree(store) == before) is (owner is not None)  # memory: folders have no time


def test_what_is_not_ours_stays_also_in_there(store, caplog):
    folder = leave(store, replace(this_process(), started="never"))
    store.write(f"{folder}/to/job2.txt", b"of a person")
    store.mkdir("_queue/~check-mine")
    with scratch(store, 2):
        pass
    assert tree(store) == {
        "00_waiting/job1.txt": b"payload",
        f"{folder}/to/job2.txt": b"of a person",
    }
    assert store.exists("_queue/~check-mine")
    assert "could not be removed" in caplog.text


@pytest.mark.skipif(not hasattr(os, "symlink") or os.name == "nt", reason="needs links")
def test_a_link_leads_nowhere(tmp_path, caplog):
    store = PosixStore(tmp_path)
    store.mkdir("00_waiting")
    store.write("00_waiting/job1.txt", b"payload")
    folder = leave(store, replace(this_process(), started="never"), "")
    os.symlink(tmp_path / "00_waiting", tmp_path / folder / "link")
    with scratch(store, 2):
        pass
    assert store.read("00_waiting/job1.txt") == b"payload"


class Full(Layer):
    """Takes so many files and no more."""

    def __init__(self, store, room):
        super().__init__(store)
        self.room = [room]

    def write(self, path, data):
        self.room[0] -= 1
        if self.room[0] < 0:
            raise Denied("there is no space left (507)")
        super().write(path, data)


@pytest.mark.parametrize("room", [0, 3, 20])
def test_a_full_share_is_told_and_left_as_it_was(store, room):
    before = tree(store)
    with pytest.raises(StoreError, match="no space left"):
        check(Full(store, room), rounds=50, short=True)
    assert tree(store) == before
    assert [*store.list("_queue")] == []


class ReadOnly(Layer):
    def mkdir(self, path):
        raise Denied("the server allows no MKCOL here (403)")

    write = remove = rmdir = rename = mkdir


def test_a_share_that_is_only_read_is_told(store):
    before = tree(store)
    with pytest.raises(Denied, match="allows no MKCOL"):
        check(ReadOnly(store))
    assert tree(store) == before


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ConfigurationError, match=r"is not there: make that folder, or check"):
        check(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only there a death can be proved")
def test_a_killed_check_leaves_its_folder_and_the_next_one_removes_it(tmp_path):
    jobs = tmp_path / "jobs"
    (jobs / "00_waiting").mkdir(parents=True)
    (jobs / "00_waiting" / "job1.txt").write_bytes(b"payload")
    with starting(tmp_path) as start:
        process = start("check", "jobs", "--rounds", "100000")
        wait_until(lambda: any(jobs.glob("~check-*/to/w*")))
        process.send_signal(signal.SIGKILL)
        process.wait()
    (left,) = jobs.glob("~check-*")
    assert {path.name for path in jobs.iterdir()} == {"00_waiting", left.name}

    def its_racers_are_gone():
        commands = map(str, os.listdir("/proc"))
        return not any(_mentions(pid, "dirjobs.testing.races") for pid in commands if pid.isdigit())

    wait_until(its_racers_are_gone)
    check(jobs, rounds=2, short=True)
    assert [path.name for path in jobs.rglob("*")] == ["00_waiting", "job1.txt"]


def _mentions(pid, text):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return text.encode() in file.read()
    except OSError:
        return False


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX system")
@pytest.mark.parametrize("where", ["itself", "inside"])
def test_a_check_tidies_up_through_no_link(tmp_path, where):
    """A link in place of what a killed check left, or in it: what it leads to stays."""
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in (OWNER, ".nfs_notes", f"thesis-{TAG}.tex"):
        (mine / name).write_text("{}")
    queue = tmp_path / "jobs"
    (queue / "_queue").mkdir(parents=True)
    left = queue / "_queue" / f"~check-{TAG}"
    if where == "itself":
        left.symlink_to(mine)
    else:
        left.mkdir()
        (left / "to").symlink_to(mine)
        (left / f"link.{TAG}").symlink_to(mine / OWNER)
    with scratch(PosixStore(queue), 2) as place:
        long_ago = 1_000_000.0
        os.utime(left, (long_ago, long_ago), follow_symlinks=False)
        assert place.tag != TAG
    with scratch(PosixStore(queue), 2):
        pass
    assert sorted(os.listdir(mine)) == sorted([".nfs_notes", OWNER, f"thesis-{TAG}.tex"])
    assert os.path.lexists(left)
