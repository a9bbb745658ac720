"""A server that says once, or for good, that one thing is locked."""

from __future__ import annotations

import time
from threading import Thread

import pytest

from dirjobs.recovery.control import Control
from tests.command_line import python, wait_until
from tests.fake_webdav.faults import Fault

REQUESTS = {
    "write a heartbeat": ("PUT", "jobs/_queue/workers/*"),
    "list the heartbeats": ("PROPFIND", "jobs/_queue/workers"),
    "read the mode": ("GET", "jobs/_queue/queue.json"),
    "write the mode": ("PUT", "jobs/_queue/queue.json"),
    "list the jobs": ("PROPFIND", "jobs/00_waiting"),
    "list the claims": ("PROPFIND", "jobs/01_running"),
    "look whether it is done": ("PROPFIND", "jobs/02_done/*"),
    "read the job": ("GET", "jobs/01_running/*"),
    "claim, inside": ("MOVE", "jobs/00_waiting/a"),
    "claim, across": ("MOVE", "jobs/00_waiting/~*"),
    "end": ("MOVE", "jobs/01_running/*"),
    "write the log": ("PUT", "jobs/logs/*"),
}


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr("dirjobs.files.upload._PAUSE", 0.02)
    monkeypatch.setattr(Control, "sleep_unless_aborted", lambda *_: None)


@pytest.mark.parametrize("status", [423, 425])
@pytest.mark.parametrize("request_", REQUESTS)
def test_what_is_locked_once_is_asked_for_again(far, server, request_, status):
    far.put("00_waiting", "a")
    method, path = REQUESTS[request_]
    fault = server.faults.add(Fault("status", method, path, status=status))
    far.run("work", "--", *python("print(1)"))
    assert fault.fired
    assert far.jobs() == {"02_done": ["a"]}


def test_a_job_that_is_locked_for_longer_is_waited_for(far, server, monkeypatch):
    monkeypatch.setattr("dirjobs.runner.execution._PAUSE", 0.01)
    far.put("00_waiting", "a")
    fault = server.faults.add(Fault("status", "GET", "jobs/01_running/*", status=423, times=12))
    far.run("work", "--", "true")
    assert fault.fired == 12
    assert "job 'a' can't be fetched now" in far.stderr
    assert far.jobs() == {"02_done": ["a"]}


def test_a_job_that_stays_locked_is_told_and_the_others_are_done(far, server):
    far.put("00_waiting", "a", "b")
    server.faults.add(Fault("status", "MOVE", "jobs/00_waiting/a", status=423, times=None))
    told = far.run("work", "--", "true", code=2)
    assert "1 job could not be taken, 'a': MOVE of http" in far.stderr
    assert "423 (Locked)" in far.stderr
    assert "1 done" in told
    assert "No job is waiting" not in told
    assert far.jobs() == {"00_waiting": ["a"], "02_done": ["b"]}


def test_jobs_that_are_listed_and_always_gone_are_no_empty_queue(far, server, monkeypatch):
    monkeypatch.setattr("dirjobs.worker._MAX_FRUITLESS_PASSES", 2)
    far.put("00_waiting", "a", "b")
    server.faults.add(Fault("status", "MOVE", "jobs/00_waiting/*", status=404, times=None))
    told = far.run("work", "--", "true", code=2)
    assert "2 jobs could not be taken, such as 'a': " in far.stderr
    assert "No job is waiting" not in told
    assert far.jobs() == {"00_waiting": ["a", "b"]}


def test_who_waits_for_jobs_goes_on_beside_one_that_is_locked(far, server):
    far.put("00_waiting", "a")
    locked = Fault("status", "MOVE", "jobs/00_waiting/a", status=423, times=None)
    server.faults.add(locked)

    def unlock():
        wait_until(lambda: locked.fired > 10)  # more than in one look
        far.put("00_waiting", "b")
        wait_until(lambda: far.names("02_done") == ["b"])
        server.faults.clear()

    unlocking = Thread(target=unlock)
    unlocking.start()
    far.run("work", "--wait", "--poll", 0.05, "--max-jobs", 2, "--", "true")
    unlocking.join()
    assert far.stderr.count("1 job could not be taken") == 1
    assert far.jobs() == {"02_done": ["a", "b"]}


@pytest.fixture
def no_long_looks(monkeypatch):
    monkeypatch.setattr("dirjobs.clock.sleep", lambda seconds: time.sleep(min(seconds, 0.002)))


@pytest.mark.usefixtures("no_long_looks")
@pytest.mark.parametrize("status", [403, 423])
def test_a_job_that_can_not_be_cancelled_holds_up_no_other(far, server, status):
    far.put("00_waiting", "a", "b", "c")
    server.faults.add(Fault("status", "MOVE", "jobs/00_waiting/a", status=status, times=None))
    told = far.refused("cancel", "*")
    assert "1 job could not be moved, 'a': " in told
    assert far.jobs() == {"00_waiting": ["a"], "99_failed": ["b", "c"]}
    server.faults.clear()
    far.run("cancel", "*")
    assert far.jobs() == {"99_failed": ["a", "b", "c"]}


@pytest.mark.usefixtures("no_long_looks")
def test_a_server_that_lets_nothing_go_is_not_asked_for_every_job(far, server):
    far.put("00_waiting", *(f"job{number}" for number in range(50)))
    stuck = server.faults.add(Fault("status", "MOVE", status=403, times=None))
    far.refused("cancel", "*")
    assert stuck.fired < 100  # some tries for each of the first few
    assert len(far.names("00_waiting")) == 50


@pytest.mark.usefixtures("no_long_looks")
def test_a_job_that_can_not_be_given_back_holds_up_no_other(far, server):
    far.put("01_running", "w1.a", "w1.b")
    server.faults.add(Fault("status", "MOVE", "jobs/01_running/w1.a", status=423, times=None))
    assert "1 job could not be given back, 'a': " in far.refused("requeue", "a", "b")
    assert far.jobs() == {"00_waiting": ["b"], "01_running": ["w1.a"]}
