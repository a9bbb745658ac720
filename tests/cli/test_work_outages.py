"""A worker with a job, or without one, while its queue refuses everything."""

import sys
from contextlib import contextmanager
from threading import Thread

import pytest

from tests.amounts import THOROUGH
from tests.cli.conftest import Queue
from tests.command_line import python, wait_until
from tests.fake_webdav.faults import Fault

SHELL = pytest.mark.skipif(sys.platform == "win32", reason="a job written for a POSIX shell")

CONTAINS = python("import sys; assert sys.argv[1] in open(sys.argv[2]).read()")
WAYS = {
    "401": {"kind": "status", "status": 401, "times": 2},
    "403": {"kind": "status", "status": 403},
    "404": {"kind": "status", "status": 404},
    "404, though it was done": {"kind": "status", "status": 404, "when": "after"},
    "405": {"kind": "status", "status": 405},
    "413": {"kind": "status", "status": 413},
    "423": {"kind": "status", "status": 423},
    "425": {"kind": "status", "status": 425},
    "507": {"kind": "status", "status": 507},
    "a redirect": {"kind": "redirect", "location": "http://127.0.0.1:1/login"},
    "a login page": {"kind": "login_page"},
}


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr("dirjobs.worker._FIRST_PAUSE", 0.01)
    monkeypatch.setattr("dirjobs.worker._LONGEST_PAUSE", 0.05)
    monkeypatch.setattr("dirjobs.files.upload._PAUSE", 0.01)
    monkeypatch.setattr("dirjobs.protocol.outage.LOGON_PAUSES", (0.01, 0.01))


def waits_in(folder):
    """Python that tells by a file that it has begun, and waits for another one."""
    return f"""
import os, time
os.chdir({str(folder)!r})
open("begun" + os.environ["DIRJOBS_NAME"], "w").close()
while not os.path.exists("go"):
    time.sleep(0.01)
"""


@contextmanager
def met_by_a_job(fault, server, tmp_path):
    """A script that writes a result; `fault` is there from its beginning on."""

    def refuse_all():
        wait_until((tmp_path / "beguna").exists)
        server.faults.add(fault)
        (tmp_path / "go").touch()

    thread = Thread(target=refuse_all)
    thread.start()
    yield (
        waits_in(tmp_path)
        + """
open(os.path.join(os.environ["DIRJOBS_OUT"], "a.txt"), "wb").write(b"1\\n")
"""
    )
    thread.join()


@pytest.mark.parametrize("way", WAYS)
def test_a_job_is_handed_in_when_its_queue_is_back(way, far, server, tmp_path):
    far.put("00_waiting", "a")
    fault = Fault(**{"times": 12} | WAYS[way])
    with met_by_a_job(fault, server, tmp_path) as script:
        told = far.run("work", "--", *python(script))
    assert fault.fired == fault.times
    assert far.jobs() == {"02_done": ["a"]}
    assert far.names(far.files("a")) == ["a.txt"]
    assert "1 done" in told
    if way not in ("423", "425"):
        assert far.stderr.count("the queue is away") == 1
        assert far.stderr.count("the queue is there again") == 1


@pytest.mark.parametrize("way", WAYS)
def test_a_worker_that_waits_for_jobs_goes_on(way, far, server):
    fault = Fault(**{"times": 12} | WAYS[way])
    # One lost answer to a look for jobs, which tells that it has begun.
    begun = server.faults.add(Fault("cut", method="PROPFIND", path="jobs/00_waiting", nth=3))

    def refuse_all_then_add():
        wait_until(lambda: begun.fired)
        server.faults.add(fault)
        wait_until(lambda: fault.fired == fault.times)
        server.write("jobs/00_waiting/a", b"")

    thread = Thread(target=refuse_all_then_add)
    thread.start()
    far.run("work", "--wait", "--poll", "0.02", "--max-jobs", "1", "--", "true")
    thread.join()
    assert far.jobs() == {"02_done": ["a"]}


@pytest.mark.parametrize("way", ["403", "404", "a login page"])
def test_the_patience_ends_with_one_sentence_and_the_results_are_kept(
    way, far, server, tmp_path, scratch
):
    far.put("00_waiting", "a")
    fault = Fault(**WAYS[way] | {"times": None})
    with met_by_a_job(fault, server, tmp_path) as script:
        far.run("work", "--patience", "0.1", "--", *python(script), code=2)
    server.faults.clear()
    assert "The queue has been away for 0.1 s: giving up." in far.stderr
    assert "dirjobs deliver" in far.stderr
    assert [path.read_text() for path in scratch.rglob("a.txt")] == ["1\n"]
    assert far.jobs() == {"01_running": far.names("01_running")}


def test_a_login_that_is_refused_in_the_end_is_tried_three_times(far, server, tmp_path):
    far.put("00_waiting", *"abcd")
    fault = Fault("status", status=401, times=None)

    def refuse_all():
        wait_until(lambda: len(list(tmp_path.glob("begun*"))) == 4)
        server.faults.add(fault)
        (tmp_path / "go").touch()

    thread = Thread(target=refuse_all)
    thread.start()
    far.run("work", "--slots", "4", "--", *python(waits_in(tmp_path)), code=2)
    thread.join()
    server.faults.clear()
    assert "is tried no more" in far.stderr
    # Each slot may have a request under way when the first one is refused.
    assert 3 <= fault.fired <= 3 + 3


@SHELL
@pytest.mark.parametrize("status", [423, 425, 500, 503] if THOROUGH else [423, 503])
@pytest.mark.parametrize("method", ["PROPFIND", "GET", "PUT"])
def test_one_answer_that_will_pass_ends_no_worker(method, status, server):
    """At each request of a worker's start, of a job and of the end."""
    for n in range(1, 60):
        queue = Queue(f"{server.url}/jobs{n}")
        queue.put("00_waiting", "a", data=b"x")
        fault = server.faults.add(Fault("status", method, status=status, nth=n))
        queue.run("work", "--", "sh", "-c", 'echo 1 > "$DIRJOBS_OUT/a.txt"')
        server.faults.clear()
        done = queue.jobs()
        queue.store.close()
        assert done == {"02_done": ["a"]}, (n, queue.stderr)
        if not fault.fired:
            break
    assert 2 < n < 59


@pytest.mark.parametrize("status", [423, 425])
def test_the_file_of_a_job_is_waited_for(status, far, server, monkeypatch):
    monkeypatch.setattr("dirjobs.runner.execution._PAUSE", 0.01)
    far.put("00_waiting", "a", data=b"content")
    fault = Fault("status", "GET", "jobs/01_running/*", status=status, times=12)
    server.faults.add(fault)
    far.run("work", "--", *CONTAINS, "content", "{}")
    assert fault.fired == fault.times
    assert far.jobs() == {"02_done": ["a"]}


def test_a_job_is_not_run_with_half_of_its_file(far, server, monkeypatch):
    monkeypatch.setattr("dirjobs.runner.execution._PAUSE", 0.01)
    far.put("00_waiting", "a", data=b"line1\nline2\nline3\n")
    fault = Fault(
        "body", "GET", "jobs/01_running/*", body=b"line1\n", headers={"ETag": "x"}, times=12
    )
    server.faults.add(fault)
    far.run("work", "--", *CONTAINS, "line3", "{}")
    assert fault.fired == fault.times
    assert "has 18 bytes as it is listed, and 6 came" in far.stderr
    assert far.jobs() == {"02_done": ["a"]}
