"""Where a share is and how to log on: URLs, UNC paths and the table of options.

Pure functions and records; nothing here opens a connection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import quote

from dirjobs.backends import _config as option
from dirjobs.errors import ConfigurationError
from dirjobs.redaction import without_login

OPTIONS = option.Options(
    "SMB shares",
    ("smb",),
    username=option.text(),
    password=option.secret(),
    domain=option.text(),
    port=option.port(445),
    encrypt=option.flag(default=False),  # as the server demands
    require_signing=option.flag(default=None),  # True, but for guests: they have no key for it
    auth_protocol=option.one_of("negotiate", "ntlm", "kerberos", default="negotiate"),
    guest=option.flag(default=False),
    timeout=option.seconds(30.0),  # that one request may take
    connect_timeout=option.seconds(10.0),
)

_UNC = re.compile(r"(?:\\\\\?\\UNC\\|\\\\)(?P<rest>[^\\?.].*)", re.IGNORECASE | re.DOTALL)
_IPV6_LITERAL = ".ipv6-literal.net"
_FORBIDDEN = re.compile(r'["<>:*?|\\/\x00-\x1f]')


class Place(NamedTuple):
    """What an address says: the login in a URL is only a default for the options'."""

    host: str
    port: int | None
    share: str
    folder: str
    username: str | None = None
    password: str | None = None
    domain: str | None = None
    unc: bool = False


@dataclass(frozen=True, slots=True)
class Config:
    r"""A folder on a share and everything needed to reach it; prints no secret.

    Attributes:
        host: as DNS knows it; an IPv6 address without brackets.
        folder: from the share's root, ``/`` between the segments, "" for the root.
        username: with its domain, as NTLM wants it: ``DOMAIN\user``.
        timeout: seconds that one request may take.
        connect_timeout: seconds until the server must have taken the connection.
        unc: it was given as a UNC path and is shown as one.
    """

    host: str
    port: int
    share: str
    folder: str
    username: str | None
    password: str | None = field(repr=False)
    encrypt: bool
    require_signing: bool
    auth_protocol: str
    guest: bool
    timeout: float
    connect_timeout: float
    unc: bool

    @property
    def where(self) -> str:
        """Host and port for messages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 445 else f"{host}:{self.port}"

    def text(self, path: str = "") -> str:
        """This folder, or `path` in it, as its user wrote it, without the password."""
        segments = [self.share, *self.folder.split("/"), *path.split("/")]
        if self.unc:
            return "\\\\" + "\\".join([self.host, *filter(None, segments)])
        # Only what would change the meaning is encoded: a person reads this.
        shown = "/".join(re.sub(r"[%#?]", lambda c: quote(c[0]), s) for s in segments if s)
        domain, backslash, user = (self.username or "").rpartition("\\")
        login = quote(user, safe="") + "@" if user and not self.guest else ""
        login = quote(domain, safe="") + ";" + login if backslash and login else login
        return f"smb://{login}{self.where}/{shown}"


def parse(address: str) -> Place:
    r"""Take apart ``smb://domain;user:password@host:port/share/folder`` or ``\\host\share``.

    Raises:
        ConfigurationError: it is neither, or names no share.
    """
    if option.is_no_text(address):
        raise ConfigurationError(f"{without_login(address)!r} is not UTF-8: correct it.")
    return _parse_unc(address) if address.startswith("\\\\") else _parse_url(address)


def origin_of(host: str, port: object) -> str:
    """``smb://host:port``, without the port that goes without saying."""
    shown = f"[{host}]" if ":" in host else host
    return f"smb://{shown.lower()}" + (f":{port}" if port not in (None, 445, "445") else "")


def _checked(host: str, segments: list[str]) -> tuple[str, str]:
    """The share, and the folder in it."""
    for segment in segments:
        if segment in (".", ".."):
            raise ConfigurationError(
                f"The SMB address of {host!r} contains {segment!r}: write the path in full."
            )
        if found := _FORBIDDEN.search(segment):
            raise ConfigurationError(
                f"{segment!r} can't be a share or folder: it contains {found.group()!r}."
            )
    return segments[0], "/".join(segments[1:])


def _parse_unc(address: str) -> Place:
    match = _UNC.fullmatch(address)
    parts = [part for part in re.split(r"[\\/]", match["rest"]) if part] if match else []
    if len(parts) < 2:
        raise ConfigurationError(
            rf"{address!r} names no share: write it as \\host\share or \\host\share\folder."
        )
    host = parts[0]
    if host.lower().endswith(_IPV6_LITERAL):
        host = host[: -len(_IPV6_LITERAL)].replace("-", ":").replace("s", "%")
    share, folder = _checked(host, parts[1:])
    return Place(host, None, share, folder, unc=True)


def _parse_url(address: str) -> Place:
    shown = without_login(address)
    url, host, port, parts, login, password = option.split_address(
        address, "an SMB", "smb://host/share/folder"
    )
    if url.query or url.fragment or address.endswith(("?", "#")):
        raise ConfigurationError(
            f"{shown!r} contains a '?' or a '#': write '#' as %23; options go into storage_options."
        )
    if url.scheme != "smb" or not host or not parts:
        raise ConfigurationError(f"{shown!r} names no share: write smb://host/share/folder.")
    domain, semicolon, user = login.rpartition(";")
    share, folder = _checked(host, parts)
    return Place(
        host,
        port,
        share,
        folder,
        user or None,
        password,
        domain if semicolon else None,
    )


def read(address: str, options: Mapping[str, Any], timeout: float | None = None) -> Config:
    """The address with its options; `timeout` is for who has no wish in them.

    Raises:
        ConfigurationError: the address or an option makes no sense.
    """
    place = parse(address)
    in_url = {name: getattr(place, name) for name in ("username", "password", "domain", "port")}
    port = place.port or options.get("port")
    found = OPTIONS.read(options, {**in_url, "timeout": timeout}, origin_of(place.host, port))
    domain, username = found.pop("domain"), found["username"]
    if found["guest"]:
        if username or found["password"]:
            raise ConfigurationError(
                "guest=True logs on without a user: leave out user and password."
            )
        if found["encrypt"] or found["require_signing"]:
            raise ConfigurationError(
                "guest=True can be neither signed nor encrypted: leave it out."
            )
        found |= {"username": "guest", "password": "", "require_signing": False}
    elif found["password"] is not None and not username:
        raise ConfigurationError("There is a password for the SMB share but no username.")
    elif domain and username and "\\" not in username and "@" not in username:
        found["username"] = f"{domain}\\{username}"
    if found["require_signing"] is None:
        found["require_signing"] = True
    return Config(host=place.host, share=place.share, folder=place.folder, unc=place.unc, **found)
