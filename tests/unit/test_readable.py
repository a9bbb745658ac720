"""What programs of Windows print is UTF-8 in logs, whatever it was."""

from __future__ import annotations

import random

import pytest

from dirjobs.runner.readable import Readable

TEXT = "größe: Zürich, café, ½ übrig\nkein Umlaut\nÄrger\n"
PAGES = ("cp850", "cp1252")


def read(data, *, pieces=None):
    found = []
    reader = Readable(found.append, PAGES)
    for piece in pieces if pieces is not None else [data]:
        reader.write(piece)
    reader.close()
    return b"".join(found).decode()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp850", "cp1252", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_every_encoding_of_windows(encoding, newline):
    data = TEXT.replace("\n", newline).encode(encoding)
    assert read(data) == TEXT


def test_utf_16_without_a_byte_order_mark():
    assert read("wsl größe\r\n".encode("utf-16-le")) == "wsl größe\n"


@pytest.mark.parametrize("encoding", ["utf-8", "cp850", "cp1252", "utf-16"])
def test_it_comes_in_any_pieces(encoding):
    data = TEXT.replace("\n", "\r\n").encode(encoding)
    chance = random.Random(encoding)
    for _ in range(200):
        cuts = sorted(chance.choices(range(len(data) + 1), k=9))
        pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        assert read(b"", pieces=pieces) == TEXT


def test_lines_of_several_programs_are_read_each_in_its_own():
    assert read("größe\n".encode("cp850") + "größe\n".encode("cp1252") + "größe\n".encode()) == (
        "größe\n" * 3
    )


def test_a_question_does_not_wait_for_its_line_feed():
    found = []
    reader = Readable(found.append, PAGES)
    reader.write(b"50 %\r")
    reader.write(b"100 %\r\n")
    reader.write(b"go on? ")
    assert b"".join(found) == b"50 %\r100 %\ngo on? "


@pytest.mark.parametrize(
    "data", [b"", b"x", b"\r", b"\xff", b"\xff\xfe", b"\r\n", b"\x81\n", b"\0\0"]
)
def test_nothing_is_lost_or_refused(data):
    read(data)


def test_a_line_without_end_is_handed_on():
    found = []
    reader = Readable(found.append, PAGES)
    reader.write(b"\xfc" * 200_000)
    assert sum(map(len, found)) > 300_000
