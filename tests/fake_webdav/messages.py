"""What a client asked and what it is told."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import IO, Protocol
from urllib.parse import unquote, urlsplit

from .tree import PIECE, Blob, Path


class Refused(Exception):
    """The request is answered with `status`."""

    def __init__(self, status: int, why: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(status, why)
        self.status = status
        self.why = why
        self.headers = headers or {}


@dataclass(slots=True)
class Answer:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    kind: str = "text/plain; charset=utf-8"
    file: tuple[Blob, int, int] | None = None
    """Blob, start, length: a body that may be too big to hold in memory."""

    @property
    def length(self) -> int:
        return self.file[2] if self.file else len(self.body)

    def pieces(self) -> Iterator[bytes]:
        if self.file:
            yield from self.file[0].pieces(self.file[1], self.file[2])
        elif self.body:
            yield self.body

    @staticmethod
    def plain(status: int, why: str = "", headers: dict[str, str] | None = None) -> Answer:
        body = b"" if status in (204, 304) else f"{why or HTTPStatus(status).phrase}\n".encode()
        return Answer(status, body, headers or {})


class Sender(Protocol):
    """Sends interim answers (100 Continue)."""

    def continue_(self) -> None: ...


class Body:
    """The body of one request, read once: by length or in chunks."""

    def __init__(self, stream: IO[bytes], headers: dict[str, str], sender: Sender) -> None:
        self._stream = stream
        self._chunked = "chunked" in headers.get("transfer-encoding", "").lower()
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            raise ConnectionResetError(f"Content-Length {length!r} is not a number")
        self._left = int(length)
        self._sender: Sender | None = (
            sender if headers.get("expect", "").lower() == "100-continue" else None
        )
        self._blob: Blob | None = None
        self.finished = not (self._chunked or self._left)
        self.empty = self.finished

    def pieces(self) -> Iterator[bytes]:
        """The bytes as they come in.

        Raises:
            ConnectionResetError: the client went away in the middle.
        """
        if self._blob is not None:
            yield from self._blob.pieces(0, self._blob.size)
            return
        if self._sender is not None and not self.finished:
            self._sender.continue_()
            self._sender = None
        while not self.finished:
            if self._chunked and not self._left:
                self._left = self._chunk_length()
                if not self._left:
                    while self._stream.readline(1000).strip():
                        pass
                    self.finished = True
                    return
            piece = self._stream.read1(min(self._left, PIECE))  # type: ignore[attr-defined]
            if not piece:
                raise ConnectionResetError("the client went away in the middle of its request")
            self._left -= len(piece)
            if self._chunked and not self._left:
                self._stream.readline(10)
            self.finished = not (self._chunked or self._left)
            yield piece

    def _chunk_length(self) -> int:
        line = self._stream.readline(100)
        try:
            return int(line.partition(b";")[0], 16)
        except ValueError as error:
            raise ConnectionResetError(f"{line!r} is not a chunk's length") from error

    def blob(self) -> Blob:
        """All of it; may be asked for again."""
        if self._blob is None:
            blob = Blob()
            for piece in self.pieces():
                blob.append(piece)
            self._blob = blob
        return self._blob

    def unwanted(self) -> bool:
        """Whether the client still waits for permission to send this body."""
        return self._sender is not None


@dataclass(slots=True)
class Request:
    method: str
    target: str
    """As it came over the wire."""
    path: Path | None
    """Decoded segments below the prefix; None: not below it, or not a path."""
    slash: bool
    headers: dict[str, str]
    body: Body
    tls: bool = False
    destination: Path | None = None

    @property
    def name(self) -> str:
        """The path as tests write it: relative, decoded."""
        return self.target if self.path is None else "/".join(self.path)

    @property
    def destination_name(self) -> str | None:
        return None if self.destination is None else "/".join(self.destination)


def split_path(url: str, prefix: str) -> tuple[Path | None, bool]:
    """Decoded segments of `url` below `prefix` and whether it ends with a slash."""
    if "://" in url:
        try:
            url = urlsplit(url)._replace(scheme="", netloc="").geturl()
        except ValueError:
            return None, False
    url = url.partition("?")[0]
    if "#" in url or not (url + "/").startswith(prefix + "/"):
        return None, False
    rest = url[len(prefix) :]
    segments = tuple(
        unquote(part, errors="surrogateescape") if "%" in part else part
        for part in rest.split("/")
        if part
    )
    if any(part in (".", "..") or "/" in part or "\0" in part for part in segments):
        return None, False
    return segments, rest.endswith("/")


Disconnected = (ConnectionError, TimeoutError, ssl.SSLError)
