"""Where a WebDAV folder is and how to reach it: URLs and the table of options.

Pure functions and records; nothing here opens a connection.  A segment of a URL's path is
decoded once when it comes in and encoded in full when it goes out, because HTTP libraries
can't tell ``a%20b`` (a name) from ``a b`` (another one).
"""

from __future__ import annotations

import netrc
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

import httpx

from dirjobs.backends import _config as option
from dirjobs.backends.webdav.login import NOBODY, Login, Who
from dirjobs.backends.webdav.proxy import Proxy, from_environment, usable
from dirjobs.errors import ConfigurationError
from dirjobs.redaction import without_login
from dirjobs.store import Guarantees

_SCHEMES = {
    **dict.fromkeys(("http", "webdav", "dav"), "http"),
    **dict.fromkeys(("https", "webdavs", "davs"), "https"),
}
_DEFAULT_PORT = {"http": 80, "https": 443}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_USERINFO = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*")
_HOST = re.compile(r"[^\s/\\?#@\[\]:]+|\[[0-9A-Fa-f:.]+\]")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# What a person can't paste into a browser as it is; letters of any script they can.
_UNREADABLE = re.compile(r'[\x00-\x20"%#?<>\\^`{|}\x7f]')


def _verify(name: str, value: object) -> bool | str:
    if isinstance(value, str) and value.lower() not in ("true", "false"):
        return value  # the path of what to verify with
    return bool(option.flag(default=True).check(name, value))


def _headers(name: str, value: object) -> dict[str, str]:
    if isinstance(value, Mapping) and all(
        isinstance(key, str)
        and _HEADER.fullmatch(key)
        and isinstance(line, str)
        and line.isascii()
        and not _CONTROL.search(line)
        for key, line in value.items()
    ):
        return dict(value)
    raise ConfigurationError(f"the option {name!r} must map header names to one-line ASCII texts.")


OPTIONS = option.Options(
    "WebDAV folders",
    ("webdav", "dav"),
    username=option.text(),
    user=option.stands_for("username"),
    password=option.secret(),
    auth=option.stands_for("username", "password"),
    auth_type=option.one_of("basic", "digest"),  # None: found out
    token=option.matching(r"[\x21-\x7e]+", "visible ASCII characters without spaces: check it."),
    netrc=option.anything(),  # a path, or False
    ca=option.anything(),  # a file or folder of certificates
    verify=option.Option(_verify, default=True),
    cert=option.anything(),  # a file, or (certificate, key) or (certificate, key, password)
    proxy=option.matching(
        r"(https?|socks5h?)://[^/\x00-\x1f\x7f][^\x00-\x1f\x7f]*",
        "a URL such as http://proxy.example.org:3128.",
    ),
    trust_env=option.flag(default=True),
    headers=option.Option(_headers, default={}),
    timeout=option.seconds(30.0),  # for a whole request
    guarantees=option.guarantees(),
)


class Place(NamedTuple):
    """What a URL says; the login in it is only a default for the options'."""

    scheme: str
    host: str  # IPv6 in brackets
    port: int | None  # None for the scheme's own
    segments: tuple[str, ...] = ()
    username: str | None = None
    password: str | None = None


@dataclass(frozen=True)
class Config:
    """A folder on a server and everything needed to reach it; prints no secret.

    Attributes:
        origin: scheme, host and port: ``https://host:8443``.
        prefix: the encoded path of the folder, without a slash at its end.
        url: the folder for people: only what a browser would misread is encoded.
        proxy_from: which variable or option names the proxy; empty if there is none.
        timeout: seconds for a whole request without its payload.
        guarantees: what a check has found out, or None.
    """

    origin: str
    prefix: str
    url: str
    login: Login | None = field(repr=False)
    tls: ssl.SSLContext = field(repr=False)
    proxy: str | None = field(repr=False)
    proxy_from: str
    headers: Mapping[str, str] = field(repr=False)
    timeout: float
    guarantees: Guarantees | None

    __reduce__ = option.refuse_pickling

    @property
    def server(self) -> str:
        """What is asked, for messages: the server, and the proxy on the way."""
        via = f" (through the proxy of {self.proxy_from})" if self.proxy_from else ""
        return f"{self.origin}{via}"

    @property
    def who(self) -> Who:
        """Who asks, for messages."""
        return NOBODY if self.login is None else self.login.who


def read(url: str, options: Mapping[str, Any], timeout: float | None = None) -> Config:
    """The folder with its options; `timeout` is for who has no wish in them.

    Raises:
        ConfigurationError: something of it can't be; the message shows no secret.
    """
    place = parse(url)
    login = {"username": place.username, "password": place.password}
    origin = origin_of(place)
    found = OPTIONS.read(options, {**login, "timeout": timeout}, origin)
    over_tls = place.scheme == "https"
    proxy = None
    if found["proxy"] is not None:
        proxy = usable(Proxy(found["proxy"], "the option 'proxy'"))
    elif found["trust_env"]:
        proxy = from_environment(httpx.URL(origin))
    return Config(
        origin=origin,
        prefix="".join(f"/{quote(segment, safe='')}" for segment in place.segments),
        url=f"{origin}/{'/'.join(map(legible, place.segments))}",
        login=_login(place, found),
        tls=_tls(found, is_needed=over_tls or proxy is not None),
        proxy=proxy.url if proxy else None,
        proxy_from=proxy.source if proxy else "",
        headers=found["headers"],
        timeout=found["timeout"],
        guarantees=found["guarantees"],
    )


# -- the URL -----------------------------------------------------------------------------


def legible(path: str) -> str:
    return _UNREADABLE.sub(lambda found: f"%{ord(found.group()):02X}", path)


def origin_of(place: Place) -> str:
    """``https://host:port``, without the port that goes without saying."""
    return f"{place.scheme}://{place.host}" + (f":{place.port}" if place.port else "")


def parse(url: str) -> Place:
    """Take apart ``https://user:password@host:port/folder``.

    Raises:
        ConfigurationError: it is not the URL of a WebDAV folder; the message shows it
            without its secrets.
    """
    if _CONTROL.search(url):
        raise _refusal(url, "contains a control character: remove it.")
    if option.is_no_text(url):
        raise _refusal(url, "is not UTF-8: correct it.")
    head, _, tail = url.partition("://")
    if "?" in tail or "#" in tail:
        raise _refusal(
            url,
            "has a query or a fragment, which no folder has: remove it,"
            " or write %3F for '?' and %23 for '#' in a name or a password.",
        )
    scheme = _SCHEMES.get(head.lower())
    if scheme is None or not tail:
        raise _refusal(url, "is not one of a WebDAV folder: it begins with https:// or http://.")
    authority, _, path = tail.partition("/")
    login, _, server = authority.rpartition("@")
    if not _USERINFO.fullmatch(login):
        # A raw "/" or "@" in a password would make another host of what follows it.
        raise _refusal(
            url,
            "has a user or password with special characters: percent-encode"
            " them, or pass them as the options 'username' and 'password'.",
        )
    host, port = _host_and_port(server, url)
    try:
        user, colon, password = (unquote(part, errors="strict") for part in login.partition(":"))
    except UnicodeDecodeError as error:
        raise _refusal(
            url, "has a user or password that is not UTF-8: pass them as options."
        ) from error
    return Place(
        scheme,
        host,
        None if port == _DEFAULT_PORT[scheme] else port,
        tuple(_decoded(part, url) for part in path.split("/") if part),
        user or None,
        password if user and colon else None,
    )


def _refusal(url: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"the URL {without_login(url)!r} {why}")


def _host_and_port(server: str, url: str) -> tuple[str, int | None]:
    try:
        port = urlsplit(f"//{server}").port
    except ValueError as error:
        raise _refusal(url, "has no valid port: correct it.") from error
    host = re.sub(r":\d*$", "", server)
    if not _HOST.fullmatch(host):
        raise _refusal(url, "has no valid host name: correct it.")
    try:
        host = host.lower() if host.isascii() else host.encode("idna").decode()
        httpx.URL(f"https://{host}").host  # noqa: B018 - raises what it would raise later
    except (httpx.InvalidURL, ValueError) as error:
        raise _refusal(url, "has a host name that DNS can't carry: correct it.") from error
    return host, port


def _decoded(part: str, url: str) -> str:
    try:
        name = unquote(part, errors="strict")
    except UnicodeDecodeError as error:
        raise _refusal(url, f"has a segment that is not UTF-8: correct {part!r}.") from error
    if name in (".", "..") or "/" in name or "\\" in name or _CONTROL.search(name):
        raise _refusal(
            url, f"can't be used because of {part!r} in its path: name the folder itself."
        )
    return name


# -- credentials and certificates ----------------------------------------------------------


def _login(place: Place, found: Mapping[str, Any]) -> Login | None:
    user, password = found["username"], found["password"]
    if user is None and found["token"] is None:
        user, password = _from_netrc(place.host.strip("[]"), found["netrc"])
    if user is not None and ":" in user:
        raise ConfigurationError(f"the user {user!r} contains ':', which no HTTP login can carry.")
    if user is None and found["token"] is None:
        return None
    return Login(user or "", password or "", found["token"], found["auth_type"])


def _from_netrc(host: str, wanted: object) -> tuple[str | None, str | None]:
    if wanted is False:
        return None, None
    path = wanted if isinstance(wanted, (str, os.PathLike)) else os.environ.get("NETRC")
    explicit = path is not None
    path = os.path.expanduser(path if path is not None else "~/.netrc")
    if not explicit and not os.path.exists(path):
        return None, None
    try:
        found = netrc.netrc(path).authenticators(host)
    except OSError as error:
        raise ConfigurationError(
            f"the netrc file {path!r} can't be read: correct its rights, or pass netrc=False."
        ) from error
    except netrc.NetrcParseError:
        # Its text quotes the file, and so perhaps a password: no cause either.
        raise ConfigurationError(
            f"the netrc file {path!r} is malformed: correct it, or pass netrc=False."
        ) from None
    return (found[0], found[2]) if found else (None, None)


def _tls(found: Mapping[str, Any], *, is_needed: bool) -> ssl.SSLContext:
    verify, ca, cert = found["verify"], found["ca"], found["cert"]
    if ca is None and isinstance(verify, str):
        ca = verify
    try:
        if ca is not None:
            ca = os.path.expanduser(ca)
            folder = os.path.isdir(ca)
            context = ssl.create_default_context(**{"capath" if folder else "cafile": ca})
        elif not verify:
            context = httpx.create_ssl_context(verify=False)
        elif is_needed:
            context = httpx.create_ssl_context(trust_env=found["trust_env"])
        else:
            # Nothing of ours will speak TLS, and reading all the certificates takes long.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    except (OSError, TypeError) as error:
        named = f"ca={ca!r}"
        if ca is None:  # httpx asks for the file first
            name = "SSL_CERT_FILE" if os.environ.get("SSL_CERT_FILE") else "SSL_CERT_DIR"
            named = f"{name}={os.environ.get(name)!r}"
        raise ConfigurationError(
            f"{named} can't be read as a file of certificates (PEM): check the path."
        ) from error
    if cert is not None:
        try:
            context.load_cert_chain(*([cert] if isinstance(cert, str) else cert))
        except (OSError, TypeError):
            raise ConfigurationError(
                "the option 'cert' must be the path of a PEM file, or (certificate, key) or"
                " (certificate, key, password of the key), readable and matching."
            ) from None
    return context
