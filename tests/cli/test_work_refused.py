"""Everything is refused for a while, or the queue is away, in each way: a worker goes on, hands
in what its job has made, and ends well."""

import errno
import os
import textwrap
from threading import Event, Thread

import pytest

from dirjobs import DirJobs
from dirjobs.backends.posix import store as posix
from dirjobs.backends.posix.errnos import refusal
from dirjobs.files import workspace
from dirjobs.runner import slots
from tests.amounts import THOROUGH, amount
from tests.cli.conftest import Queue
from tests.cli.test_work import said
from tests.command_line import python, wait_until
from tests.fake_webdav.faults import Fault

LASTS = amount(0, 60)
"""Seconds for which all is refused once that was noticed."""
ENOUGH = 4
"""Requests that must have been refused before all is well again."""
MAKES_A_FILE = """
import os, pathlib
print("said")
pathlib.Path(os.environ["DIRJOBS_OUT"], "a.txt").write_bytes(b"1\\n")
"""
LOGIN = b"<!doctype html><title>Welcome</title><form>please log in</form>"
HTML = "text/html; charset=utf-8"

# For each way: what the server answers to everything.
ANSWERS = {
    **{str(code): {"kind": "status", "status": code} for code in (403, 404, 405, 413, 500, 507)},
    "401": {"kind": "status", "status": 401, "headers": {"WWW-Authenticate": 'Basic realm="x"'}},
    "302": {"kind": "redirect", "status": 302, "location": "http://127.0.0.1:9/login"},
    "login page": {"kind": "body", "body": LOGIN, "content_type": HTML},
}


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr("dirjobs.files.upload._PAUSE", 0.02)
    monkeypatch.setattr("dirjobs.worker._FIRST_PAUSE", 0.05)
    monkeypatch.setattr("dirjobs.worker._LONGEST_PAUSE", 0.05)
    if not THOROUGH:
        monkeypatch.setattr("dirjobs.protocol.outage.LOGON_PAUSES", (0.2,) * 10_000)


class Far:
    """A queue on a server that refuses everything for a while."""

    def __init__(self, server, way):
        self.server, self.way = server, way
        self.queue = Queue(f"{server.url}/jobs")
        self.fault = None

    def begin(self):
        self.fault = self.server.faults.add(Fault(times=None, **ANSWERS[self.way]))

    def is_noticed(self):
        # A login is not tried again at once.
        return self.fault.fired >= (1 if self.way == "401" else ENOUGH)

    def end(self):
        self.server.faults.clear()


class Near:
    """A queue in a local folder that is away, or forbidden, for a while."""

    def __init__(self, folder, way, monkeypatch):
        self.way, self.patch = way, monkeypatch
        self.queue = Queue(folder)
        self.requests = 0
        self.error = None
        with DirJobs(f"{folder}.another", "other", job_ext="", create=True) as other:
            other.add("foreign")
            other.next_and_lock().done()
        verbs = ("list", "names_of_files", "exists", "rename", "read", "write", "upload", "mkdir")
        for verb in verbs:
            monkeypatch.setattr(posix.PosixStore, verb, self.counted(verb))

    def counted(self, verb):
        original = getattr(posix.PosixStore, verb)

        def call(store, *args):
            self.requests += 1
            if self.error is not None:
                raise refusal(self.error, f"{args[0]!r}")
            return original(store, *args)

        return call

    def begin(self):
        folder = self.queue.url
        if self.way in ("EACCES", "ENOTCONN", "ESTALE"):
            self.error = getattr(errno, self.way)
        else:
            os.rename(folder, f"{folder}.elsewhere")
            if self.way == "bare":
                os.mkdir(folder)
            elif self.way == "another":
                os.rename(f"{folder}.another", folder)
        self.before, self.requests = self.tree(), 0

    def tree(self):
        """What is there; but a heartbeat that was under way may be anywhere."""
        if self.error is not None:
            return []
        return sorted(each for each in os.walk(self.queue.url) if not each[0].endswith("workers"))

    def is_noticed(self):
        return self.requests >= ENOUGH

    def end(self):
        folder = self.queue.url
        if self.error is not None:
            self.error = None
            return
        assert self.tree() == self.before  # nothing is made where the queue is not
        if os.path.exists(folder):
            os.rename(folder, f"{folder}.phantom")
        os.rename(f"{folder}.elsewhere", folder)


WAYS = [*ANSWERS, "gone", "bare", "another", "EACCES", "ENOTCONN", "ESTALE"]


@pytest.fixture(params=WAYS)
def place(request, tmp_path, monkeypatch):
    if request.param in ANSWERS:
        place = Far(request.getfixturevalue("serve_fake")(), request.param)
    else:
        place = Near(tmp_path / "jobs", request.param, monkeypatch)
    # As after the first minutes of a queue's life, when its id is everybody's.
    place.queue.put("00_waiting", "first")
    place.queue.run("work", "--mode", "trust", "--", "true")
    yield place
    place.queue.store.close()


def during(begins_when, place, then):
    """A thread in which the outage begins, is noticed, and ends."""

    def outage():
        wait_until(begins_when)
        place.begin()
        then()
        wait_until(place.is_noticed)
        Event().wait(LASTS)
        place.end()

    thread = Thread(target=outage, daemon=True)
    thread.start()
    return thread


def assert_all_is_well(place, scratch, out, *jobs):
    queue = place.queue
    assert queue.jobs() == {"02_done": [*sorted(jobs), "first"]}
    assert f"{len(jobs)} done in" in out
    assert "Traceback" not in queue.stderr
    for job in jobs:
        assert queue.store.read(f"{queue.files(job)}/a.txt") == b"1\n"
        assert said(queue, job) == ["said"]
    assert list(scratch.iterdir()) == []


def test_while_a_job_runs_and_ends(place, scratch, tmp_path, monkeypatch):
    monkeypatch.setattr(slots, "LOOK", 0.05)
    place.queue.put("00_waiting", "a", "b")
    script = f"""
        import pathlib, time
        folder = pathlib.Path({str(tmp_path)!r})
        (folder / "begun").touch()
        while not (folder / "go").exists():
            time.sleep(0.01)
    """
    outage = during((tmp_path / "begun").exists, place, (tmp_path / "go").touch)
    out = place.queue.run("work", "--", *python(textwrap.dedent(script) + MAKES_A_FILE))
    outage.join()
    assert_all_is_well(place, scratch, out, "a", "b")


def test_when_a_job_has_just_ended(place, scratch, monkeypatch):
    place.queue.put("00_waiting", "a")
    ended, away = [], []
    command_ended = workspace.Workspace.command_ended

    def note_end(self, *args):
        command_ended(self, *args)
        ended.append(self)
        wait_until(lambda: away)

    monkeypatch.setattr(workspace.Workspace, "command_ended", note_end)
    outage = during(lambda: ended, place, lambda: away.append(True))
    out = place.queue.run("work", "--", *python(MAKES_A_FILE))
    outage.join()
    assert_all_is_well(place, scratch, out, "a")


def test_while_a_worker_waits_for_jobs(place, scratch):
    idle = []
    original = DirJobs.look_for_job

    def look_for_job(queue):
        job = original(queue)
        if job is None:
            idle.append(queue)
        return job

    def outage():
        wait_until(lambda: idle)
        place.begin()
        wait_until(place.is_noticed)
        Event().wait(LASTS)
        place.end()
        place.queue.put("00_waiting", "a")

    thread = Thread(target=outage, daemon=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DirJobs, "look_for_job", look_for_job)
        thread.start()
        options = ("--wait", "--poll", 0.05, "--max-jobs", 1)
        out = place.queue.run("work", *options, "--", *python(MAKES_A_FILE))
    thread.join()
    assert_all_is_well(place, scratch, out, "a")
