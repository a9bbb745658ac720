"""Links, FIFOs, folders and unreadable files in the places of ours: told, never followed."""

from __future__ import annotations

import json
import os
import sys

import pytest

from dirjobs import Denied, DirJobs
from dirjobs.backends.posix.store import PosixStore
from dirjobs.store import MAX_READ
from tests.command_line import log_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs links and FIFOs")

RESULT = ("sh", "-c", 'echo "{\\"x\\": 1}" > "$DIRJOBS_OUT/result.json"')
LEFT = """cd "$DIRJOBS_OUT"
echo 1 > kept
mkfifo fifo
ln -s nowhere dangling
"""


MAKE = {
    "folder": os.mkdir,
    "fifo": lambda path: os.mkfifo(path),
    "link": lambda path: os.symlink("x", path),
}


@pytest.fixture
def victim(tmp_path):
    """Somebody's files, which nobody may touch."""
    folder = tmp_path / "victim"
    folder.mkdir()
    for name in ("thesis.txt", "package.json", "result.json"):
        (folder / name).write_text("precious")
    yield folder
    assert {path.name: path.read_text() for path in folder.iterdir()} == dict.fromkeys(
        ("thesis.txt", "package.json", "result.json"), "precious"
    )


def replaced(queue, folder, target):
    """A link in the place of a folder."""
    where = queue.store.full_path(folder)
    if os.path.isdir(where):
        os.rmdir(where)
    os.makedirs(os.path.dirname(where), exist_ok=True)
    os.symlink(target, where)


@pytest.mark.parametrize("folder", ["00_waiting", "01_running", "02_done", "99_failed", "_queue"])
@pytest.mark.parametrize("shared", [False, True])
def test_a_folder_of_the_queue_that_is_a_link_is_refused(local, victim, folder, shared):
    if folder == "_queue":
        for inner in ("workers", "parked", "attempts", "journal"):
            os.rmdir(local.store.full_path(f"_queue/{inner}"))
    replaced(local, folder, victim)
    if shared:
        os.chmod(local.url, 0o777)
    assert "it is a symbolic link" in local.refused("work", "--", "true")


def test_a_folder_of_notes_that_is_a_link_is_not_written_to(local, victim):
    local.put("00_waiting", "package")
    replaced(local, "_queue/attempts", victim)
    assert "it is a symbolic link" in local.refused("work", "--", "false")


def test_a_folder_of_results_that_is_a_link_is_not_written_to(local, victim):
    """The results are kept on this machine."""
    local.put("00_waiting", "a", "b")
    replaced(local, "results/a", victim)
    told = local.run("work", "--keep-going", "--", *RESULT, code=1)
    assert local.jobs() == {"02_done": ["b"], "99_failed": ["a"]}
    assert "symbolic link" in told
    assert "`dirjobs deliver` hands them in" in told


def test_a_folder_that_becomes_a_link_while_a_job_runs(local, victim):
    """Where others may write to the queue's folder the job goes nowhere else."""
    os.chmod(local.url, 0o777)
    local.put("00_waiting", "a")
    with DirJobs(local.url, job_ext="") as queue:
        job = queue.next_and_lock()
        replaced(local, "02_done", victim)
        with pytest.raises(Denied, match="symbolic link"):
            job.done()
        os.unlink(local.store.full_path("02_done"))
        local.store.mkdir("02_done")


def test_links_of_one_s_own_are_followed_on_request(local, tmp_path):
    far = tmp_path / "far"
    far.mkdir()
    replaced(local, "results", far)
    local.put("00_waiting", "a", "b")
    local.run("work", "--max-jobs", "1", "--", *RESULT, code=1)
    assert not os.listdir(far)
    local.run("init", "--follow-links", "--no-check")
    local.run("work", "--", *RESULT)
    assert os.listdir(far) == ["b"]
    assert [row["x"] for row in local.json("results") if row["state"] == "done"] == [1]
    local.run("init", "--no-check")
    assert json.loads(local.store.read("_queue/queue.json"))["links"] == ["results"]


# -- jobs that are none -------------------------------------------------------------------------


def swapped(monkeypatch, how):
    """Exchange each job after it was listed, before it is claimed."""
    rename = PosixStore.rename

    def exchanging(store, src, dst):
        if src == "00_waiting/a":
            where = store.full_path(src)
            os.unlink(where)
            how(where)
        rename(store, src, dst)

    monkeypatch.setattr(PosixStore, "rename", exchanging)


@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_a_job_that_is_exchanged_after_the_listing_is_not_run(local, victim, monkeypatch, kind):
    local.put("00_waiting", "a", "b")
    make = (lambda path: os.symlink(victim / "thesis.txt", path)) if kind == "link" else os.mkfifo
    swapped(monkeypatch, make)
    local.run("work", "--keep-going", "--", "cat", "{}", code=1)
    assert local.jobs() == {"02_done": ["b"], "99_failed": ["a"]}
    assert "not a regular file" in local.json("show", "a")["attempts"][0]["reason"]
    assert "precious" not in "".join(log_of(local.url, "a"))


def test_its_path_is_not_given_to_a_program(local, victim, monkeypatch):
    local.put("00_waiting", "a")
    swapped(monkeypatch, lambda path: os.symlink(victim / "thesis.txt", path))
    with DirJobs(local.url, job_ext="") as queue:
        job = queue.next_and_lock()
        for ask in (job.path, job.local_path, job.read_bytes, job.read_text):
            with pytest.raises(Denied):
                ask()
        assert job.name() in repr(job)
        job.failed("no file")


@pytest.mark.parametrize("depth", [40, 100, 500, 960, 995])
@pytest.mark.parametrize("nested", [(b"[", b"]"), (b'{"a":', b"}")], ids=["lists", "objects"])
def test_a_job_of_any_depth_is_run(local, depth, nested):
    before, after = nested
    local.put("00_waiting", "a", data=b'{"x": ' + before * depth + b"1" + after * depth + b"}")
    local.run("work", "--", "true")
    assert local.jobs() == {"02_done": ["a"]}
    [row] = local.json("results")
    assert ("x" in row) is (depth == 40)


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("folder", ["00_waiting", "99_failed"])
def test_what_is_no_file_is_no_job_to_people_either(local, kind, folder):
    MAKE[kind](local.store.full_path(f"{folder}/b.txt"))
    for command in ("show", "cancel", "retry", "requeue", "remove"):
        assert "this queue has no job" in local.refused(command, "b.txt")
    assert local.json("list") == []


# -- heartbeats, orders, notes, results -----------------------------------------------------------


@pytest.mark.parametrize("kind", MAKE)
def test_a_heartbeat_that_is_no_file_is_a_worker_to_everybody(local, kind):
    MAKE[kind](local.store.full_path("_queue/workers/w9.abcdef.json"))
    [worker] = local.json("status")["workers"]
    assert (worker["id"], worker["draining"]) == ("w9", False)
    assert local.json("drain", "--all") == local.json("drain", "w9") == {"drained": ["w9"]}
    [worker] = local.json("status")["workers"]
    assert (worker["id"], worker["draining"]) == ("w9", True)


@pytest.mark.parametrize("kind", MAKE)
def test_an_order_that_is_no_file_is_none(local, tmp_path, kind):
    local.put("00_waiting", "a")
    MAKE[kind](local.store.full_path("_queue/workers/~pause"))
    local.run("work", "--", "true")
    assert local.jobs() == {"02_done": ["a"]}
    assert local.json("status")["paused"] is False


@pytest.mark.parametrize("kind", ["folder", "link", "fifo", "large", "deep"])
def test_a_result_that_is_no_small_file_is_told(local, tmp_path, kind):
    local.put("02_done", "a", "b")
    local.store.mkdir("results")
    for job in ("a", "b"):
        local.store.mkdir(f"results/{job}")
    local.put("results/b", "result.json", data=b'{"x": 1}')
    where = local.store.full_path("results/a/result.json")
    (tmp_path / "secret").write_text('{"secret": 1}')
    if kind == "large":
        with open(where, "wb") as file:
            file.truncate(100 * MAX_READ)
    elif kind == "deep":
        local.put("results/a", "result.json", data=b'{"x": ' + b"[" * 500 + b"]" * 500 + b"}")
    else:
        make = {"folder": os.mkdir, "fifo": os.mkfifo}
        make.get(kind, lambda path: os.symlink(tmp_path / "secret", path))(where)
    assert local.json("results") == [
        {"job": "a", "state": "done"},
        {"job": "b", "state": "done", "x": 1},
    ]
    assert "such as that of 'a'" in local.stderr


def test_a_command_that_puts_a_file_in_the_place_of_its_folder(local, scratch):
    local.put("00_waiting", "a")
    script = 'rmdir "$DIRJOBS_OUT"; echo x > "$DIRJOBS_OUT"'
    assert "no folder any more" in local.run("work", "--", "sh", "-c", script, code=1)
    [kept] = scratch.iterdir()
    assert (kept / "results").read_text() == "x\n"


def test_what_is_no_result_is_told_in_the_log(local):
    local.put("00_waiting", "a")
    local.run("work", "--", "sh", "-c", LEFT)
    assert local.names(local.files("a")) == ["kept"]
    assert "left out of the results: 'dangling': it is a link to no file (and 1 more)" in (
        local.stderr
    )
    [log] = local.names("logs")
    assert b"left out of the results" in local.store.read(f"logs/{log}")


def test_names_that_the_share_does_not_tell_apart(local, monkeypatch):
    """As on Samba, exFAT and macOS: nothing is written over, and it is told."""

    def small(path):
        folder, slash, name = path.rpartition("/")
        inside = folder.startswith("results/")
        return f"{folder}{slash}{name.lower()}" if inside else path

    upload, exists = PosixStore.upload, PosixStore.exists
    monkeypatch.setattr(PosixStore, "upload", lambda s, path, f: upload(s, small(path), f))
    monkeypatch.setattr(PosixStore, "exists", lambda s, path: exists(s, small(path)))
    local.put("00_waiting", "a")
    script = 'cd "$DIRJOBS_OUT"; echo upper > Loss.dat; echo lower > loss.dat'
    local.run("work", "--", "sh", "-c", script)
    files = local.files("a")
    found = {name: local.store.read(f"{files}/{name}") for name in local.names(files)}
    assert found == {"loss.dat": b"upper\n", "loss~2.dat": b"lower\n"}
    assert "'loss.dat' is stored as 'loss~2.dat'" in local.stderr
