"""COPY, and MOVE as the different servers do it."""

from __future__ import annotations

from urllib.parse import urlsplit

from .messages import Answer, Refused, Request
from .methods import Engine, preconditions
from .tree import Blob, File, Folder, Node, Path


def check_destination(engine: Engine, request: Request) -> Path:
    """The decoded Destination.

    Raises:
        Refused: 400, it is missing or not an absolute URL; 502, it is another server's.
    """
    value = request.headers.get("destination")
    if value is None:
        raise Refused(400, "Destination is missing")
    try:
        url = urlsplit(value)
    except ValueError as error:
        raise Refused(400, "Destination is not a URL") from error
    if not url.scheme or not url.netloc:
        raise Refused(400, "Destination must be an absolute URL")
    scheme = "https" if request.tls and not engine.personality.http_behind_tls else "http"
    if url.scheme != scheme or url.netloc != request.headers.get("host"):
        raise Refused(502, "Destination is on another server")
    if request.destination is None:
        raise Refused(403 if "#" not in value else 400, "Destination is outside of this tree")
    return request.destination


def copy(engine: Engine, request: Request, path: Path) -> Answer:
    target = check_destination(engine, request)
    deep = request.headers.get("depth", "infinity") != "0"
    tree = engine.tree
    with tree.lock:
        node = engine.visible(path)
        preconditions(request, node)
        existed = _check_target(engine, request, path, target)
        tree.link(target, tree.copy(node, keep_mtime=False, deep=deep))
    return Answer.plain(204 if existed else engine.personality.created)


def move(engine: Engine, request: Request, path: Path) -> Answer:
    target = check_destination(engine, request)
    if not path:
        raise Refused(403, "the root stays")
    style = engine.personality.moves
    if style == "both proceed":
        return _both_proceed(engine, request, path, target)
    crosses = path[:-1] != target[:-1] or engine.personality.copies_in_folder
    if style == "copies" and crosses:
        return _copy_then_delete(engine, request, path, target)
    return _rename(engine, request, path, target)


def _rename(engine: Engine, request: Request, path: Path, target: Path) -> Answer:
    tree = engine.tree
    if engine.personality.busy is not None:
        return _rename_with_lock(engine, request, path, target)
    with tree.lock:
        found = _source(engine, request, path, target)
        if found is None:
            return _lost(engine)
        node, existed = found
        tree.unlink(path)
        tree.link(target, node)
    return _moved(engine, existed=existed)


def _rename_with_lock(engine: Engine, request: Request, path: Path, target: Path) -> Answer:
    """Go: whoever comes while another MOVE holds the source's lock is turned away."""
    tree = engine.tree
    with tree.lock:
        if path in engine.busy:
            return Answer.plain(engine.personality.busy or 423)
        engine.busy.add(path)
    try:
        engine.step("MOVE:found", request)
        with tree.lock:
            found = _source(engine, request, path, target)
            if found is None:
                return _lost(engine)
            node, existed = found
            tree.unlink(path)
            tree.link(target, node)
    finally:
        with tree.lock:
            engine.busy.discard(path)
    return _moved(engine, existed=existed)


def _copy_then_delete(engine: Engine, request: Request, path: Path, target: Path) -> Answer:
    """sabre/dav: look, create the copy, fill it, delete the source; nobody holds a lock."""
    tree = engine.tree
    with tree.lock:
        found = _source(engine, request, path, target)
        if found is None:
            return _lost(engine)
        node, existed = found
    engine.step("MOVE:found", request)
    complete = _copy_now(engine, request, path, target, node)
    engine.step("MOVE:copied", request)
    with tree.lock:
        complete = tree.unlink(path) is not None and complete
    if not complete:
        return Answer.plain(engine.personality.lost_after_copy)
    return _moved(engine, existed=existed)


def _copy_now(engine: Engine, request: Request, path: Path, target: Path, node: Node) -> bool:
    """Copy what is at `path` by now; False if nothing is, and the copy stays empty."""
    tree = engine.tree
    if isinstance(node, Folder):
        with tree.lock:
            source = tree.find(path)
            _link(engine, target, tree.copy(source or Folder(0), keep_mtime=False))
            return source is not None
    copy = File(Blob(), tree.clock(), node.kind, dict(node.properties))
    with tree.lock:
        _link(engine, target, copy)
    engine.step("MOVE:created", request)
    with tree.lock:
        source = tree.find(path)
        if not isinstance(source, File):
            return False
        filled = tree.copy(source, keep_mtime=engine.personality.keeps_mtime)
        if tree.find(target) is copy:
            _link(engine, target, filled)
    return True


def _both_proceed(engine: Engine, request: Request, path: Path, target: Path) -> Answer:
    """Whoever found the source gets all of it, however many others did."""
    tree = engine.tree
    with tree.lock:
        found = _source(engine, request, path, target)
        if found is None:
            return _lost(engine)
        node, existed = found
    engine.step("MOVE:found", request)
    with tree.lock:
        _link(engine, target, tree.copy(node, keep_mtime=engine.personality.keeps_mtime))
        if tree.find(path) is node:
            tree.unlink(path)
    return _moved(engine, existed=existed)


def _source(engine: Engine, request: Request, path: Path, target: Path) -> tuple[Node, bool] | None:
    """What is to be moved, and whether it will replace something; None if it is gone.

    For callers that hold the tree's lock.

    Raises:
        Refused: a precondition does not hold, or `target` can't be taken.
    """
    node = engine.tree.find(path)
    if node is None:
        return None
    preconditions(request, node)
    return node, _check_target(engine, request, path, target)


def _link(engine: Engine, target: Path, node: Node) -> None:
    if engine.tree.folder(target[:-1]) is None:
        raise Refused(engine.personality.missing_folder, "the folder went away meanwhile")
    engine.tree.link(target, node)


def _check_target(engine: Engine, request: Request, path: Path, target: Path) -> bool:
    """Whether something is at `target` and will be replaced.

    Raises:
        Refused: 403, 409 or 412.
    """
    tree = engine.tree
    if target[: len(path)] == path or path[: len(target)] == target:
        raise Refused(403, "source and destination are one inside the other")
    if tree.folder(target[:-1]) is None:
        if not (request.method == "MOVE" and engine.personality.move_creates_folders):
            raise Refused(engine.personality.missing_folder, "no such folder")
        if tree.make_folders(target[:-1]) is None:
            raise Refused(409, "a file is in the way")
    existed = tree.find(target) is not None
    if existed and request.headers.get("overwrite", "T").strip().upper() == "F":
        raise Refused(412, "the destination exists")
    return existed


def _lost(engine: Engine) -> Answer:
    return Answer.plain(engine.personality.lost)


def _moved(engine: Engine, *, existed: bool) -> Answer:
    return Answer.plain(204 if existed else engine.personality.created)
