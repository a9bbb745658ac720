"""Files of this machine, and what is particular about them on Windows: patience, rights, links."""

from __future__ import annotations

import os
import secrets
import stat
import sys
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

ACCESS_DENIED, SHARING_VIOLATION, LOCK_VIOLATION = 5, 32, 33
HELD = frozenset({SHARING_VIOLATION, LOCK_VIOLATION})
"""Another program has the file open, and shares it with nobody who may rename or read it."""
PATIENCE = 3.0
"""Seconds for which Windows is asked again: scanners and NAS hold files for up to 0.8 s."""

_TRANSIENT = HELD | {ACCESS_DENIED}
_MOUNT_POINT = 0xA000_0003  # `stat.IO_REPARSE_TAG_MOUNT_POINT`, which is missing elsewhere


def patiently(
    action: Callable[[], T],
    patience: float = PATIENCE,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Do `action`, again while Windows says that somebody holds the file.

    These refusals change nothing and mostly pass within a second (virus scanners,
    indexers, NAS).  Elsewhere an error has no ``winerror`` and is raised at once.

    Args:
        action: what to do; raises OSError.
        patience: for how many seconds.
        clock: seconds, monotonic.
        sleep: waits for so many seconds.
    """
    until = clock() + patience
    pause = min(0.01, patience / 5)
    while True:
        try:
            return action()
        except OSError as error:
            if getattr(error, "winerror", None) not in _TRANSIENT or clock() + pause > until:
                raise
        sleep(pause)
        pause = min(2 * pause, 0.25)


def replace(src: str, dst: str) -> None:
    """`os.replace`, also of a folder: Windows renames none in which anybody has a file open."""
    patiently(lambda: os.replace(src, dst))


def unlink(path: str) -> None:
    """`os.unlink`, of a file that was just written."""
    patiently(lambda: os.unlink(path))


def make_private_folders(path: str) -> None:
    """Make a folder that only this user may enter, and what is missing above it; it may be there.

    Raises:
        OSError: this machine refuses.
    """
    os.makedirs(path, mode=_private_mode(), exist_ok=True)


def make_new_folder(place: str, prefix: str) -> str:
    """A new folder in `place` that only this user may enter; its path.

    `tempfile.mkdtemp` takes it for a name in use when Windows denies access to `place`, and tries
    all there are.

    Raises:
        OSError: this machine refuses.
    """
    path = os.path.join(place, f"{prefix}{secrets.token_hex(5)}")
    os.mkdir(path, _private_mode())
    return path


def _private_mode() -> int:
    """The mode of a folder for this user alone.

    On Windows a folder has the rights of the one it is in, and those of a user's own are private.
    Python makes 0o700 rights of the owner alone there, who is another one in the console of an
    administrator.
    """
    return 0o777 if sys.platform == "win32" else 0o700


def is_link(path: str) -> bool:
    """Whether something is a symbolic link or a junction; it need not be there."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISLNK(status.st_mode) or is_junction(status)


def is_junction(status: os.stat_result) -> bool:
    """Whether it is a link to a folder of the kind that Windows and Python call a folder.

    Args:
        status: of the link itself, from `os.lstat` or the like.
    """
    return getattr(status, "st_reparse_tag", 0) == _MOUNT_POINT
