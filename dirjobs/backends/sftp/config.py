"""Where a folder on an SSH server is and how to log on: URLs and the table of options.

Pure functions and records; nothing here opens a connection.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import SplitResult, quote

from dirjobs.backends import _config as option
from dirjobs.errors import ConfigurationError
from dirjobs.redaction import without_login
from dirjobs.store import Guarantees

SCHEMES = ("sftp", "ssh")
PORT = 22


def _paths(name: str, value: object) -> tuple[str, ...]:
    values = value if isinstance(value, (list, tuple)) else [value]
    paths = [os.path.expanduser(str(each)) for each in values]
    for path in paths:
        if not os.path.isfile(path):
            raise ConfigurationError(f"{name}={path!r}: there is no such file.")
    return tuple(paths)


OPTIONS = option.Options(
    "SFTP servers",
    SCHEMES,
    username=option.text(),
    password=option.secret(),
    port=option.port(PORT)._replace(default=None),  # else as ~/.ssh/config says
    key_filename=option.Option(_paths, ()),
    client_keys=option.stands_for("key_filename"),  # the name that sshfs has for it
    passphrase=option.secret(),
    known_hosts=option.Option(_paths, ()),
    ssh_config=option.Option(_paths),
    agent=option.flag(default=True),
    timeout=option.seconds(30.0),  # that one request may take
    connect_timeout=option.seconds(10.0),
    guarantees=option.guarantees(),
)


class Place(NamedTuple):
    """What an address says.

    Attributes:
        folder: as the server takes it: one without a leading ``/`` begins at the user's home.
        shown: the folder as the user wrote it.
    """

    scheme: str
    host: str
    port: int | None
    folder: str
    shown: str
    username: str | None = None
    password: str | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """A folder on an SSH server and everything needed to reach it; prints no secret.

    Attributes:
        host: as DNS or ``~/.ssh/config`` knows it; an IPv6 address without brackets.
        port: None for what ``~/.ssh/config`` says, or 22.
        username: None for what ``~/.ssh/config`` says, or the user's name here.
        key_filename: private keys; without any, those of ``~/.ssh`` are tried.
        known_hosts: files to be used instead of the user's own ones.
        ssh_config: files to be read instead of ``~/.ssh/config``; None for that.
        agent: whether the ssh agent is asked.
        timeout: seconds that one request may take.
        connect_timeout: seconds until the user must be logged on.
    """

    scheme: str
    host: str
    port: int | None
    folder: str
    shown: str
    username: str | None
    password: str | None = field(repr=False)
    key_filename: tuple[str, ...]
    passphrase: str | None = field(repr=False)
    known_hosts: tuple[str, ...]
    ssh_config: tuple[str, ...] | None
    agent: bool
    timeout: float
    connect_timeout: float
    guarantees: Guarantees | None

    @property
    def where(self) -> str:
        """Host and port for messages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port in (None, PORT) else f"{host}:{self.port}"

    def text(self, path: str = "") -> str:
        """This folder, or `path` in it, as its user wrote it, without the password."""
        login = quote(self.username, safe="") + "@" if self.username else ""
        below = f"{self.shown.rstrip('/')}/{path}" if path else self.shown
        # Only what would change the meaning is encoded: a person reads this.
        below = re.sub(r"[%#?]", lambda found: quote(found[0]), below)
        return f"{self.scheme}://{login}{self.where}{below}"


def origin_of(host: str, port: object) -> str:
    """``sftp://host:port``, without the port that goes without saying."""
    shown = f"[{host}]" if ":" in host else host
    return f"sftp://{shown.lower()}" + (f":{port}" if port not in (None, PORT, str(PORT)) else "")


def parse(address: str) -> Place:
    """Take apart ``sftp://user:password@host:port/folder``; ``/~/folder`` begins at home.

    Raises:
        ConfigurationError: it is no such address.
    """
    shown = without_login(address)
    if option.is_no_text(address):
        raise ConfigurationError(f"{shown!r} is not UTF-8: correct it.")
    if option.has_control(address):
        raise ConfigurationError(f"{shown!r} contains control characters: remove them.")
    url, host, port, parts, login, password = option.split_address(
        address, "an SFTP", "sftp://user@host/folder", _as_written
    )
    if url.query or url.fragment or address.endswith(("?", "#")):
        raise ConfigurationError(
            f"{shown!r} contains a '?' or a '#': write them as %3F and %23; options go into"
            " storage_options."
        )
    if url.scheme not in SCHEMES or not host:
        raise ConfigurationError(f"{shown!r} names no host: write sftp://user@host/folder.")
    if host.startswith("-"):
        raise ConfigurationError(f"{host!r} can't be a host: it begins with '-'.")
    segments = [segment for part in parts for segment in part.split("/") if segment]
    for segment in segments:
        if segment in (".", "..") or option.has_control(segment):
            raise ConfigurationError(
                f"The SFTP address of {host!r} contains {segment!r}: write the path in full."
            )
    at_home = segments[:1] == ["~"] or not url.path
    if not at_home and segments[:1] and segments[0].startswith("~"):
        raise ConfigurationError(
            f"{segments[0]!r} stands for another user's home, which SFTP can't look up: write"
            f" the path in full, or /~/ for your own home."
        )
    below = "/".join(segments[1:] if at_home else segments)
    return Place(
        url.scheme,
        host,
        port,
        below if at_home else f"/{below}",
        f"/~/{below}".rstrip("/") if at_home else f"/{below}",
        login or None,
        password,
    )


def _as_written(url: SplitResult) -> str:
    """The host; ``~/.ssh/config`` tells capital letters apart, and `SplitResult.hostname`
    makes them small."""
    host = url.hostname or ""
    found = re.search(re.escape(host), url.netloc.rpartition("@")[2], re.IGNORECASE)
    return found[0] if found else host


def read(address: str, options: Mapping[str, Any], timeout: float | None = None) -> Config:
    """The address with its options; `timeout` is for who has no wish in them.

    Raises:
        ConfigurationError: the address or an option makes no sense.
    """
    place = parse(address)
    in_url = {name: getattr(place, name) for name in ("username", "password", "port")}
    port = place.port or options.get("port")
    found = OPTIONS.read(options, {**in_url, "timeout": timeout}, origin_of(place.host, port))
    return Config(place.scheme, place.host, folder=place.folder, shown=place.shown, **found)
