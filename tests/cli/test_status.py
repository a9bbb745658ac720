"""``dirjobs status``."""

import json
import os
import re

import pytest

from dirjobs import DirJobs


def test_an_empty_queue(queue):
    assert queue.run("status") == f"{queue.url}: no jobs\n"
    found = queue.json("status")
    assert (found["total"], found["workers"], found["rate"]) == (0, [], None)


def test_a_queue_at_work(queue):
    queue.put("00_waiting", "a.txt", "b.txt", "c.txt", "d.txt")
    with DirJobs(queue.store, "w1") as worker:
        worker.next_and_lock().done()
        worker.next_and_lock().failed("it was\nodd \x1b[31m")
        worker.next_and_lock()
        worker._membership.beat()
        text = queue.run("status")
        found = queue.json("status")
    assert "1 waiting, 1 running, 1 done, 1 failed (2 of 4 ended)" in text
    assert "w1" in text
    assert f":{os.getpid()}" in text
    assert re.search(r"c\.txt \(\d+ s\)", text)
    assert r"it was odd \x1b[31m" in text
    assert [found[k] for k in ("total", "waiting", "running", "done", "failed")] == [4, 1, 1, 1, 1]
    (seen,) = found["workers"]
    assert seen["state"] == "working"
    assert seen["jobs"][0]["job"] == "c.txt"
    assert found["failures"][0]["reason"].startswith("it was")
    assert found["rate"] > 0


def test_what_a_person_should_do(local):
    local.put("00_waiting", "a.txt")
    local.put("_queue/parked", "w1.a.txt")
    local.run("pause")
    text = local.run("status")
    assert "Paused: `dirjobs resume`" in text
    assert "Nobody works: start `dirjobs work`" in text
    assert "1 second copy is parked" in text
    assert "not taken" not in text


def test_files_that_are_not_taken_for_jobs(local):
    local.put("00_waiting", "a (conflicted copy 2025-04-10).txt")
    local.put("00_waiting", "b.part")
    local.put("00_waiting", ".hidden")
    text = " ".join(local.run("status").split())
    assert "2 files are not taken for jobs, such as 'a (conflicted copy 2025-04-10).txt'" in text
    found = json.loads(local.run("status", "--json"))
    assert (found["total"], found["left_behind"]) == (0, 2)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_folder_that_may_only_be_read(local):
    with DirJobs(local.store, "w1") as worker:
        local.put("00_waiting", "a.txt")
        job = worker.next_and_lock()
        os.chmod(f"{local.url}/_queue/workers", 0o555)
        assert "w1" in local.run("status")
        os.chmod(f"{local.url}/_queue/workers", 0o755)
        job.done()


def test_everything_that_is_asked_of_the_store_can_be_seen(local):
    local.run("status", "-vv")
    assert "dirjobs: list '02_done': 0 entries" in local.stderr
