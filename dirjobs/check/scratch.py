"""The folder that a check works in: nothing outside of it can be named, and it goes again."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass

from dirjobs.errors import ConfigurationError, Denied, NotFound, StoreError
from dirjobs.layers import Layer
from dirjobs.layout import QUEUE
from dirjobs.names import nonce
from dirjobs.protocol.records import decode
from dirjobs.recovery.process import Process, is_surely_gone, this_process
from dirjobs.store import Entry, FileKind, Store, check_path
from dirjobs.testing.races import Reopen

log = logging.getLogger(__name__)

OWNER = "owner.json"
_FOLDER = re.compile(r"~check-([a-z2-9]{10})")
# Drafts of ours and of servers, left by a write that was cut off.
_DRAFT = re.compile(r"\.~[a-z2-9]{6,12}|\.davfs\.tmp.*|\.nfs.*")
_OLD = 3600.0
_PASSES = 4
_DEEPEST = 3


class Below(Layer):
    """A store as seen from one of its folders.

    Args:
        store: what this layer is around.
        folder: the folder; no path can lead out of it.
    """

    def __init__(self, store: Store, folder: str) -> None:
        super().__init__(store)
        self.folder = folder

    def at(self, path: str) -> str:
        return f"{self.folder}/{path}" if check_path(path) else self.folder


def reopened_below(reopen: Reopen, folder: str) -> Store:
    """The store opened once more, as seen from one of its folders; for another process."""
    return Below(reopen(), folder)


@dataclass
class ScratchFolder:
    """Where a check works.

    Attributes:
        here: the scratch folder.
        tag: what every name in it has to contain: only that is removed.
        lag: seconds after which a listing shows what is true.
    """

    here: Below
    tag: str
    lag: float = 0.0


@contextmanager
def scratch(store: Store, connections: int) -> Iterator[ScratchFolder]:
    """A folder of our own in the queue (or in the folder where none is yet).

    What killed checks left is removed first: if their process is surely gone, or after
    an hour by the store's clock.

    Args:
        store: the queue's root.
        connections: how many may be used to tidy up.

    Raises:
        ConfigurationError: there is no folder at all.
        StoreError: nothing can be made or written here.
    """
    try:
        there = {entry.name for entry in store.list("") if entry.kind is FileKind.FOLDER}
    except NotFound as error:
        raise ConfigurationError(
            f"{store.url!r} is not there: make that folder, or check the spelling."
        ) from error
    parent = f"{QUEUE}/" if QUEUE in there else ""
    tag = nonce(10)
    place = ScratchFolder(Below(store, f"{parent}~check-{tag}"), tag)
    place.here.mkdir("")
    try:
        place.here.write(OWNER, json.dumps(asdict(this_process())).encode())
        now = place.here.mtime(OWNER)
        for above in dict.fromkeys(("", parent)):
            for left in _leftovers(store, above, now, tag):
                log.info("removing what a killed check left: %s", left.here.full_path(""))
                _tidy_up(left, connections)
        yield place
    finally:
        _tidy_up(place, connections)


def _leftovers(store: Store, above: str, now: float, ours: str) -> Iterator[ScratchFolder]:
    for entry in store.list(above.rstrip("/")):
        match = _FOLDER.fullmatch(entry.name)
        if match and entry.kind is FileKind.FOLDER and match[1] != ours:
            left = ScratchFolder(Below(store, f"{above}{entry.name}"), match[1])
            with suppress(NotFound):  # its own check, or another one, was faster
                if _is_abandoned(left.here, entry, now):
                    yield left


def _is_abandoned(left: Below, itself: Entry, now: float) -> bool:
    times = (e.mtime for e in (itself, *left.list("")) if e.mtime is not None)
    made = max(times, default=None)
    if made is not None and now - made > _OLD:
        return True
    try:
        owner = decode(left.read(OWNER), Process)
    except (NotFound, Denied, ValueError):
        return False  # it begins just now, or its file is torn or none: its age will tell
    return is_surely_gone(owner, this_process())


def _tidy_up(place: ScratchFolder, connections: int) -> None:
    """Remove the folder with all that is ours in it; the rest stays, and is named."""
    stores = [place.here.another() for _ in range(connections)]
    errors: list[StoreError] = []
    try:
        with ThreadPoolExecutor(connections) as pool:
            for _ in range(_PASSES if place.lag else 1):
                time.sleep(place.lag)
                errors = [*_sweep(place, stores, pool, "", 0)]
                if not errors:
                    return
    finally:
        for store in stores:
            store.close()
    where = place.here.full_path("")
    log.warning("%s could not be removed (%s); the next check tries it again.", where, errors[0])


def _sweep(
    place: ScratchFolder, stores: Sequence[Store], pool: ThreadPoolExecutor, folder: str, depth: int
) -> Iterator[StoreError]:
    """Remove a folder in it, and say what hindered us."""
    here = place.here
    try:
        entries = [*here.list(folder)]
    except NotFound:
        return
    except StoreError as error:
        yield error
        return
    files = []
    for entry in entries:
        path = f"{folder}/{entry.name}" if folder else entry.name
        is_ours = place.tag in entry.name or _DRAFT.fullmatch(entry.name)
        if entry.kind is FileKind.FOLDER and depth < _DEEPEST:
            yield from _sweep(place, stores, pool, path, depth + 1)
        elif entry.kind is FileKind.FILE and is_ours and path != OWNER:
            files.append(path)
    shares = [files[number :: len(stores)] for number in range(len(stores))]
    for errors in pool.map(_remove, stores, shares):
        yield from errors
    if not folder:
        yield from _remove(here, [OWNER])  # last: by it the rest is known as ours
    try:
        here.rmdir(folder)
    except NotFound:
        return
    except StoreError as error:
        yield error


def _remove(store: Store, paths: Sequence[str]) -> list[StoreError]:
    errors = []
    for path in paths:
        try:
            store.remove(path)
        except NotFound:
            continue
        except StoreError as error:
            errors.append(error)
    return errors
