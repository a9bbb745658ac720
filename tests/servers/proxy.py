"""A TCP proxy of ours that can freeze, cut, lose answers, and counts SMB requests."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Self

Kind = Callable[[bytes], bool]
"""Tells of a frame whether it is a request of the kind that is meant."""


def _any(_frame: bytes) -> bool:
    return True


def is_rename(frame: bytes) -> bool:
    """Whether it is a compound of CREATE and SET_INFO, unencrypted: a claim, or its end."""
    create, set_info = 5, 17
    message = frame[4:]
    following = int.from_bytes(message[20:24], "little")
    commands = [int.from_bytes(part[12:14], "little") for part in (message, message[following:])]
    return bool(following) and commands == [create, set_info]


class Proxy:
    """Stands between a client and a server on 127.0.0.1.

    Requests are counted by their NetBIOS frames: one frame from the client that is
    answered by one is one round trip, however many SMB messages are compounded in it.

    Args:
        port: the server's port.
        forge: makes another message of each answer (without its length) that comes by.
    """

    def __init__(self, port: int, forge: Callable[[bytes], bytes] | None = None) -> None:
        self._server_port = port
        self._forge = forge
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._flowing = threading.Event()
        self._flowing.set()
        self._on_request: Callable[[Pair, bytes], bool] | None = None
        self.requests = 0
        self.renames = 0
        self.bytes_sent = 0
        self.bytes_received = 0
        self.cuts = threading.Semaphore(0)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def freeze(self) -> None:
        """Keep all connections, and forward nothing any more."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Forward what has come meanwhile, and all that follows."""
        self._flowing.set()

    def cut(self) -> None:
        """End all connections; new ones are taken."""
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        for sock in sockets:
            _shut(sock)

    def cut_after_request(self, number: int = 1, of: Kind = _any) -> None:
        """Forward the `number`-th request (`of` a kind) from now, and end its connection
        instead of forwarding the answer."""
        self._on_request = _nth(number, of, _deafen)

    def drop_request(self, number: int = 1, of: Kind = _any) -> None:
        """End the connection instead of forwarding the `number`-th request from now."""
        self._on_request = _nth(number, of, _drop)

    def freeze_at_request(self, number: int, of: Kind = _any) -> None:
        """Freeze instead of forwarding the answer to the `number`-th request from now."""
        self._on_request = _nth(number, of, lambda _: self.freeze())

    def close(self) -> None:
        _shut(self._listener)  # wakes the thread that waits for connections
        self._listener.close()
        self._flowing.set()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._join, args=(client,), daemon=True).start()

    def _join(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._server_port))
        except OSError:
            client.close()
            return
        pair = Pair(client, server)
        with self._lock:
            self._sockets |= {client, server}
        for sock in (client, server):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = threading.Thread(target=self._answers, args=(pair,), daemon=True)
        back.start()
        self._requests(pair)
        back.join()
        with self._lock:
            self._sockets -= {client, server}
        client.close()
        server.close()

    def _requests(self, pair: Pair) -> None:
        with contextlib.suppress(OSError):
            while frame := _frame(pair.client):
                self._flowing.wait()
                with self._lock:
                    self.requests += 1
                    self.renames += is_rename(frame)
                    self.bytes_sent += len(frame)
                    struck = self._on_request is not None and self._on_request(pair, frame)
                    if struck:
                        self._on_request = None
                if struck:
                    self.cuts.release()
                    if pair.dropped:
                        break
                pair.server.sendall(frame)
        if not pair.deaf:
            pair.cut()

    def _answers(self, pair: Pair) -> None:
        with contextlib.suppress(OSError):
            while data := self._answer(pair.server):
                self._flowing.wait()
                if pair.deaf:
                    break
                self.bytes_received += len(data)
                pair.client.sendall(data)
        pair.cut()

    def _answer(self, server: socket.socket) -> bytes:
        """What comes next, as it is passed on."""
        if self._forge is None:
            return server.recv(1 << 16)
        frame = _frame(server)
        message = self._forge(frame[4:]) if frame else b""
        return len(message).to_bytes(4, "big") + message if frame else b""


class Pair:
    """One connection through the proxy."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.deaf = False
        self.dropped = False

    def cut(self) -> None:
        _shut(self.client)
        _shut(self.server)


def _nth(number: int, of: Kind, action: Callable[[Pair], None]) -> Callable[[Pair, bytes], bool]:
    left = number

    def on_request(pair: Pair, frame: bytes) -> bool:
        nonlocal left
        if not of(frame):
            return False
        left -= 1
        if left == 0:
            action(pair)
        return left == 0

    return on_request


def _deafen(pair: Pair) -> None:
    pair.deaf = True


def _drop(pair: Pair) -> None:
    pair.dropped = True


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _frame(sock: socket.socket) -> bytes:
    """One NetBIOS frame with its length; empty at the end of the connection."""
    head = _exactly(sock, 4)
    return head + _exactly(sock, int.from_bytes(head[1:], "big")) if head else b""


def _exactly(sock: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        piece = sock.recv(min(length - len(data), 1 << 16))
        if not piece:
            return b""
        data += piece
    return bytes(data)
