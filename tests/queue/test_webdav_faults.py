"""Every fault of a WebDAV server at every step of the protocol.

What the program says afterwards is what is true on the server; and when a worker has
closed its queue and another one has drained it, the job is where it was said to be, once,
whole, and nothing of it is left between the folders.
"""

from __future__ import annotations

import select
import time
import zlib
from dataclasses import dataclass, replace

import httpcore
import pytest

from dirjobs import DirJobs, clock, open_store
from dirjobs.backends.webdav.deadline import _Stream
from dirjobs.errors import AmbiguousResult, ClaimLost, StoreError
from dirjobs.layers import Retrying
from tests.amounts import PATIENCE, THOROUGH, amount
from tests.fake_webdav import PERSONALITIES, FakeWebDAV, Fault
from tests.fake_webdav.fixtures import serve_fake

__all__ = ["serve_fake"]

JOB, PAYLOAD = "job 1.txt", b"payload \0 of the job" * 100
FOLDERS = ("00_waiting", "01_running", "02_done", "99_failed")


@dataclass(frozen=True)
class Step:
    """One request of the protocol: in which mode, doing what, and which it is."""

    name: str
    mode: str
    action: str
    method: str
    path: str
    destination: str | None = None
    nth: int = 1


CLAIM, HALF, BACK = "01_running/w1.job 1.txt", "00_waiting/~w1~*.job 1.txt", "01_running/~w1~*"
STEPS = [
    Step("list", "trust", "done", "PROPFIND", "00_waiting"),
    Step("claim", "trust", "done", "MOVE", f"00_waiting/{JOB}", CLAIM),
    Step("done", "trust", "done", "MOVE", CLAIM, f"02_done/{JOB}"),
    Step("failed", "trust", "failed", "MOVE", CLAIM, f"99_failed/{JOB}"),
    Step("give back", "trust", "release", "MOVE", CLAIM, f"00_waiting/{JOB}"),
    Step("give back at the end", "trust", "close", "MOVE", CLAIM, f"00_waiting/{JOB}"),
    Step("list", "verify", "done", "PROPFIND", "00_waiting"),
    Step("look around", "verify", "done", "PROPFIND", "01_running"),
    Step("claim, inside", "verify", "done", "MOVE", f"00_waiting/{JOB}", HALF),
    Step("claim, across", "verify", "done", "MOVE", HALF, CLAIM),
    Step("look", "verify", "done", "PROPFIND", "01_running", nth=2),
    Step("look at done", "verify", "done", "PROPFIND", f"02_done/{JOB}"),
    Step("look at failed", "verify", "done", "PROPFIND", f"99_failed/{JOB}"),
    Step("done", "verify", "done", "MOVE", CLAIM, f"02_done/{JOB}"),
    Step("failed", "verify", "failed", "MOVE", CLAIM, f"99_failed/{JOB}"),
    Step("give back, inside", "verify", "release", "MOVE", CLAIM, BACK),
    Step("give back, across", "verify", "release", "MOVE", BACK, HALF),
    Step("give back, name", "verify", "release", "MOVE", HALF, f"00_waiting/{JOB}"),
    Step("give back at the end", "verify", "close", "MOVE", CLAIM, BACK),
    Step("add, look", "verify", "add", "PROPFIND", f"02_done/{JOB}"),
    Step("add, look at claims", "verify", "add", "PROPFIND", "01_running"),
    Step("add, upload", "verify", "add", "PUT", "00_waiting/~*.part"),
    Step("add, name", "verify", "add", "MOVE", "00_waiting/~*.part", f"00_waiting/{JOB}"),
]
STATUSES = (500, 502, 503, 504, 429) if THOROUGH else (500, 503)
FAULTS = {
    "answer lost": Fault("answer_lost"),
    "request lost": Fault("request_lost"),
    "late, no answer": Fault("late"),
    "late, after a 504": Fault("late", status=504),
    "twice": Fault("twice"),
    "stalled before": Fault("stalled"),
    "stalled after": Fault("stalled", when="after"),
    "drip": Fault("drip", seconds=0.0002),
    "cut": Fault("cut"),
    "login page": Fault("login_page"),
    "redirect": Fault("redirect", location="http://127.0.0.1:9/{target}"),
    **{f"{status} before": Fault("status", status=status) for status in STATUSES},
    **{
        f"{status} after": Fault("status", status=status, when="after")
        for status in ((404, 412, 423, 500, 502, 503, 504) if THOROUGH else (404, 412, 503))
    },
}
LISTING_FAULTS = {
    "garbage": Fault("garbage_xml"),
    "truncated": Fault("truncated_xml"),
    "entity bomb": Fault("entity_bomb"),
    "hostile hrefs": Fault("hostile_hrefs", hrefs=("/etc/passwd", "http://evil.example/x")),
    "inner status": Fault("inner_status", status=403),
}


def cases():
    """Each fault of each step; daily a third of them, so that like ones meet each fault."""
    for step in STEPS:
        listing = step.method == "PROPFIND"
        for name, fault in {**FAULTS, **(LISTING_FAULTS if listing else {})}.items():
            if (step.name, name) == ("add, look", "hostile hrefs"):
                continue  # it says that the job is there: nobody can know better
            if step.method != "MOVE" and name in ("404 after", "412 after"):
                continue  # no answer to anything else that was carried out
            case = f"{step.mode}-{step.name}-{name}"
            if zlib.crc32(case.encode()) % amount(3, 1) == 0:
                yield pytest.param(step, fault, id=case)


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch):
    """The pauses between tries are made short; how long they are is tested elsewhere."""
    monkeypatch.setattr(clock, "sleep", lambda seconds: time.sleep(min(seconds, 0.002)))
    monkeypatch.setattr(Retrying, "FIRST", 0.002)


def opened(server: FakeWebDAV, wid: str, mode: str) -> DirJobs:
    # Trust is for servers whose MOVE is exclusive; the others are what verify is for.
    options = {"timeout": PATIENCE, "netrc": False}
    return DirJobs(server.url, wid=wid, mode=mode, storage_options=options)


def give_up_what_is_held(monkeypatch: pytest.MonkeyPatch, fault: Fault) -> None:
    """The time of a request is over once `fault` holds it, and no other request's ever is,
    however busy the machine."""
    read = _Stream.read

    def impatient(self: _Stream, max_bytes: int, timeout: float | None = None) -> bytes:
        connection = self.get_extra_info("socket")
        while not select.select([connection], [], [], 0.005)[0]:
            if connection.getsockname() in fault.held_from:
                raise httpcore.ReadTimeout
        return read(self, max_bytes, timeout)

    monkeypatch.setattr(_Stream, "read", impatient)


def where(server: FakeWebDAV) -> list[str]:
    """The folders in which the job is, by whatever name."""
    found = []
    for folder in FOLDERS:
        for name, data in server.files(folder).items():
            if not name.endswith(".part"):
                assert name.startswith("~") or data == PAYLOAD, f"{folder}/{name} is torn"
                found.append(folder)
    return found


def add(server: FakeWebDAV, queue: DirJobs) -> str:
    """What `add` says; checked against the server."""
    try:
        queue.add(JOB, PAYLOAD)
    except AmbiguousResult:
        return "unknown"
    except StoreError:
        assert where(server) == []
        return "not added"
    assert where(server) == ["00_waiting"]
    return "added"


def work(server: FakeWebDAV, queue: DirJobs, action: str) -> str:
    """What the worker says of its one job; checked against the server."""
    try:
        job = queue.next_and_lock()
    except StoreError:
        assert where(server), "lost"
        return "error"
    if job is None:
        assert server.files("02_done") == {}
        return "nothing"
    assert where(server) == ["01_running"]
    assert job.read_bytes() == PAYLOAD
    if action == "close":
        return "held"
    try:
        {"done": job.done, "failed": job.failed, "release": job.release}[action]()
    except ClaimLost:
        pytest.fail("nobody took the claim")
    except StoreError:
        assert where(server)
        return "unknown"
    there = {"done": "02_done", "failed": "99_failed", "release": "00_waiting"}[action]
    if action != "release":  # that may take until the sweep
        assert server.files(there) == {JOB: PAYLOAD}
    return action


@pytest.mark.parametrize(("step", "script"), list(cases()))
def test_what_is_said_is_true(serve_fake, monkeypatch, step, script):
    copying = replace(PERSONALITIES["copying_lenient"], gap=0.0)
    server = serve_fake(PERSONALITIES["atomic"] if step.mode == "trust" else copying)
    fault = replace(script, method=step.method, path=step.path, nth=step.nth)
    fault.destination = step.destination
    if script.kind == "stalled":
        give_up_what_is_held(monkeypatch, fault)
    with opened(server, "w1", step.mode) as queue:
        if step.action != "add":
            server.write(f"00_waiting/{JOB}", PAYLOAD)
        server.faults.add(fault)
        said = add(server, queue) if step.action == "add" else work(server, queue, step.action)
        if step.action != "close":
            assert fault.fired
            fault.release()  # what is late is executed now; the sweep at the end sees it
    fault.release()
    given_back = said in ("release", "held", "nothing", "error")
    if given_back and script.kind != "redirect":
        assert server.files("00_waiting") == {JOB: PAYLOAD}, "given back by the end"
    started = []
    with opened(server, "w2", step.mode) as queue:
        for job in queue:
            started.append(job.read_bytes())
            job.done()
    assert where(server) in (
        {"not added": [[]], "unknown": [[], ["02_done"]]}.get(said, [["02_done"]])
        if step.action == "add"
        else [["99_failed"] if said == "failed" else ["02_done"]]
    )
    if said in ("done", "failed"):
        assert started == []
    assert server.files("_queue/parked") == {}


def test_files_that_look_like_pages_are_read_by_many_threads_at_once(serve_fake):
    """Whether it is a folder is asked while the answer is open, on a second connection."""
    from concurrent.futures import ThreadPoolExecutor

    server = serve_fake()
    with open_store(f"{server.url}/jobs", {"timeout": 5.0}) as store:
        store.mkdir("")
        store.write("a", b"content")
        page = Fault("body", method="GET", body=b"content", times=None)
        server.faults.add(page)
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(store.read, ["a"] * 64)) == {b"content"}
