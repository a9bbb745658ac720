"""The contents of files: small ones whole, big ones in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import BinaryIO

import asyncssh
from asyncssh import constants as protocol

from dirjobs.backends.sftp import directory, status
from dirjobs.backends.sftp import rename as renames
from dirjobs.backends.sftp.connection import Channel, Pool, Refused
from dirjobs.errors import AmbiguousResult, Denied, NotFound, StoreError, TooLarge, Unsupported
from dirjobs.names import nonce
from dirjobs.store import MAX_READ, FileKind

_SMALL = 16 * 1024
"""Bytes that are asked for together with the size."""
_PIECE = 1 << 20
"""Bytes of a longer transfer that are in memory at a time."""


async def read(channel: Channel, native: bytes, what: str) -> bytes:
    """The content of a small file.

    Raises:
        TooLarge: it has more than `MAX_READ` bytes.
        AmbiguousResult: it has ended before the size that it had when it was opened.
    """
    file = await _open(channel, native, what)
    try:
        first, attrs = await asyncio.gather(
            _read(channel, file, _SMALL, 0), channel.ask(file.stat())
        )
        size = len(first) if attrs.size is None else attrs.size
        if size > MAX_READ:
            raise TooLarge(
                f"Can't {what}: it has more than {MAX_READ:,} bytes; as a whole it is only copied"
                " into a file."
            )
        if size > len(first):
            first += await _read(channel, file, size - len(first), len(first))
        if len(first) < size:
            raise _cut(what, len(first), size)
        return first
    finally:
        channel.give_back(file.close())


async def _open(channel: Channel, native: bytes, what: str) -> asyncssh.SFTPClientFile:
    """A file to be read, if it is one: OPEN itself follows links and takes folders."""
    opening = channel.ask(channel.sftp.open(native, "rb"))
    looked, opened = await asyncio.gather(
        directory.look(channel, native), opening, return_exceptions=True
    )
    if isinstance(looked, BaseException) or looked.kind is not FileKind.FILE:
        if not isinstance(opened, BaseException):
            channel.give_back(opened.close())
        if isinstance(looked, BaseException):
            raise looked
        kind = "a folder" if looked.kind is FileKind.FOLDER else "a link or a device"
        raise Denied(f"Can't {what}: it is {kind}, and only files are read.")
    if isinstance(opened, BaseException):
        raise opened
    return opened


async def _read(channel: Channel, file: asyncssh.SFTPClientFile, size: int, offset: int) -> bytes:
    """So many bytes, or fewer at the end of the file; long ones are many requests at once."""
    piece: bytes = await channel.ask(file.read(size, offset))
    return piece


def _cut(what: str, came: int, size: int) -> AmbiguousResult:
    return AmbiguousResult(f"Can't {what}: only {came} of its {size} bytes came.")


def fetch(pool: Pool, native: bytes, what: str, sink: Callable[[bytes], object]) -> None:
    """Give the content of a file to `sink`, in pieces.

    Raises:
        AmbiguousResult: it has ended before the size that it had when it was opened.
    """

    async def begin(channel: Channel) -> tuple[Channel, asyncssh.SFTPClientFile, int]:
        file = await _open(channel, native, what)
        try:
            attrs = await channel.ask(file.stat())
        except Refused:
            channel.give_back(file.close())
            raise
        return channel, file, attrs.size or 0

    channel, file, size = pool.call(what, begin, changes=False)
    offset = 0
    try:
        while piece := pool.go_on(
            channel, what, _read(channel, file, _PIECE, offset), changes=False
        ):
            sink(piece)
            offset += len(piece)
        if offset < size:
            raise _cut(what, offset, size)
    finally:
        pool.give_back(channel, file)


def put(pool: Pool, native: bytes, what: str, source: BinaryIO) -> None:
    """Write a file in place, in pieces, and have it put on the disk."""

    async def begin(channel: Channel) -> tuple[Channel, asyncssh.SFTPClientFile]:
        try:
            return channel, await channel.ask(channel.sftp.open(native, "wb"))
        except Refused as refused:
            raise await _not_written(channel, native, what, refused) from refused.error

    async def write() -> None:
        try:
            await channel.ask(file.write(piece, offset))
        except Refused as refused:
            raise await _not_written(channel, native, what, refused) from refused.error

    channel, file = pool.call(what, begin, changes=True)
    offset = 0
    try:
        while piece := source.read(_PIECE):
            pool.go_on(channel, what, write(), changes=True)
            offset += len(piece)
    except BaseException:
        pool.give_back(channel, file)
        raise
    pool.go_on(channel, what, _finish(channel, file), changes=True)


async def _finish(channel: Channel, file: asyncssh.SFTPClientFile) -> None:
    """Have a written file put on the disk, where the server can, and close it."""
    try:
        try:
            await channel.ask(file.fsync())
        except Refused as refused:
            if refused.code != protocol.FX_OP_UNSUPPORTED:
                raise
    except BaseException:
        channel.give_back(file.close())
        raise
    await channel.ask(file.close())


async def replace(channel: Channel, native: bytes, what: str, data: bytes) -> None:
    """Create or replace a small file in one step that readers can see."""
    folder, slash, _ = native.rpartition(b"/")
    staged = folder + slash + b".~" + nonce(12).encode()
    try:
        await renames.create(channel, staged, data)
        await renames.replacing(channel, staged, native, what)
    except Refused as refused:
        error = await _not_written(channel, native, what, refused)
        await renames.discard(channel, staged)
        raise error from refused.error


async def append(channel: Channel, native: bytes, what: str, data: bytes) -> None:
    """Add to the end of a file that is there."""
    try:
        await renames.put_into(channel, native, protocol.FXF_WRITE | protocol.FXF_APPEND, data)
    except Refused as refused:
        if refused.code in status.NOT_THERE:
            raise NotFound(f"Can't {what}: there is no such file.") from refused.error
        # ProFTPD has an option that forbids it; files may be written whole all the same.
        raise Unsupported(
            f"Can't {what}: the server says {status.told(refused.error)}."
        ) from refused.error


async def _not_written(channel: Channel, native: bytes, what: str, refused: Refused) -> StoreError:
    """Why nothing could be written to `native`."""
    if refused.code in status.NOT_THERE:
        return NotFound(f"Can't {what}: there is no such folder.")
    there = await directory.look_for(channel, native)
    if there is not None and there.kind is not FileKind.FILE:
        return Denied(f"Can't {what}: a folder or a link of that name is there.")
    return await renames.reason(channel, native, what, refused, writes=True)


__all__ = ["append", "fetch", "put", "read", "replace"]
