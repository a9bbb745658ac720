"""The SMB2 messages that the verbs need, packed and unpacked with `struct` only.

smbprotocol describes every message field by field; packing one that way costs more time
than the server needs to answer it, and unpacking a listing of 10,000 names two seconds.
A `Message` here is what ``Connection.send_compound`` asks of its messages and no more:
a command, a length, bytes, and the sizes from which credits are counted.

Numbers and layouts are those of [MS-SMB2] and [MS-FSCC].
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from dirjobs.store import Entry, FileKind

HEADER = 64
CREDIT = 65536
"""Bytes of payload that one credit pays for."""

# [MS-SMB2] 2.2.1.2: commands
CREATE, CLOSE, FLUSH, READ, WRITE, QUERY_DIRECTORY, SET_INFO = 5, 6, 7, 8, 9, 14, 17

# [MS-SMB2] 2.2.13.1: access
READ_DATA, WRITE_DATA, READ_ATTRIBUTES, DELETE = 0x1, 0x2, 0x80, 0x10000

# [MS-SMB2] 2.2.13: sharing, disposition, options
SHARE_READ, SHARE_WRITE, SHARE_DELETE = 1, 2, 4
SHARE_ALL = SHARE_READ | SHARE_WRITE | SHARE_DELETE
OPEN, CREATE_NEW, OVERWRITE_IF = 1, 2, 5
FOLDER_ONLY, FILE_ONLY, DELETE_ON_CLOSE, NO_FOLLOW = 0x1, 0x40, 0x1000, 0x200000

# [MS-FSCC] 2.6: attributes
ATTRIBUTE_DIRECTORY, ATTRIBUTE_REPARSE_POINT = 0x10, 0x400

FILE_DIRECTORY_INFORMATION, FILE_RENAME_INFORMATION = 1, 10
SAME_HANDLE = b"\xff" * 16
"""In a related compound: the handle that the CREATE before has opened."""

_CREATE = struct.Struct("<HBBIQQIIIIIHHII")
_CREATED = struct.Struct("<HBBIQQQQQQII16s")
_CLOSE = struct.Struct("<HHI16s")
_SET_INFO = struct.Struct("<HBBIHHI16s")
_RENAME = struct.Struct("<B7xQI")
_QUERY_DIRECTORY = struct.Struct("<HBBI16sHHI")
_READ = struct.Struct("<HBBIQ16sIIIHH")
_WRITE = struct.Struct("<HHIQ16sIIHHI")
_ENTRY = struct.Struct("<II16xQ8xQ8xII")
_READ_ANSWER = 16
"""Bytes before the data in the answer to a READ."""

_EPOCH = 116_444_736_000_000_000
"""1970-01-01 in units of 100 ns since 1601-01-01."""


class Size(int):
    """A number that can be asked the way smbprotocol asks its fields."""

    def get_value(self) -> int:
        return int(self)

    def __len__(self) -> int:
        return int(self)


class Message:
    """One SMB2 request without its header.

    Args:
        command: its number.
        body: its bytes.
        payload: bytes of data that it brings or asks for.
        sizes: fields by which smbprotocol counts the credits of this command.
    """

    __slots__ = ("COMMAND", "_body", "_sizes", "credits")

    def __init__(self, command: int, body: bytes, payload: int = 0, **sizes: int) -> None:
        self.COMMAND = command
        self._body = body
        self._sizes = {name: Size(size) for name, size in sizes.items()}
        self.credits = max(1, -(-payload // CREDIT))

    def __len__(self) -> int:
        return len(self._body)

    def __getitem__(self, name: str) -> Size:
        return self._sizes[name]

    def pack(self) -> bytes:
        return self._body


class Created(NamedTuple):
    """What the answer to a CREATE tells about the file."""

    handle: bytes
    mtime: float | None
    size: int
    attributes: int


def encode(name: str) -> bytes:
    """A name as it goes over the wire; half surrogates, which Windows allows, as well."""
    return name.encode("utf-16-le", "surrogatepass")


def seconds(filetime: int) -> float | None:
    """A FILETIME as seconds since the epoch; None if the server has no such time."""
    return (filetime - _EPOCH) / 1e7 if filetime else None


def create(path: str, access: int, share: int, disposition: int, options: int) -> Message:
    """Open or make `path` (relative to the share, backslashes)."""
    name = encode(path)
    head = _CREATE.pack(
        57, 0, 0, 2, 0, 0, access, 0, share, disposition, options, HEADER + 56, len(name), 0, 0
    )
    return Message(CREATE, head + (name or bytes(8)))


def close(handle: bytes = SAME_HANDLE) -> Message:
    return Message(CLOSE, _CLOSE.pack(24, 0, 0, handle))


def flush(handle: bytes = SAME_HANDLE) -> Message:
    """Ask that what was written survives a power loss."""
    return Message(FLUSH, _CLOSE.pack(24, 0, 0, handle))


def rename(target: str, *, replace: bool, handle: bytes = SAME_HANDLE) -> Message:
    """Rename what `handle` has open to `target`, a path from the share's root."""
    name = encode(target)
    # The server wants 24 bytes at least ([MS-FSCC] 2.4.37.2), however short the name.
    buffer = (_RENAME.pack(replace, 0, len(name)) + name).ljust(24, b"\0")
    head = _SET_INFO.pack(33, 1, FILE_RENAME_INFORMATION, len(buffer), HEADER + 32, 0, 0, handle)
    return Message(SET_INFO, head + buffer)


def query_directory(room: int, handle: bytes = SAME_HANDLE) -> Message:
    """Ask for the next names of a folder, as many as fit into `room` bytes."""
    pattern = encode("*")
    head = _QUERY_DIRECTORY.pack(
        33, FILE_DIRECTORY_INFORMATION, 0, 0, handle, HEADER + 32, len(pattern), room
    )
    return Message(
        QUERY_DIRECTORY, head + pattern, room, buffer=len(pattern), output_buffer_length=room
    )


def read(offset: int, length: int, handle: bytes = SAME_HANDLE) -> Message:
    # 0x50: where data would begin if there were no padding; the last byte is a filler.
    head = _READ.pack(49, 0x50, 0, length, offset, handle, 0, 0, 0, 0, 0)
    return Message(READ, head + b"\0", length, length=length, read_channel_info_length=0)


def write(offset: int, data: bytes, handle: bytes = SAME_HANDLE) -> Message:
    size = len(data)
    head = _WRITE.pack(49, HEADER + 48, size, offset, handle, 0, 0, 0, 0, 0)
    return Message(WRITE, head + data, size, length=size, write_channel_info_length=0)


def created(body: bytes) -> Created:
    """The answer to a CREATE taken apart.

    Raises:
        ValueError: it is too short.
    """
    if len(body) < _CREATED.size:
        raise ValueError(f"the answer to a CREATE has {len(body)} bytes")
    fields = _CREATED.unpack_from(body)
    return Created(fields[12], seconds(fields[6]), fields[9], fields[10])


def data_read(body: bytes, asked: int) -> bytes:
    """The bytes that a READ brought, of the `asked` ones.

    Raises:
        ValueError: they are not as many as it says, or more than `asked`.
    """
    if len(body) < _READ_ANSWER:
        raise ValueError(f"the answer to a READ has {len(body)} bytes")
    start, length = body[2] - HEADER, int.from_bytes(body[4:8], "little")
    if not length:
        return b""
    if length > asked:
        raise ValueError(f"a READ of {asked} bytes brought {length}")
    data = body[start : start + length] if start >= _READ_ANSWER else b""
    if len(data) != length:
        raise ValueError(f"a READ announced {length} bytes and brought {len(data)}")
    return data


def bytes_written(body: bytes, sent: int) -> int:
    """How many bytes a WRITE took, of the `sent` ones.

    Raises:
        ValueError: the answer is too short, or it took more.
    """
    if len(body) < 8:
        raise ValueError(f"the answer to a WRITE has {len(body)} bytes")
    written = int.from_bytes(body[4:8], "little")
    if written > sent:
        raise ValueError(f"a WRITE of {sent} bytes took {written}")
    return written


def entries(body: bytes) -> Iterator[Entry]:
    """What the answer to a QUERY_DIRECTORY lists, without ``.`` and ``..``.

    Raises:
        ValueError: an entry points out of the answer or into another one.
    """
    if len(body) < 8:
        raise ValueError(f"the answer to a QUERY_DIRECTORY has {len(body)} bytes")
    start, length = struct.unpack_from("<HI", body, 2)
    if not length:
        return
    if start < HEADER + 8 or start - HEADER + length > len(body):
        raise ValueError("a listing is not where its answer says")
    buffer = body[start - HEADER : start - HEADER + length]
    unpack, fixed = _ENTRY.unpack_from, _ENTRY.size
    at, end = 0, len(buffer)
    while at + fixed <= end:
        step, _, written, size, attributes, name_length = unpack(buffer, at)
        name_at = at + fixed
        if name_at + name_length > end or (step and step < fixed + name_length):
            break
        name = buffer[name_at : name_at + name_length].decode("utf-16-le", "surrogatepass")
        if name not in (".", ".."):
            kind = kind_of(attributes)
            yield Entry(name, seconds(written), size if kind is FileKind.FILE else None, kind)
        if not step:
            return
        at += step
    raise ValueError("an entry of a listing points out of the answer")


def kind_of(attributes: int) -> FileKind:
    """What the attributes of a name say that it is; a link is a reparse point."""
    if attributes & ATTRIBUTE_REPARSE_POINT:
        return FileKind.OTHER
    return FileKind.FOLDER if attributes & ATTRIBUTE_DIRECTORY else FileKind.FILE
