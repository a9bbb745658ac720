"""A folder's listing, and what a server tells of one file."""

from __future__ import annotations

import asyncio
import logging
import stat
import time

from asyncssh import constants as protocol

from dirjobs.backends.sftp import status, wire
from dirjobs.backends.sftp.connection import Channel, Refused
from dirjobs.errors import Unavailable, Unsupported
from dirjobs.store import MAX_ENTRIES, Entry, FileKind

log = logging.getLogger(__name__)

_AHEAD = 32
"""READDIRs on the way at once in a large folder: OpenSSH sends 100 names for each, ProFTPD 27."""
_TIMEOUTS = 3
"""A listing may take so many timeouts in all, as long as it goes on."""

_KINDS = {stat.S_IFREG: FileKind.FILE, stat.S_IFDIR: FileKind.FOLDER}


async def sweep(channel: Channel, native: bytes, what: str) -> list[Entry]:
    """All entries of the folder `native`.

    Two READDIRs are sent at first, for a small folder has no more than one answer and the end;
    of a larger one many are on the way at once.
    """
    handle = await channel.ask(channel.handler.opendir(native))
    try:
        return await _sweep(channel, handle, what)
    finally:
        channel.give_back(channel.handler.close(handle))


async def _sweep(channel: Channel, handle: bytes, what: str) -> list[Entry]:
    until = time.monotonic() + _TIMEOUTS * channel.timeout
    found: list[Entry] = []
    ahead = 2
    while True:
        answers = await asyncio.gather(*(_names(channel, handle) for _ in range(ahead)))
        for names in answers:
            found.extend(_entries(names or [], what))
        if len(found) > MAX_ENTRIES:
            raise Unsupported(f"Can't {what}: it has more than {MAX_ENTRIES:,} names.")
        if None in answers:
            return found
        if time.monotonic() > until:
            raise Unavailable(f"Can't {what}: the listing comes too slowly.")
        ahead = _AHEAD


async def _names(channel: Channel, handle: bytes) -> list[wire.Name] | None:
    """The next names; None at the end."""
    try:
        return await channel.ask(wire.readdir(channel.handler, handle))
    except Refused as refused:
        if refused.code == protocol.FX_EOF:
            return None
        raise


def _entries(names: list[wire.Name], what: str) -> list[Entry]:
    found = []
    for raw, mode, size, mtime in names:
        if raw in (b".", b".."):
            continue
        # A server has no business to send these; a path made of them would lead away.
        if not raw or b"/" in raw or b"\0" in raw:
            log.warning("%s: the name %r was left out", what, raw[:100])
            continue
        found.append(_entry(raw.decode(errors="surrogateescape"), mode, size, mtime))
    return found


def _entry(name: str, mode: int | None, size: int | None, mtime: float | None) -> Entry:
    """What a server's attributes say of a name."""
    kind = FileKind.OTHER if mode is None else _KINDS.get(stat.S_IFMT(mode), FileKind.OTHER)
    return Entry(name, mtime, size if kind is FileKind.FILE else None, kind)


async def look(channel: Channel, native: bytes) -> Entry:
    """What is at `native` itself, also if that is a link; its name is left out.

    Raises:
        Refused: NO_SUCH_FILE, if nothing is there.
    """
    attrs = await channel.ask(channel.sftp.lstat(native))
    mtime = None if attrs.mtime is None else float(attrs.mtime)
    return _entry("", attrs.permissions, attrs.size, mtime)


async def look_for(channel: Channel, native: bytes) -> Entry | None:
    """The same; None if nothing is there."""
    try:
        return await look(channel, native)
    except Refused as refused:
        if refused.code in status.NOT_THERE or await _is_below_a_file(channel, native, refused):
            return None
        raise


async def _is_below_a_file(channel: Channel, native: bytes, refused: Refused) -> bool:
    """Whether `native` goes on below a file, for which ProFTPD has no code but FAILURE."""
    above = native.rpartition(b"/")[0]
    if refused.code != protocol.FX_FAILURE or not above:
        return False
    there = await look_for(channel, above)
    return there is None or there.kind is FileKind.FILE
