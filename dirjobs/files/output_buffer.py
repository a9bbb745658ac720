"""The output of a job's programs until it is in the job's log: bounded on disk and in memory."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from threading import Lock, Thread
from typing import BinaryIO, Protocol

from dirjobs import threads

HEAD, TAIL = 1 << 20, 4 << 20
"""Bytes kept of the beginning and of the end."""

_PIECE = 1 << 16
_LONGEST_LINE = 1 << 12
_ROOM_FOR_A_LINE = 100
_LEFT_OUT = re.compile(rb"\n# \.\.\. ([\d,]+) bytes are left out here \.\.\.\n")


class OutputBuffer:
    """The beginning and the end of some output, in a temporary file.

    Safe to use from several threads.

    Args:
        folder: a local folder, for the temporary file.
        head, tail: bytes kept of the beginning and of the end.
        echo: gets all that is written as well, but for our own lines.
    """

    def __init__(
        self,
        folder: str,
        head: int = HEAD,
        tail: int = TAIL,
        echo: Callable[[bytes], object] | None = None,
    ) -> None:
        self._echo = echo
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - `close`
        self._head, self._tail = head, tail
        self._lock = Lock()
        self._trouble = ""
        self._last = b"\n"
        self._closed = False
        self.size = 0
        """How many bytes there were, kept or not."""
        self.has_more_than_notes = False
        """Whether anything but lines of our own was written."""

    def write(self, data: bytes) -> None:
        """Take in some output.  What can't be kept since the local disk is full is left out,
        and `content` says so."""
        with self._lock:
            if self._closed:
                return
            self.has_more_than_notes |= bool(data)
            self._put(data)
        if self._echo is not None:
            self._echo(data)

    def note(self, text: str) -> None:
        """Take in a line of our own."""
        with self._lock:
            if not self._closed:
                start = b"" if self._last == b"\n" else b"\n"
                self._put(start + f"# {text}\n".encode(errors="backslashreplace"))

    def _put(self, data: bytes) -> None:
        if not data:
            return
        self._last = data[-1:]
        at, self.size = self.size, self.size + len(data)
        kept = memoryview(data)
        try:
            if at < self._head:
                first = kept[: self._head - at]
                self._write_at(at, first)
                at, kept = at + len(first), kept[len(first) :]
            if len(kept) > self._tail:
                at, kept = at + len(kept) - self._tail, kept[-self._tail :]
            while kept:
                place = (at - self._head) % self._tail
                first = kept[: self._tail - place]
                self._write_at(self._head + place, first)
                at, kept = at + len(first), kept[len(first) :]
        except OSError as error:
            self._trouble = f"{error.strerror}: some output could not be kept on this machine"

    def _write_at(self, place: int, data: memoryview) -> None:
        self._file.seek(place)
        while data:
            data = data[self._file.write(data) :]

    def content(self) -> bytes:
        """What is kept, as one text; a line in the middle says how much was left out."""
        with self._lock:
            left_out = self.size - self._head - self._tail
            if left_out <= 0:
                kept = self._last_bytes(self.size)
            else:
                head = self._read_at(0, self._head)
                kept = _without_middle(head, self._last_bytes(self._tail), left_out)
            return kept + (f"\n# {self._trouble}\n".encode() if self._trouble else b"")

    def last_line(self) -> str:
        """The last line that was printed since the last note, if it is a short one; empty if
        there is none."""
        with self._lock:
            if self._closed or self._trouble:
                return ""
            text = self._last_bytes(min(self.size, self._tail, _LONGEST_LINE))
            is_all = len(text) == self.size
        lines = text.decode(errors="replace").splitlines()
        # Half a line may be half a URL, with a password that nobody recognises any more.
        for line in reversed(lines if is_all else lines[1:]):
            if line.strip():
                return "" if line.startswith("# ") else line.strip()
        return ""

    def _last_bytes(self, number: int) -> bytes:
        """The last `number` bytes; all of them are kept."""
        at = self.size - number
        head = self._read_at(at, max(0, min(self.size, self._head) - at))
        number -= len(head)
        place = (self.size - self._head - number) % self._tail
        first = self._read_at(self._head + place, min(number, self._tail - place))
        return head + first + self._read_at(self._head, number - len(first))

    def _read_at(self, place: int, length: int) -> bytes:
        self._file.seek(place)
        pieces = []
        while length and (piece := self._file.read(length)):
            pieces.append(piece)
            length -= len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Take in nothing more and forget what there was."""
        with self._lock:
            self._closed = True
            self._file.close()


def shortened(data: bytes, most: int) -> bytes:
    """`data` if it has at most `most` bytes; else the beginning and the end of it, which have."""
    room = most - _ROOM_FOR_A_LINE
    if len(data) <= most:
        return data
    head, middle, tail = data[: room // 2], data[room // 2 : -(room // 2)], data[-(room // 2) :]
    left_out = len(middle)
    for told in _LEFT_OUT.finditer(middle):
        left_out += int(told[1].replace(b",", b"")) - len(told[0])
    return _without_middle(head, tail, left_out)


def _without_middle(head: bytes, tail: bytes, left_out: int) -> bytes:
    """Beginning and end, cut where lines end if lines are short."""
    cut = head.rfind(b"\n", -_LONGEST_LINE) + 1
    if cut:
        left_out += len(head) - cut
        head = head[:cut]
    start = tail.find(b"\n", 0, _LONGEST_LINE) + 1
    left_out += start
    return b"%s\n# ... %s bytes are left out here ...\n%s" % (
        head.removesuffix(b"\n"),
        f"{left_out:,}".encode(),
        tail[start:],
    )


class Sink(Protocol):
    """Takes in what a program prints."""

    def write(self, data: bytes, /) -> object: ...


def follow(stream: BinaryIO, output: Sink, at_end: Callable[[], object] | None = None) -> Thread:
    """Read `stream` into `output` until its other end is closed, in a thread of its own.

    Args:
        stream: to be read, and closed.
        output: gets it.
        at_end: called after the last of it.

    A daemon that a program left behind may hold it open for ever: nobody needs to wait for
    the thread, and what comes after `OutputBuffer.close` is thrown away.

    Raises:
        OSError: no thread can be started; the stream is closed.
    """

    def read() -> None:
        with stream:
            while piece := os.read(stream.fileno(), _PIECE):
                output.write(piece)
        if at_end is not None:
            at_end()

    thread = Thread(target=read, name="dirjobs-output", daemon=True)
    try:
        threads.start(thread)
    except OSError:
        stream.close()
        raise
    return thread
