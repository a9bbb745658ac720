"""What programs of Windows print, in whatever encoding, as UTF-8 with line feeds."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Sequence

CODE_PAGES = ("oem", "mbcs")
"""Python's names for the code pages of consoles and of windows, such as cp850 and cp1252."""
_LINE_ENDS = re.compile(rb"[\n\r](?!\Z)|\n\Z")
_FIRST_TOO_HIGH = re.compile(rb"[\x80-\xff]")
_LONGEST_LINE = 1 << 16


class Readable:
    r"""Hands on what a program prints, as UTF-8.

    UTF-16 is known by its byte order mark, or by a NUL in the first character.  A line that is no
    UTF-8 is read in that code page which makes more letters of it, small ones most of all; if both
    do, in the first one.  Bytes that no encoding knows stay, as ``\x..``.

    Args:
        write: gets the text, in pieces.
        code_pages: to choose from.
    """

    def __init__(
        self, write: Callable[[bytes], object], code_pages: Sequence[str] = CODE_PAGES
    ) -> None:
        self._write = write
        self._code_pages = code_pages
        self._rest = b""
        self._wide: codecs.IncrementalDecoder | None = None
        self._begins = True

    def write(self, data: bytes) -> None:
        """Take in a piece; the end of it waits for more while it may be half of something."""
        if self._begins:
            data = self._rest + data
            if len(data) < len(codecs.BOM_UTF16_LE):
                self._rest = data
                return
            self._begins, self._rest = False, b""
            if data.startswith(codecs.BOM_UTF16_LE) or (data[1] == 0 and data[0]):
                data = data.removeprefix(codecs.BOM_UTF16_LE)
                self._wide = codecs.getincrementaldecoder("utf-16-le")("backslashreplace")
            data = data.removeprefix(codecs.BOM_UTF8)
        if self._wide is not None:
            data = self._wide.decode(data).encode(errors="backslashreplace")
        self._hand_on(self._rest + data)

    def close(self) -> None:
        """Hand on the rest."""
        if self._wide is not None:
            self._rest += self._wide.decode(b"", final=True).encode(errors="backslashreplace")
        if self._rest:
            self._write(self._decoded(self._rest))
            self._rest = b""

    def _hand_on(self, data: bytes) -> None:
        ends = [found.end() for found in _LINE_ENDS.finditer(data)]
        at = ends[-1] if ends else 0
        rest = data[at:]
        if len(rest) > _LONGEST_LINE:
            at, rest = len(data), b""
        # What is the same in all encodings need not wait, such as a question without a line feed.
        high = _FIRST_TOO_HIGH.search(rest)
        plain = len(rest.removesuffix(b"\r")) if high is None else high.start()
        lines = b"".join(map(self._decoded, data[:at].splitlines(keepends=True)))
        self._rest = rest[plain:]
        if done := lines + rest[:plain]:
            self._write(done)

    def _decoded(self, line: bytes) -> bytes:
        if line.endswith(b"\r\n"):
            line = line[:-2] + b"\n"
        if line.isascii():
            return line
        try:
            line.decode()
        except UnicodeDecodeError:
            return self._in_code_page(line).encode(errors="backslashreplace")
        return line

    def _in_code_page(self, line: bytes) -> str:
        texts = [line.decode(page, errors="backslashreplace") for page in self._code_pages]
        return max(texts, key=_likeliness)


def _likeliness(text: str) -> int:
    """How much like words the part of `text` is that is not ASCII."""
    letters = [char for char in text if char.isalpha() and not char.isascii()]
    return len(letters) + sum(map(str.islower, letters))
