"""PROPFIND: what we ask, and the answer read as a stream.

The answer is a stranger's XML, fed to the parser piece by piece.  An element counts
only where RFC 4918 puts it; a document type, and with it every entity trick, ends the
reading before anything is expanded; bytes, entries and the size of one entry are
capped.  Each entry is taken out of the tree as soon as it is complete, so what is left
of 100,000 entries is 100,000 small tuples.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from xml.etree import ElementTree  # nosec B405 - see above
from xml.parsers import expat

from dirjobs.store import MAX_ENTRIES

BODY = (
    b'<?xml version="1.0" encoding="utf-8"?>'
    b'<D:propfind xmlns:D="DAV:"><D:prop>'
    b"<D:resourcetype/><D:getlastmodified/><D:getcontentlength/>"
    b"</D:prop></D:propfind>"
)
MAX_BYTES = 64 * 1024 * 1024
"""Of an answer that lists nothing, after decompression; `ENTRY_BYTES` more for each entry."""
ENTRY_BYTES = 2048
"""Apache needs 400 for a short name."""
MAX_ENTRY_BYTES = 256 * 1024
PIECE = 64 * 1024
"""Bytes that are parsed at a time."""

_MULTISTATUS, _RESPONSE = "{DAV:}multistatus", "{DAV:}response"
_HREF, _STATUS, _PROPSTAT, _PROP = "{DAV:}href", "{DAV:}status", "{DAV:}propstat", "{DAV:}prop"
_TYPE, _COLLECTION = "{DAV:}resourcetype", "{DAV:}collection"
_MODIFIED, _LENGTH = "{DAV:}getlastmodified", "{DAV:}getcontentlength"

OnResource = Callable[[str, str | None, str | None, bool | None], None]


class BadAnswer(ValueError):
    """The answer is not a listing that could be believed; the text says why."""


def unpacked(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """The text of an answer, never more than `PIECE` of it at a time.

    Args:
        pieces: as sent.
        encoding: the answer's ``Content-Encoding``.

    Raises:
        BadAnswer: it is packed twice, or by something else than gzip.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        yield from pieces
        return
    if encoding not in ("gzip", "x-gzip"):
        raise BadAnswer(f"it is packed as {encoding[:40]!r}, and not by gzip once")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        for piece in pieces:
            packed = piece
            while packed and not unpacker.eof:
                yield unpacker.decompress(packed, PIECE)
                packed = unpacker.unconsumed_tail
        yield unpacker.flush()
    except zlib.error as error:
        raise BadAnswer("what it is packed in is no gzip") from error


class Multistatus:
    """Reads one 207 answer; `feed` it pieces, then `close` it.

    Args:
        on_resource: called with (href, modified, length, is_collection) of each
            resource that is there, strings as sent, None where nothing was said.
    """

    def __init__(self, on_resource: OnResource) -> None:
        self._on_resource = on_resource
        self._prolog: _Prolog | None = _Prolog()
        self._parser: ElementTree.XMLPullParser[Any] = ElementTree.XMLPullParser(["start"])
        self._root: ElementTree.Element | None = None
        self._bytes = 0
        self._bytes_of_entry = 0
        self._entries = 0
        self.refused: int | None = None
        """The status of the first resource that is listed as not to be had."""

    def feed(self, data: bytes) -> None:
        """Raises: BadAnswer."""
        self._bytes += len(data)
        room = MAX_BYTES + ENTRY_BYTES * self._entries
        if self._bytes > room:
            raise BadAnswer(f"it is longer than {room} bytes, with {self._entries} entries")
        for start in range(0, len(data), PIECE):
            self._feed(data[start : start + PIECE])

    def close(self) -> None:
        """Raises: BadAnswer."""
        try:
            if self._prolog is not None:
                self._prolog.close()
            self._parser.close()
        except (ElementTree.ParseError, expat.ExpatError) as error:
            raise BadAnswer(f"it is not well-formed XML ({error})") from error
        except (LookupError, ValueError) as error:
            raise _unreadable() from error
        self._take(everything=True)

    def _feed(self, piece: bytes) -> None:
        try:
            if self._prolog is not None and self._prolog.is_over_with(piece):
                self._prolog = None
            self._parser.feed(piece)
            # The pull parser reports a syntax error where its events are read.
            events: Iterable[Any] = self._parser.read_events()
            for _, element in events:
                if self._root is None:
                    self._root = element
                    self._check_root(element.tag)
        except (ElementTree.ParseError, expat.ExpatError) as error:
            raise BadAnswer(f"it is not well-formed XML ({error})") from error
        except BadAnswer:
            raise
        except (LookupError, ValueError) as error:
            raise _unreadable() from error
        self._bytes_of_entry += len(piece)
        self._take(everything=False)
        if self._bytes_of_entry > MAX_ENTRY_BYTES:
            raise BadAnswer(f"it has an entry of more than {MAX_ENTRY_BYTES} bytes")

    def _check_root(self, tag: str) -> None:
        if tag != _MULTISTATUS:
            raise BadAnswer(f"it is a <{tag.rpartition('}')[2][:60]}> document")

    def _take(self, *, everything: bool) -> None:
        """Take the complete entries out of the tree; the last may still be growing."""
        root = self._root
        if root is None:
            return
        complete = root[:] if everything else root[:-1]
        if not complete:
            return
        del root[: len(complete)]
        self._bytes_of_entry = 0
        self._entries += len(complete)
        if self._entries > MAX_ENTRIES:
            raise BadAnswer(f"it has more than {MAX_ENTRIES} entries")
        for element in complete:
            if element.tag == _RESPONSE:
                self._response(element)

    def _response(self, response: ElementTree.Element) -> None:
        href = modified = length = None
        folder: bool | None = None
        there, status = False, None
        for child in response:
            tag = child.tag
            if tag == _PROPSTAT:
                found, status = _properties(child)
                if found is not None:
                    there = True
                    modified, length, folder = found
            elif tag == _HREF:
                href = href or child.text
            elif tag == _STATUS:
                status = _code(child.text)
                if status != 200:
                    there = False
                    break
        # A resource that went away while the server was writing has no properties left.
        if href and there:
            self._on_resource(href.strip(), modified, length, folder)
        elif href and not there and self.refused is None:
            self.refused = status


class _Prolog:
    """What comes before the document: the only place where a document type can be."""

    def __init__(self) -> None:
        self._over = False
        self._parser = expat.ParserCreate()
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.StartElementHandler = self._finish

    def is_over_with(self, piece: bytes) -> bool:
        self._parser.Parse(piece, False)
        return self._over

    def close(self) -> None:
        self._parser.Parse(b"", True)

    def _finish(self, *_: Any) -> None:
        self._over = True
        self._parser.StartElementHandler = None

    def _refuse(self, *_: Any) -> None:
        raise BadAnswer("it has a document type, which no WebDAV answer needs")


def _properties(
    propstat: ElementTree.Element,
) -> tuple[tuple[str | None, str | None, bool | None] | None, int | None]:
    """Date, length and whether it's a folder, and the status of these properties; None
    instead of them if it isn't 200."""
    modified = length = None
    folder: bool | None = None
    status = None
    for child in propstat:
        if child.tag == _STATUS:
            status = _code(child.text)
        elif child.tag == _PROP:
            for prop in child:
                tag = prop.tag
                if tag == _MODIFIED:
                    modified = prop.text
                elif tag == _LENGTH:
                    length = prop.text
                elif tag == _TYPE:
                    folder = any(kind.tag == _COLLECTION for kind in prop) if len(prop) else False
    return ((modified, length, folder) if status == 200 else None), status


def _code(status: str | None) -> int | None:
    """The number in ``HTTP/1.1 200 OK``."""
    if status == "HTTP/1.1 200 OK":
        return 200
    code = (status or "").split()[1:2]
    return int(code[0]) if code and re.fullmatch("[0-9]{3}", code[0]) else None


def _unreadable() -> BadAnswer:
    return BadAnswer("it is in an encoding that can't be read")
