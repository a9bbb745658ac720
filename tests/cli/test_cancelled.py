"""A job that somebody has cancelled did not fail: everywhere it is told so."""

import json
import re
import sys
import threading

import pytest

from dirjobs.layout import JOURNAL
from dirjobs.runner import slots
from tests.amounts import PATIENCE
from tests.command_line import wait_until

SHELL = pytest.mark.skipif(sys.platform == "win32", reason="jobs written for a POSIX shell")


@pytest.fixture
def mixed(queue):
    """One done, one failed, two cancelled: of them one that was waiting, and one running."""
    queue.put("00_waiting", "a", "b", "c")
    queue.run("work", "--filter", "[ab]", "--", sys.executable, "-c", EXITS, "{name}", code=1)
    queue.put("01_running", "w9.d")
    queue.run("cancel", "c", "d")
    return queue


EXITS = "import sys; sys.exit(sys.argv[1] == 'b')"


def test_everywhere_it_is_told(mixed):
    assert mixed.jobs() == {"02_done": ["a"], "99_failed": ["b", "c", "d"]}
    assert "1 done, 1 failed, 2 cancelled" in mixed.run("status")
    told = mixed.json("status")
    assert (told["failed"], told["cancelled"], told["total"]) == (1, 2, 4)
    assert [failure["job"] for failure in told["failures"]] == ["b"]
    states = {"a": "done", "b": "failed", "c": "cancelled", "d": "cancelled"}
    assert {row["job"]: row["state"] for row in mixed.json("list")} == states
    assert {row["job"]: row["state"] for row in mixed.json("results")} == states
    assert [row["job"] for row in mixed.json("list", "--failed")] == ["b"]
    assert [row["job"] for row in mixed.json("list", "--state", "cancelled")] == ["c", "d"]
    assert [row["job"] for row in mixed.json("results", "--state", "cancelled")] == ["c", "d"]
    told = mixed.run("show", "c")
    assert "c: cancelled (99_failed/c" in told
    assert "  -  cancelled by hand, " in told
    assert "?" not in told


def test_what_failed_is_tried_again_and_what_was_cancelled_only_by_name(mixed):
    assert mixed.json("retry", "--failed")["retried"] == ["b"]
    assert mixed.json("retry", "c")["retried"] == ["c"]
    assert mixed.jobs() == {"00_waiting": ["b", "c"], "02_done": ["a"], "99_failed": ["d"]}
    mixed.run("work", "--", sys.executable, "-c", "import sys; sys.exit(1)", code=1)
    states = {row["job"]: row["state"] for row in mixed.json("list")}
    assert states == {"a": "done", "b": "failed", "c": "failed", "d": "cancelled"}


def test_a_cancelled_job_of_a_name_that_is_taken(queue):
    queue.put("00_waiting", "a")
    queue.put("99_failed", "a")
    queue.run("cancel", "a")
    states = {row["job"]: row["state"] for row in queue.json("list")}
    assert states == {"a": "failed", "a~2": "cancelled"}


def test_a_job_that_was_gone_was_not_cancelled(local, monkeypatch):
    """Somebody ends it between the record and the rename."""
    local.put("01_running", "w9.a")
    rename = type(local.store).rename

    def late(store, src, dst):
        if src == "01_running/w9.a" and dst.startswith("99_failed"):
            rename(store, src, "99_failed/a")
        return rename(store, src, dst)

    with monkeypatch.context() as patch:
        patch.setattr(type(local.store), "rename", late)
        local.run("cancel", "a")
    assert [row["state"] for row in local.json("list")] == ["failed"]
    (name,) = local.names(JOURNAL)
    assert json.loads(local.store.read(f"{JOURNAL}/{name}"))["lost"]


def test_a_queue_without_any_costs_one_request(far, server):
    far.put("99_failed", *"abc")
    server.reset_log()
    far.run("list", "--failed")
    assert [each.method for each in server.log].count("GET") == 0
    assert len(server.log) <= 4


@SHELL
def test_its_command_is_ended_and_the_worker_says_so(local, tmp_path, monkeypatch):
    monkeypatch.setattr(slots, "LOOK", 0.05)
    local.put("00_waiting", "a")

    def cancel():
        wait_until((tmp_path / "begun").exists)
        local.run("cancel", "a")

    other = threading.Thread(target=cancel)
    other.start()
    out = local.run("work", "--", "sh", "-c", f"touch {tmp_path}/begun; sleep 600")
    other.join(PATIENCE)
    assert "a ... cancelled" in out
    assert "1 cancelled" in out
    told = local.run("show", "a")
    (worker,) = {one["worker"] for one in local.json("show", "a")["attempts"]}
    assert f"  -  cancelled by hand (was running at {worker}), " in told
    assert re.search(
        rf"  1  ended after \S+ s by {worker} on .*, because the job was cancelled", told
    )
    assert local.jobs() == {"99_failed": ["a"]}
    assert [row["state"] for row in local.json("list")] == ["cancelled"]


def test_two_threads_cancel_under_one_name(local):
    local.put("00_waiting", *(f"j{number}" for number in range(120)))
    local.run("cancel", "j*", "--yes")
    assert local.json("status")["cancelled"] == 120
    assert len({name.split(".")[0] for name in local.names(JOURNAL)}) == 1
    assert len(local.names(JOURNAL)) == 2
