"""A server that speaks enough of S3 for a queue, and heeds no condition, as some do.

It also answers what it is told to: for what a status means, and what becomes of a lost answer.
"""

from __future__ import annotations

import hashlib
import threading
import time
import xml.sax.saxutils
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit


class Heedless:
    """The server.

    Attributes:
        heeds: whether it heeds ``If-None-Match`` after all.
        objects: contents and times, by bucket and key.
        faults: what the next requests of a method are answered: a status, or ``mute`` (carried
            out, and the connection closed).
        asked: method and path of each request.
    """

    def __init__(self, *, heeds: bool = False) -> None:
        self.heeds = heeds
        self.objects: dict[str, tuple[bytes, float]] = {}
        self.faults: dict[str, list[int | str]] = {}
        self.asked: list[tuple[str, str]] = []
        self.lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._http.handle_error = lambda *_: None  # type: ignore[method-assign]  # who asked is gone
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def options(self) -> dict[str, object]:
        return {"endpoint_url": self.endpoint, "key": "worker", "secret": "s3cret-of-worker"}

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


def _handler(server: Heedless) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

        def _serve(self) -> None:
            url = urlsplit(self.path)
            path = unquote(url.path).strip("/")
            length = int(self.headers.get("Content-Length") or 0)
            data = self.rfile.read(length)
            with server.lock:
                server.asked.append((self.command, path))
                planned = server.faults.get(self.command) or []
                fault = planned.pop(0) if planned else None
                if isinstance(fault, int):
                    self._answer(fault, b"<Error><Code>AsPlanned</Code></Error>")
                    return
                status, body, headers = self._carry_out(path, parse_qs(url.query), data)
            if fault == "mute":
                self.close_connection = True
                return
            self._answer(status, body, headers)

        do_GET = do_PUT = do_HEAD = do_DELETE = _serve  # noqa: N815

        def _carry_out(
            self, path: str, query: dict[str, list[str]], data: bytes
        ) -> tuple[int, bytes, dict[str, str]]:
            objects = server.objects
            if self.command == "PUT":
                if server.heeds and self.headers.get("If-None-Match") == "*" and path in objects:
                    return 412, b"<Error><Code>PreconditionFailed</Code></Error>", {}
                objects[path] = data, time.time()
                return 200, b"", {"ETag": _tag(data)}
            if "list-type" in query:
                prefix = query.get("prefix", [""])[0]
                return 200, _listing(objects, path, prefix), {}
            if path not in objects:
                return 404, b"<Error><Code>NoSuchKey</Code></Error>", {}
            if self.command == "DELETE":
                del objects[path]
                return 204, b"", {}
            content, at = objects[path]
            told = {"ETag": _tag(content), "Last-Modified": formatdate(at, usegmt=True)}
            return 200, content, told

        def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    return Handler


def _tag(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'


def _listing(objects: dict[str, tuple[bytes, float]], bucket: str, prefix: str) -> bytes:
    files, folders = [], set()
    for path, (content, at) in sorted(objects.items()):
        key = path.removeprefix(f"{bucket}/")
        if not path.startswith(f"{bucket}/") or not key.startswith(prefix):
            continue
        inside, slash, _ = key[len(prefix) :].partition("/")
        if slash:
            folders.add(f"{prefix}{inside}/")
            continue
        when = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(at))
        files.append(
            f"<Contents><Key>{xml.sax.saxutils.escape(key)}</Key><LastModified>{when}</LastModified>"
            f"<ETag>{_tag(content)}</ETag><Size>{len(content)}</Size></Contents>"
        )
    prefixes = "".join(
        f"<CommonPrefixes><Prefix>{xml.sax.saxutils.escape(one)}</Prefix></CommonPrefixes>"
        for one in sorted(folders)
    )
    return (
        f"<ListBucketResult><Name>{bucket}</Name><IsTruncated>false</IsTruncated>"
        f"{''.join(files)}{prefixes}</ListBucketResult>"
    ).encode()


@contextmanager
def running(*, heeds: bool = False) -> Iterator[Heedless]:
    server = Heedless(heeds=heeds)
    server.start()
    try:
        yield server
    finally:
        server.stop()
