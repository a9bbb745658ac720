"""READDIR as it is on the wire: asyncssh makes of each name a record that costs a tenth of a
millisecond, and a queue may have ten thousand.

Version 3 of the protocol only, which is what is spoken: draft-ietf-secsh-filexfer-02, 5 and 7.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from asyncssh import constants as protocol
from asyncssh.packet import String
from asyncssh.sftp import SFTPBadMessage, SFTPClientHandler, SFTPError


class Name(NamedTuple):
    """One name of a folder.

    Attributes:
        mode: as of ``stat``; None if not told.
        size: bytes.
        mtime: seconds since the epoch.
    """

    name: bytes
    mode: int | None
    size: int | None
    mtime: float | None


async def readdir(handler: SFTPClientHandler, handle: bytes) -> list[Name]:
    """The next names of an open folder.

    Raises:
        SFTPError: the server has none, or says something else.
    """
    waiter = handler._loop.create_future()
    handler._send_request(protocol.FXP_READDIR, [String(handle)], waiter)
    kind, packet = await waiter
    if kind == protocol.FXP_NAME:
        return names(packet.get_remaining_payload())
    if kind == protocol.FXP_STATUS:
        code = packet.get_uint32()
        reason = packet.get_string().decode(errors="replace") if packet else ""
        if code != protocol.FX_OK:
            raise SFTPError(code, reason)
    raise SFTPBadMessage(f"READDIR was answered by {kind}")


def names(body: bytes) -> list[Name]:
    """What an FXP_NAME says.

    Raises:
        SFTPBadMessage: it is not built as it must be.
    """
    try:
        return _names(body)
    except (struct.error, IndexError) as error:
        raise SFTPBadMessage(f"the names can't be read ({error})") from error


def _names(body: bytes) -> list[Name]:
    number = struct.Struct(">I").unpack_from
    (count,) = number(body)
    at, found = 4, []
    for _ in range(count):
        (length,) = number(body, at)
        name, at = body[at + 4 : at + 4 + length], at + 4 + length
        (length,) = number(body, at)  # the line that `ls -l` would show
        at += 4 + length
        (flags,) = number(body, at)
        at += 4
        size = mode = mtime = None
        if flags & protocol.FILEXFER_ATTR_SIZE:
            (size,) = struct.unpack_from(">Q", body, at)
            at += 8
        if flags & protocol.FILEXFER_ATTR_UIDGID:
            at += 8
        if flags & protocol.FILEXFER_ATTR_PERMISSIONS:
            (mode,) = number(body, at)
            at += 4
        if flags & protocol.FILEXFER_ATTR_ACMODTIME:
            (seconds,) = number(body, at + 4)
            mtime = float(seconds)
            at += 8
        if flags & protocol.FILEXFER_ATTR_EXTENDED:
            (pairs,) = number(body, at)
            at += 4
            for _ in range(2 * pairs):
                (length,) = number(body, at)
                at += 4 + length
        if at > len(body):
            raise IndexError("it ends too soon")
        found.append(Name(name, mode, size, mtime))
    return found
