"""Who we are to the server: Basic, Digest or a bearer token, as httpx asks for it.

Objects of this module hold secrets: they print none, and refuse to be pickled.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Generator
from typing import NoReturn

import httpx

from dirjobs.errors import Denied


class Login(httpx.Auth):
    """No credentials at all, and the base of those that are some."""

    who = "nobody (no user was given)"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        yield request

    def unsettled(self) -> bool:
        """Whether the next request may be answered by a question for credentials, so
        that a body which can be sent only once should not be in it."""
        return False

    def fresh(self) -> Login:
        """The same credentials without what was agreed with the server."""
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.who}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials can't be pickled: open the store again where it is needed.")


class Token(Login):
    """``Authorization: Bearer ...``."""

    who = "the bearer of this token"

    def __init__(self, token: str) -> None:
        self._header = f"Bearer {token}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = self._header
        yield request


class Password(Login):
    """A user and a password, by Basic or Digest, whichever the server asks for.

    Over TLS the password goes along at once (Basic), which saves a request.  Without
    TLS we wait to be asked, so that a server that knows Digest never gets it in clear.

    Args:
        scheme: ``"basic"``, ``"digest"``, or None to find out.
    """

    def __init__(self, user: str, password: str, scheme: str | None, *, tls: bool) -> None:
        self._user, self._password, self._tls = user, password, tls
        self._wanted = scheme
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._basic = f"Basic {pair}"
        self._digest: _Digest | None = None
        self._scheme = scheme or ("basic" if tls else None)
        self.who = f"user {user!r}"
        if scheme == "digest":
            self._digest = _Digest(user, password)

    def unsettled(self) -> bool:
        return self._scheme != "basic"

    def fresh(self) -> Login:
        return Password(self._user, self._password, self._wanted, tls=self._tls)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        scheme, digest = self._scheme, self._digest
        if scheme == "digest" and digest is not None:
            yield from digest.auth_flow(request)
            return
        if scheme == "basic":
            request.headers["Authorization"] = self._basic
        response = yield request
        if response.status_code != 401 or self._wanted is not None:
            return
        offered = {
            value.strip().split(" ", 1)[0].lower()
            for value in response.headers.get_list("www-authenticate")
        }
        if "digest" in offered:
            digest = self._digest = self._digest or _Digest(self._user, self._password)
            self._scheme = "digest"
            request.headers.pop("Authorization", None)
            yield from digest.answer(request, response)
        elif "basic" in offered and scheme is None:
            self._scheme = "basic"
            request.headers["Authorization"] = self._basic
            yield request


class _Digest:
    """httpx's Digest, for several threads, and with its surprises made an error."""

    def __init__(self, user: str, password: str) -> None:
        self._auth = httpx.DigestAuth(user, password)
        self._lock = threading.Lock()

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        flow = self._auth.auth_flow(request)
        first = self._step(flow, None)
        if first is not None:
            response = yield first
            second = self._step(flow, response)
            if second is not None:
                yield second

    def answer(
        self, request: httpx.Request, response: httpx.Response
    ) -> Generator[httpx.Request, httpx.Response, None]:
        """Go on after a request without credentials was answered with `response`."""
        flow = self._auth.auth_flow(request)
        self._step(flow, None)
        second = self._step(flow, response)
        if second is not None:
            yield second

    def _step(
        self,
        flow: Generator[httpx.Request, httpx.Response, None],
        response: httpx.Response | None,
    ) -> httpx.Request | None:
        try:
            # The count of requests in the header must go up by one each time.
            with self._lock:
                return next(flow) if response is None else flow.send(response)
        except StopIteration:
            return None
        except (KeyError, ValueError, NotImplementedError, httpx.ProtocolError) as error:
            raise Denied("the server asks for a Digest login of an unknown kind.") from error
