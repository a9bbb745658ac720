"""Which names a file on a share may have; what every backend needs to know of them."""

from __future__ import annotations

import re
import secrets
import sys
import unicodedata
from collections.abc import Collection

MAX_BYTES = 199
"""`<worker>.<job>` stays under 200 bytes: staged names around it must fit into 255."""

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$|clock\$) *(?:\..*)?",
    re.IGNORECASE,
)
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,100}")
CHANGEABLE = {
    "spaces": (" ", re.compile(" ")),
    "letters beyond ASCII": ("\u00e4", re.compile(r"[^\x00-\x7f]")),
    "'%'": ("%20", re.compile("%")),
    "'+'": ("+", re.compile(r"\+")),
    "'&'": ("&", re.compile("&")),
    "'#'": ("#", re.compile("#")),
    "other signs": ("[", re.compile(r"[!\"$'()*,:;<=>?@\[\\\]^`{|}]")),
}
"""What has to be encoded in a URL, and may be changed on the way to a server: a text to try it
with, and how it is found in a name."""

ALL_CHANGEABLE = "".join(text for text, _ in CHANGEABLE.values())

_FORBIDDEN = re.compile(r'["<>\\:*?|;/]')
_FORBIDDEN_ON_WINDOWS = re.compile(r'[\x00-\x1f"<>\\:*?|/]')
_WINDOWS = sys.platform == "win32"


def nonce(length: int = 6) -> str:
    """A random name that nobody else comes up with at the same time."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def same_name(one: str, other: str) -> bool:
    """Whether two names are one to a person: Unicode's normal forms are not told apart,
    since file systems change them on the way."""
    return one == other or (
        not (one.isascii() and other.isascii())
        and unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other)
    )


def unsafe_name(name: str) -> str | None:
    """Why no store at all may be asked for a segment of this name; None if one may."""
    if _PLAIN.fullmatch(name):
        return None  # most names, most quickly
    if not name or name in (".", ".."):
        return "it is not a file name"
    for char in name:
        if char in "/\\" or unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp"):
            return f"it contains {char!r}"
        if char in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069":
            return f"it contains the text direction control {char!r}"
    if len(name.encode()) > MAX_BYTES:
        return f"it is {len(name.encode())} bytes long; at most {MAX_BYTES} are safe"
    return None


def unportable_name(name: str) -> str | None:
    """Why some backend could not carry a segment of this name; None if all can."""
    problem = unsafe_name(name)
    if problem:
        return problem
    if found := _FORBIDDEN.search(name):
        return f"it contains {found.group()!r}, which Windows shares or WebDAV servers mangle"
    if name[0] == " ":
        return "it begins with a space, which some servers drop"
    return windows_problem(name)


def windows_problem(name: str) -> str | None:
    """Why no file can be called `name` on Windows, where it is another path, a device or a part
    of another file; None if one can."""
    if found := _FORBIDDEN_ON_WINDOWS.search(name):
        return f"it contains {found.group()!r}, which no file name does on Windows"
    if not name or name[-1] in ". ":
        return f"it ends with {name[-1:]!r}, which Windows drops"
    if _DEVICE.fullmatch(name):
        return "it is a device on Windows"
    return None


def problem_of_this_system(name: str) -> str | None:
    """Why a name that is safe can be no file of this machine; None if it can."""
    return windows_problem(name) if _WINDOWS else None


def local_problem(name: str) -> str | None:
    """Why no file of this machine can be called as one on a share is; None if one can.  Only
    then may the name become a part of a local path."""
    return unsafe_name(name) or problem_of_this_system(name)


def is_changeable(name: str) -> bool:
    """Whether there may be servers or proxies that change a file's name to another one when
    it is renamed to `name`."""
    return not _PLAIN.fullmatch(name) and any(
        found.search(name) for _, found in CHANGEABLE.values()
    )


def change_problem(name: str, changed: Collection[str]) -> str | None:
    """Why nothing may be renamed to `name` where these of `CHANGEABLE` are changed; None if it
    arrives."""
    for kind in changed:
        if CHANGEABLE[kind][1].search(name):
            return (
                f"the server, or a proxy before it, changes or refuses {kind} in the name of a"
                f" file that is renamed, such as {name!r}: use letters, digits, '.', '_' and"
                " '-', or have the proxy pass on Destination as it is"
            )
    return None
