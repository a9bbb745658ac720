"""Big contents on their way: in pieces, with a length, and not twice into one file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO

from dirjobs.errors import StoreError, Unavailable
from dirjobs.temporary import temporary_file

PIECE = 256 * 1024
"""Bytes of a payload in memory at a time."""


@contextmanager
def announced(source: BinaryIO) -> Iterator[tuple[int, Callable[[], Iterator[bytes]]]]:
    """How many bytes are left in `source`, and what gives these bytes, as often as it is called.

    A source without a length goes through a temporary file: there are servers that
    store an empty file when no length is announced.
    """
    if source.seekable():
        start = source.tell()
        size = source.seek(0, os.SEEK_END) - start
        yield size, partial(_pieces, source, start, size)
        return
    with temporary_file() as spooled:
        size = 0
        while piece := source.read(PIECE):
            size += spooled.write(piece)
        yield size, partial(_pieces, spooled, 0, size)


def _pieces(source: BinaryIO, start: int, size: int) -> Iterator[bytes]:
    source.seek(start)
    while size > 0 and (piece := source.read(min(PIECE, size))):
        size -= len(piece)
        yield piece


@contextmanager
def rewound_on_retryable_error(target: BinaryIO) -> Iterator[Callable[[bytes], object]]:
    """Takes back what was written if it turns out that it may be asked for again, so
    that whoever repeats it doesn't append to the first half."""
    start = target.tell() if target.seekable() else None
    written = 0

    def write(piece: bytes) -> None:
        nonlocal written
        target.write(piece)
        written += len(piece)

    try:
        yield write
    except Unavailable as error:
        if not written:
            raise
        if start is None:
            raise StoreError(f"{error} A piece of the file has been handed on.") from error
        target.seek(start)
        target.truncate()
        raise
