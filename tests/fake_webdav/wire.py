"""HTTP/1.1 with keep-alive, one thread per connection.

werkzeug's own handler closes the connection after every answer, because it can't tell
what is left of a request's body.  `Body` can, so this handler goes on.
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
import sys
import threading
import weakref
from collections.abc import Iterator
from http import HTTPStatus
from time import time
from typing import Any, Protocol

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from .messages import Answer, Body, Disconnected
from .xml import http_date

_MAX_LINE = 65536


class Site(Protocol):
    """Who answers."""

    def serve(self, method: str, target: str, headers: dict[str, str], wire: Wire) -> None: ...

    def failed(self, error: Exception) -> None: ...


class Wire(WSGIRequestHandler):
    """One connection; `server.site` is asked for every answer."""

    disable_nagle_algorithm = True
    rbufsize = 1 << 16
    server: Server
    body: Body
    bodyless = False

    def handle(self) -> None:
        self.close_connection = False
        while not self.close_connection:
            try:
                self.handle_one_request()
            except Disconnected:
                self.close_connection = True
            except Exception as error:  # noqa: BLE001 - the test shall see it, not stderr
                self.close_connection = True
                self.server.site.failed(error)

    def handle_one_request(self) -> None:
        line = self.rfile.readline(_MAX_LINE)
        while line in (b"\r\n", b"\n"):
            line = self.rfile.readline(_MAX_LINE)
        words = line.decode("latin1").split()
        if len(words) != 3:
            self.close_connection = True
            if line:
                self.send(Answer.plain(400))
            return
        method, target, version = words
        headers: dict[str, str] = {}
        while (line := self.rfile.readline(_MAX_LINE)) not in (b"\r\n", b"\n"):
            if not line:
                self.close_connection = True
                return
            name, _, value = line.decode("latin1").partition(":")
            headers[name.lower()] = value.strip()
        connection = headers.get("connection", "").lower()
        self.close_connection = "close" in connection or (
            version == "HTTP/1.0" and "keep-alive" not in connection
        )
        self.bodyless = method == "HEAD"
        self.body = Body(self.rfile, headers, self)  # type: ignore[arg-type]
        self.server.site.serve(method, target, headers, self)
        if not self.close_connection:
            self._drain()

    def _drain(self) -> None:
        """Read what nobody asked for, so that the next request begins where it begins."""
        if self.body.finished:
            return
        if not self.body.unwanted():
            for _ in self.body.pieces():
                pass
        self.close_connection = not self.body.finished

    def continue_(self) -> None:
        self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def head(self, answer: Answer) -> bytes:
        phrase = HTTPStatus(answer.status).phrase if answer.status in _KNOWN else "Unknown"
        lines = [f"HTTP/1.1 {answer.status} {phrase}", f"Date: {http_date(int(time()))}"]
        if answer.status not in (204, 304):
            lines.append(f"Content-Length: {answer.length}")
            if answer.length:
                lines.append(f"Content-Type: {answer.kind}")
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        if self.close_connection:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin1")

    def pieces(self, answer: Answer) -> Iterator[bytes]:
        """The whole answer as it goes over the wire."""
        if not self.body.finished and self.body.unwanted():
            self.close_connection = True
        head = self.head(answer)
        if self.bodyless or answer.status in (204, 304):
            yield head
        elif answer.file is None:
            yield head + answer.body
        else:
            yield head
            yield from answer.pieces()

    def send(self, answer: Answer) -> None:
        for piece in self.pieces(answer):
            self.connection.sendall(piece)

    def cut(self, *, reset: bool = False) -> None:
        """End the connection at once; `reset`: with RST, as a crashed peer would."""
        self.close_connection = True
        self.server.cut(self.connection, reset=reset)


_KNOWN = {int(status) for status in HTTPStatus}


_running: weakref.WeakSet[Server] = weakref.WeakSet()


class Server(ThreadedWSGIServer):
    """Remembers its connections, so that stopping ends them; shakes TLS hands in the
    connection's own thread, so that a silent client holds up nobody."""

    def __init__(self, host: str, port: int, site: Site, tls: ssl.SSLContext | None) -> None:
        self.site = site
        self.tls = tls
        self._open: set[socket.socket] = set()
        self._all_closed = threading.Condition()
        super().__init__(host, port, _no_app, Wire)
        _running.add(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._remember(request)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._forget(request)

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.tls is None:
            Wire(request, client_address, self)
            return
        try:
            connection = self.tls.wrap_socket(request, server_side=True)
        except OSError:  # the client does not like our certificate: its business
            return
        self._remember(connection)
        try:
            Wire(connection, client_address, self)
        finally:
            self._forget(connection)
            connection.close()

    def _remember(self, connection: socket.socket) -> None:
        with self._all_closed:
            self._open.add(connection)

    def _forget(self, connection: socket.socket) -> None:
        with self._all_closed:
            self._open.discard(connection)
            self._all_closed.notify_all()

    def shutdown_request(self, request: Any) -> None:
        """Only close: a FIN sent before would spare the client the reset it is due."""
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, Exception) and not isinstance(error, Disconnected):
            self.site.failed(error)

    def cut(self, connection: socket.socket, *, reset: bool) -> None:
        try:
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                connection.shutdown(socket.SHUT_RDWR)
        except OSError:  # it has ended by itself
            pass

    def forget_sockets(self) -> None:
        """Let go of what a forked child inherited: as long as it holds a connection, the
        parent can't reset it, and the port of a stopped server goes on accepting."""
        for connection in (self.socket, *self._open):  # no lock: its holder may not exist here
            number = connection.detach()
            if number >= 0:
                os.close(number)

    def close_connections(self, seconds: float = 5.0) -> bool:
        """End all connections and wait for their threads; False if some are still busy."""
        with self._all_closed:
            for connection in self._open:
                self.cut(connection, reset=False)
            return self._all_closed.wait_for(lambda: not self._open, seconds)


def _after_fork() -> None:
    for server in list(_running):
        server.forget_sockets()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _no_app(environ: object, start_response: object) -> list[bytes]:
    raise NotImplementedError("Wire asks the site")
