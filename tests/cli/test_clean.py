"""``dirjobs clean``: what is old in the trash is deleted, and nothing else."""

import os
import sys
import time

import pytest

from dirjobs import Denied
from dirjobs.admin import clean
from dirjobs.backends.posix.store import PosixStore
from dirjobs.layout import TRASH
from dirjobs.protocol.share import Share
from tests.fake_webdav import Fault

DAY = 86400
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="needs links and FIFOs")


def trash(queue, *names, data=b"data", age=0.0):
    """Files in the trash, written so many seconds ago."""
    if not queue.store.exists(TRASH):
        queue.store.mkdir(TRASH)
    queue.put(TRASH, *names, data=data)
    for name in names if age else ():
        at = time.time() - age
        os.utime(queue.store.full_path(f"{TRASH}/{name}"), (at, at))


@pytest.fixture
def old(local):
    """A trash with two old files and a younger one."""
    trash(local, "a2.txt", "a10.txt", data=b"1234567890" * 100, age=40 * DAY)
    trash(local, "young.txt", age=20 * DAY)
    return local


def test_what_was_removed_is_deleted(queue):
    queue.put("02_done", "a.txt", "b.txt")
    queue.put("99_failed", "a.txt")
    queue.put("00_waiting", "c.txt")
    queue.run("remove", "a.txt", "b.txt")
    assert queue.names(TRASH) == ["a.txt", "a~2.txt", "b.txt"]
    assert queue.json("clean", "--older-than", "1h")["removed"] == []
    assert queue.json("clean", "--older-than", "0d") == {
        "removed": ["a.txt", "a~2.txt", "b.txt"],
        "bytes": 12,
        "left": [],
    }
    assert queue.names(TRASH) == []
    assert queue.jobs() == {"00_waiting": ["c.txt"]}
    assert [name for name in queue.names("_queue") if name.startswith("~")] == []


def test_only_what_is_old(old):
    told = old.run("clean", "--older-than", "30d")
    assert told == (
        "Removed 2 files (2,000 bytes).\n"
        "1 more in _queue/trash left alone: younger than that, or no files.\n"
    )
    assert old.names(TRASH) == ["young.txt"]
    assert old.run("clean", "--older-than", "30d").startswith("Nothing was removed.\n")
    assert old.run("clean", "--older-than", "0s") == "Removed 1 file (4 bytes).\n"


def test_it_says_first_what_it_would_be(old):
    told = old.run("clean", "--older-than", "30d", "--dry-run")
    assert told.startswith("a2.txt\na10.txt\n2 files (2,000 bytes) would be removed.\n")
    found = old.json("clean", "--older-than", "30d", "--dry-run")
    assert found == {
        "would_be_removed": ["a2.txt", "a10.txt"],
        "bytes": 2000,
        "left": ["young.txt"],
    }
    assert old.names(TRASH) == ["a10.txt", "a2.txt", "young.txt"]


@pytest.mark.parametrize(
    ("age", "names"),
    [
        ("41d", []),
        ("39d", ["a2.txt", "a10.txt"]),
        ("700h", ["a2.txt", "a10.txt"]),
        ("60000m", []),
        ("36000.5m", ["a2.txt", "a10.txt"]),
        ("1728001s", ["a2.txt", "a10.txt"]),
        ("19.9d", ["a2.txt", "a10.txt", "young.txt"]),
    ],
)
def test_ages(old, age, names):
    found = old.json("clean", "--older-than", age, "--dry-run")
    assert found["would_be_removed"] == names


@pytest.mark.parametrize(
    "age",
    ["30", "", "d", "-1d", "1w", "1 d", "1e3d", "nan", "infd", "9" * 5000 + "d", "\u0663d", "1D"],
)
def test_what_is_no_age(old, age):
    told = old.refused("clean", f"--older-than={age}")
    assert "must be a number and its unit, such as 30d, 12h, 90m or 45s" in told
    assert len(old.names(TRASH)) == 3


def test_an_age_must_be_given(old):
    assert "--older-than" in old.refused("clean")
    assert len(old.names(TRASH)) == 3


def test_a_queue_without_a_trash(queue):
    assert queue.run("clean", "--older-than", "0d") == "Nothing was removed.\n"
    assert queue.json("clean", "--older-than", "0d") == {"removed": [], "bytes": 0, "left": []}
    assert not queue.store.exists(TRASH)


# -- the store's clock --------------------------------------------------------------------------


def test_ages_are_told_by_the_clock_of_the_store(local, monkeypatch):
    """The machine's may be years away from it."""
    trash(local, "a.txt")
    at = time.time() + 400 * DAY
    with monkeypatch.context() as patch:
        patch.setattr("time.time", lambda: at)
        patch.setattr("dirjobs.clock.wall", lambda: at)
        assert local.json("clean", "--older-than", "30d")["removed"] == []
    trash(local, "b.txt", age=-400 * DAY)
    assert local.json("clean", "--older-than", "0d")["removed"] == ["a.txt"]
    assert local.names(TRASH) == ["b.txt"]


def test_nothing_is_deleted_where_the_clock_is_not_known(old, monkeypatch):
    def refused(store, path, data):
        raise Denied(f"{path!r} can't be written")

    monkeypatch.setattr(PosixStore, "write", refused)
    told = old.refused("clean", "--older-than", "30d")
    assert "can't be found out, so nothing in _queue/trash is known to be old." in told
    assert len(old.names(TRASH)) == 3


def test_a_file_of_unknown_age_stays(old, monkeypatch):
    listed = PosixStore.list

    def timeless(store, folder):
        found = listed(store, folder)
        return [entry._replace(mtime=None) for entry in found] if folder == TRASH else found

    monkeypatch.setattr(PosixStore, "list", timeless)
    assert old.json("clean", "--older-than", "0d")["removed"] == []
    assert len(old.names(TRASH)) == 3


def test_another_file_that_takes_the_name_meanwhile_stays(old):
    """Somebody else has emptied the trash, and removed another job of that name."""
    share = Share(old.store)
    found = clean.look(share, 30 * DAY)
    trash(old, "a2.txt", data=b"another")
    old.store.remove(f"{TRASH}/a10.txt")
    deleted = [clean.delete(share, entry.name, found.until) for entry in found.old]
    assert deleted == [False, False]
    assert old.store.read(f"{TRASH}/a2.txt") == b"another"


# -- what is odd there --------------------------------------------------------------------------


@POSIX
def test_links_and_folders_stay_and_lead_nowhere(old, tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "thesis.txt").write_text("precious")
    inside = old.store.full_path(TRASH)
    os.mkdir(f"{inside}/folder")
    old.put(f"{TRASH}/folder", "x")
    os.symlink(victim, f"{inside}/link")
    os.symlink(victim / "thesis.txt", f"{inside}/link.txt")
    os.symlink("nowhere", f"{inside}/dangling")
    os.mkfifo(f"{inside}/fifo")
    odd = ["dangling", "fifo", "folder", "link", "link.txt"]
    at = time.time() - 40 * DAY
    for name in odd:
        os.utime(f"{inside}/{name}", (at, at), follow_symlinks=False)
    found = old.json("clean", "--older-than", "0d")
    assert (found["removed"], found["left"]) == (["a2.txt", "a10.txt", "young.txt"], odd)
    assert old.names(TRASH) == odd
    assert old.names(f"{TRASH}/folder") == ["x"]
    assert (victim / "thesis.txt").read_text() == "precious"


@POSIX
@pytest.mark.parametrize("kind", ["link", "folder"])
def test_a_file_that_is_exchanged_after_the_listing(old, tmp_path, monkeypatch, kind):
    """The link itself may go, what it leads to stays; a folder is refused."""
    (tmp_path / "thesis.txt").write_text("precious")
    where = old.store.full_path(f"{TRASH}/a2.txt")
    remove = PosixStore.remove

    def exchanged(store, path):
        if path == f"{TRASH}/a2.txt":
            os.unlink(where)
            if kind == "link":
                os.symlink(tmp_path / "thesis.txt", where)
            else:
                os.mkdir(where)
        remove(store, path)

    with monkeypatch.context() as patch:
        patch.setattr(PosixStore, "remove", exchanged)
        if kind == "link":
            old.run("clean", "--older-than", "30d")
        else:
            told = old.refused("clean", "--older-than", "30d")
            assert "1 job could not be removed, 'a2.txt': " in told
    assert (tmp_path / "thesis.txt").read_text() == "precious"
    assert os.path.isdir(where) is (kind == "folder")


@POSIX
def test_a_trash_that_is_a_link_is_not_emptied(local, tmp_path):
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "thesis.txt").write_text("precious")
    os.symlink(tmp_path / "victim", local.store.full_path(TRASH))
    assert "symbolic link" in local.refused("clean", "--older-than", "0d")
    assert (tmp_path / "victim" / "thesis.txt").read_text() == "precious"


def test_a_trash_that_is_a_file(local):
    local.put("_queue", "trash")
    assert local.run("clean", "--older-than", "0d") == "Nothing was removed.\n"
    assert local.store.read(TRASH) == b"data"


# -- servers ------------------------------------------------------------------------------------


def test_a_file_that_can_not_be_deleted_holds_up_no_other(far, server):
    trash(far, "a", "b", "c")
    server.faults.add(Fault("status", "DELETE", "jobs/_queue/trash/b", status=403, times=None))
    told = far.refused("clean", "--older-than", "0d")
    assert "1 job could not be removed, 'b': " in told
    assert far.names(TRASH) == ["b"]


def test_a_server_that_lets_nothing_go_is_not_asked_for_every_file(far, server):
    trash(far, *(f"job{number}" for number in range(40)))
    where = "jobs/_queue/trash/*"
    stuck = server.faults.add(Fault("status", "DELETE", where, status=403, times=None))
    far.refused("clean", "--older-than", "0d")
    assert 4 <= stuck.fired < 30
    assert len(far.names(TRASH)) == 40


def test_an_answer_that_gets_lost(far, server):
    trash(far, "a", "b")
    server.faults.add(Fault("answer_lost", "DELETE", "jobs/_queue/trash/a"))
    assert far.json("clean", "--older-than", "0d")["removed"] == ["a", "b"]
    assert far.names(TRASH) == []


def test_a_name_that_no_job_has_stays(local):
    trash(local, "a.txt", age=40 * DAY)
    name = "x" * 230
    with open(f"{local.url}/_queue/trash/{name}", "w"):
        pass
    os.utime(f"{local.url}/_queue/trash/{name}", (1e9, 1e9))
    assert local.json("clean", "--older-than", "30d") == {
        "removed": ["a.txt"],
        "bytes": 4,
        "left": [name],
    }
