"""What it means when no answer came: was it sent, and may it be sent again.

A connection that was never made carried nothing.  After that nobody knows, and only
questions may be repeated.
"""

from __future__ import annotations

import ssl

import httpx

from dirjobs.backends.webdav.status import METHODS, READING, Verb
from dirjobs.errors import AmbiguousResult, Denied, StoreError, Unavailable, Unsupported


def failure(verb: Verb, url: str, server: str, error: Exception) -> StoreError:
    """What httpx's `error`, instead of an answer, means to whoever sent `verb`."""
    if isinstance(error, httpx.ConnectError):
        if _caused_by(error, ssl.SSLCertVerificationError):
            return Denied(
                f"the certificate of {server} can't be verified: pass the option"
                " ca='/path/to/ca.pem' (a file with its certificate or its issuer's)."
            )
        if _caused_by(error, ssl.SSLError):
            return Unavailable(f"{server} could not agree on TLS with us: is it http://?")
        return Unavailable(f"{server} can't be reached ({error}).")
    if isinstance(error, httpx.ConnectTimeout):
        return Unavailable(f"{server} takes no connection: the attempt timed out.")
    if isinstance(error, httpx.PoolTimeout):
        return Unavailable(f"the connections to {server} are in use for too long.")
    if isinstance(error, httpx.ProxyError):
        return Unavailable(f"the proxy on the way to {server} refused: check it.")
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
        return Unsupported(f"{server} can't be asked for such a URL.")
    if isinstance(error, httpx.StreamConsumed):
        return Unavailable(f"{server} asked for a new login during an upload: repeat it.")
    what = "timed out" if isinstance(error, httpx.TimeoutException) else "was cut"
    name = METHODS.get(verb, verb.name)
    if verb in READING:
        return Unavailable(f"{name} of {url} {what} ({type(error).__name__}).")
    return AmbiguousResult(
        f"{name} of {url} {what} ({type(error).__name__}): it may have been done or not."
    )


def _caused_by(error: BaseException | None, kind: type[BaseException]) -> bool:
    while error is not None:
        if isinstance(error, kind):
            return True
        error = error.__cause__ or error.__context__
    return False
