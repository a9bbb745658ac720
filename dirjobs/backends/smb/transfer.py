"""The contents of files: small ones in one round trip, big ones in pieces."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import BinaryIO

from dirjobs.backends.smb import wire
from dirjobs.backends.smb.connection import Answer
from dirjobs.backends.smb.pool import Handle, Links
from dirjobs.backends.smb.status import ACCESS_DENIED, END_OF_FILE, SHARING_VIOLATION, error_for
from dirjobs.errors import AmbiguousResult, Busy, Denied, StoreError, Unavailable
from dirjobs.names import nonce

_log = logging.getLogger(__name__)

_SMALL = wire.CREDIT
"""Bytes that are read together with opening the file."""

_PIECE = 1 << 20
"""Bytes per request of a longer transfer."""

_REPLACE_FOR = 3.0
"""Seconds for which a replacement is tried again while somebody has the old file open."""


def fetch(links: Links, native: str, what: str, sink: Callable[[bytes], object]) -> None:
    """Give the content of a file to `sink`, in pieces."""
    # Sharing everything: who reads a job must not keep a worker from claiming it.
    create = wire.create(native, wire.READ_DATA, wire.SHARE_ALL, wire.OPEN, wire.FILE_ONLY)
    opened, answer, _ = links.look(what, create, wire.read(0, _SMALL), wire.close())
    if opened.status:
        raise error_for(opened.status, what, first=True)
    if wire.created(opened.body).size <= _SMALL:
        sink(_data(answer, what))
        return
    with links.opened(create, what, changes=False) as file:
        length, offset = min(_PIECE, links.mine().max_read), 0
        while offset < file.size:
            data = _data(file.ask(wire.read(offset, length, file.id))[0], what)
            if not data:
                return
            sink(data)
            offset += len(data)


def _data(answer: Answer, what: str) -> bytes:
    if answer.status == END_OF_FILE:
        return b""
    if answer.status:
        raise error_for(answer.status, what, first=True)
    try:
        return wire.data_read(answer.body)
    except ValueError as error:
        raise AmbiguousResult(f"Can't {what}: {error}.") from error


def put(links: Links, native: str, what: str, source: BinaryIO) -> None:
    """Write a file in place, in pieces, and have it put on the disk."""
    # Not sharing writes or deletes: nobody claims what is still growing.
    create = wire.create(
        native, wire.WRITE_DATA, wire.SHARE_READ, wire.OVERWRITE_IF, wire.FILE_ONLY
    )
    with links.opened(create, what, changes=True) as file:
        length, offset = min(_PIECE, links.mine().max_write), 0
        while piece := source.read(length):
            _fill(file, offset, piece, what)
            offset += len(piece)
        for answer in file.finish(wire.flush(file.id)):
            if answer.status:
                raise error_for(answer.status, what, first=False)


def _fill(file: Handle, offset: int, data: bytes, what: str) -> None:
    while data:
        (answer,) = file.ask(wire.write(offset, data, file.id))
        written = _written(answer, what)
        offset, data = offset + written, data[written:]


def _written(answer: Answer, what: str) -> int:
    if answer.status:
        raise error_for(answer.status, what, first=False)
    written = wire.bytes_written(answer.body)
    if not written:
        raise Denied(f"Can't {what}: the server takes no more bytes.")
    return written


def replace(links: Links, folder: str, target: str, data: bytes, what: str) -> None:
    """Create or replace a small file in one step that readers can see.

    The new content is written under a name of its own and renamed by the handle that
    wrote it.  That is not sent in one compound, though it would fit: a server carries
    out a rename even if the write before it has failed on a full disk.

    Args:
        folder: where the file is, as a CREATE wants it, with its last backslash.
        target: the file's path as a rename wants it.
    """
    staged = f"{folder}.~{nonce(12)}"
    create = wire.create(
        staged, wire.WRITE_DATA | wire.DELETE, wire.SHARE_READ, wire.CREATE_NEW, wire.FILE_ONLY
    )
    try:
        with links.opened(create, what, changes=True) as file:
            length = min(_PIECE, links.mine().max_write)
            for offset in range(0, len(data), length):
                _fill(file, offset, data[offset : offset + length], what)
            renamed, _ = file.finish(wire.rename(target, replace=True, handle=file.id))
        _settle(links, staged, target, renamed, what)
    except (AmbiguousResult, Unavailable):
        raise  # the staged file may be left behind; without a connection we can't help it
    except StoreError:
        _discard(links, staged, what)
        raise


def _settle(links: Links, staged: str, target: str, renamed: Answer, what: str) -> None:
    """Repeat a replacement that was refused because the old file is just being read."""
    give_up = time.monotonic() + _REPLACE_FOR
    pause = 0.01
    while renamed.status in (ACCESS_DENIED, SHARING_VIOLATION):
        if time.monotonic() > give_up:
            raise Busy(f"Can't {what}: somebody has it open, or it is read-only or a folder.")
        time.sleep(pause)
        pause = min(pause * 2, 0.2)
        opened, renamed, _ = links.ask(
            what,
            wire.create(staged, wire.DELETE, wire.SHARE_READ, wire.OPEN, wire.FILE_ONLY),
            wire.rename(target, replace=True),
            wire.close(),
            changes=True,
        )
        if opened.status:
            raise error_for(opened.status, what, first=True)
    if renamed.status:
        raise error_for(renamed.status, what, first=False)


def remove(links: Links, native: str, what: str, kind: int = wire.FILE_ONLY) -> None:
    """Delete a file; the name goes when the last program that has it open closes it.

    Args:
        kind: ``wire.FILE_ONLY``, or ``wire.FOLDER_ONLY`` for an empty folder.
    """
    options = kind | wire.NO_FOLLOW | wire.DELETE_ON_CLOSE
    create = wire.create(native, wire.DELETE, wire.SHARE_ALL, wire.OPEN, options)
    opened, closed = links.ask(what, create, wire.close(), changes=True)
    if opened.status:
        raise error_for(opened.status, what, first=True)
    if closed.status:
        raise error_for(closed.status, what, first=False)


def _discard(links: Links, staged: str, what: str) -> None:
    try:
        remove(links, staged, what)
    except StoreError as error:
        _log.debug("%s: nothing staged was left to remove: %s", what, error)
