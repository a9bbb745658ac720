"""Whether a job's file may be copied to this machine: no job takes the room of all others.

Who can write to a share can put a file of any size there, on many with one call.
"""

from __future__ import annotations

import os
import platform
import shutil
from typing import BinaryIO

from dirjobs.sizes import told

LARGE = 1 << 30
"""Bytes from which on it is a file's own fault that there is no room for it."""
_LEFT_FREE = 20
"""The fraction of a disk that large files leave to others, as 1/N."""
_LOOK_AFTER = 16 << 20
"""Bytes after which a copy looks how much room is left."""


class NoRoom(OSError):
    """A large file for which this machine has no room, though it may have for others."""


def check_room(folder: str, size: int) -> None:
    """Refuse to begin with a large file that does not fit into `folder`.

    Raises:
        NoRoom: of `size` bytes.
    """
    room = _room(folder)
    if size >= LARGE and size > room:
        raise NoRoom(
            f"it has {told(size)}, and {platform.node()} has room for {told(max(0, room))} of it in"
            f" {os.path.dirname(folder)!r}"
        )


def _room(folder: str) -> int:
    disk = shutil.disk_usage(folder)
    return disk.free - disk.total // _LEFT_FREE


class Copy:
    """A file of this machine that is written to: the target of a download, which ends where the
    disk is nearly full, whatever size was told.

    Args:
        file: just opened.
        folder: where it is.
    """

    def __init__(self, file: BinaryIO, folder: str) -> None:
        self._file = file
        self._folder = folder
        self._looks_at = LARGE
        self.seekable = file.seekable
        self.tell = file.tell
        self.seek = file.seek
        self.truncate = file.truncate

    def write(self, data: bytes) -> int:
        """Write all of `data`.

        Raises:
            NoRoom: a large file leaves too little room to others.
        """
        end = self._file.tell() + len(data)
        if end >= self._looks_at:
            self._looks_at = end + _LOOK_AFTER
            if _room(self._folder) < len(data):
                raise NoRoom(
                    f"after {told(end)} of it {platform.node()} has no more room in"
                    f" {os.path.dirname(self._folder)!r}"
                )
        return self._file.write(data)
