"""Where a WebDAV folder is: URLs taken apart, checked, and put together again.

Everything here is text; nothing is sent.  A segment of a path is decoded once when it
comes in and encoded in full when it goes out, because HTTP libraries can't tell
``a%20b`` (a name) from ``a b`` (another one).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from dirjobs.errors import ConfigurationError

_SCHEMES = {
    "http": "http",
    "https": "https",
    "webdav": "http",
    "webdavs": "https",
    "dav": "http",
    "davs": "https",
}
_DEFAULT_PORT = {"http": 80, "https": 443}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_USERINFO = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*")
_HOST = re.compile(r"[^\s/\\?#@\[\]:]+|\[[0-9A-Fa-f:.]+\]")
# What a person can't paste into a browser as it is; letters of any script they can.
_UNREADABLE = re.compile(r'[\x00-\x20"%#?<>\\^`{|}\x7f]')


@dataclass(frozen=True)
class Address:
    """The root folder of a store on its server, without anything secret.

    Attributes:
        scheme: ``http`` or ``https``.
        host: as in the URL; IPv6 in brackets.
        port: None for the scheme's own.
        segments: the decoded path of the root folder.
    """

    scheme: str
    host: str
    port: int | None
    segments: tuple[str, ...]
    origin: str = field(init=False, repr=False)
    prefix: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        port = "" if self.port is None else f":{self.port}"
        object.__setattr__(self, "origin", f"{self.scheme}://{self.host}{port}")
        object.__setattr__(self, "prefix", "".join(f"/{encode(s)}" for s in self.segments))

    def file(self, path: str) -> str:
        """The encoded URL path of a file (no slash at the end)."""
        return f"{self.prefix}/{encode_path(path)}" if path else self.folder("")

    def folder(self, path: str) -> str:
        """The encoded URL path of a folder (with the slash that servers insist on)."""
        return f"{self.prefix}/{encode_path(path)}/" if path else f"{self.prefix}/"

    def readable(self) -> str:
        """The root's URL for people: only what a browser would misread is encoded."""
        path = "".join(f"/{legible(s)}" for s in self.segments)
        return f"{self.origin}{path}" if path else f"{self.origin}/"


def encode(segment: str) -> str:
    return quote(segment, safe="")


def encode_path(path: str) -> str:
    # quote() leaves the slashes of a store path alone and encodes all else.
    return quote(path, safe="/")


def legible(segment: str) -> str:
    return _UNREADABLE.sub(lambda found: f"%{ord(found.group()):02X}", segment)


def without_secrets(url: str) -> str:
    """`url` without user, password, query and fragment, however malformed it is."""
    clean = re.sub(r"//.*@", "//", url, flags=re.DOTALL)
    return re.split(r"[?#]", clean, maxsplit=1)[0]


def port_or_default(scheme: str, port: int | None) -> int | None:
    return _DEFAULT_PORT.get(scheme) if port is None else port


def parse(url: str) -> tuple[Address, str | None, str | None]:
    """The address in `url`, and the user and password in it (None: there are none).

    Raises:
        ConfigurationError: it is not the URL of a WebDAV folder; the message shows it
            without its secrets.
    """
    shown = without_secrets(url)
    if _CONTROL.search(url):
        raise ConfigurationError(f"the URL {shown!r} contains a control character: remove it.")
    head, _, tail = url.partition("://")
    if "?" in tail or "#" in tail:
        raise ConfigurationError(
            f"the URL {shown!r} has a query or a fragment, which no folder has: remove it,"
            " or write %3F for '?' and %23 for '#' in a name or a password."
        )
    scheme = _SCHEMES.get(head.lower())
    if scheme is None or not tail:
        raise ConfigurationError(
            f"{shown!r} is not the URL of a WebDAV folder: it begins with https:// or http://."
        )
    authority, _, path = tail.partition("/")
    login, at, place = authority.rpartition("@")
    if not _USERINFO.fullmatch(login):
        # A raw "/" or "@" in a password would make another host of what follows it.
        raise ConfigurationError(
            f"the URL {shown!r} has a user or password with special characters: percent-encode"
            " them, or pass them as the options 'username' and 'password'."
        )
    host, port = _host_and_port(place, shown)
    user, colon, password = login.partition(":")
    segments = tuple(unquote(part, errors="strict") for part in _checked(path, shown))
    return (
        Address(scheme, host, None if port == _DEFAULT_PORT[scheme] else port, segments),
        unquote(user) if at and user else None,
        unquote(password) if at and colon else None,
    )


def _host_and_port(place: str, shown: str) -> tuple[str, int | None]:
    try:
        port = urlsplit(f"//{place}").port
    except ValueError as error:
        raise ConfigurationError(f"the URL {shown!r} has no valid port: correct it.") from error
    host = re.sub(r":\d*$", "", place)
    if not _HOST.fullmatch(host):
        raise ConfigurationError(f"the URL {shown!r} has no valid host name: correct it.")
    try:
        return (host.lower() if host.isascii() else host.encode("idna").decode()), port
    except UnicodeError as error:
        raise ConfigurationError(
            f"the URL {shown!r} has a host name that DNS can't carry: correct it."
        ) from error


def _checked(path: str, shown: str) -> list[str]:
    parts = [part for part in path.split("/") if part]
    for part in parts:
        try:
            name = unquote(part, errors="strict")
        except UnicodeDecodeError as error:
            raise ConfigurationError(
                f"the URL {shown!r} has a segment that is not UTF-8: correct {part!r}."
            ) from error
        if name in (".", "..") or "/" in name or "\\" in name or _CONTROL.search(name):
            raise ConfigurationError(
                f"the URL {shown!r} can't be used because of {part!r} in its path:"
                " name the folder itself."
            )
    return parts
