"""The proxy that the environment names for a server.

httpx looks for it as well, but a variable that it does not understand (``NO_PROXY=[::1]``)
ends it with a traceback, also where no proxy is wanted for this server.
"""

from __future__ import annotations

import ipaddress
from importlib.util import find_spec
from typing import NamedTuple
from urllib.request import getproxies, proxy_bypass

import httpx

from dirjobs.errors import ConfigurationError
from dirjobs.redaction import redacted

_KNOWN = ("http", "https", "socks5", "socks5h")
_HELP = "correct it, name the server in NO_PROXY, or pass the option trust_env=False"


class Proxy(NamedTuple):
    """A proxy, and what names it."""

    url: str
    source: str


def from_environment(server: httpx.URL) -> Proxy | None:
    """The proxy for `server`; None if there is none, or ``NO_PROXY`` has the server.

    Raises:
        ConfigurationError: the proxy is none that can be used.
    """
    known = getproxies()
    kind = server.scheme if known.get(server.scheme) else "all"
    url = known.get(kind)
    if not url or _is_excepted(server, known.get("no", "")):
        return None
    return usable(Proxy(url if "://" in url else f"http://{url}", f"{kind.upper()}_PROXY"))


def usable(proxy: Proxy) -> Proxy:
    """`proxy`, if it is one, and what it needs is installed.

    Raises:
        ConfigurationError: it isn't.
    """
    shown = f"{proxy.source}={redacted(proxy.url)!r}"
    try:
        parsed = httpx.URL(proxy.url)
        known = parsed.scheme in _KNOWN and parsed.host
    except (httpx.InvalidURL, ValueError):  # no half of it is told: it may be the password
        raise ConfigurationError(f"{shown} is no URL of a proxy: {_HELP}.") from None
    if not known:
        raise ConfigurationError(f"{shown} is no proxy that is known here: {_HELP}.")
    if proxy.url.startswith("socks") and find_spec("socksio") is None:
        raise ConfigurationError(
            f"{proxy.source} names a SOCKS proxy, which needs pip install 'httpx[socks]'"
            f" (or {_HELP.removeprefix('correct it, ')})."
        )
    return proxy


def _is_excepted(server: httpx.URL, no_proxy: str) -> bool:
    """Whether ``NO_PROXY`` names a server, by its host's name, its address or its network."""
    host = f"[{server.host}]" if ":" in server.host else server.host
    netloc = f"{host}:{server.port}" if server.port else host
    if proxy_bypass(netloc) or proxy_bypass(server.host):
        return True
    try:
        address = ipaddress.ip_address(server.host)
    except ValueError:
        return False
    for part in no_proxy.split(","):
        try:
            if address in ipaddress.ip_network(part.strip().strip("[]"), strict=False):
                return True
        except ValueError:
            continue  # a host's name
    return False
