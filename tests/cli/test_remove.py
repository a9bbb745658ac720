"""``dirjobs remove``: jobs go to the trash, nothing is deleted, what runs stays."""

import json
import os
import sys

import pytest

from dirjobs import AmbiguousResult, DirJobs
from dirjobs.layout import TRASH
from dirjobs.protocol.attempts import deaths


@pytest.fixture(params=["trust", "verify"])
def mode(request):
    return request.param


@pytest.fixture
def worker(queue, mode):
    with DirJobs(queue.store, "w1", mode=mode, job_ext="") as worker:
        yield worker


def trash(queue):
    return queue.names(TRASH) if queue.store.exists(TRASH) else []


def test_jobs_go_to_the_trash_and_count_no_more(queue, worker):
    queue.put("00_waiting", "a1.txt", data=b"first")
    queue.put("02_done", "a2.txt", "b.txt")
    queue.put("99_failed", "a3.txt")
    told = queue.run("remove", "a*")
    assert told == "Removed a1.txt, a2.txt, a3.txt: moved to _queue/trash.\n"
    assert queue.jobs() == {"02_done": ["b.txt"]}
    assert trash(queue) == ["a1.txt", "a2.txt", "a3.txt"]
    assert queue.store.read(f"{TRASH}/a1.txt") == b"first"
    assert queue.json("status")["total"] == 1
    assert [row["job"] for row in queue.json("list")] == ["b.txt"]
    assert "no job 'a1.txt'" in queue.refused("show", "a1.txt")
    assert worker.next_and_lock() is None


def test_its_name_is_free_again(queue, worker, tmp_path):
    (tmp_path / "a.txt").write_text("again")
    queue.put("02_done", "a.txt")
    assert "exists already" in queue.refused("add", tmp_path / "a.txt")
    queue.run("remove", "a.txt")
    queue.run("add", tmp_path / "a.txt")
    assert queue.store.read("00_waiting/a.txt") == b"again"
    job = worker.next_and_lock()
    assert job.read_text() == "again"
    job.done()
    assert queue.json("remove", "a.txt") == {"removed": ["a.txt"], "left": []}
    worker.add("a.txt", "for the third time")
    assert queue.json("remove", "a.txt") == {"removed": ["a.txt"], "left": []}
    assert trash(queue) == ["a.txt", "a~2.txt", "a~3.txt"]
    contents = [queue.store.read(f"{TRASH}/{name}") for name in trash(queue)]
    assert contents == [b"data", b"again", b"for the third time"]


def test_it_waits_again_when_its_file_is_moved_back(queue, worker):
    queue.put("99_failed", "a.txt")
    queue.run("remove", "a.txt")
    queue.store.rename(f"{TRASH}/a.txt", "00_waiting/a.txt")
    worker.next_and_lock().done()
    assert queue.jobs() == {"02_done": ["a.txt"]}


@pytest.mark.skipif(sys.platform == "win32", reason="a job written for a POSIX shell")
def test_what_belongs_to_it_stays(local):
    script = 'echo said; echo 1 > "$DIRJOBS_OUT/x"; echo 1 > "$DIRJOBS_KEEP/state"; exit 1'
    local.put("00_waiting", "a")
    local.run("work", "--wid", "w1", "--", "sh", "-c", script, code=1)
    folders = ("logs", "results/a/w1", "_queue/attempts", "_queue/journal", "_queue/keep/a")
    before = {folder: local.names(folder) for folder in folders}
    assert all(before.values())
    local.run("remove", "a")
    assert {folder: local.names(folder) for folder in folders} == before


def test_workers_that_died_at_it_do_not_count_against_another_of_its_name(queue, worker):
    died = [{"worker": "w9", "at": "", "reason": "died", "died": True}] * 2
    notes = json.dumps({"format": 1, "attempts": died}).encode()
    queue.put("_queue/attempts", "a.txt.json", data=notes)
    queue.put("99_failed", "a.txt", "b.txt")
    queue.run("remove", "a.txt", "b.txt")
    noted = json.loads(queue.store.read("_queue/attempts/a.txt.json"))["attempts"]
    assert [note["reason"] for note in noted] == ["died", "died", "removed by hand"]
    assert deaths(noted) == 0
    assert not queue.store.exists("_queue/attempts/b.txt.json")


# -- running jobs ------------------------------------------------------------------------------


def test_a_running_job_is_never_removed(queue, worker):
    queue.put("00_waiting", "a1.txt", "a2.txt")
    job = worker.next_and_lock()
    told = queue.refused("remove", "a1.txt")
    assert told.endswith(
        "job 'a1.txt' is running: cancel it first, with `dirjobs cancel`; nothing was changed."
    )
    assert "'a1.txt' is running" in queue.refused("remove", "a1*")
    assert "'a1.txt' is running" in queue.refused("remove", "a1.txt", "a2.txt")
    assert "'a1.txt' is not done: it is running" in queue.refused(
        "remove", "a1.txt", "--state", "done"
    )
    assert queue.names("00_waiting") == ["a2.txt"]
    told = queue.run("remove", "a*")
    assert "Removed a2.txt: moved to _queue/trash." in told
    assert "Left alone, since they are running: a1.txt.  Cancel them first." in told
    job.done()
    assert queue.json("remove", "a1.txt")["removed"] == ["a1.txt"]


def test_a_pattern_with_a_state_does_not_mean_running_jobs(queue, worker):
    queue.put("00_waiting", "a1.txt")
    worker.next_and_lock()
    queue.put("02_done", "a2.txt")
    assert "no failed job is like 'a*'" in queue.refused("remove", "a*", "--state", "failed")
    told = queue.json("remove", "a*", "--state", "done")
    assert told == {"removed": ["a2.txt"], "left": []}


@pytest.mark.parametrize(
    "path",
    ["01_running/w9.a.txt", "01_running/~w8~k3x9q2.w9.a.txt", "00_waiting/~w9~k3x9q2.a.txt"],
)
@pytest.mark.parametrize("folder", ["00_waiting", "02_done", "99_failed"])
@pytest.mark.parametrize("options", [[], ["--state", "waiting", "--state", "done"]])
def test_a_job_stays_while_somebody_has_another_file_of_it(queue, worker, path, folder, options):
    """By the one that is done others see that a late copy of it must not run."""
    if folder == "99_failed" and options:
        options = ["--state", "failed"]
    queue.put(folder, "a.txt")
    queue.put(*path.split("/"), data=b"copy")
    assert queue.json("remove", "a.txt", *options) == {"removed": [], "left": ["a.txt"]}
    assert queue.names(folder)[-1 if folder != "00_waiting" else 0] == "a.txt"
    assert queue.store.read(path) == b"copy"


def test_a_job_that_is_claimed_meanwhile_stays(queue, worker, monkeypatch):
    from dirjobs.admin import visit

    queue.put("00_waiting", "a.txt", "b.txt")
    temporary_member = visit.temporary_member

    def claimed_first(share, purpose):
        if not queue.names("01_running"):
            worker.next_and_lock()
        return temporary_member(share, purpose)

    monkeypatch.setattr(visit, "temporary_member", claimed_first)
    told = queue.run("remove", "a.txt", "b.txt")
    assert "Removed b.txt" in told
    assert "Left alone, since they are gone, have begun or still change: a.txt." in told
    assert queue.jobs() == {"01_running": ["w1.a.txt"]}


@pytest.mark.parametrize("command", ["remove", "cancel"])
def test_a_worker_that_is_faster_than_a_lost_request(local, command, monkeypatch):
    """That the file is gone does not tell who took it."""
    local.put("00_waiting", "a")
    rename = type(local.store).rename
    taken = []

    def lost(store, src, dst):
        if src == "00_waiting/a":
            rename(store, src, "01_running/w9.a")
            taken.append(dst)
            raise AmbiguousResult("no answer")
        return rename(store, src, dst)

    with monkeypatch.context() as patch:
        patch.setattr(type(local.store), "rename", lost)
        told = local.json(command, "a")
    assert len(taken) == 1
    if command == "remove":
        assert told == {"removed": [], "left": ["a"]}
        assert local.jobs() == {"01_running": ["w9.a"]}
    else:  # it is found where it is by then
        assert told == {"cancelled": ["a"], "left": []}
        assert local.jobs() == {"99_failed": ["a"]}


# -- which jobs --------------------------------------------------------------------------------


@pytest.fixture
def mixed(queue):
    """One in each state."""
    queue.put("00_waiting", "x_wait", "x_gone")
    queue.run("cancel", "x_gone")
    queue.put("02_done", "x_done")
    queue.put("99_failed", "x_fail")
    return queue


@pytest.mark.parametrize(
    ("states", "removed"),
    [
        (["waiting"], ["x_wait"]),
        (["done"], ["x_done"]),
        (["failed"], ["x_fail"]),
        (["cancelled"], ["x_gone"]),
        (["failed", "done"], ["x_done", "x_fail"]),
    ],
)
def test_only_jobs_in_a_state(mixed, states, removed):
    options = [word for state in states for word in ("--state", state)]
    assert mixed.json("remove", "x*", *options, "--dry-run") == {"would_be_removed": removed}
    assert len(mixed.json("list")) == 4
    assert mixed.json("remove", "x*", *options) == {"removed": removed, "left": []}
    assert len(mixed.json("list")) == 4 - len(removed)


def test_a_job_in_another_state_is_refused_with_its_own(mixed):
    def told(*args):
        return mixed.refused("remove", *args)

    assert "job 'x_gone' is not failed: it is cancelled; nothing" in told(
        "x_gone", "--state", "failed"
    )
    assert "job 'x_fail' is not waiting or done: it is failed; nothing" in told(
        "x_fail", "--state", "waiting", "--state", "done"
    )
    assert "job 'y' is not waiting, failed or done: this queue has no job of that name" in told("y")
    assert "no waiting, failed or done job is like 'y*'" in told("x*", "y*")
    assert "Invalid value for '--state'" in told("x*", "--state", "running")
    assert "JOB" in told()
    assert len(mixed.json("list")) == 4


def test_it_says_first_which_jobs_it_would_be(local):
    local.put("02_done", "a2", "a10", "b")
    assert local.run("remove", "a*", "--dry-run") == "a2\na10\n"
    assert local.names("02_done") == ["a10", "a2", "b"]
    assert trash(local) == []


@pytest.mark.parametrize(
    ("number", "options", "answer", "asked", "left"),
    [
        (11, [], "n\n", True, 11),
        (11, [], "y\n", True, 0),
        (11, [], "", True, 11),
        (11, ["--yes"], "", False, 0),
        (10, [], "", False, 0),
    ],
)
def test_it_asks_before_many(local, monkeypatch, number, options, answer, asked, left):
    monkeypatch.setattr("dirjobs.cli.intervene._is_person", lambda: True)
    local.put("02_done", *(f"a\u200b{at}" for at in range(number)))
    printed = local.run("remove", "a*", *options, input=answer, code=130 if left else 0)
    assert ("Remove 11 jobs, such as a\\u200b0, a\\u200b1, " in printed) is asked
    assert len(local.names("02_done")) == left


def test_many_of_one_name_at_once(local):
    local.put("02_done", *(f"j{number}" for number in range(60)))
    local.store.mkdir(TRASH)
    local.put(TRASH, *(f"j{number}" for number in range(60)), data=b"older")
    assert len(local.json("remove", "j*")["removed"]) == 60
    assert len(trash(local)) == 120
    assert {local.store.read(f"{TRASH}/j{number}") for number in range(60)} == {b"older"}


def test_one_left_half_way_is_found(queue, worker):
    """By somebody who was killed while he removed it."""
    queue.put("02_done", "~remove-1~k3x9q2.a.txt")
    assert queue.json("remove", "a.txt")["removed"] == ["a.txt"]
    assert trash(queue) == ["a.txt"]


# -- odd things in the way ----------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="needs links")
def test_a_trash_that_is_a_link_is_not_followed(local, tmp_path):
    (tmp_path / "victim").mkdir()
    os.symlink(tmp_path / "victim", local.store.full_path(TRASH))
    local.put("02_done", "a")
    assert "symbolic link" in local.refused("remove", "a")
    assert local.jobs() == {"02_done": ["a"]}
    assert os.listdir(tmp_path / "victim") == []


def test_a_trash_that_is_a_file_is_told(local):
    local.put("_queue", "trash")
    local.put("02_done", "a")
    assert "trash" in local.refused("remove", "a")
    assert local.jobs() == {"02_done": ["a"]}
    assert local.store.read(TRASH) == b"data"
