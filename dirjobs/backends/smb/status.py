"""NTSTATUS -> what the caller may do next.

The number decides, never errno or the class of an exception: smbprotocol gives a sharing
violation errno 1, and a missing folder the errno of a missing file.
"""

from __future__ import annotations

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

PENDING = 0x00000103
NO_MORE_FILES = 0x80000006
NO_SUCH_FILE = 0xC000000F
END_OF_FILE = 0xC0000011
ACCESS_DENIED = 0xC0000022
OBJECT_NAME_NOT_FOUND = 0xC0000034
OBJECT_NAME_COLLISION = 0xC0000035
OBJECT_PATH_NOT_FOUND = 0xC000003A
SHARING_VIOLATION = 0xC0000043
DELETE_PENDING = 0xC0000056
FILE_IS_A_DIRECTORY = 0xC00000BA
NETWORK_NAME_DELETED = 0xC00000C9
BAD_NETWORK_NAME = 0xC00000CC
NOT_A_DIRECTORY = 0xC0000103
USER_SESSION_DELETED = 0xC0000203
NOT_FOUND = 0xC0000225
PATH_NOT_COVERED = 0xC0000257
NETWORK_SESSION_EXPIRED = 0xC000035C

# fmt: off
ERRORS: dict[int, tuple[type[StoreError], str]] = {
    NO_SUCH_FILE:           (NotFound, "there is no such file"),
    OBJECT_NAME_NOT_FOUND:  (NotFound, "there is no such file"),
    OBJECT_PATH_NOT_FOUND:  (NotFound, "its folder is not there"),
    DELETE_PENDING:         (NotFound, "it is being deleted"),
    NOT_A_DIRECTORY:        (NotFound, "it, or what should be its folder, is a file"),
    OBJECT_NAME_COLLISION:  (AlreadyExists, "there is something of that name already"),
    SHARING_VIOLATION:      (Busy, "somebody has it open; try again later"),
    0xC0000054:             (Busy, "somebody has locked it; try again later"),  # FILE_LOCK_CONFLICT
    0xC0000055:             (Busy, "somebody has locked it; try again later"),  # LOCK_NOT_GRANTED
    0xC0000909:             (Busy, "somebody has it open; try again later"),  # CANNOT_BREAK_OPLOCK
    0xC0000480:             (AmbiguousResult, "the share is not available"),  # SHARE_UNAVAILABLE
    ACCESS_DENIED:          (Denied, "the server does not allow it; check the rights of the user"),
    0xC0000061:             (Denied, "the user lacks a privilege"),  # PRIVILEGE_NOT_HELD
    0xC00000A2:             (Denied, "the share is write protected"),  # MEDIA_WRITE_PROTECTED
    0xC0000121:             (Denied, "it is read-only"),  # CANNOT_DELETE
    FILE_IS_A_DIRECTORY:    (Denied, "it is a folder"),
    0xC000007F:             (NoSpace, "the disk of the server is full"),  # DISK_FULL
    0xC0000044:             (NoSpace, "the quota of the user is used up"),  # QUOTA_EXCEEDED
    0xC0000904:             (Denied, "the file is too large for the server"),  # FILE_TOO_LARGE
    0xC0000033:             (Unsupported, "the server takes no such name"),  # OBJECT_NAME_INVALID
    0xC0000039:             (Unsupported, "the server takes no such path"),  # OBJECT_PATH_INVALID
    0xC000003B:             (Unsupported, "the server takes no such path"),  # PATH_SYNTAX_BAD
    0xC0000106:             (Unsupported, "it is too long a name"),  # NAME_TOO_LONG
    0xC00000D4:             (Unsupported, "both must be on one disk"),  # NOT_SAME_DEVICE
    0xC0000002:             (Unsupported, "the server can't do it"),  # NOT_IMPLEMENTED
    0xC0000010:             (Unsupported, "the server can't do it"),  # INVALID_DEVICE_REQUEST
    0xC00000BB:             (Unsupported, "the server can't do it"),  # NOT_SUPPORTED
    0x8000002D:             (Unsupported, "a symbolic link is in the way"),  # STOPPED_ON_SYMLINK
    PATH_NOT_COVERED:       (Unsupported, "a DFS link leads to another server: give its address"),
    NETWORK_NAME_DELETED:   (AmbiguousResult, "the server took the share away meanwhile"),
    USER_SESSION_DELETED:   (AmbiguousResult, "the server ended the session meanwhile"),
    NETWORK_SESSION_EXPIRED: (AmbiguousResult, "the session has expired"),
    0xC0000205:             (AmbiguousResult, "the server is overloaded"),  # INSUFF_SERVER_...
    0xC000009A:             (AmbiguousResult, "the server is overloaded"),  # INSUFFICIENT_RESOURCES
}

# The answers to a logon or to the connection to a share: before any verb.
LOGON: dict[int, str] = {
    0xC000006D: "the user or the password is wrong",  # LOGON_FAILURE
    0xC000006A: "the password is wrong",  # WRONG_PASSWORD
    0xC0000064: "there is no such user",  # NO_SUCH_USER
    0xC000006E: "the account is restricted",  # ACCOUNT_RESTRICTION
    0xC000006F: "the account may not log on at this hour",  # INVALID_LOGON_HOURS
    0xC0000070: "the account may not log on from this machine",  # INVALID_WORKSTATION
    0xC0000071: "the password has expired",  # PASSWORD_EXPIRED
    0xC0000072: "the account is disabled",  # ACCOUNT_DISABLED
    0xC0000193: "the account has expired",  # ACCOUNT_EXPIRED
    0xC0000224: "the password must be changed first",  # PASSWORD_MUST_CHANGE
    0xC0000234: "the account is locked out",  # ACCOUNT_LOCKED_OUT
    0xC000015B: "the account may not log on over the network",  # LOGON_TYPE_NOT_GRANTED
    0xC0000133: "our clock differs too much from the server's",  # TIME_DIFFERENCE_AT_DC
    ACCESS_DENIED: "access is denied",
}

# No such share: the last three from a server that looked for it among its DFS links.
NO_SHARE = frozenset(
    {BAD_NETWORK_NAME, NOT_FOUND, OBJECT_NAME_NOT_FOUND, OBJECT_PATH_NOT_FOUND}
)

# The server no longer knows our session: a new connection is needed.
SESSION_GONE = frozenset({NETWORK_NAME_DELETED, USER_SESSION_DELETED, NETWORK_SESSION_EXPIRED})
# fmt: on


def require(status: int, what: str, *, first: bool) -> None:
    """Raise what `error_for` makes of the answer, unless it is success."""
    if status:
        raise error_for(status, what, first=first)


def error_for(status: int, what: str, *, first: bool) -> StoreError:
    """The error for an answer other than success.

    Args:
        status: the NTSTATUS.
        what: what was tried, in words: ``rename 'a' to 'b'``.
        first: it answers the CREATE, which opens a file before anything is done to it:
            nothing was changed, whatever the reason.
    """
    kind, why = ERRORS.get(status, (AmbiguousResult, f"the server says NTSTATUS {status:#010x}"))
    if first and kind is AmbiguousResult:
        kind = Unavailable
    return kind(f"Can't {what}: {why}.")
