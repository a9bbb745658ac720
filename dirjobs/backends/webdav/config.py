"""What the user may say about a server, checked once and kept without printing it."""

from __future__ import annotations

import netrc
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import fsspec.config
import httpx
from webdav4.fsspec import WebdavFileSystem

from dirjobs.backends.webdav.address import Address, parse
from dirjobs.backends.webdav.login import Login, Password, Token
from dirjobs.errors import ConfigurationError
from dirjobs.store import Guarantees

_KNOWN = frozenset(
    {"auth", "username", "user", "password", "token", "auth_type", "netrc", "verify", "ca"}
    | {"cert", "proxy", "trust_env", "timeout", "headers", "guarantees"}
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_TOKEN = re.compile(r"[\x21-\x7e]+")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


@dataclass(frozen=True)
class Settings:
    """All that is needed to open one more connection to the same place."""

    address: Address
    login: Login = field(repr=False)
    tls: ssl.SSLContext = field(repr=False)
    proxy: str | None = field(repr=False, default=None)
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)
    trust_env: bool = True
    timeout: float = 30.0
    guarantees: Guarantees | None = None

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials can't be pickled: open the store again where it is needed.")


def settings(url: str, options: Mapping[str, object]) -> Settings:
    """What `url`, `options`, fsspec's configuration and netrc say, in this order.

    Raises:
        ConfigurationError: something of it can't be; the message shows no secret.
    """
    address, user, password = parse(url)
    unknown = sorted(set(options) - _KNOWN)
    if unknown:
        raise ConfigurationError(
            f"unknown option {unknown[0]!r} for {address.readable()}:"
            f" known are {', '.join(sorted(_KNOWN))}."
        )
    given = dict(options)
    if user is not None and not {"auth", "token", "username", "user"} & given.keys():
        given["username"] = user
        if password is not None:
            given.setdefault("password", password)
    configured = fsspec.config.apply_config(WebdavFileSystem, {})
    if {"auth", "token", "username", "user"} & given.keys():
        # A user of the URL must not get the password of the configuration's user.
        for key in ("auth", "token", "username", "user", "password"):
            configured.pop(key, None)
    given = {key: configured[key] for key in configured.keys() & _KNOWN} | given
    proxy = given.get("proxy")
    return Settings(
        address,
        _login(address, given),
        _tls(address, given, proxied=proxy is not None),
        _proxy(proxy),
        _headers(given.get("headers")),
        _flag(given, "trust_env", default=True),
        _timeout(given.get("timeout", 30.0)),
        _guarantees(given.get("guarantees")),
    )


# -- credentials -----------------------------------------------------------------------


def _login(address: Address, given: Mapping[str, Any]) -> Login:
    token = given.get("token")
    if token is not None:
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise ConfigurationError(
                "the option 'token' must be visible ASCII characters without spaces: check it."
            )
        return Token(token)
    user, password = given.get("username", given.get("user")), given.get("password")
    auth = given.get("auth")
    if auth is not None:
        if not isinstance(auth, (tuple, list)) or len(auth) != 2:
            raise ConfigurationError("the option 'auth' must be a pair: (user, password).")
        user, password = auth
    if user is None:
        user, password = _from_netrc(address, given.get("netrc"))
    if user is None:
        return Login()
    for what, value in (("user", user), ("password", password or "")):
        if not isinstance(value, str) or _CONTROL.search(value):
            raise ConfigurationError(
                f"the {what} for {address.readable()} must be text without control characters."
            )
    if ":" in user:
        raise ConfigurationError(f"the user {user!r} contains ':', which no HTTP login can carry.")
    scheme = given.get("auth_type")
    if scheme not in (None, "basic", "digest"):
        raise ConfigurationError(f"auth_type={scheme!r} must be 'basic' or 'digest'.")
    return Password(user, password or "", scheme, tls=address.scheme == "https")


def _from_netrc(address: Address, wanted: object) -> tuple[str | None, str | None]:
    if wanted is False:
        return None, None
    path = wanted if isinstance(wanted, (str, os.PathLike)) else os.environ.get("NETRC")
    explicit = path is not None
    path = os.path.expanduser(path if path is not None else "~/.netrc")
    if not explicit and not os.path.exists(path):
        return None, None
    try:
        found = netrc.netrc(path).authenticators(address.host.strip("[]"))
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


# -- the connection --------------------------------------------------------------------


def _tls(address: Address, given: Mapping[str, Any], *, proxied: bool) -> ssl.SSLContext:
    verify, ca, cert = given.get("verify", True), given.get("ca"), given.get("cert")
    if ca is None and isinstance(verify, str) and verify.lower() not in ("true", "false"):
        ca = verify
    try:
        if ca is not None:
            ca = os.path.expanduser(ca)
            folder = os.path.isdir(ca)
            context = ssl.create_default_context(**{"capath" if folder else "cafile": ca})
        elif not _flag(given, "verify", default=True):
            context = httpx.create_ssl_context(verify=False)
        elif address.scheme == "https" or proxied:
            context = httpx.create_ssl_context()
        else:
            # Nothing of ours will speak TLS, and reading all the certificates takes long.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    except (OSError, TypeError) as error:
        raise ConfigurationError(
            f"ca={ca!r} can't be read as a file of certificates (PEM): check the path."
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


def _flag(given: Mapping[str, Any], key: str, *, default: bool) -> bool:
    value = given.get(key, default)
    if isinstance(value, str) and value.lower() in ("true", "false"):  # FSSPEC_* are texts
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise ConfigurationError(f"the option {key!r} must be true or false, not {value!r}.")
    return value


def _proxy(value: object) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) and not _CONTROL.search(value) else ""
    if not re.match(r"(?i)(?:https?|socks5h?)://[^/]", text):
        raise ConfigurationError(
            "the option 'proxy' must be a URL such as http://proxy.example.org:3128."
        )
    return text


def _headers(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if isinstance(value, Mapping) and all(
        isinstance(k, str)
        and _HEADER.fullmatch(k)
        and isinstance(v, str)
        and v.isascii()
        and not _CONTROL.search(v)
        for k, v in value.items()
    ):
        return dict(value)
    raise ConfigurationError("the option 'headers' must map header names to one-line ASCII texts.")


def _timeout(value: object) -> float:
    try:
        seconds = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds < 86_400:
        raise ConfigurationError(f"timeout={value!r} must be a number of seconds above 0.")
    return seconds


def _guarantees(value: object) -> Guarantees | None:
    if value is None or isinstance(value, Guarantees):
        return value
    raise ConfigurationError("the option 'guarantees' must be a dirjobs.store.Guarantees.")
