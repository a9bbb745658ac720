"""Every fault of the fake: what the client sees, and what is true afterwards."""

from __future__ import annotations

import http.client
import multiprocessing
import os
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection

import pytest

from tests.amounts import PATIENCE
from tests.fake_webdav import FakeWebDAV, Fault
from tests.fake_webdav.client import Client, Told
from tests.fake_webdav.fixtures import ServeFake, serve_fake

__all__ = ["serve_fake"]
CUT = (ConnectionError, http.client.HTTPException)


@pytest.fixture
def server(serve_fake: ServeFake) -> FakeWebDAV:
    server = serve_fake()
    server.write("a/job", b"payload" * 100)
    server.mkdir("b")
    return server


@pytest.fixture
def asker(server: FakeWebDAV) -> Iterator[Client]:
    client = Client(server.url)
    yield client
    client.close()


def take(asker: Client) -> Told:
    return asker.ask("MOVE", "a/job", to="b/mine")


def moved(server: FakeWebDAV) -> bool:
    assert len(server.files("a")) + len(server.files("b")) == 1
    return "mine" in server.files("b")


@pytest.mark.parametrize(
    ("fault", "executed"),
    [
        (Fault("answer_lost", "MOVE"), True),
        (Fault("request_lost", "MOVE"), False),
        (Fault("cut", "MOVE"), True),
        (Fault("late", "MOVE"), False),
    ],
    ids=lambda each: getattr(each, "kind", ""),
)
def test_connection_ends_without_an_answer(
    server: FakeWebDAV, asker: Client, fault: Fault, executed: bool
) -> None:
    server.faults.add(fault)
    with pytest.raises(CUT):
        take(asker)
    assert fault.fired == 1
    assert moved(server) is executed
    asker.close()
    assert take(asker).status == (404 if executed else 201)
    assert [each.status for each in server.log][-1:] == [404 if executed else 201]


@pytest.mark.parametrize("status", [401, 403, 423, 429, 500, 502, 503, 504, 507])
@pytest.mark.parametrize("when", ["before", "after"])
def test_status_before_or_after_execution(
    server: FakeWebDAV, asker: Client, status: int, when: str
) -> None:
    fault = Fault("status", "MOVE", status=status, when=when, headers={"Retry-After": "7"})  # type: ignore[arg-type]
    server.faults.add(fault)
    told = take(asker)
    assert (told.status, told.headers["Retry-After"]) == (status, "7")
    assert moved(server) is (when == "after")
    assert take(asker).status == (404 if when == "after" else 201)


def test_late_execution_waits_for_its_release(server: FakeWebDAV, asker: Client) -> None:
    fault = server.faults.add(Fault("late", "MOVE", status=504))
    assert take(asker).status == 504
    assert not moved(server)
    fault.release()
    assert moved(server)
    assert fault.late_statuses == [201]


def test_late_execution_by_timer(server: FakeWebDAV, asker: Client) -> None:
    done = threading.Event()
    server.after("PUT", lambda request: done.set())
    server.faults.add(Fault("late", "PUT", status=504, seconds=0.01))
    assert asker.ask("PUT", "b/new", b"body").status == 504
    assert done.wait(PATIENCE)
    assert server.files("b") == {"new": b"body"}


def test_duplicated_request(server: FakeWebDAV, asker: Client) -> None:
    server.faults.add(Fault("twice", "MOVE"))
    assert take(asker).status == 404
    assert moved(server)


@pytest.mark.parametrize("when", ["before", "after"])
def test_stalled_until_released(server: FakeWebDAV, asker: Client, when: str) -> None:
    fault = server.faults.add(Fault("stalled", "MOVE", when=when))  # type: ignore[arg-type]
    told: list[int] = []
    thread = threading.Thread(target=lambda: told.append(take(asker).status))
    thread.start()
    assert fault.arrived.acquire(timeout=PATIENCE)
    assert (moved(server), told) == (when == "after", [])
    fault.release()
    thread.join(PATIENCE)
    assert told == [201]


def test_stalled_client_gives_up_and_stop_ends_the_rest(serve_fake: ServeFake) -> None:
    server = serve_fake()
    server.write("a/job")
    server.mkdir("b")
    fault = server.faults.add(Fault("stalled", "MOVE"))
    asker = Client(server.url, timeout=0.05)
    with pytest.raises(TimeoutError):
        take(asker)
    assert fault.arrived.acquire(timeout=PATIENCE)
    server.stop()
    asker.close()
    assert not moved(server)


def test_slow_drip_arrives_whole(server: FakeWebDAV, asker: Client) -> None:
    fault = server.faults.add(Fault("drip", "GET", seconds=0.0005, piece=50))
    assert asker.ask("GET", "a/job").body == b"payload" * 100
    assert fault.fired == 1


def test_cut_in_the_middle_of_a_body(server: FakeWebDAV, asker: Client) -> None:
    server.faults.add(Fault("cut", "GET"))
    with pytest.raises(http.client.IncompleteRead) as caught:
        asker.ask("GET", "a/job")
    assert len(caught.value.partial) == 350


@pytest.mark.parametrize(
    ("fault", "status", "kind", "contains"),
    [
        (Fault("garbage_xml"), 207, "application/xml", b"&nothing;<"),
        (Fault("truncated_xml"), 207, "application/xml", b"<D:multistatus"),
        (Fault("login_page"), 200, "text/html", b'type="password"'),
        (Fault("entity_bomb"), 207, "application/xml", b"<!ENTITY a9"),
        (Fault("hostile_hrefs", hrefs=["//evil/x", "%2e%2e/"]), 207, "application/xml", b"//evil"),
        (Fault("inner_status", status=423), 207, "application/xml", b"HTTP/1.1 423"),
        (Fault("flood", entries=3000), 207, "application/xml", b"/job2999<"),
        (Fault("body", body=b"{}", content_type="text/json"), 200, "text/json", b"{}"),
    ],
    ids=lambda each: getattr(each, "kind", ""),
)
def test_poison(
    server: FakeWebDAV, asker: Client, fault: Fault, status: int, kind: str, contains: bytes
) -> None:
    server.faults.add(fault)
    told = asker.ask("PROPFIND", "a/", Depth="1")
    assert told.status == status
    assert told.headers.get_content_type() == kind
    assert contains in told.body
    assert fault.fired == 1
    assert asker.ask("PROPFIND", "a/", Depth="1").status == 207


def test_inner_404_to_a_move_is_a_loss(server: FakeWebDAV, asker: Client) -> None:
    server.faults.add(Fault("inner_status", "MOVE"))
    told = take(asker)
    assert told.status == 207
    assert b"404" in told.body
    assert not moved(server)


@pytest.mark.parametrize("origin", ["", "https://evil.example", "http://127.0.0.1:1"])
def test_redirect(server: FakeWebDAV, asker: Client, origin: str) -> None:
    server.faults.add(Fault("redirect", "PROPFIND", status=307, location=origin + "{target}"))
    told = asker.ask("PROPFIND", "a/", Depth="1")
    assert (told.status, told.headers["Location"]) == (307, origin + "/dav/a/")


def test_which_requests_and_how_often(server: FakeWebDAV, asker: Client) -> None:
    second = Fault("status", "GET", path="a/*", nth=2, times=2, status=500)
    server.faults.add(second)
    server.faults.add(Fault("status", "MOVE", destination="b/mine", times=None, status=502))
    assert asker.ask("GET", "b").status == 200
    assert [asker.ask("GET", "a/job").status for _ in range(5)] == [200, 500, 500, 200, 200]
    assert asker.ask("MOVE", "a/job", to="b/other").status == 201
    assert asker.ask("MOVE", "b/other", to="b/mine").status == 502
    assert asker.ask("MOVE", "b/other", to="b/mine").status == 502
    assert second.fired == 2


def test_a_fault_that_never_fires_is_an_error() -> None:
    with FakeWebDAV() as server:
        server.faults.add(Fault("status", "MOVE", path="nowhere"))
        with pytest.raises(AssertionError, match=r"never fired.*nowhere"):
            server.faults.assert_all_fired()


def _hold(pipe: Connection) -> None:
    pipe.send("alive")
    pipe.recv()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_keeps_no_connection_open(server: FakeWebDAV, asker: Client) -> None:
    asker.ask("OPTIONS")
    ours, its = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_hold, args=(its,))
    child.start()
    try:
        assert ours.recv() == "alive"
        server.faults.add(Fault("request_lost", "MOVE"))
        with pytest.raises(ConnectionResetError):
            take(asker)
        server.stop()
        asker.close()
        with pytest.raises(ConnectionRefusedError):
            take(asker)
    finally:
        ours.send("end")
        child.join(PATIENCE)
    assert child.exitcode == 0
