"""A WebDAV request ends: whatever the server sends, and however slowly."""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Self

import pytest

from dirjobs.backends.webdav import deadline, open_store
from dirjobs.backends.webdav.deadline import MIN_RATE, Deadline, Outgoing
from dirjobs.errors import AmbiguousResult, StoreError, TooLarge, Unavailable
from dirjobs.store import MAX_READ
from tests.amounts import PATIENCE
from tests.unit.scripted_server import ScriptedServer, answer

PAUSE = 0.02
TIMEOUT = 0.6
HEAD = b"HTTP/1.1 207 X\r\nContent-Type: application/xml\r\nContent-Length: 1000000\r\n\r\n"
FILE_HEAD = b"HTTP/1.1 200 OK\r\nETag: x\r\nContent-Length: 1000000\r\n\r\n"
LOGIN_HEAD = (
    b'HTTP/1.1 401 X\r\nWWW-Authenticate: Basic realm="a"\r\nContent-Length: 1000000\r\n\r\n'
)
OPENING = b'<D:multistatus xmlns:D="DAV:">'
MEMORY = 40_000_000


class Endless:
    """Sends one thing again and again, until the client hangs up."""

    def __init__(
        self, head: bytes, piece: bytes, pause: float, *, waits: bool = True, at_once: bool = False
    ) -> None:
        self._said = (head, piece, pause)
        self._waits = waits and not at_once
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.hung_up = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._thread.join(PATIENCE)

    def _serve(self) -> None:
        head, piece, pause = self._said
        connection, _ = self._socket.accept()
        with connection, contextlib.suppress(OSError):
            if self._waits:
                connection.recv(1 << 16)
            connection.sendall(head)
            while True:
                connection.sendall(piece)
                if pause:
                    time.sleep(pause)
        self.hung_up.set()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


CHUNKED = b"HTTP/1.1 %s X\r\nETag: x\r\nTransfer-Encoding: chunked\r\n\r\n"
ENTRY = (
    b"<D:response><D:href>/q/a.txt</D:href><D:propstat><D:prop/>"
    b"<D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
)
TRICKS = {
    "a status line that drips": (b"", b"H", PAUSE),
    "headers that drip": (b"HTTP/1.1 207 X\r\nX: ", b"a", PAUSE),
    "headers without end": (b"HTTP/1.1 207 X\r\n", b"X: %s\r\n" % (b"a" * 1000), 0),
    "not yet, and not yet": (b"", b"HTTP/1.1 102 Processing\r\n\r\n", PAUSE),
    "not yet, as fast as it goes": (b"", b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\n" * 100, 0),
    "a listing that drips": (HEAD + b"<a", b" ", PAUSE),
    "a listing without end": (CHUNKED % b"207" + chunk(OPENING), chunk(ENTRY * 500), 0),
    "a question for a login that drips": (LOGIN_HEAD, b" ", PAUSE),
    "a redirect that drips": (
        b"HTTP/1.1 302 X\r\nLocation: /q/b/\r\nContent-Length: 1000000\r\n\r\n",
        b" ",
        PAUSE,
    ),
    "a file that drips": (FILE_HEAD, b"a", PAUSE),
    "a file without end": (CHUNKED % b"200", chunk(b"a" * 0x100000), 0),
}


@contextlib.contextmanager
def memory_is_flat() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MEMORY + MAX_READ
    finally:
        tracemalloc.stop()


def said_of(call: Callable[[], object]) -> str:
    """The one sentence of the error that a call ends with."""
    with pytest.raises(StoreError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("trick", TRICKS)
def test_a_question_ends(trick: str) -> None:
    with Endless(*TRICKS[trick]) as server:
        options = {"timeout": TIMEOUT, "username": "me", "password": "x"}
        with open_store(f"http://127.0.0.1:{server.port}/q", options) as store, memory_is_flat():
            said_of(lambda: store.read("a") if "file" in trick else list(store.list("a")))
        assert server.hung_up.wait(PATIENCE)


@pytest.mark.parametrize(
    "trick",
    [name for name in TRICKS if name not in ("a file without end", "a redirect that drips")],
)
def test_a_change_ends_and_leaves_a_doubt_where_there_is_one(trick: str) -> None:
    with Endless(*TRICKS[trick]) as server:
        options = {"timeout": TIMEOUT, "username": "me", "password": "x"}
        with (
            open_store(f"http://127.0.0.1:{server.port}/q", options) as store,
            pytest.raises((AmbiguousResult, Unavailable)),
        ):
            store.rename("a", "b")


def test_a_yes_with_a_text_that_drips_is_a_yes() -> None:
    head = b"HTTP/1.1 201 Created\r\nContent-Length: 1000000\r\n\r\n"
    with Endless(head, b" ", PAUSE) as server:
        # Long enough for the head to come from a thread of a busy machine.
        with open_store(f"http://127.0.0.1:{server.port}/q", {"timeout": 3.0}) as store:
            store.rename("a", "b")
        assert server.hung_up.wait(PATIENCE)


@pytest.mark.parametrize("proxy", ["http", "socks5"])
def test_a_proxy_that_drips_ends(proxy: str) -> None:
    with Endless(b"", b"\x05" if proxy == "socks5" else b"H", PAUSE) as server:
        options = {"timeout": TIMEOUT, "proxy": f"{proxy}://127.0.0.1:{server.port}"}
        with open_store("https://cloud.invalid/q", options) as store:
            assert "cloud.invalid" in said_of(lambda: list(store.list("a")))
        assert server.hung_up.wait(PATIENCE)


def test_tls_that_is_never_agreed_on_ends() -> None:
    # The head of a record of 16 KiB, whose content comes byte by byte.
    with Endless(b"\x16\x03\x03\x40\x00\x02", b"\0", PAUSE) as server:
        with open_store(f"https://127.0.0.1:{server.port}/q", {"timeout": TIMEOUT}) as store:
            assert said_of(lambda: list(store.list("a"))).startswith("https://127.0.0.1")
        assert server.hung_up.wait(PATIENCE)


def test_of_many_addresses_none_has_the_whole_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(100.0, 4.0)
    monkeypatch.setattr(deadline, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    addresses = [(socket.AF_INET, 1, 6, "", (f"192.0.2.{each}", 80)) for each in range(100)]
    monkeypatch.setattr(deadline.socket, "getaddrinfo", lambda *_, **__: addresses)
    tried = []

    def connect(address: tuple[str, int], timeout: float, **_: object) -> None:
        tried.append(timeout)
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", connect)
    with open_store("http://cloud.invalid/q", {"timeout": 30}) as store:
        assert "takes no connection" in said_of(lambda: list(store.list("")))
    assert 1 < len(tried) < 10
    assert tried == sorted(tried, reverse=True), "each is given what is left"


# -- what a payload may take -----------------------------------------------------------------


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(deadline, "time", clock)
    return clock


def test_a_payload_that_goes_on_may_take_long(clock: Clock) -> None:
    limit = Deadline(10.0)
    limit.begin()
    for _ in range(100):
        clock.now += 9.0
        assert limit.left() > 0
        limit.went(10 * MIN_RATE)
    clock.now += 10.0
    assert limit.left() <= 0


def test_a_payload_that_drips_may_not(clock: Clock) -> None:
    limit = Deadline(10.0)
    limit.begin()
    for _ in range(11):
        clock.now += 1.0
        limit.went(MIN_RATE // 2)
    assert limit.left() <= 0


def test_a_listing_has_an_end_however_fast_it_goes_on(clock: Clock) -> None:
    limit = Deadline(10.0)
    limit.begin(at_most=30.0)
    for _ in range(31):
        clock.now += 1.0
        limit.went(1_000_000)
    assert limit.left() <= 0


def test_after_a_payload_the_server_has_its_time_for_the_answer(clock: Clock) -> None:
    class Body:
        def __iter__(self) -> Iterator[bytes]:
            yield b"a"
            clock.now += 9.0

        def close(self) -> None:
            pass

    limit = Deadline(10.0)
    limit.begin()
    assert list(Outgoing(Body(), limit)) == [b"a"]  # type: ignore[arg-type]
    assert limit.left() == 10.0


def test_what_is_too_large_to_be_read_is_downloaded() -> None:
    size = MAX_READ + 1
    with (
        ScriptedServer(lambda _: answer(200, b"a" * size, ETag="x")) as server,
        open_store(f"http://127.0.0.1:{server.port}/q", {}) as store,
    ):
        with pytest.raises(TooLarge, match="has more than 1,048,576 bytes"):
            store.read("a")
        target = io.BytesIO()
        store.download("a", target)
        assert target.tell() == size


# -- what an answer is packed in -------------------------------------------------------------


LISTING = OPENING + ENTRY + b"</D:multistatus>"


@pytest.mark.parametrize("encoding", ["", "identity", "gzip", "GZIP", "x-gzip"])
def test_a_listing_is_unpacked_once(encoding: str) -> None:
    body = gzip.compress(LISTING) if "zip" in encoding.lower() else LISTING
    said = answer(207, body, Content_Encoding=encoding)
    with (
        ScriptedServer(lambda _: said) as server,
        open_store(f"http://127.0.0.1:{server.port}/", {}) as store,
    ):
        assert [entry.name for entry in store.list("q")] == ["a.txt"]


@pytest.mark.parametrize(
    ("encoding", "body", "why"),
    [
        ("gzip, gzip", gzip.compress(gzip.compress(LISTING)), "packed as 'gzip, gzip'"),
        ("br", b"\x8b\x02\x80abc\x03", "packed as 'br'"),
        ("zstd", b"garbage", "packed as 'zstd'"),
        ("deflate", b"\xff\x00garbage", "packed as 'deflate'"),
        ("gzip", b"garbage", "is no gzip"),
        ("gzip", gzip.compress(LISTING)[:-30], "not well-formed"),
    ],
    ids=["twice", "br", "zstd", "deflate", "no gzip", "cut"],
)
def test_what_is_packed_otherwise_is_refused(encoding: str, body: bytes, why: str) -> None:
    with (
        ScriptedServer(lambda _: answer(207, body, Content_Encoding=encoding)) as server,
        open_store(f"http://127.0.0.1:{server.port}/", {}) as store,
    ):
        assert why in said_of(lambda: list(store.list("q")))


@pytest.mark.parametrize("status", [207, 401])
def test_a_bomb_takes_no_memory(status: int) -> None:
    packed = io.BytesIO()
    with gzip.open(packed, "wb") as file:
        file.write(OPENING)
        for _ in range(200):
            file.write(b" " * 1_000_000)
    login = 'Basic realm="a"'
    bomb = answer(status, packed.getvalue(), Content_Encoding="gzip", WWW_Authenticate=login)
    with ScriptedServer(lambda _: bomb) as server:
        options = {"username": "me", "password": "x"}
        with open_store(f"http://127.0.0.1:{server.port}/", options) as store:
            tracemalloc.start()
            try:
                said_of(lambda: list(store.list("q")))
                assert tracemalloc.get_traced_memory()[1] < MEMORY
            finally:
                tracemalloc.stop()


def test_the_private_part_of_httpx_that_is_used() -> None:
    with (
        ScriptedServer(lambda _: answer(404)) as server,
        open_store(f"http://127.0.0.1:{server.port}/q", {}) as store,
    ):
        assert not store.exists("a")
        (line,) = store._session()._free
        (connection,) = line.transport._pool.connections
        stream = connection._connection._network_stream
        assert type(stream) is deadline._Stream


@pytest.mark.parametrize("verb", ["write", "upload"])
def test_a_server_that_takes_nothing(verb: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/q"
        size = 30_000_000  # no buffer on the way has so much room
        content = bytes(size) if verb == "write" else io.BytesIO(bytes(size))
        with (
            open_store(url, {"timeout": TIMEOUT, "trust_env": False}) as store,
            pytest.raises(AmbiguousResult, match="timed out"),
        ):
            getattr(store, verb)("a", content)
