"""What a server's answer means, as tables to be read next to RFC 4918.

A status that is in no table is unknown: for a change that means "it may have happened".
The same goes for an answer that never comes, unless the request was never sent.
"""

from __future__ import annotations

import email.utils
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum, auto
from http import HTTPStatus
from typing import TypeVar

import httpx

from dirjobs.backends.webdav.login import Who
from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    Busy,
    Denied,
    LogonRefused,
    NoSpace,
    NotFound,
    StoreError,
    TooLarge,
    Unavailable,
    Unsupported,
)

E = TypeVar("E", bound=BaseException)


class Verb(Enum):
    """What was asked; the name is also the HTTP method, LOOK and LIST apart."""

    LIST = auto()
    LOOK = auto()
    GET = auto()
    MOVE = auto()
    PUT = auto()
    DELETE = auto()
    MKCOL = auto()


READING = frozenset({Verb.LIST, Verb.LOOK, Verb.GET})
"""The verbs that change nothing."""
METHODS: Mapping[Verb, str] = {Verb.LIST: "PROPFIND", Verb.LOOK: "PROPFIND"}
"""The HTTP methods of verbs that have a name of their own here."""

OK: Mapping[Verb, frozenset[int]] = {
    Verb.LIST: frozenset({207}),
    Verb.LOOK: frozenset({207}),
    Verb.GET: frozenset({200}),
    # 200 is what a login page says; no server measured answers a MOVE with it.
    Verb.MOVE: frozenset({201, 204}),
    Verb.PUT: frozenset({200, 201, 204}),
    Verb.DELETE: frozenset({200, 204}),
    Verb.MKCOL: frozenset({201}),
}

# The same for every verb: the server didn't get as far as doing anything.
_ANY: Mapping[int, type[StoreError]] = {
    401: LogonRefused,
    405: Unsupported,
    407: LogonRefused,
    411: Unsupported,
    413: TooLarge,
    414: Unsupported,
    415: Unsupported,
    425: Unavailable,
    429: Unavailable,
    501: Unsupported,
    503: Unavailable,
    507: NoSpace,
    509: Unavailable,
}
# Asking changes nothing, so a gateway's trouble is no riddle: ask again.
_READING: Mapping[int, type[StoreError]] = {
    403: Denied,
    404: NotFound,
    408: Unavailable,
    410: NotFound,
    423: Busy,
    500: Unavailable,
    502: Unavailable,
    504: Unavailable,
}
REFUSED: Mapping[Verb, Mapping[int, type[StoreError]]] = {
    Verb.LIST: {**_ANY, **_READING},
    Verb.LOOK: {**_ANY, **_READING},
    Verb.GET: {**_ANY, **_READING},
    # A status doesn't say who won: losers have got 403, 409, 423 and 500, winners 423
    # (Nextcloud), gateways say 502, 503 and 504 for what was done behind them.
    Verb.MOVE: {
        **{status: kind for status, kind in _ANY.items() if status != 503},
        404: NotFound,
        412: AlreadyExists,
    },
    # An Apache without the folder says 409 or 403 (see WebdavStore._require).
    Verb.PUT: {**_ANY, 403: Denied, 404: NotFound, 409: NotFound, 423: Busy},
    Verb.DELETE: {**_ANY, 403: Denied, 404: NotFound, 410: NotFound, 423: Busy},
    Verb.MKCOL: {
        **_ANY,
        403: Denied,
        404: NotFound,
        405: AlreadyExists,
        409: NotFound,
        423: Busy,
    },
}

_SENTENCES: Mapping[int, str] = {
    401: "{refused} (`dirjobs login URL` keeps them, or set FSSPEC_WEBDAV_USERNAME and"
    " FSSPEC_WEBDAV_PASSWORD, or write them into ~/.netrc); clouds with a second factor want an app"
    " password or a token.",
    403: "the server allows no {verb} of {url} (403): check the rights of {who}.",
    404: "there is nothing at {url} (404).",
    405: "{url} takes no {verb} (405), so it is not a WebDAV folder: check the URL"
    " (Nextcloud's form is https://HOST/remote.php/dav/files/USER/FOLDER).",
    407: "the proxy on the way to {url} wants a login (407): give it in the option 'proxy'.",
    412: "the destination of {url} is there already (412).",
    413: "{url} is larger than the server takes (413): ask for a higher limit.",
    423: "{url} is locked by somebody (423): try later.",
    425: "the server is not ready for {verb} of {url} yet (425): try later.",
    429: "the server of {url} is throttling us (429): try later.",
    501: "the server of {url} doesn't know {verb} (501), so it is not a WebDAV server.",
    503: "the server of {url} is in maintenance or overloaded (503): try later.",
    507: "there is no space left for {url} (507): free some, or ask for a higher quota.",
    509: "the server of {url} is over its bandwidth limit (509): try later.",
}
_NO_PARENT = "the folder above {url} is not there ({status}): check the spelling, or make it first."
_BY_VERB: Mapping[tuple[Verb, int], str] = {
    (Verb.MKCOL, 405): "there is something at {url} already (405).",
    (Verb.MKCOL, 404): _NO_PARENT,
    (Verb.MKCOL, 409): _NO_PARENT,
    (Verb.PUT, 405): "{url} can't be written (405): it is a folder, or no WebDAV place.",
    (Verb.PUT, 409): "the folder of {url} is not there (409): make it first.",
    (Verb.PUT, 404): "the folder of {url} is not there (404): make it first.",
}
# fmt: off
_NEVER_SENT: tuple[tuple[type[Exception], type[StoreError], str], ...] = (
    (httpx.ConnectTimeout, Unavailable, "{server} takes no connection: the attempt timed out."),
    (httpx.PoolTimeout, Unavailable, "the connections to {server} are in use for too long."),
    (httpx.ProxyError, Unavailable, "the proxy on the way to {server} refused: check it."),
    (httpx.UnsupportedProtocol, Unsupported, "{server} can't be asked for such a URL."),
    (httpx.InvalidURL, Unsupported, "{server} can't be asked for such a URL."),
    (httpx.StreamConsumed, Unavailable,
     "{server} asked for a new login during an upload: repeat it."),
)
# fmt: on


# By X509_V_ERR_... of OpenSSL's x509_vfy.h.
_UNKNOWN_ISSUER = (
    "the certificate of {server} can't be verified: pass the option ca='/path/to/ca.pem' (a file"
    " with its certificate or its issuer's), since nobody here knows its issuer."
)
_OTHER_NAME = (
    "the certificate of {server} is for another name: write the URL with the name that the"
    " certificate is for, or ask for one with this name."
)
_CERTIFICATES: Mapping[int, str] = {
    2: _UNKNOWN_ISSUER,
    9: "the certificate of {server} is not valid yet: the clock of this machine ({now}) or that"
    " of the server is wrong.",
    10: "the certificate of {server} has expired: whoever runs the server must renew it (or the"
    " clock of this machine is wrong: {now}).",
    18: _UNKNOWN_ISSUER,
    19: _UNKNOWN_ISSUER,
    20: _UNKNOWN_ISSUER,
    21: _UNKNOWN_ISSUER,
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}
_NO_TLS = ("wrong version number", "http request", "record layer failure")


def error_for(
    verb: Verb, status: int, *, url: str, who: Who, retry_after: float | None = None
) -> StoreError:
    """The error that `status`, as the answer to `verb`, means."""
    kind = REFUSED[verb].get(status)
    if kind is None and verb in READING:
        kind = Unavailable if status >= 500 else StoreError
    name = METHODS.get(verb, verb.name)
    if kind is None:
        return AmbiguousResult(
            f"{name} of {url} was answered with {status}{_phrase(status)}: it may have been done"
            " or not."
        )
    sentence = _BY_VERB.get((verb, status)) or _SENTENCES.get(status)
    if sentence is None:
        sentence = "the server answered {verb} of {url} with {status}."
    refused = who.refused_at(url)
    message = sentence.format(verb=name, url=url, who=who.name, refused=refused, status=status)
    if kind is Unavailable:
        return Unavailable(message, retry_after=retry_after)
    return kind(message)


def _phrase(status: int) -> str:
    with suppress(ValueError):
        return f" ({HTTPStatus(status).phrase})"
    return ""


def refusal(verb: Verb, response: httpx.Response, who: Who) -> StoreError:
    """The error that an answer means which is none of `OK`."""
    status, url = response.status_code, str(response.request.url)
    if 300 <= status < 400:
        location = shown(response.headers.get("location", ""))
        return Unsupported(
            f"{url} redirects {METHODS.get(verb, verb.name)} to {location!r}: use that URL."
        )
    if status == 200 and verb in (Verb.LIST, Verb.LOOK):
        kind = response.headers.get("content-type", "no type")[:60]
        return StoreError(
            f"{url} answers PROPFIND with a page ({kind!r}) instead of a listing:"
            " the URL is not a WebDAV folder, or a login page is in the way."
        )
    wait = retry_after(response.headers.get("retry-after"), response.headers.get("date"))
    return error_for(verb, status, url=url, who=who, retry_after=wait)


def shown(location: str) -> str:
    """Where an answer redirects to, without a login."""
    try:
        return str(httpx.URL(location[:2000]).copy_with(userinfo=b""))
    except (httpx.InvalidURL, ValueError):
        return "something that is no URL"


def refuse_web_page(verb: Verb, response: httpx.Response) -> None:
    """Raises: AmbiguousResult: it is a page for people, with a 200, to a change."""
    kind = response.headers.get("content-type", "").lower()
    if response.status_code == 200 and kind.startswith("text/html"):
        raise AmbiguousResult(
            f"{verb.name} of {response.request.url} was answered with a web page:"
            " a login page may be in the way."
        )


def no_answer(verb: Verb, url: str, server: str, error: Exception) -> StoreError:
    """What httpx's `error`, instead of an answer, means to whoever sent `verb`.

    A connection that was never made carried nothing.  After that nobody knows, and only
    questions may be repeated.
    """
    if isinstance(error, httpx.ConnectError):
        tls = _cause(error, ssl.SSLError)
        if isinstance(tls, ssl.SSLCertVerificationError):
            return Denied(_about_certificate(tls).format(server=server))
        if tls is not None:
            why = (tls.reason or "").replace("_", " ").lower()
            why = "it is http://, perhaps" if why in _NO_TLS else why or "no reason was given"
            return Unavailable(f"{server} could not agree on TLS with us ({why}).")
        return Unavailable(f"{server} can't be reached ({error}).")
    for native, ours, sentence in _NEVER_SENT:
        if isinstance(error, native):
            return ours(sentence.format(server=server))
    what = "timed out" if isinstance(error, httpx.TimeoutException) else "was cut"
    name = METHODS.get(verb, verb.name)
    if verb in READING:
        return Unavailable(f"{name} of {url} {what} ({type(error).__name__}).")
    return AmbiguousResult(
        f"{name} of {url} {what} ({type(error).__name__}): it may have been done or not."
    )


def _cause(error: BaseException | None, kind: type[E]) -> E | None:
    while error is not None:
        if isinstance(error, kind):
            return error
        error = error.__cause__ or error.__context__
    return None


def _about_certificate(error: ssl.SSLCertVerificationError) -> str:
    sentence = _CERTIFICATES.get(error.verify_code)
    if sentence is None:
        return f"the certificate of {{server}} can't be verified ({error.verify_message})."
    return sentence.replace("{now}", time.strftime("%Y-%m-%d %H:%M"))


def retry_after(value: str | None, date: str | None = None) -> float | None:
    """Seconds in a ``Retry-After``: a number, or a date by the server's own clock."""
    value = (value or "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    then = _http_date(value)
    if then is None:
        return None
    now = _http_date(date or "")
    return max(0.0, then - (time.time() if now is None else now))


def _http_date(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
