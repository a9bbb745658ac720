"""Where a share is and how to log on: URLs, UNC paths, options, fsspec's configuration.

Pure functions and records; nothing here opens a connection.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

import fsspec.config

from dirjobs.errors import ConfigurationError

AUTH_PROTOCOLS = ("negotiate", "ntlm", "kerberos")
_NAMES = ("username", "password", "domain", "port", "encrypt", "require_signing")
OPTIONS = (*_NAMES, "auth_protocol", "guest", "timeout", "connect_timeout")

_UNC = re.compile(r"(?:\\\\\?\\UNC\\|\\\\)(?P<rest>[^\\?.].*)", re.IGNORECASE | re.DOTALL)
_IPV6_LITERAL = ".ipv6-literal.net"
_FORBIDDEN = re.compile(r'["<>:*?|\\/\x00-\x1f]')
_YES, _NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


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
class Address:
    r"""A folder on a share and everything needed to reach it; prints no secret.

    Attributes:
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
    return _parse_unc(address) if address.startswith("\\\\") else _parse_url(address)


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
    shown = _without_login(address)
    try:
        url = urlsplit(address)
        host, port = unquote(url.hostname or ""), url.port
    except ValueError:
        raise ConfigurationError(
            f"{shown!r} is not an SMB address: write smb://host/share/folder, an IPv6 host in"
            " brackets, and '/', '@', ':', '#' or '?' in a password as %2F, %40, %3A, %23, %3F."
        ) from None
    if url.query or url.fragment or address.endswith(("?", "#")):
        raise ConfigurationError(
            f"{shown!r} contains a '?' or a '#': write '#' as %23; options go into storage_options."
        )
    parts = [unquote(part) for part in url.path.split("/") if part]
    if url.scheme != "smb" or not host or not parts:
        raise ConfigurationError(f"{shown!r} names no share: write smb://host/share/folder.")
    domain, semicolon, user = unquote(url.username or "").rpartition(";")
    share, folder = _checked(host, parts)
    return Place(
        host,
        port,
        share,
        folder,
        user or None,
        None if url.password is None else unquote(url.password),
        domain if semicolon else None,
    )


def _without_login(address: str) -> str:
    """An address that may be malformed, cut so that no part of a password is left."""
    scheme, separator, rest = address.partition("://")
    return scheme + separator + rest.rpartition("@")[2] if separator else "the address"


def resolve(address: str, options: Mapping[str, object]) -> Address:
    """The address with its options; what the options leave out fsspec's configuration says.

    An option wins over the URL, and the URL over fsspec's configuration files and its
    ``FSSPEC_SMB_*`` environment (``fsspec.config.conf["smb"]``).

    Raises:
        ConfigurationError: an option is unknown or has an impossible value.
    """
    place = parse(address)
    for name in options:
        if name not in OPTIONS:
            raise ConfigurationError(
                f"{name!r} is not an option of SMB shares: there are {', '.join(OPTIONS)}."
            )
    configured = fsspec.config.conf.get("smb", {})
    # Of fsspec's other options (share_access, register_session_retries, ...) none applies.
    found: dict[str, object] = {name: configured[name] for name in OPTIONS if name in configured}
    in_url = {name: getattr(place, name) for name in ("username", "password", "domain", "port")}
    named = options.get("username") or in_url["username"]
    if named and found.get("username", named) != named:
        # Never somebody's password with somebody else's name.
        found = {k: v for k, v in found.items() if k not in ("username", "password", "domain")}
    found |= {name: value for name, value in in_url.items() if value is not None}
    found |= {name: value for name, value in options.items() if value is not None}
    return _address(place, found)


def _address(place: Place, found: Mapping[str, object]) -> Address:
    username, password = _text(found, "username"), _text(found, "password")
    domain = _text(found, "domain")
    guest = _flag(found, "guest", default=False)
    if guest and (username or password):
        raise ConfigurationError("guest=True logs on without a user: leave out user and password.")
    if password is not None and not username:
        raise ConfigurationError("There is a password for the SMB share but no username.")
    if domain and username and "\\" not in username and "@" not in username:
        username = f"{domain}\\{username}"
    auth = str(found.get("auth_protocol", "negotiate")).lower()
    if auth not in AUTH_PROTOCOLS:
        raise ConfigurationError(
            f"auth_protocol={auth!r} is not known: use {', '.join(AUTH_PROTOCOLS)}."
        )
    encrypt = _flag(found, "encrypt", default=False)
    # A guest has no key to sign or encrypt with.
    require_signing = _flag(found, "require_signing", default=not guest)
    if guest and (encrypt or require_signing):
        raise ConfigurationError("guest=True can be neither signed nor encrypted: leave it out.")
    return Address(
        host=place.host,
        port=_port(found.get("port", 445)),
        share=place.share,
        folder=place.folder,
        username="guest" if guest else username,
        password="" if guest else password,
        encrypt=encrypt,
        require_signing=require_signing,
        auth_protocol=auth,
        guest=guest,
        timeout=_seconds(found, "timeout", 30.0),
        connect_timeout=_seconds(found, "connect_timeout", 10.0),
        unc=place.unc,
    )


def _text(found: Mapping[str, object], name: str) -> str | None:
    value = found.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value.isprintable():
        # The value is not shown: it may be the password.
        raise ConfigurationError(f"The option {name!r} must be text without control characters.")
    return value if value or name == "password" else None


def _flag(found: Mapping[str, object], name: str, *, default: bool) -> bool:
    """A yes or no; the environment and INI files know only words."""
    value = found.get(name, default)
    word = str(value).lower()
    if word in _YES or word in _NO:
        return word in _YES
    raise ConfigurationError(f"{name}={value!r} is neither true nor false.")


def _port(value: object) -> int:
    word = str(value)
    if not isinstance(value, bool) and word.isdecimal() and 1 <= int(word) <= 65535:
        return int(word)
    raise ConfigurationError(f"port={value!r} is not a port: use a number from 1 to 65535.")


def _seconds(found: Mapping[str, object], name: str, default: float) -> float:
    value = found.get(name, default)
    try:
        number = math.nan if isinstance(value, bool) else float(str(value))
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ConfigurationError(f"{name}={value!r} must be a number of seconds above 0.")
    return number
