"""One file that a server does not let go, once or for good, is about that file only."""

from __future__ import annotations

import io
import logging
import time
from contextlib import nullcontext

import pytest

from dirjobs import DirJobs, JobsRefused
from dirjobs.errors import AmbiguousResult, StoreError
from dirjobs.layers import Retrying
from dirjobs.recovery.control import Control
from tests.fake_webdav import PERSONALITIES, Fault
from tests.fake_webdav.fixtures import serve_fake

__all__ = ["serve_fake"]

JOBS = ("a.txt", "b.txt", "c.txt")
INTO_RUNNING = {"method": "MOVE", "destination": "01_running/*"}
OUT_OF_WAITING = {"method": "MOVE", "path": "00_waiting/[abc].txt"}


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch):
    monkeypatch.setattr("dirjobs.clock.sleep", lambda seconds: time.sleep(min(seconds, 0.002)))
    monkeypatch.setattr(Retrying, "FIRST", 0.002)
    monkeypatch.setattr(Control, "sleep_unless_aborted", lambda *_: None)


@pytest.fixture
def server(serve_fake):
    return serve_fake(PERSONALITIES["atomic"])


def opened(server, mode, wid="w1"):
    return DirJobs(server.url, wid=wid, mode=mode, storage_options={"netrc": False})


def put(server, *names):
    for name in names:
        server.write(f"00_waiting/{name}", b"data")


def names(server, folder):
    return sorted(server.files(folder))


@pytest.mark.parametrize("mode", ["trust", "verify"])
@pytest.mark.parametrize("which", [INTO_RUNNING, OUT_OF_WAITING], ids=["across", "out"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("status", [403, 404, 423, 425, 500, 503])
def test_one_refusal_of_its_only_job_does_not_end_a_worker(server, mode, which, when, status):
    with opened(server, mode) as queue:
        put(server, "a.txt")
        fault = server.faults.add(Fault("status", **which, status=status, when=when))
        done = []
        for job in queue:
            with job:
                done.append(job.name())
        assert fault.fired
    assert done == names(server, "02_done") == ["a.txt"]
    assert names(server, "01_running") == names(server, "00_waiting") == []


@pytest.mark.parametrize("mode", ["trust", "verify"])
@pytest.mark.parametrize("status", [403, 423, 500])
def test_a_job_that_is_never_given_holds_up_no_other(server, mode, status):
    with opened(server, mode) as queue:
        put(server, *JOBS)
        server.faults.add(Fault("status", "MOVE", "00_waiting/a.txt", status=status, times=None))
        with pytest.raises(JobsRefused, match=rf"^1 job could not be taken, 'a.txt': .*{status}"):
            for job in queue:
                job.done()
    assert names(server, "02_done") == ["b.txt", "c.txt"]
    assert names(server, "00_waiting") == ["a.txt"]


@pytest.mark.parametrize("mode", ["trust", "verify"])
@pytest.mark.parametrize("which", [{"method": "MOVE"}, INTO_RUNNING], ids=["all", "across"])
@pytest.mark.parametrize("status", [403, 503])
def test_who_is_given_no_job_is_told(server, mode, which, status):
    with opened(server, mode) as queue:
        put(server, *JOBS)
        fault = server.faults.add(Fault("status", **which, status=status, times=None))
        with pytest.raises(JobsRefused, match=rf"^3 jobs could not be taken, such as .*{status}"):
            queue.next_and_lock()
        server.faults.clear()
        assert fault.fired
    assert names(server, "00_waiting") == list(JOBS)
    assert names(server, "01_running") == []


@pytest.mark.parametrize("status", [403, 423, 500])
def test_a_dead_workers_job_that_can_not_be_moved_keeps_nobody_from_starting(
    server, status, caplog
):
    caplog.set_level(logging.WARNING, "dirjobs")
    with opened(server, "verify", "gone") as queue:
        put(server, "a.txt", "b.txt")
        for _ in range(2):
            assert queue.next_and_lock()
        stuck = Fault("status", "MOVE", "01_running/gone.a.txt", status=status, times=None)
        server.faults.add(stuck)
    assert names(server, "01_running") == ["gone.a.txt"]
    put(server, "c.txt")
    with opened(server, "verify") as queue:
        done = []
        for job in queue:
            with job:
                done.append(job.name())
    assert done == ["b.txt", "c.txt"]
    assert "can't be taken back now" in caplog.text
    server.faults.clear()
    with opened(server, "verify") as queue:
        assert [job.name() for job in queue] == ["a.txt"]


@pytest.mark.parametrize("status", [403, 404, 409, 423, 500, 503])
def test_folders_that_somebody_else_made_are_believed(server, status):
    """Apache says 403 to whoever is second in a race to make one, nephele 500."""
    made = Fault("status", "MKCOL", status=status, when="after", times=None)
    server.faults.add(made)
    with opened(server, "verify") as queue:
        put(server, "a.txt")
        assert [job.name() for job in queue] == ["a.txt"]
    assert made.fired


@pytest.mark.parametrize("mode", ["trust", "verify"])
def test_a_folder_that_a_person_deleted_is_made_again(server, mode):
    with opened(server, mode) as queue:
        put(server, *JOBS)
        queue.next_and_lock().done()
        server.remove("01_running")
        done = []
        for job in queue:
            with job:
                done.append(job.name())
    assert done == ["b.txt", "c.txt"]
    assert names(server, "02_done") == list(JOBS)


@pytest.mark.parametrize("times", [1, None], ids=["once", "for ever"])
@pytest.mark.parametrize("is_pipe", [False, True], ids=["file", "pipe"])
def test_a_job_whose_folder_is_not_found_is_never_added_in_part(server, is_pipe, times):
    """Nothing of the source is left when it is said that the folder is not there."""
    source = io.BytesIO(b"data" * 1000)
    source.seekable = lambda: not is_pipe
    with opened(server, "trust") as queue:
        server.faults.add(Fault("status", "PUT", "00_waiting/*", status=409, times=times))
        fault = server.faults.add(Fault("status", "PROPFIND", "00_waiting", status=404))
        with nullcontext() if times else pytest.raises(StoreError):
            queue.add("a.txt", source)
        assert fault.fired
    assert server.files("00_waiting") == ({"a.txt": b"data" * 1000} if times else {})


@pytest.mark.parametrize("is_pipe", [False, True], ids=["file", "pipe"])
def test_a_job_is_added_whole_to_a_folder_that_a_person_deleted(server, is_pipe):
    source = io.BytesIO(b"data" * 1000)
    source.seekable = lambda: not is_pipe
    with opened(server, "trust") as queue:
        server.remove("00_waiting")
        queue.add("a.txt", source)
    assert server.files("00_waiting") == {"a.txt": b"data" * 1000}


def test_who_can_not_look_says_that_a_job_may_have_been_added(server):
    with opened(server, "trust") as queue:
        put(server, "b.txt")
        queue.next_and_lock().done()
        server.faults.add(Fault("status", "MOVE", status=404, when="after"))
        server.faults.add(Fault("status", "GET", "_queue/queue.json", status=404, times=2))
        with pytest.raises(AmbiguousResult, match=r"^job 'a.txt' may have been added or not \("):
            queue.add("a.txt", b"data")
    assert names(server, "00_waiting") == ["a.txt"]


@pytest.mark.parametrize("path", ["01_running/w1.a.txt", "01_running/~*", "00_waiting/~*"])
def test_a_rename_whose_source_is_there_is_asked_for_again(server, path):
    with opened(server, "verify") as queue:
        put(server, "a.txt")
        job = queue.next_and_lock()
        fault = server.faults.add(Fault("status", "MOVE", path, status=404))
        job.release()
        assert fault.fired
        assert names(server, "00_waiting") == ["a.txt"]


def test_a_claim_that_was_made_is_found_though_a_look_is_refused(server):
    """The server says that it moved nothing, then that it knows no such folder."""
    with opened(server, "trust") as queue:
        put(server, "b.txt")
        queue.next_and_lock().done()
        put(server, "a.txt")
        server.faults.add(Fault("status", "MOVE", status=404, when="after"))
        server.faults.add(Fault("status", "PROPFIND", "01_running*", status=404))
        job = queue.next_and_lock()
        assert job is not None
        job.done()
    assert names(server, "02_done") == ["a.txt", "b.txt"]
