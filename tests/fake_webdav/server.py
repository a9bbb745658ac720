"""FakeWebDAV: the server a test starts, scripts, counts and looks into."""

from __future__ import annotations

import base64
import hmac
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple, Self
from urllib.parse import quote

from pytest_httpserver import HTTPServer

from . import methods, moves
from .faults import Faults, Run
from .messages import Answer, Disconnected, Refused, Request, split_path
from .personalities import Personality, atomic
from .tree import Blob, File, Folder, Node, Path, Tree
from .wire import Server, Wire

Hook = Callable[[Request], None]
_DO: dict[str, Callable[[methods.Engine, Request, Path], Answer]] = {
    "OPTIONS": methods.options,
    "GET": methods.get,
    "HEAD": methods.get,
    "PUT": methods.put,
    "DELETE": methods.delete,
    "MKCOL": methods.mkcol,
    "PROPFIND": methods.propfind,
    "PROPPATCH": methods.proppatch,
    "COPY": moves.copy,
    "MOVE": moves.move,
}


class Logged(NamedTuple):
    """One request.  `status` is None if the client was told nothing; `duration` is in
    seconds, up to the moment before the answer is sent."""

    method: str
    path: str
    destination: str | None
    status: int | None
    duration: float


class FakeWebDAV(HTTPServer):
    """A WebDAV server in threads of this process, on a free port of 127.0.0.1.

    Args:
        personality: which server it behaves like.
        user, password: ask for Basic authentication with these.
        tls: serve https with this context.
        prefix: path under which the tree is.
        clock: seconds since the epoch, for modification times and listings that lag.
    """

    def __init__(
        self,
        personality: Personality = atomic,
        user: str | None = None,
        password: str | None = None,
        tls: ssl.SSLContext | None = None,
        prefix: str = "/dav",
        *,
        port: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(host="127.0.0.1", port=port, ssl_context=tls, threaded=True)
        self.personality = personality
        self.prefix = "/" + prefix.strip("/") if prefix.strip("/") else ""
        self.log: list[Logged] = []  # type: ignore[assignment]
        self.faults = Faults()
        self._tree = Tree(clock)
        self._tree.longest_lag = personality.listing_lag
        self.encode_again: Callable[[str], str] = quote
        """Of a personality that does."""
        self._hooks: dict[str, list[Hook]] = defaultdict(list)
        self._stopping = threading.Event()
        self._engine = methods.Engine(
            self._tree, personality, self.prefix, self._point, self._stopping
        )
        self._secret: str | None = None
        if user is not None:
            pair = f"{user}:{password or ''}".encode()
            self._secret = "Basic " + base64.b64encode(pair).decode()

    # --- life -----------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where the tree begins, without a slash at the end."""
        return self.url_for(self.prefix or "/").rstrip("/")

    def start(self) -> None:
        self._stopping.clear()
        self.server = Server(self.host, self.port, self, self.ssl_context)
        self.port = self.server.port
        self._engine.origin = self.url_for("/").rstrip("/")
        self.server_thread = threading.Thread(target=self.thread_target, daemon=True)
        self.server_thread.start()

    def thread_target(self) -> None:
        assert self.server is not None
        self.server.serve_forever(poll_interval=0.02)

    def stop(self) -> None:
        server = self.server
        self._stopping.set()
        self.faults.stop()
        super().stop()
        assert isinstance(server, Server)
        if not server.close_connections():
            self.handler_errors.append(RuntimeError("a connection's thread did not end"))

    def __enter__(self) -> Self:
        return super().__enter__()

    def failed(self, error: Exception) -> None:
        """Keep an error of a handler for `check`, which raises it in the test."""
        self.handler_errors.append(error)

    # --- what tests force, and see ------------------------------------------------------

    def before(self, point: str, hook: Hook) -> None:
        """Call `hook(request)` in the request's thread, no lock held, when a request gets
        to `point`: a method ("MOVE"), or a step inside of one ("MOVE:found",
        "MOVE:created", "MOVE:copied", "PUT:grown")."""
        self._hooks[point].append(hook)

    def after(self, method: str, hook: Hook) -> None:
        """Call `hook(request)` when `method` is executed and nothing is answered yet."""
        self._hooks["after " + method].append(hook)

    def remove_hooks(self) -> None:
        self._hooks.clear()

    def set_lag(self, folder: str, seconds: float) -> None:
        """From now on, listings of `folder` show what was there `seconds` ago."""
        self._engine.lags[_path(folder)] = seconds
        self._tree.longest_lag = max(self._tree.longest_lag, seconds)

    def count(self, method: str | None = None) -> int:
        return sum(method in (None, each.method) for each in list(self.log))

    def reset_log(self) -> None:
        self.log.clear()

    def tree(self) -> dict[str, bytes]:
        """Every file by its relative path: what is really there."""
        with self._tree.lock:
            found = list(_files((), self._tree.root))
        return {"/".join(path): bytes(file.blob) for path, file in found}

    def files(self, folder: str = "") -> dict[str, bytes]:
        """The files directly in `folder`; none if it isn't there."""
        with self._tree.lock:
            node = self._tree.folder(_path(folder))
            children = dict(node.children) if node else {}
        return {name: bytes(each.blob) for name, each in children.items() if isinstance(each, File)}

    def folders(self) -> set[str]:
        with self._tree.lock:
            return {"/".join(path) for path in _folders((), self._tree.root)}

    def mkdir(self, folder: str) -> None:
        """Make `folder` and its parents, behind everybody's back."""
        with self._tree.lock:
            self._tree.make_folders(_path(folder))

    def write(self, path: str, data: bytes = b"", *, mtime: float | None = None) -> None:
        """Create or replace a file and its folders, behind everybody's back."""
        with self._tree.lock:
            self._tree.make_folders(_path(path)[:-1])
            now = self._tree.clock()
            self._tree.link(_path(path), File(Blob(data), now if mtime is None else mtime))

    def remove(self, path: str) -> None:
        """Delete a file or folder, behind everybody's back."""
        with self._tree.lock:
            self._tree.unlink(_path(path))

    # --- one request --------------------------------------------------------------------

    def serve(self, method: str, target: str, headers: dict[str, str], wire: Wire) -> None:
        started = time.monotonic()
        path, slash = split_path(target, self.prefix)
        request = Request(
            method, target, path, slash, headers, wire.body, self.ssl_context is not None
        )
        if "destination" in headers:
            request.destination = split_path(headers["destination"], self.prefix)[0]
            if self.personality.encodes_again and "%" in target and request.destination:
                request.destination = tuple(map(self.encode_again, request.destination))

        def note(status: int | None) -> None:
            duration = time.monotonic() - started
            self.log.append(
                Logged(method, request.name, request.destination_name, status, duration)
            )

        fault = self.faults.match(request)
        if fault is not None:
            fault.play(Run(request, wire, self.execute, note, self._stopping))
            return
        try:
            answer = self.execute(request)
        except Disconnected:
            note(None)
            raise
        note(answer.status)
        wire.send(answer)

    def execute(self, request: Request) -> Answer:
        """Do what `request` asks for; what goes wrong in here is kept for `check`."""
        try:
            self._authenticate(request)
            self._point(request.method, request)
            answer = self._perform(request)
            self._point("after " + request.method, request)
        except Refused as refused:
            return Answer.plain(refused.status, refused.why, refused.headers)
        except Disconnected:
            raise
        except Exception as error:  # noqa: BLE001 - a hook's assertion belongs to the test
            self.failed(error)
            return Answer.plain(500, "the fake itself failed")
        return answer

    def _perform(self, request: Request) -> Answer:
        do = _DO.get(request.method)
        if do is None:
            raise Refused(405 if request.method.isalpha() else 400, "", {"Allow": methods.ALLOW})
        if request.path is None:
            raise Refused(400 if "#" in request.target else 404, "not in this tree")
        return do(self._engine, request, request.path)

    def _authenticate(self, request: Request) -> None:
        if self._secret is not None:
            given = request.headers.get("authorization", "")
            if not hmac.compare_digest(given.encode(), self._secret.encode()):
                challenge = {"WWW-Authenticate": 'Basic realm="fake", charset="UTF-8"'}
                raise Refused(401, "who are you?", challenge)

    def _point(self, name: str, request: Request) -> None:
        for hook in self._hooks.get(name, ()):
            hook(request)


def _path(text: str) -> Path:
    return tuple(part for part in text.split("/") if part)


def _files(path: Path, node: Node) -> Iterator[tuple[Path, File]]:
    if isinstance(node, File):
        yield path, node
        return
    for name, child in node.children.items():
        yield from _files((*path, name), child)


def _folders(path: Path, node: Folder) -> Iterator[Path]:
    for name, child in node.children.items():
        if isinstance(child, Folder):
            yield (*path, name)
            yield from _folders((*path, name), child)
