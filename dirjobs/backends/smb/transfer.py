"""The contents of files: small ones in one round trip, big ones in pieces."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import BinaryIO

from dirjobs.backends.smb import wire
from dirjobs.backends.smb.connection import Answer
from dirjobs.backends.smb.pool import Handle, Pool, taken_apart
from dirjobs.backends.smb.status import ACCESS_DENIED, END_OF_FILE, SHARING_VIOLATION, require
from dirjobs.errors import AmbiguousResult, Busy, Denied, StoreError, TooLarge, Unavailable
from dirjobs.names import nonce

log = logging.getLogger(__name__)

_SMALL = wire.CREDIT
"""Bytes that are read together with opening the file."""

_PIECE = 1 << 20
"""Bytes per request of a longer transfer."""

_REPLACE_FOR = 3.0
"""Seconds for which a replacement is tried again while somebody has the old file open."""


def fetch(
    pool: Pool,
    native: str,
    what: str,
    sink: Callable[[bytes], object],
    at_most: float = math.inf,
) -> None:
    """Give the content of a file to `sink`, in pieces.

    Raises:
        TooLarge: it has more than `at_most` bytes.
        AmbiguousResult: it has ended before the size that it had when it was opened.
    """
    # Sharing everything: who reads a job must not keep a worker from claiming it.
    create = wire.create(native, wire.READ_DATA, wire.SHARE_ALL, wire.OPEN, wire.FILE_ONLY)
    opened, answer, _ = pool.open_to_look(what, create, wire.read(0, _SMALL), wire.close())
    size = taken_apart(wire.created, opened, what).size
    if size > at_most:
        raise TooLarge(
            f"Can't {what}: it has more than {at_most:,} bytes; as a whole it is only copied into"
            " a file."
        )
    if size <= _SMALL:
        data = _data(answer, _SMALL, what)
        if len(data) < size:
            raise _cut(what, len(data), size)
        sink(data)
        return
    with pool.opened(create, what, changes=False) as file:
        length, offset = min(_PIECE, pool.mine().max_read), 0
        while offset < file.size:
            data = _data(file.send(wire.read(offset, length, file.id))[0], length, what)
            # A server that sends less at a time than it could would be waited for for ever.
            if len(data) < min(length, file.size - offset):
                raise _cut(what, offset + len(data), file.size)
            sink(data)
            offset += len(data)


def _cut(what: str, came: int, size: int) -> AmbiguousResult:
    return AmbiguousResult(f"Can't {what}: only {came} of its {size} bytes came.")


def _data(answer: Answer, asked: int, what: str) -> bytes:
    if answer.status == END_OF_FILE:
        return b""
    require(answer.status, what, first=True)
    return taken_apart(lambda body: wire.data_read(body, asked), answer, what)


def put(pool: Pool, native: str, what: str, source: BinaryIO) -> None:
    """Write a file in place, in pieces, and have it put on the disk."""
    # Not sharing writes or deletes: nobody claims what is still growing.
    create = wire.create(
        native, wire.WRITE_DATA, wire.SHARE_READ, wire.OVERWRITE_IF, wire.FILE_ONLY
    )
    with pool.opened(create, what, changes=True) as file:
        length, offset = min(_PIECE, pool.mine().max_write), 0
        while piece := source.read(length):
            _fill(pool, file, offset, piece, what)
            offset += len(piece)
        for answer in file.finish(wire.flush(file.id)):
            require(answer.status, what, first=False)


def _fill(pool: Pool, file: Handle, offset: int, data: bytes, what: str) -> None:
    give_up = time.monotonic() + pool.timeout
    while data:
        (answer,) = file.send(wire.write(offset, data, file.id))
        require(answer.status, what, first=False)
        sent = len(data)
        written = taken_apart(lambda body: wire.bytes_written(body, sent), answer, what)  # noqa: B023
        if not written or (written < sent and time.monotonic() > give_up):
            raise Denied(f"Can't {what}: the server takes no more bytes.")
        offset, data = offset + written, data[written:]


def replace(pool: Pool, folder: str, target: str, data: bytes, what: str) -> None:
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
        with pool.opened(create, what, changes=True) as file:
            length = min(_PIECE, pool.mine().max_write)
            for offset in range(0, len(data), length):
                _fill(pool, file, offset, data[offset : offset + length], what)
            renamed, _ = file.finish(wire.rename(target, replace=True, handle=file.id))
        _settle(pool, staged, target, renamed, what)
    except (AmbiguousResult, Unavailable):
        raise  # the staged file may be left behind; without a connection we can't help it
    except StoreError:
        _discard(pool, staged, what)
        raise


def _settle(pool: Pool, staged: str, target: str, renamed: Answer, what: str) -> None:
    """Repeat a replacement that was refused because the old file is just being read."""
    give_up = time.monotonic() + _REPLACE_FOR
    pause = 0.01
    while renamed.status in (ACCESS_DENIED, SHARING_VIOLATION):
        if time.monotonic() > give_up:
            raise Busy(f"Can't {what}: somebody has it open, or it is read-only or a folder.")
        time.sleep(pause)
        pause = min(pause * 2, 0.2)
        opened, renamed, _ = pool.send(
            what,
            wire.create(staged, wire.DELETE, wire.SHARE_READ, wire.OPEN, wire.FILE_ONLY),
            wire.rename(target, replace=True),
            wire.close(),
            changes=True,
        )
        require(opened.status, what, first=True)
    require(renamed.status, what, first=False)


def remove(pool: Pool, native: str, what: str, kind: int = wire.FILE_ONLY) -> None:
    """Delete a file; the name goes when the last program that has it open closes it.

    Args:
        kind: ``wire.FILE_ONLY``, or ``wire.FOLDER_ONLY`` for an empty folder.
    """
    options = kind | wire.NO_FOLLOW | wire.DELETE_ON_CLOSE
    create = wire.create(native, wire.DELETE, wire.SHARE_ALL, wire.OPEN, options)
    opened, closed = pool.send(what, create, wire.close(), changes=True)
    require(opened.status, what, first=True)
    require(closed.status, what, first=False)


def _discard(pool: Pool, staged: str, what: str) -> None:
    try:
        remove(pool, staged, what)
    except StoreError as error:
        log.debug("%s: nothing staged was left to remove: %s", what, error)
