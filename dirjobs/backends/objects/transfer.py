"""Payloads in pieces: memory stays flat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

PIECE = 8 << 20
"""Bytes of a payload in one request."""


def first_piece(source: BinaryIO) -> tuple[bytes, bool]:
    """The first piece of a source, and whether that is all of it."""
    first = _read(source)
    return first, len(first) < PIECE


def pieces_of(first: bytes, source: BinaryIO) -> Iterator[bytes]:
    """A piece that was read, and those that follow it."""
    piece = first
    while piece:
        yield piece
        piece = _read(source)


def _read(source: BinaryIO) -> bytes:
    """The next piece: a whole one, unless the source ends."""
    parts, missing = [], PIECE
    while missing and (part := source.read(min(missing, 1 << 20))):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
