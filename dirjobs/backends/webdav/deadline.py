"""By when a request must have ended, and connections that look at it.

A timeout of httpx's is one of silence: it begins anew with every byte, so that a server
which sends one now and then is waited for without end.  Here every read and every write of
a connection is given what is left of one deadline.
"""

from __future__ import annotations

import math
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from typing import Any

import httpcore
import httpx

MIN_RATE = 1024
"""Bytes per second that must be made of a payload, on the average of one timeout."""
_SLICE = 64 * 1024
"""Bytes that are written at a time."""


class Deadline:
    """By when the request under way must be over.

    Args:
        seconds: for a whole request without a payload; a payload has them anew whenever
            `MIN_RATE` times as many bytes have gone.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = self._at_last = math.inf
        self._gone = 0

    def begin(self, at_most: float = math.inf) -> None:
        """A request begins, which takes `at_most` seconds, whatever its payload."""
        self._at_last = time.monotonic() + at_most
        self.renew()

    def renew(self) -> None:
        """From now on the time runs anew."""
        self._until = min(time.monotonic() + self._seconds, self._at_last)
        self._gone = 0

    def went(self, size: int) -> None:
        """So many bytes of a payload have gone."""
        self._gone += size
        if self._gone >= MIN_RATE * self._seconds:
            self.renew()

    def left(self, at_most: float | None = None) -> float:
        """Seconds for which may be waited; 0 or less if it is over."""
        left = self._until - time.monotonic()
        return left if at_most is None else min(left, at_most)


class Incoming(httpx.SyncByteStream):
    """The body of an answer that may take longer than a request, as long as it goes on.

    Args:
        stream: the body.
        deadline: is told how it goes on.
    """

    def __init__(self, stream: httpx.SyncByteStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._stream:
            self._deadline.went(len(piece))
            yield piece

    def close(self) -> None:
        self._stream.close()


class Outgoing(httpx.SyncByteStream):
    """The body of a request, after which the server has the whole time for its answer.

    Args:
        stream: the body.
        deadline: knows from the connection how it goes on, and is told when it is over.
    """

    def __init__(self, stream: httpx.SyncByteStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream
        self._deadline.renew()

    def close(self) -> None:
        self._stream.close()


class Network(httpcore.NetworkBackend):
    """Makes connections that end with a deadline."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._native = httpcore.SyncBackend()
        self._latest: httpcore.NetworkStream | None = None

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        # The native one would give each of a host's addresses the whole time.
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(str(error)) from error
        refusal: Exception = httpcore.ConnectError("there is no address of that name")
        for *_, address in found:
            left = self._deadline.left(timeout)
            if left <= 0:
                raise httpcore.ConnectTimeout from refusal
            numeric, _ = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
            try:
                stream = self._native.connect_tcp(
                    numeric, port, left, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                refusal = error
            else:
                self._latest = stream
                return _Stream(stream, self._deadline)
        raise refusal

    def hang_up(self) -> None:
        """Close the connection that was made last."""
        if self._latest is not None:
            self._latest.close()
            self._latest = None


class _Stream(httpcore.NetworkStream):
    """A connection that ends with a deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left = self._deadline.left(timeout)
        if left <= 0:
            raise httpcore.ReadTimeout
        return self._stream.read(max_bytes, left)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _SLICE):
            left = self._deadline.left(timeout)
            if left <= 0:
                raise httpcore.WriteTimeout
            piece = buffer[start : start + _SLICE]
            self._stream.write(piece, left)
            self._deadline.went(len(piece))

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(timeout)
        if left <= 0:
            raise httpcore.ConnectTimeout
        try:
            stream = self._stream.start_tls(ssl_context, server_hostname, left)
        except ValueError as error:  # a name of a host that no certificate can have
            raise httpcore.ConnectError(str(error)) from error
        return _Stream(stream, self._deadline)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
