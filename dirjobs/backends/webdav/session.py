"""One process's connections to one server: requests out, answers or errors back.

The client is webdav4's, inside webdav4's fsspec filesystem; the requests are our own,
built ready for the wire, because the library's leave out ``Depth``, repeat what must
not be repeated and can't spell every name.
"""

from __future__ import annotations

import http.cookiejar
import logging
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NoReturn
from urllib.parse import urljoin

import httpx
import webdav4.client
import webdav4.http
from webdav4.fsspec import WebdavFileSystem

from dirjobs.backends.webdav.address import port_or_default, without_secrets
from dirjobs.backends.webdav.config import Settings
from dirjobs.backends.webdav.failure import failure
from dirjobs.backends.webdav.status import METHODS, READING, Verb, error_for, retry_after
from dirjobs.errors import AmbiguousResult, StoreError, Unavailable, Unsupported

log = logging.getLogger("dirjobs.webdav")

MAX_CONNECTIONS = 2
"""Some hosters allow ten per account, for all workers together."""
KEEPALIVE = 4.0
"""Seconds an unused connection is kept: less than Apache's 5, so that it is hardly ever
the server who hangs up just when we send."""
CONNECT_TIMEOUT = 10.0
MAX_REDIRECTS = 3
MAX_CHATTER = 1024 * 1024
"""Bytes of an answer whose text nobody needs; after that we hang up."""
LISTING_PATIENCE = 10
"""A listing may take this many timeouts in all, if something arrives within each."""


class Session:
    """What is lost and made anew by `close` and by a fork."""

    def __init__(self, settings: Settings) -> None:
        address = settings.address
        self._settings = settings
        self.login = settings.login.fresh()
        self._origin = httpx.URL(address.origin)
        self.origin = f"{address.scheme}://{self._origin.netloc.decode('ascii')}"
        self._timeouts = {
            "connect": min(CONNECT_TIMEOUT, settings.timeout),
            "read": settings.timeout,
            "write": settings.timeout,
            "pool": settings.timeout,
        }
        self._always = {
            "Host": self._origin.netloc.decode("ascii"),
            "User-Agent": "dirjobs",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "keep-alive",
            **settings.headers,
        }
        # One connection to a client, one thread to a client: a pool shared by threads may
        # close the socket of one that is just reading (httpcore takes an answer that
        # came quickly for a server that hung up).
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._free: list[webdav4.http.Client] = []
        self._closed = False

    def _client(self) -> webdav4.http.Client:
        settings, origin = self._settings, self._settings.address.origin
        client = webdav4.http.Client(
            auth=self.login,
            verify=settings.tls,
            proxy=settings.proxy,
            trust_env=settings.trust_env,
            timeout=settings.timeout,
            limits=httpx.Limits(
                max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEPALIVE
            ),
        )
        # No cookies: a session on the server would queue up requests that are parallel.
        client.cookies.jar.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        filesystem = WebdavFileSystem(
            origin,
            client=webdav4.client.Client(origin, http_client=client, retry=False),
            skip_instance_cache=True,
        )
        return filesystem.client.http

    @contextmanager
    def _connection(self) -> Iterator[webdav4.http.Client]:
        if not self._slots.acquire(timeout=self._settings.timeout):
            raise Unavailable(
                f"all {MAX_CONNECTIONS} connections to {self._settings.address.origin} are in use"
                f" for more than {self._settings.timeout:g} s."
            )
        try:
            try:
                client = self._free.pop()
            except IndexError:
                client = self._client()
            try:
                yield client
            finally:
                self._free.append(client)
                if self._closed:
                    self.close()
        finally:
            self._slots.release()

    def close(self) -> None:
        """Hang up; a connection in use is closed by whoever uses it."""
        self._closed = True
        while self._free:
            self._free.pop().close()

    # -- one request -------------------------------------------------------------------

    @contextmanager
    def raw(
        self,
        verb: Verb,
        path: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None = None,
    ) -> Iterator[httpx.Response]:
        """Send one request, and give its answer with the body still to read.

        Redirects of questions are followed, those of changes are answers.

        Args:
            path: encoded, from the root of the server.

        Raises:
            StoreError: no answer came.
        """
        url = self.origin + path
        with self._connection() as client, self._translated(verb, url):
            response = self._send(client, verb, url, headers, body)
            try:
                if verb in READING:
                    response = self._redirected(client, verb, response, headers, body)
                yield response
            finally:
                response.close()

    def status(
        self,
        verb: Verb,
        path: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None = None,
    ) -> httpx.Response:
        """As `raw`, with the text of the answer read and forgotten.

        The status line decides; what happens to the text behind it changes nothing.
        """
        with self.raw(verb, path, headers, body) as response:
            self._drain(response)
            return response

    def _send(
        self,
        client: webdav4.http.Client,
        verb: Verb,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None,
    ) -> httpx.Response:
        stream = _Pieces(body) if body is not None and not isinstance(body, bytes) else None
        request = httpx.Request(
            METHODS.get(verb, verb.name),
            url,
            headers={**self._always, **headers},
            stream=stream or httpx.ByteStream(body or b""),  # type: ignore[arg-type]
            extensions={"timeout": self._timeouts},
        )
        response: httpx.Response = client.send(request, stream=True, follow_redirects=False)
        return response

    def _drain(self, response: httpx.Response) -> None:
        deadline = time.monotonic() + self._settings.timeout
        seen = 0
        try:
            for piece in response.iter_raw():
                seen += len(piece)
                if seen > MAX_CHATTER or time.monotonic() > deadline:
                    return
        except httpx.HTTPError as error:
            log.debug("the text after a %s was cut: %r", response.status_code, type(error))

    # -- redirects ---------------------------------------------------------------------

    def _redirected(
        self,
        client: webdav4.http.Client,
        verb: Verb,
        response: httpx.Response,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None,
    ) -> httpx.Response:
        for _ in range(MAX_REDIRECTS):
            if response.status_code not in (301, 302, 307, 308):
                return response
            url = self._target(response)
            self._drain(response)
            response.close()
            response = self._send(client, verb, url, headers, body)
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
        if path == response.request.url.raw_path.decode("ascii") + "/":
            # Only the slash of a folder: the host in it may be the one behind a proxy.
            return f"{self.origin}{path}"
        ours = self._origin
        if (there.scheme, there.host, port_or_default(there.scheme, there.port)) != (
            ours.scheme,
            ours.host,
            port_or_default(ours.scheme, ours.port),
        ):
            raise Unsupported(
                f"{here} redirects to {without_secrets(str(there))!r}, where we don't follow:"
                " use that URL if you trust it."
            )
        return f"{self.origin}{path}"

    # -- errors ------------------------------------------------------------------------

    def refusal(self, verb: Verb, response: httpx.Response) -> StoreError:
        """The error that this answer means."""
        status, url = response.status_code, str(response.request.url)
        if 300 <= status < 400:
            location = without_secrets(response.headers.get("location", ""))
            return Unsupported(f"{url} redirects {verb.name} to {location!r}: use that URL.")
        if status == 200 and verb in (Verb.LIST, Verb.LOOK):
            kind = response.headers.get("content-type", "no type")[:60]
            return StoreError(
                f"{url} answers PROPFIND with a page ({kind!r}) instead of a listing:"
                " the URL is not a WebDAV folder, or a login page is in the way."
            )
        wait = retry_after(response.headers.get("retry-after"), response.headers.get("date"))
        return error_for(verb, status, url=url, who=self.login.who, retry_after=wait)

    def no_web_page(self, verb: Verb, response: httpx.Response) -> None:
        """Raises: AmbiguousResult: it is a page for people, with a 200, to a change."""
        if response.status_code == 200 and response.headers.get(
            "content-type", ""
        ).lower().startswith("text/html"):
            raise AmbiguousResult(
                f"{verb.name} of {response.request.url} was answered with a web page:"
                " a login page may be in the way."
            )

    @contextmanager
    def _translated(self, verb: Verb, url: str) -> Iterator[None]:
        try:
            yield
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, ssl.SSLError) as error:
            raise failure(verb, url, self._settings.address.origin, error) from error

    def __reduce__(self) -> NoReturn:
        raise TypeError("connections can't be pickled: open the store again where it is needed.")


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
