"""An HTTP proxy of ours: sends a request twice, or answers it itself."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.amounts import PATIENCE

METHODS = ("GET", "PUT", "DELETE", "MOVE", "MKCOL", "PROPFIND", "OPTIONS")


@dataclass(frozen=True)
class Answer:
    """What the proxy says itself.

    Attributes:
        status: the code.
        body: what a browser would show.
        headers: besides its length.
        when: whether the request is passed on before ("after"), or never ("instead").
    """

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    when: str = "instead"


@contextmanager
def forwarding(
    port: int,
    answer: Callable[[], Answer | None] = lambda: None,
    times: Callable[[str], int] = lambda _method: 1,
) -> Iterator[int]:
    """A proxy before the server at `port` of 127.0.0.1; gives its own port.

    Args:
        port: the server's.
        answer: asked at each request; what to say instead of the server's answer.
        times: how often a request with a method is sent; the last answer is handed on.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            self.upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)

        def finish(self) -> None:
            self.upstream.close()
            super().finish()

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            own = answer()
            if own is not None and own.when == "instead":
                self.tell(own.status, own.headers.items(), own.body)
                return
            for _ in range(times(self.command)):
                self.upstream.close()  # the server may have ended it meanwhile
                self.upstream.request(self.command, self.path, body, dict(self.headers))
                theirs = self.upstream.getresponse()
                data = theirs.read()
            if own is not None:
                self.tell(own.status, own.headers.items(), own.body)
            else:
                self.tell(theirs.status, theirs.getheaders(), data)

        def tell(self, status: int, headers: object, data: bytes) -> None:
            self.send_response(status)
            for name, value in headers:  # type: ignore[attr-defined]
                if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    for method in METHODS:
        setattr(Handler, f"do_{method}", Handler.forward)
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    proxy.daemon_threads = True
    proxy.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that went
    thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy.server_port
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()


def twice_if_move(method: str) -> int:
    """For a proxy that sends each MOVE twice."""
    return 2 if method == "MOVE" else 1
