"""A folder's listing: one compound for all but the largest folders."""

from __future__ import annotations

import logging
import time

from dirjobs.backends.smb import wire
from dirjobs.backends.smb.connection import Answer
from dirjobs.backends.smb.pool import Pool, taken_apart
from dirjobs.backends.smb.status import NO_MORE_FILES, NO_SUCH_FILE, require
from dirjobs.errors import Unavailable, Unsupported
from dirjobs.store import MAX_ENTRIES, Entry

log = logging.getLogger(__name__)

_ROOM = 4 << 20
"""Bytes that we let the server fill at once: some 40,000 names."""

_QUERIES = 3

_TIMEOUTS = 3
"""A folder that takes several requests may take so many timeouts in all."""

_END = frozenset({NO_MORE_FILES, NO_SUCH_FILE})


def sweep(pool: Pool, native: str, what: str) -> list[Entry]:
    """All entries of the folder `native`.

    The folder is opened, read three times and closed in one compound: if one of the
    answers says that there is nothing more, that was all, in one round trip.

    Raises:
        NotFound: there is no such folder.
    """
    room = _room(pool, what)
    queries = [wire.query_directory(room) for _ in range(_QUERIES)]
    opened, *answers, _ = pool.send(what, _open(native), *queries, wire.close(), changes=False)
    require(opened.status, what, first=True)
    found: list[Entry] = []
    if all(_take(answer, found, what) for answer in answers):
        return _sweep_on(pool, native, what, room)
    return found


def _sweep_on(pool: Pool, native: str, what: str, room: int) -> list[Entry]:
    """A folder that does not fit into one compound, from its beginning."""
    with pool.opened(_open(native), what, changes=False) as folder:
        found: list[Entry] = []
        give_up = time.monotonic() + _TIMEOUTS * pool.timeout
        while _take(folder.send(wire.query_directory(room, folder.id))[0], found, what):
            if time.monotonic() > give_up:
                raise Unavailable(f"Can't {what}: the listing comes too slowly.")
        return found


def _open(native: str) -> wire.Message:
    return wire.create(native, wire.READ_DATA, wire.SHARE_ALL, wire.OPEN, wire.FOLDER_ONLY)


def _room(pool: Pool, what: str) -> int:
    room = max(wire.CREDIT, min(_ROOM, pool.mine().max_list))
    while room > wire.CREDIT and not pool.can_afford(what, _QUERIES * room // wire.CREDIT + 2):
        room //= 2
    return room


def _take(answer: Answer, found: list[Entry], what: str) -> bool:
    """Add an answer's names to `found`; False if it says that there are no more."""
    if answer.status in _END:
        return False
    require(answer.status, what, first=True)
    for entry in taken_apart(lambda body: [*wire.entries(body)], answer, what):
        # A server has no business to send these; a path made of them would lead away.
        if {"/", "\\", "\0"}.isdisjoint(entry.name):
            found.append(entry)
        else:
            log.warning("%s: the name %r was left out", what, entry.name)
    if len(found) > MAX_ENTRIES:
        raise Unsupported(f"Can't {what}: it has more than {MAX_ENTRIES:,} names.")
    return True
