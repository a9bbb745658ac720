"""What an SMB server sends, and however slowly: one error, in time, without much memory."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import socket
import struct
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from dirjobs.backends.smb import connection, directory, integrity, open_store, transfer, wire
from dirjobs.backends.smb.connection import Answer, wait_for_answer
from dirjobs.backends.smb.status import PENDING
from dirjobs.errors import AmbiguousResult, Denied, TooLarge, Unavailable
from tests.amounts import PATIENCE

PAUSE = 0.02
TIMEOUT = 0.8
NEGOTIATED = (
    struct.pack("<4sHHIHHIIQIIQ16s", b"\xfeSMB", 64, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, bytes(16))
    + struct.pack(
        "<HHHH16sIIIIQQHHI", 65, 1, 0x202, 0, b"G" * 16, 0, *[1 << 23] * 3, 0, 0, 128, 0, 0
    )
    + b"\0"
)


def framed(message: bytes) -> bytes:
    return struct.pack(">I", len(message)) + message


def not_yet(command: int, message_id: int) -> bytes:
    header = (b"\xfeSMB", 64, 0, PENDING, command, 1, 3, 0, message_id, 0, 0, 7, bytes(16))
    return framed(struct.pack("<4sHHIHHIIQIIQ16s", *header) + struct.pack("<HHI", 9, 0, 0) + b"\0")


Trick = Callable[[socket.socket], None]


def again_and_again(piece: bytes, pause: float = PAUSE) -> Trick:
    def trick(client: socket.socket) -> None:
        while True:
            client.sendall(piece)
            time.sleep(pause)

    return trick


def after_negotiating(then: Trick) -> Trick:
    def trick(client: socket.socket) -> None:
        client.sendall(framed(NEGOTIATED))
        client.recv(1 << 16)
        then(client)

    return trick


def silent(client: socket.socket) -> None:
    client.recv(1)


TRICKS: dict[str, Trick] = {
    "silent": silent,
    "drips": again_and_again(b"\0"),
    "speaks HTTP": lambda client: client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "garbage": lambda client: client.sendall(os.urandom(4096)),
    "a frame of 16 MiB that never comes": lambda client: (
        client.sendall(b"\0\xff\xff\xff" + bytes(100)),
        silent(client),
    )[0],
    "frames of 16 MiB": again_and_again(b"\0\xff\xff\xff\xfeSMB" + bytes(0xFFFFFF - 4), 0),
    "SMB 1": lambda client: client.sendall(framed(b"\xffSMBr" + bytes(60))),
    "not yet, and not yet": again_and_again(not_yet(0, 0)),
    "a negotiation that is cut": lambda client: client.sendall(framed(NEGOTIATED[:70])),
    "silent at the logon": after_negotiating(silent),
    "drips at the logon": after_negotiating(again_and_again(b"\0")),
    "garbage at the logon": after_negotiating(
        lambda client: client.sendall(framed(b"\xfeSMB" + bytes(60)))
    ),
    "not yet at the logon": after_negotiating(again_and_again(not_yet(1, 1))),
}


@contextlib.contextmanager
def server(trick: Trick) -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        client, _ = listener.accept()
        with client, contextlib.suppress(OSError):
            client.recv(1 << 16)
            trick(client)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()
        thread.join(PATIENCE)


@pytest.mark.parametrize("trick", TRICKS)
def test_a_server_that_is_none_is_told_in_one_sentence(trick: str) -> None:
    with server(TRICKS[trick]) as port:
        options = {"timeout": TIMEOUT, "username": "me", "password": "x"}
        with open_store(f"smb://127.0.0.1:{port}/share/q", options) as store:
            tracemalloc.start()
            try:
                with pytest.raises(Unavailable) as caught:
                    list(store.list("00_waiting"))
                assert tracemalloc.get_traced_memory()[1] < 60e6
            finally:
                tracemalloc.stop()
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert str(caught.value).count("\n") == 0
    assert not str(caught.value).endswith("?.")


def test_of_many_addresses_none_has_the_whole_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(100.0, 2.0)
    monkeypatch.setattr(integrity, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    addresses = [(socket.AF_INET, 1, 6, "", (f"192.0.2.{each}", 445)) for each in range(100)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
    tried = []

    def connect(address: tuple[str, int], timeout: float) -> None:
        tried.append(timeout)
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", connect)
    tcp = integrity.BoundedTcp("nas", 445, 10.0)
    with pytest.raises(ValueError, match="Failed to connect"):
        tcp.connect()
    assert tried == [8.0, 6.0, 4.0, 2.0]
    assert tcp.server == "nas"


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70])
def test_a_host_that_is_none(host: str) -> None:
    with (
        open_store(f"smb://{host}/share", {"username": "me", "password": "x"}) as store,
        pytest.raises(Unavailable, match="there is no host of that name"),
    ):
        store.exists("a")


# -- waiting for an answer -------------------------------------------------------------------


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


def request_whose_answer_is(status: int, clock: Clock, *, comes: bool = True) -> SimpleNamespace:
    """A request of smbprotocol's that is told something every half second."""

    def wait(seconds: float) -> bool:
        clock.now += min(seconds, 0.5) if comes else seconds
        return comes and seconds > 0

    return SimpleNamespace(
        response_event=SimpleNamespace(wait=wait, clear=lambda: None),
        response_event_lock=threading.Lock(),
        response={"status": SimpleNamespace(get_value=lambda: status)},
    )


@pytest.mark.parametrize(("status", "comes"), [(PENDING, True), (0, False)])
def test_an_answer_that_does_not_come(
    monkeypatch: pytest.MonkeyPatch, status: int, comes: bool
) -> None:
    clock = Clock()
    monkeypatch.setattr(connection, "time", clock)
    with pytest.raises(TimeoutError):
        wait_for_answer(request_whose_answer_is(status, clock, comes=comes), 103.0, lambda: True)
    assert clock.now == 103.0


def test_an_answer_or_the_end_of_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(connection, "time", clock)
    wait_for_answer(request_whose_answer_is(0, clock), 103.0, lambda: True)
    wait_for_answer(request_whose_answer_is(PENDING, clock), 103.0, lambda: False)
    assert clock.now == 101.0


# -- files and folders -----------------------------------------------------------------------


class Share:
    """Stands for a `Pool`, its connection and an open file: each request is answered as told."""

    timeout = 10.0
    max_read = max_write = max_list = 1 << 20

    def __init__(self, size: int, answers: Iterator[Answer]) -> None:
        self.id, self.size = b"x" * 16, size
        self._answers = answers

    def mine(self) -> Share:
        return self

    def can_afford(self, *_: object) -> bool:
        return True

    def open_to_look(self, what: str, *messages: wire.Message) -> list[Answer]:
        created = struct.pack("<H46xQI4x16s8x", 89, self.size, 0x20, self.id)
        return [Answer(0, created), *(next(self._answers) for _ in messages[1:])]

    def send(self, *messages: object, **_: object) -> list[Answer]:
        return [next(self._answers) for each in messages if isinstance(each, wire.Message)]

    @contextlib.contextmanager
    def opened(self, *_: object, **__: object) -> Iterator[Share]:
        yield self


def data(content: bytes) -> Answer:
    return Answer(0, struct.pack("<HBBIII", 17, 80, 0, len(content), 0, 0) + content)


@pytest.mark.parametrize("size", [10, 1 << 20, 1 << 62])
@pytest.mark.parametrize("came", [0, 1, 7])
def test_a_file_that_ends_before_its_size_is_ambiguous(size: int, came: int) -> None:
    share = Share(size, itertools.repeat(data(b"a" * came)))
    with pytest.raises(AmbiguousResult, match=f"only {came} of its {size} bytes came"):
        transfer.fetch(share, "f", "read 'f'", lambda _: None)  # type: ignore[arg-type]


def test_a_file_that_is_too_large_to_be_read() -> None:
    share = Share(1 << 62, itertools.repeat(data(b"")))
    with pytest.raises(TooLarge, match="more than 1,000 bytes"):
        transfer.fetch(share, "f", "read 'f'", lambda _: None, 1000)  # type: ignore[arg-type]


def test_a_server_that_takes_a_byte_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(transfer, "time", clock)

    def one_byte() -> Iterator[Answer]:
        while True:
            clock.now += 1.0
            yield Answer(0, struct.pack("<HHI8x", 17, 0, 1))

    share = Share(0, one_byte())
    with pytest.raises(Denied, match="takes no more bytes"):
        transfer.put(share, "f", "write 'f'", io.BytesIO(bytes(100)))  # type: ignore[arg-type]
    assert clock.now == 111.0


def test_a_listing_that_goes_on_and_on(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(directory, "time", clock)
    name = wire.encode(".")
    entry = wire._ENTRY.pack(0, 0, 0, 0, 0x10, len(name)) + name
    listed = Answer(0, struct.pack("<HHI", 9, 72, len(entry)) + entry)

    def the_same() -> Iterator[Answer]:
        while True:
            clock.now += 1.0
            yield listed

    with pytest.raises(Unavailable, match="the listing comes too slowly"):
        directory._sweep_on(Share(0, the_same()), "f", "list 'f'", 1 << 16)  # type: ignore[arg-type]
    assert clock.now == 131.0
