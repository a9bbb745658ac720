"""Renaming: by what is exclusive, and by what replaces nothing.

===============  =========================================================================
posix-rename     one rename(2): of several callers one has the file, and never are both
                 names there; it replaces what has the new name.  For names of one's own.
RENAME           OpenSSH makes it of link(2) and unlink(2), and refuses what is there.
                 Others look first and then rename, or just replace.
hardlink         refuses what is there on all servers that have it (one says OK, and does
                 nothing); with REMOVE it is a rename that can be stopped half way.
===============  =========================================================================

What others than OpenSSH do is tried once, in the uppermost folder.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable

import asyncssh
from asyncssh import constants as protocol

from dirjobs.backends.sftp import directory, status
from dirjobs.backends.sftp.connection import Channel, Lost, Refused, Server
from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    Denied,
    NoSpace,
    NotFound,
    StoreError,
)
from dirjobs.names import nonce
from dirjobs.store import FileKind

_LITTLE = 16 * 1024
"""Bytes that all servers take in one request."""
_READ_ONLY = 1
"""The flag of statvfs@openssh.com."""
_Request = Callable[[bytes, bytes], Awaitable[None]]
"""RENAME or hardlink: of a name, to another one."""


class Manner(enum.Enum):
    """How a file is renamed where nothing may be replaced."""

    RENAME = "RENAME, which refuses what is there"
    LINK = "hardlink and REMOVE"
    LOOK = "a look and RENAME, which replaces"


async def to_own(channel: Channel, source: bytes, target: bytes, what: str) -> None:
    """Rename to a name that nobody else asks for."""
    try:
        await _posix_rename(channel, source, target)
    except Refused as refused:
        raise await _refusal(channel, source, target, what, refused, taken=False) from refused.error


async def _posix_rename(channel: Channel, source: bytes, target: bytes) -> None:
    try:
        await channel.ask(channel.sftp.posix_rename(source, target))
    except Refused as refused:
        if refused.code != protocol.FX_OP_UNSUPPORTED:
            raise
        await channel.ask(channel.sftp.rename(source, target))


async def refusing(
    server: Server, channel: Channel, source: bytes, target: bytes, spare: bytes, what: str
) -> None:
    """Rename, but to no name that is there.

    Args:
        spare: how names begin that nobody uses, where nobody takes them for jobs: there it is
            tried how this server renames.
    """
    manner = await _manner(server, channel, spare)
    if manner is Manner.LINK:
        await _link_and_remove(channel, source, target, what)
        return
    if manner is Manner.LOOK and await directory.look_for(channel, target) is not None:
        raise AlreadyExists(f"Can't {what}: there is something of that name already.")
    await _settled(channel, channel.sftp.rename, source, target, what)


async def _settled(
    channel: Channel, request: _Request, source: bytes, target: bytes, what: str
) -> bool:
    """Send `request`, of which `target` comes to be and `source` may go.

    Returns:
        whether it was answered well; False if it was refused, and half done: then the whole is
        done by now.

    Raises:
        StoreError: it was refused.
    """
    try:
        await channel.ask(request(source, target))
    except Refused as refused:
        if await _was_half_done(channel, source, target, refused):
            return False
        raise await _refusal(channel, source, target, what, refused) from refused.error
    return True


async def _link_and_remove(channel: Channel, source: bytes, target: bytes, what: str) -> None:
    if not await _settled(channel, channel.sftp.link, source, target, what):
        return
    try:
        await channel.ask(channel.sftp.remove(source))
    except Refused as refused:
        if refused.code in status.NOT_THERE:
            await _take_back(channel, target, what)
            raise NotFound(
                f"Can't {what}: somebody else has renamed it meanwhile."
            ) from refused.error
        # If it is gone after all, `target` may be its only name.
        await _still_there(channel, source, what, refused)
        await _take_back(channel, target, what)
        raise await reason(channel, source, what, refused) from refused.error


async def _take_back(channel: Channel, link: bytes, what: str) -> None:
    """Remove a second name of a file that we have just made."""
    try:
        await channel.ask(channel.sftp.remove(link))
    except Refused as refused:
        if await directory.look_for(channel, link) is not None:
            raise AmbiguousResult(
                f"Only half was done: {what} (the server says {status.told(refused.error)}): both"
                " names are there."
            ) from refused.error


async def _still_there(channel: Channel, native: bytes, what: str, refused: Refused) -> None:
    """Make sure that what was refused was not done all the same.

    Raises:
        AmbiguousResult: the file is gone.
    """
    if await directory.look_for(channel, native) is None:
        raise AmbiguousResult(
            f"Nobody knows whether this was done: {what} (the server says"
            f" {status.told(refused.error)}, but the file is gone)."
        ) from refused.error


async def _was_half_done(channel: Channel, source: bytes, target: bytes, refused: Refused) -> bool:
    """Whether both names were one file: an earlier try, whose connection broke between its two
    steps, or whose server process was killed.  Then the second step is done now."""
    if refused.code in status.NOT_THERE:
        return False
    try:
        there = await channel.ask(channel.sftp.lstat(target))
        here = await channel.ask(channel.sftp.lstat(source))
        if _seen(there) != _seen(here) or here.type != protocol.FILEXFER_TYPE_REGULAR:
            return False
        # Version 3 tells no inode.  The time of the last access is one for both names of a file.
        atime, mtime = int(here.atime or 0), int(here.mtime or 0)
        mark = asyncssh.SFTPAttrs(atime=atime ^ 1, mtime=mtime)
        await channel.ask(channel.sftp.setstat(source, mark))
        seen = await channel.ask(channel.sftp.lstat(target))
        if seen.atime != mark.atime:
            unmarked = asyncssh.SFTPAttrs(atime=atime, mtime=mtime)
            await channel.ask(channel.sftp.setstat(source, unmarked))
            return False
        await channel.ask(channel.sftp.remove(source))
    except Refused:
        return False
    return True


def _seen(attrs: asyncssh.SFTPAttrs) -> tuple[object, ...]:
    """What is the same of both names of a file."""
    return attrs.type, attrs.size, attrs.mtime, attrs.atime


async def _refusal(
    channel: Channel,
    source: bytes,
    target: bytes,
    what: str,
    refused: Refused,
    *,
    taken: bool = True,
) -> StoreError:
    """What a refused rename means, by looking: FAILURE is the code for nearly everything."""
    if refused.code in status.NOT_THERE:
        return status.error_for(refused.error, what)
    there = await directory.look_for(channel, target)
    here = await directory.look_for(channel, source)
    exists = refused.code == protocol.FX_FILE_ALREADY_EXISTS
    if here is None and there is not None and not exists:
        return AmbiguousResult(
            f"Nobody knows whether this was done: {what} (the server says"
            f" {status.told(refused.error)}, but only the new name is there)."
        )
    if there is not None and (taken or there.kind is FileKind.FOLDER):
        return AlreadyExists(f"Can't {what}: there is something of that name already.")
    if there is not None:
        return AmbiguousResult(
            f"Can't {what}: the server says {status.told(refused.error)}, but it is there."
        )
    if here is None:
        return NotFound(f"Can't {what}: there is no such file.")
    return await reason(channel, source, what, refused)


async def replacing(channel: Channel, staged: bytes, target: bytes, what: str) -> None:
    """Put a file that nobody else knows of in the place of another, if there is one.

    Raises:
        Refused: the server said no, and it was not done.
        AmbiguousResult: the server said no, and it may have been done.
    """
    try:
        await channel.ask(channel.sftp.posix_rename(staged, target))
    except Refused as refused:
        if refused.code != protocol.FX_OP_UNSUPPORTED:
            await _still_there(channel, staged, what, refused)
            raise
    else:
        return
    try:
        await channel.ask(channel.sftp.rename(staged, target))
    except Refused as refused:
        await _still_there(channel, staged, what, refused)
        if await directory.look_for(channel, target) is None:
            raise
        await _exchange(channel, staged, target, what)


async def _exchange(channel: Channel, staged: bytes, target: bytes, what: str) -> None:
    """The same where nothing replaces: for a moment there is neither."""
    aside = staged + b"o"
    try:
        await channel.ask(channel.sftp.rename(target, aside))
    except Refused as refused:
        await _still_there(channel, target, what, refused)
        raise
    try:
        await channel.ask(channel.sftp.rename(staged, target))
    except Refused as refused:
        await _still_there(channel, staged, what, refused)
        if not await _yes(channel.ask(channel.sftp.rename(aside, target))):
            raise AmbiguousResult(
                f"Only half was done: {what} (the server says {status.told(refused.error)})."
            ) from refused.error
        raise
    await discard(channel, aside)


async def discard(channel: Channel, native: bytes) -> None:
    """Remove a file of our own that nobody wants, if it is there."""
    await _yes(channel.ask(channel.sftp.remove(native)))


async def reason(
    channel: Channel, native: bytes, what: str, refused: Refused, *, writes: bool = False
) -> StoreError:
    """Why the server refused to change something where surely nothing was changed.

    Args:
        writes: it was to take bytes: a disk with room for others has a quota, most likely.
    """
    error = status.error_for(refused.error, what, changes=True)
    if not isinstance(error, AmbiguousResult):
        return error
    folder = native.rpartition(b"/")[0] or (b"/" if native.startswith(b"/") else b".")
    try:
        disk = await channel.ask(channel.sftp.statvfs(folder))
    except Refused:  # not every server tells
        return Denied(f"Can't {what}: the server says {status.told(refused.error)}.")
    if disk.flags & _READ_ONLY:
        return Denied(f"Can't {what}: the file system is read-only.")
    if not disk.bavail or not disk.favail:
        return NoSpace(f"Can't {what}: there is no room left on the disk.")
    if writes:
        return NoSpace(
            f"Can't {what}: the server says {status.told(refused.error)} though the disk is not"
            " full: the user's quota is used up, most likely."
        )
    return Denied(f"Can't {what}: the server says {status.told(refused.error)} and no more.")


# -- what is tried -----------------------------------------------------------------------


async def _manner(server: Server, channel: Channel, spare: bytes) -> Manner:
    if channel.is_openssh:
        return Manner.RENAME
    if not isinstance(server.rename_manner, Manner):
        try:
            server.rename_manner = await _try(channel, spare + nonce(12).encode())
        except Refused:
            return Manner.LOOK  # what is right, if not best, on all servers
    return server.rename_manner


async def _try(channel: Channel, stem: bytes) -> Manner:
    one, two, three = (stem + letter for letter in (b"a", b"b", b"c"))
    try:
        await create(channel, one)
        if await _yes(channel.ask(channel.sftp.link(one, two))):
            if await directory.look_for(channel, two) is not None:
                refuses = not await _yes(channel.ask(channel.sftp.link(one, two)))
                if refuses:
                    return Manner.LINK
            else:
                await create(channel, two)
        else:
            await create(channel, two)
        # Who says no to everything, or just now, does not show what is replaced.
        refuses = (
            not await _yes(channel.ask(channel.sftp.rename(one, two)))
            and await _yes(channel.ask(channel.sftp.rename(one, three)))
            and not await _yes(channel.ask(channel.sftp.rename(three, two)))
        )
        return Manner.RENAME if refuses else Manner.LOOK
    finally:
        if channel.is_alive:
            for each in (one, two, three):
                await discard(channel, each)


async def _yes(asked: Awaitable[object]) -> bool:
    try:
        await asked
    except Refused:
        return False
    return True


async def create(channel: Channel, native: bytes, data: bytes = b"") -> None:
    """A new file; of a name that nobody else comes up with."""
    new = protocol.FXF_WRITE | protocol.FXF_CREAT | protocol.FXF_EXCL
    await put_into(channel, native, new, data)


async def put_into(channel: Channel, native: bytes, flags: int, data: bytes) -> None:
    """Open a file, write `data` into it, and close it; a little goes together with the end."""
    if len(data) <= _LITTLE:
        handle = await channel.ask(channel.handler.open(native, flags, asyncssh.SFTPAttrs()))
        closing = channel.handler.close(handle)
        if data:
            writing = channel.handler.write(handle, 0, data)
            await asyncio.gather(channel.ask(writing), channel.ask(closing))
        else:
            await channel.ask(closing)
        return
    file = await channel.ask(channel.sftp.open(native, flags, encoding=None))
    try:
        await channel.ask(file.write(data, 0))
    except (Refused, Lost):
        channel.give_back(file.close())
        raise
    await channel.ask(file.close())
