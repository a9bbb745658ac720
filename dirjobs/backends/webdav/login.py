"""Who we are to the server, and the choice between Basic and Digest.

httpx has the schemes themselves.  What is chosen here is which of them to use: a server
that knows Digest never gets the password in clear.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import dataclass, field

import httpx

from dirjobs.errors import Denied

_Flow = Generator[httpx.Request, httpx.Response, None]


@dataclass(frozen=True)
class Who:
    """Who asks, for messages.

    Attributes:
        name: such as ``user 'me'``.
        lacks: why a server that wants a login must refuse it; empty if nothing is missing.
    """

    name: str = "nobody (no user was given)"
    lacks: str = ""

    def refused_at(self, url: str) -> str:
        """What happened, and what to do, where a server wants another login."""
        if self == NOBODY:
            return f"{url} wants a login, and none was given (401): give user and password"
        told = f"{self.lacks}; give" if self.lacks else "check"
        return f"{self.name} was refused at {url} (401): {told} user and password"


NOBODY = Who()


@dataclass(frozen=True)
class Login:
    """A user and a password, or a token.

    Attributes:
        scheme: ``basic``, ``digest``, or None to find out.
    """

    user: str
    password: str = field(repr=False)
    token: str | None = field(repr=False)
    scheme: str | None

    @property
    def who(self) -> Who:
        if self.token is not None:
            return Who("the bearer of this token")
        return Who(f"user {self.user!r}", "" if self.password else "no password was given")

    def auth(self, *, tls: bool) -> httpx.Auth:
        """How httpx shall log on, as nothing is agreed on with the server yet."""
        return BasicOrDigest(self, tls=tls) if self.token is None else _Bearer(self.token)


class _Bearer(httpx.Auth):
    def __init__(self, token: str) -> None:
        self._header = f"Bearer {token}"

    def auth_flow(self, request: httpx.Request) -> _Flow:
        request.headers["Authorization"] = self._header
        yield request


class BasicOrDigest(httpx.Auth):
    """Basic or Digest, whichever the server asks for.

    Over TLS the password goes along at once (Basic), which saves a request.  Without
    TLS we wait to be asked, so that a server that knows Digest never gets it in clear.
    """

    def __init__(self, login: Login, *, tls: bool) -> None:
        self._basic = httpx.BasicAuth(login.user, login.password)
        self._digest = httpx.DigestAuth(login.user, login.password)
        self._lock = threading.Lock()
        self._is_fixed = login.scheme is not None
        self._scheme = login.scheme or ("basic" if tls else None)

    @property
    def may_be_asked(self) -> bool:
        """Whether the next request may be answered by a question for credentials, so
        that a body which can be sent only once should not be in it."""
        return self._scheme != "basic"

    def auth_flow(self, request: httpx.Request) -> _Flow:
        scheme = self._scheme
        if scheme == "digest":
            yield from self._in_digest(request)
            return
        if scheme == "basic":
            next(self._basic.auth_flow(request))
        response = yield request
        if response.status_code != 401 or self._is_fixed:
            return
        offered = {
            value.strip().split(" ", 1)[0].lower()
            for value in response.headers.get_list("www-authenticate")
        }
        if "digest" in offered:
            self._scheme = "digest"
            request.headers.pop("Authorization", None)
            yield from self._in_digest(request, response)
        elif "basic" in offered and scheme is None:
            self._scheme = "basic"
            yield from self._basic.auth_flow(request)

    def _in_digest(self, request: httpx.Request, refused: httpx.Response | None = None) -> _Flow:
        """Send `request`; if it was `refused` without credentials already, only again."""
        flow = self._digest.auth_flow(request)
        first = self._step(flow, None)
        if refused is None and first is not None:
            refused = yield first
        again = self._step(flow, refused)
        if again is not None:
            yield again

    def _step(self, flow: _Flow, response: httpx.Response | None) -> httpx.Request | None:
        try:
            # The count of requests in the header must go up by one each time.
            with self._lock:
                return next(flow) if response is None else flow.send(response)
        except StopIteration:
            return None
        except (LookupError, ValueError, NotImplementedError, httpx.ProtocolError) as error:
            raise Denied("the server asks for a Digest login of an unknown kind.") from error
