"""What an SFTP server's refusals mean: a code of the protocol and hardly ever more.

Codes 0 to 8 are those of version 3, which all servers speak; a few send later ones all the same.
"""

from __future__ import annotations

import asyncssh
from asyncssh import constants as codes

from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    Busy,
    Denied,
    NoSpace,
    NotFound,
    StoreError,
    Unavailable,
    Unsupported,
)

NOT_THERE = frozenset({codes.FX_NO_SUCH_FILE, codes.FX_NO_SUCH_PATH, codes.FX_NOT_A_DIRECTORY})
LOST = frozenset({codes.FX_NO_CONNECTION, codes.FX_CONNECTION_LOST})
"""What asyncssh says itself where no answer came."""

_ERRORS: dict[int, tuple[type[StoreError], str]] = {
    codes.FX_NO_SUCH_FILE: (NotFound, "there is no such file or folder"),
    codes.FX_NO_SUCH_PATH: (NotFound, "there is no such folder"),
    codes.FX_NOT_A_DIRECTORY: (NotFound, "it is not a folder"),
    codes.FX_PERMISSION_DENIED: (Denied, "permission denied"),
    codes.FX_WRITE_PROTECT: (Denied, "the file system is read-only"),
    codes.FX_CANNOT_DELETE: (Denied, "it can't be deleted"),
    codes.FX_FILE_IS_A_DIRECTORY: (Denied, "it is a folder"),
    codes.FX_DIR_NOT_EMPTY: (Denied, "the folder is not empty"),
    codes.FX_LINK_LOOP: (Denied, "there is a circle of symbolic links"),
    codes.FX_FILE_ALREADY_EXISTS: (AlreadyExists, "something of that name is there"),
    codes.FX_NO_SPACE_ON_FILESYSTEM: (NoSpace, "there is no room left"),
    codes.FX_QUOTA_EXCEEDED: (NoSpace, "the quota is used up"),
    codes.FX_LOCK_CONFLICT: (Busy, "somebody has it locked"),
    codes.FX_NO_MEDIA: (Unavailable, "the disk is not there"),
    codes.FX_OP_UNSUPPORTED: (Unsupported, "the server can't do it"),
    codes.FX_INVALID_FILENAME: (Unsupported, "the server takes no such name"),
}
_LONGEST_REASON = 100


def error_for(error: asyncssh.SFTPError, what: str, *, changes: bool = False) -> StoreError:
    """The error for a refusal.

    Args:
        error: the answer.
        what: what was tried, in words: ``rename 'a' to 'b'``.
        changes: whether it would have changed something: then FAILURE, which may mean anything,
            leaves in doubt whether it has.
    """
    kind, why = _ERRORS.get(
        error.code, (AmbiguousResult if changes else Unavailable, f"the server says {told(error)}")
    )
    return kind(f"Can't {what}: {why}.")


def told(error: asyncssh.SFTPError) -> str:
    """A server's own words, if a terminal can show them."""
    words = error.reason[:_LONGEST_REASON].strip().rstrip(".")
    return f"{words!r}" if words and words.isprintable() else f"code {error.code}"
