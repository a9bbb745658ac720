"""A bare client for tests of the fake itself: says what it is told, repeats nothing."""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, TypeVar
from urllib.parse import quote, urlsplit

T = TypeVar("T")


class Told(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes


class Client:
    """One connection to the tree at `url`."""

    def __init__(self, url: str, *, timeout: float = 300, trust: str | None = None) -> None:
        parts = urlsplit(url)
        self.prefix = parts.path
        self.origin = f"{parts.scheme}://{parts.netloc}"
        host = parts.hostname or ""
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=trust)
            self.connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, parts.port, timeout=timeout, context=context
            )
        else:
            self.connection = http.client.HTTPConnection(host, parts.port, timeout=timeout)

    def path(self, path: str) -> str:
        return f"{self.prefix}/{quote(path)}"

    def ask(
        self,
        method: str,
        path: str = "",
        body: bytes | Iterator[bytes] | None = None,
        to: str | None = None,
        **headers: str,
    ) -> Told:
        """Send one request; `to` is the path of the Destination."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if to is not None:
            sent["Destination"] = self.origin + self.path(to)
        self.connection.request(method, self.path(path), body, sent)
        with self.connection.getresponse() as response:
            return Told(response.status, response.headers, response.read())

    def close(self) -> None:
        self.connection.close()


@contextmanager
def clients(url: str, number: int) -> Iterator[list[Client]]:
    """So many clients, each connected already, so that a race starts with its request."""
    found = [Client(url) for _ in range(number)]
    try:
        for each in found:
            each.connection.connect()
        yield found
    finally:
        for each in found:
            each.close()


def race(runners: list[Callable[[], T]]) -> list[T]:
    """What each of `runners` returned, all started at the same moment."""
    barrier = threading.Barrier(len(runners))

    def run(runner: Callable[[], T]) -> T:
        barrier.wait()
        return runner()

    with ThreadPoolExecutor(len(runners)) as pool:
        return list(pool.map(run, runners))
