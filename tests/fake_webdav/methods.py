"""What the methods of RFC 4918 class 1 do to the tree, all but COPY and MOVE."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Iterator

from . import xml
from .messages import Answer, Refused, Request
from .personalities import Personality
from .tree import Blob, File, Folder, Node, Path, Tree

ALLOW = "OPTIONS, GET, HEAD, PUT, DELETE, MKCOL, PROPFIND, PROPPATCH, COPY, MOVE"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Engine:
    """The tree and what the methods need besides it.

    `point` is called at the named steps of a method, without any lock held, and runs
    what tests hooked in there; `stopping` ends every pause.
    """

    def __init__(
        self,
        tree: Tree,
        personality: Personality,
        prefix: str,
        point: Callable[[str, Request], None],
        stopping: threading.Event,
    ) -> None:
        self.tree = tree
        self.personality = personality
        self.prefix = prefix
        self.origin = ""
        self.point = point
        self.stopping = stopping
        self.lags: dict[Path, float] = {}
        self.busy: set[Path] = set()

    def step(self, name: str, request: Request) -> None:
        """Between two steps of a method: the window in which others get in."""
        self.point(name, request)
        if self.personality.gap:
            self.stopping.wait(random.uniform(0, 2 * self.personality.gap))

    def url(self, path: Path, node: Node) -> str:
        start = self.origin + self.prefix if self.personality.absolute_hrefs else self.prefix
        return xml.href(
            path, folder=isinstance(node, Folder), prefix=start, personality=self.personality
        )

    def visible(self, path: Path) -> Node:
        """The node at `path`.

        Raises:
            Refused: 404.
        """
        node = self.tree.find(path)
        if node is None:
            raise Refused(404)
        return node

    def lag(self, path: Path) -> float:
        return self.lags.get(path, self.personality.listing_lag)


def preconditions(request: Request, node: Node | None) -> None:
    """If-Match and If-None-Match.

    Raises:
        Refused: 412, or 304 to a GET.
    """
    for header, wanted in (("if-match", True), ("if-none-match", False)):
        value = request.headers.get(header)
        if value is None:
            continue
        if value.strip() == "*":
            matches = node is not None
        else:
            tags = [tag.strip().removeprefix("W/") for tag in value.split(",")]
            matches = isinstance(node, File) and node.etag in tags
        if matches is not wanted:
            unchanged = header == "if-none-match" and request.method in ("GET", "HEAD")
            raise Refused(304 if unchanged else 412)


def options(engine: Engine, request: Request, path: Path) -> Answer:
    return Answer(200, headers={"DAV": "1", "Allow": ALLOW, "MS-Author-Via": "DAV"})


def get(engine: Engine, request: Request, path: Path) -> Answer:
    with engine.tree.lock:
        node = engine.visible(path)
        preconditions(request, node)
    if isinstance(node, Folder):
        return Answer(200, b"This is a folder.\n")
    size = node.blob.size
    answer = Answer(200, kind=node.kind, file=(node.blob, 0, size))
    answer.headers = {
        "Last-Modified": xml.http_date(int(node.modified)),
        "Accept-Ranges": "bytes",
    }
    if engine.personality.etags:
        answer.headers["ETag"] = node.etag
    found = _RANGE.fullmatch(request.headers.get("range", ""))
    if found and any(found.groups()):
        first, last = found.groups()
        start = int(first) if first else max(size - int(last), 0)
        end = min(int(last), size - 1) if first and last else size - 1
        if start > end:
            raise Refused(416, headers={"Content-Range": f"bytes */{size}"})
        answer.status = 206
        answer.file = (node.blob, start, end - start + 1)
        answer.headers["Content-Range"] = f"bytes {start}-{end}/{size}"
    return answer


def put(engine: Engine, request: Request, path: Path) -> Answer:
    tree = engine.tree
    if "content-range" in request.headers:
        raise Refused(400, "PUT of a range is not supported")
    with tree.lock:
        _check_put(engine, request, path)
        if engine.personality.partial_uploads:
            file = _new_file(engine, request, Blob())
            file.growing = True
            existed = tree.link(path, file)
    if engine.personality.partial_uploads:
        for piece in request.body.pieces():
            file.blob.append(piece)
            engine.point("PUT:grown", request)
        file.growing = False
        return _put_answer(engine, file, existed)
    blob = request.body.blob()
    with tree.lock:
        _check_put(engine, request, path)
        file = _new_file(engine, request, blob)
        existed = tree.link(path, file)
    return _put_answer(engine, file, existed)


def _check_put(engine: Engine, request: Request, path: Path) -> None:
    node = engine.tree.find(path)
    preconditions(request, node)
    if isinstance(node, Folder):
        raise Refused(405, "a folder is in the way", {"Allow": ALLOW})
    if request.slash or engine.tree.folder(path[:-1]) is None:
        raise Refused(engine.personality.missing_folder, "no such folder")


def _new_file(engine: Engine, request: Request, blob: Blob) -> File:
    before = engine.tree.find(request.path or ())
    kind = request.headers.get("content-type", "application/octet-stream")
    properties = dict(before.properties) if before else {}
    return File(blob, engine.tree.clock(), kind, properties)


def _put_answer(engine: Engine, file: File, existed: bool) -> Answer:
    answer = Answer.plain(204 if existed else 201)
    if engine.personality.etags:
        answer.headers["ETag"] = file.etag
    return answer


def delete(engine: Engine, request: Request, path: Path) -> Answer:
    with engine.tree.lock:
        node = engine.visible(path)
        preconditions(request, node)
        if not path:
            raise Refused(403, "the root stays")
        engine.tree.unlink(path)
    return Answer(204)


def mkcol(engine: Engine, request: Request, path: Path) -> Answer:
    if not request.body.empty:
        raise Refused(415, "MKCOL takes no body")
    with engine.tree.lock:
        if engine.tree.find(path) is not None:
            raise Refused(405, "it exists", {"Allow": ALLOW})
        if engine.personality.mkcol_needs_slash and not request.slash:
            raise Refused(409, "a folder's URL ends with a slash")
        if engine.tree.folder(path[:-1]) is None:
            raise Refused(409, "no such folder")
        engine.tree.link(path, Folder(engine.tree.clock()))
    return Answer.plain(201)


def propfind(engine: Engine, request: Request, path: Path) -> Answer:
    depth = request.headers.get("depth", "infinity").lower()
    if depth not in ("0", "1", "infinity"):
        raise Refused(400, f"Depth: {depth}")
    listing = xml.Listing(xml.wanted(bytes(request.body.blob())), engine.personality)
    with engine.tree.lock:
        node = engine.visible(path)
        if request.slash and isinstance(node, File):
            raise Refused(404)
        levels = {"0": 0, "1": 1, "infinity": 1000}[depth]
        nodes = list(_walk(engine, path, node, levels))
    url = engine.url(path, node)
    parts = [xml.HEAD]
    for below, each in nodes:
        at = url if below == path else engine.url(below, each)
        parts.append(listing.response(at, each))
    parts.append(xml.TAIL)
    return Answer(207, "".join(parts).encode(), kind=xml.KIND)


def _walk(engine: Engine, path: Path, node: Node, levels: int) -> Iterator[tuple[Path, Node]]:
    yield path, node
    if levels and isinstance(node, Folder):
        for name, child in engine.tree.view(node, engine.lag(path)).items():
            if not (engine.personality.hides_dot_names and name.startswith(".")):
                yield from _walk(engine, (*path, name), child, levels - 1)


def proppatch(engine: Engine, request: Request, path: Path) -> Answer:
    changes = xml.updates(bytes(request.body.blob()))
    with engine.tree.lock:
        node = engine.visible(path)
        refused = [name for name, _ in changes if name in xml.LIVE]
        if not refused:
            for name, text in changes:
                if text is None:
                    node.properties.pop(name, None)
                else:
                    node.properties[name] = text
        url = engine.url(path, node)
    fine = [xml.empty(name) for name, _ in changes if name not in refused]
    parts = [xml.HEAD, f"<D:response><D:href>{url}</D:href>"]
    if refused:
        parts.append(xml.propstat([xml.empty(name) for name in refused], "403 Forbidden"))
    if fine:
        parts.append(xml.propstat(fine, "424 Failed Dependency" if refused else "200 OK"))
    parts.append(f"</D:response>\n{xml.TAIL}")
    return Answer(207, "".join(parts).encode(), kind=xml.KIND)
