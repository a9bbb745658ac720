"""How `show`, the logs and the commands number the attempts at a job."""

import json
import re

from dirjobs import DirJobs
from dirjobs.files.upload import Delivery
from dirjobs.protocol import attempts
from dirjobs.protocol.share import Share
from tests.command_line import python

COMMAND = python("import os; print('try', os.environ['DIRJOBS_ATTEMPT'])")


def test_a_job_that_is_repeated_is_counted_on(queue):
    """Within a second, too, though WebDAV tells the times of logs in whole ones."""
    queue.put("00_waiting", "a.txt", "b.txt")
    for number in "123":
        queue.run("work", "--", *COMMAND)
        assert f"try {number}\n" in queue.run("logs", "a.txt")
        queue.run("retry", "--done", "a.txt")
    assert [one["attempt"] for one in queue.json("show", "a.txt")["attempts"]] == [1, 2, 3]
    assert re.findall(r"^  (\S+)  done after", queue.run("show", "a.txt"), re.M) == ["1", "2", "3"]


def test_so_it_is_by_a_worker_that_goes_on(local):
    """The list of what was noted is half a minute old to it."""
    share = Share(local.store)
    delivery = Delivery(share)
    assert delivery.attempts_at("a.txt") == 0
    attempts.note(share, "a.txt", "", "retried by hand", retried=True, was_done=True)
    assert delivery.attempts_at("a.txt") == 1
    assert delivery.attempts_at("b.txt") == 0


def test_cancelling_a_waiting_job_is_no_attempt(local):
    local.put("00_waiting", "a.txt")
    local.run("cancel", "a.txt")
    local.run("retry", "a.txt")
    local.run("work", "--", *COMMAND)
    assert [one.get("attempt") for one in local.json("show", "a.txt")["attempts"]] == [None, 1]


def test_attempts_without_a_number_are_numbered_in_their_order(local):
    for _ in range(2):
        local.put("00_waiting", "a.txt")
        with DirJobs(local.store, "w1") as worker:
            worker.next_and_lock().failed("too hot")
        local.run("retry", "a.txt")
    assert re.findall(r"^  (\S+)  failed", local.run("show", "a.txt"), re.M) == ["1", "2"]


def test_an_attempt_that_ended_with_its_worker_is_one(local):
    local.put("00_waiting", "a.txt")
    attempts.note(Share(local.store), "a.txt", "w1", "w1 was silent\nfor 5 min", died=True)
    local.run("work", "--", *COMMAND)
    told = local.run("show", "a.txt")
    assert re.search(
        r"^  1  begun by w1, which died, \S+\n     why     w1 was silent for 5", told, re.M
    )
    assert re.search(r"^  2  done after", told, re.M)
    assert "Noted" not in told
    assert json.loads(local.run("show", "a.txt", "--json"))["notes"][0]["died"] is True
