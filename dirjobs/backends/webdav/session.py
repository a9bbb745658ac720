"""One process's connections to one server: requests out, answers or errors back.

The requests are built ready for the wire; httpx sends them, logs on, and reads the answers.
"""

from __future__ import annotations

import logging
import math
import ssl
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import quote, unquote, urljoin

import httpx

from dirjobs.backends._config import refuse_pickling
from dirjobs.backends.webdav.config import Config
from dirjobs.backends.webdav.deadline import Deadline, Incoming, Network, Outgoing
from dirjobs.backends.webdav.login import BasicOrDigest
from dirjobs.backends.webdav.status import METHODS, READING, Verb, no_answer, shown
from dirjobs.errors import Unavailable, Unsupported
from dirjobs.store import check_path

try:
    import socksio
except ImportError:  # nor is there a proxy of that kind
    _SOCKS_ERRORS: tuple[type[Exception], ...] = ()
else:
    _SOCKS_ERRORS = (socksio.SOCKSError,)

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 2
"""Some hosters allow ten per account, for all workers together."""
KEEPALIVE = 4.0
"""Seconds an unused connection is kept: less than Apache's 5, so that it is hardly ever
the server who hangs up just when we send."""
CONNECT_TIMEOUT = 10.0
MAX_REDIRECTS = 3
LISTING_TIMEOUTS = 3
"""A listing may take so many timeouts in all, as long as it goes on."""
MAX_CHATTER = 1024 * 1024
"""Bytes of an answer whose text nobody needs; after that we hang up."""

_PAYLOADS = frozenset({Verb.GET, Verb.LIST})
"""The verbs whose answers may take longer than a request."""

Body = bytes | Iterable[bytes] | None


class Session:
    """What is lost and made anew by `close` and by a fork."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._root = httpx.URL(config.origin)
        netloc = self._root.netloc.decode("ascii")
        self.origin = f"{self._root.scheme}://{netloc}"
        """As it stands in requests; a host that is no ASCII is encoded."""
        login, tls = config.login, self._root.scheme == "https"
        self._auth = None if login is None else login.auth(tls=tls)
        self._timeouts = {
            "connect": min(CONNECT_TIMEOUT, config.timeout),
            "read": config.timeout,
            "write": config.timeout,
            "pool": config.timeout,
        }
        self._always = {
            "Host": netloc,
            "User-Agent": "dirjobs",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "keep-alive",
            **config.headers,
        }
        # One connection to a line, one thread to a line: a pool shared by threads may
        # close the socket of one that is just reading (httpcore takes an answer that
        # came quickly for a server that hung up).
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._held = threading.local()
        self._free: list[_Line] = []
        self._closed = False

    __reduce__ = refuse_pickling

    @contextmanager
    def _line(self) -> Iterator[_Line]:
        # A question within an answer (is this page a folder?) waits for no other thread: that
        # one may be about to do the same.
        within = getattr(self._held, "by_me", False)
        if not within and not self._slots.acquire(timeout=self._config.timeout):
            raise Unavailable(
                f"all {MAX_CONNECTIONS} connections to {self._config.origin} are in use"
                f" for more than {self._config.timeout:g} s."
            )
        self._held.by_me = True
        try:
            try:
                line = self._free.pop()
            except IndexError:
                line = _Line(self._config)
            try:
                yield line
            finally:
                self._free.append(line)
                if self._closed:
                    self.close()
        finally:
            if not within:
                self._held.by_me = False
                self._slots.release()

    def close(self) -> None:
        """Hang up; a connection in use is closed by whoever uses it."""
        self._closed = True
        while self._free:
            self._free.pop().transport.close()

    # -- one request -------------------------------------------------------------------

    def file(self, path: str) -> str:
        """The encoded URL path of a file; the root is a folder whatever it is called."""
        return f"{self._config.prefix}/{quote(check_path(path)) if path else ''}"

    def folder(self, path: str) -> str:
        """The encoded URL path of a folder, with the slash that servers insist on."""
        return f"{self.file(path)}/" if path else self.file("")

    @contextmanager
    def stream(
        self, verb: Verb, path: str, headers: Mapping[str, str], body: Body = None
    ) -> Iterator[httpx.Response]:
        """Send one request, and give its answer with the body still to read.

        Redirects of questions are followed, those of changes are answers.

        Args:
            path: as `file` or `folder` gives it.

        Raises:
            StoreError: no answer came.
        """
        url = self.origin + path
        with self._line() as line:
            at_most = LISTING_TIMEOUTS * self._config.timeout if verb is Verb.LIST else math.inf
            line.deadline.begin(at_most)
            try:
                response = self._log_on(line, self._request(line, verb, url, headers, body))
                try:
                    if verb in READING:
                        response = self._redirected(line, response)
                    if verb in _PAYLOADS:
                        assert isinstance(response.stream, httpx.SyncByteStream)
                        response.stream = Incoming(response.stream, line.deadline)
                    yield response
                    if not response.is_stream_consumed:
                        self._drain(response)  # so that the connection is of further use
                finally:
                    response.close()
            except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, ssl.SSLError) as error:
                raise no_answer(verb, url, self._config.server, error) from error

    def send(
        self, verb: Verb, path: str, headers: Mapping[str, str], body: Body = None
    ) -> httpx.Response:
        """As `stream`, with the text of the answer read and forgotten.

        The status line decides; what happens to the text behind it changes nothing.
        """
        with self.stream(verb, path, headers, body) as response:
            self._drain(response)
            return response

    def may_ask_for_login(self) -> bool:
        """Whether the next request may be answered by a question for credentials."""
        return isinstance(self._auth, BasicOrDigest) and self._auth.may_be_asked

    def _request(
        self, line: _Line, verb: Verb, url: str, headers: Mapping[str, str], body: Body
    ) -> httpx.Request:
        stream: httpx.SyncByteStream
        if body is None or isinstance(body, bytes):
            stream = httpx.ByteStream(body or b"")
        else:
            stream = _Pieces(body)
        return httpx.Request(
            METHODS.get(verb, verb.name),
            url,
            headers={**self._always, **headers},
            stream=Outgoing(stream, line.deadline) if verb is Verb.PUT else stream,
            extensions={"timeout": self._timeouts},
        )

    def _log_on(self, line: _Line, request: httpx.Request) -> httpx.Response:
        """Send `request`, with the login that the server wants.

        httpx's own client would read the text of each refusal into memory, unpack it, and
        keep cookies: a session on the server would queue up requests that are parallel.
        """
        if self._auth is None:
            return line.send(request)
        flow = self._auth.auth_flow(request)
        request = next(flow)
        while True:
            response = line.send(request)
            try:
                request = flow.send(response)
            except StopIteration:
                return response
            except BaseException:
                response.close()
                raise
            self._drain(response)
            response.close()

    def _drain(self, response: httpx.Response) -> None:
        seen = 0
        try:
            for piece in response.iter_raw():
                seen += len(piece)
                if seen > MAX_CHATTER:
                    return
        except httpx.HTTPError as error:
            log.debug("the text after a %s was cut: %r", response.status_code, type(error))

    # -- redirects ---------------------------------------------------------------------

    def _redirected(self, line: _Line, response: httpx.Response) -> httpx.Response:
        for _ in range(MAX_REDIRECTS):
            if response.status_code not in (301, 302, 307, 308):
                break
            asked, url = response.request, self._target(response)
            self._drain(response)
            response.close()
            again = httpx.Request(
                asked.method,
                url,
                headers=asked.headers,
                stream=asked.stream,
                extensions=asked.extensions,
            )
            response = self._log_on(line, again)
        return response

    def _target(self, response: httpx.Response) -> str:
        """Where a redirect leads, if it stays on this server.

        Raises:
            Unsupported: it doesn't.
        """
        here = str(response.request.url)
        location = response.headers.get("location", "")
        try:
            there = httpx.URL(urljoin(here, location))
        except (httpx.InvalidURL, ValueError) as error:
            raise Unsupported(f"{here} redirects to something that is no URL.") from error
        path = there.raw_path.decode("ascii")
        asked = response.request.url.raw_path.decode("ascii")
        if unquote(path) == unquote(asked) + "/":
            # Only the slash of a folder: the host in it may be the one behind a proxy, and the
            # path may be encoded in another way than ours.
            return f"{self.origin}{asked}/"
        ours = self._root
        if (there.scheme, there.raw_host, there.port) != (ours.scheme, ours.raw_host, ours.port):
            raise Unsupported(
                f"{here} redirects to {shown(str(there))!r}, where we don't follow:"
                " use that URL if you trust it."
            )
        return f"{self.origin}{path}"


class _Line:
    """A connection to the server, used by one thread at a time, and by when its request must
    be over."""

    def __init__(self, config: Config) -> None:
        self.deadline = Deadline(config.timeout)
        self.transport = httpx.HTTPTransport(
            verify=config.tls,
            proxy=config.proxy,
            trust_env=False,  # `Config` has read the environment
            limits=httpx.Limits(
                max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEPALIVE
            ),
        )
        # httpcore's pools have an argument for it, which httpx passes nothing to.
        self._network = self.transport._pool._network_backend = Network(self.deadline)

    def send(self, request: httpx.Request) -> httpx.Response:
        """Send `request` as it is, and give its answer with the body still to read."""
        try:
            response = self.transport.handle_request(request)
        except _SOCKS_ERRORS as error:  # httpcore lets them by
            self._network.hang_up()
            raise httpx.ProxyError(str(error)) from error
        except BaseException:
            self._network.hang_up()  # httpcore forgets those that came not as far as a request
            raise
        response.request = request
        response.headers.pop("set-cookie", None)
        return response


class _Pieces(httpx.SyncByteStream):
    """A body that can be sent once."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._begun = False

    def __iter__(self) -> Iterator[bytes]:
        if self._begun:
            raise httpx.StreamConsumed
        self._begun = True
        yield from self._pieces
