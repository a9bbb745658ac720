"""SMB messages byte by byte, against smbprotocol's own description of them."""

from __future__ import annotations

import inspect
import random
import struct
import subprocess
import sys

import pytest
from smbprotocol import file_info
from smbprotocol import open as smb_open
from smbprotocol.structure import Structure

from dirjobs.backends.smb import directory, wire
from dirjobs.backends.smb.connection import Answer
from dirjobs.backends.smb.status import ERRORS, SHARING_VIOLATION, error_for
from dirjobs.errors import AmbiguousResult, Busy, Unavailable, Unsupported
from dirjobs.store import Entry, FileKind
from tests.amounts import amount


def parsed(kind: type[Structure], message: wire.Message) -> Structure:
    found = kind()
    rest = found.unpack(message.pack())
    assert rest.strip(b"\0") == b""
    assert len(message) == len(message.pack())
    return found


def test_create() -> None:
    message = wire.create(
        "jobs\\ä", wire.DELETE, wire.SHARE_READ, wire.OPEN, wire.FILE_ONLY | wire.NO_FOLLOW
    )
    found = parsed(smb_open.SMB2CreateRequest, message)
    assert found["buffer_path"].get_value().decode("utf-16-le") == "jobs\\ä"
    assert found["desired_access"].get_value() == 0x10000
    assert found["share_access"].get_value() == smb_open.ShareAccess.FILE_SHARE_READ
    assert found["create_disposition"].get_value() == smb_open.CreateDisposition.FILE_OPEN
    assert found["create_options"].get_value() == (
        smb_open.CreateOptions.FILE_NON_DIRECTORY_FILE
        | smb_open.CreateOptions.FILE_OPEN_REPARSE_POINT
    )
    assert found["impersonation_level"].get_value() == 2


def test_create_of_the_root_has_a_buffer_all_the_same() -> None:
    body = wire.create("", 1, 7, 1, 1).pack()
    assert struct.unpack_from("<HH", body, 44) == (120, 0)
    assert len(body) > 56


@pytest.mark.parametrize("target", ["a", "01_running\\w1.job1.txt"])
@pytest.mark.parametrize("replace", [False, True])
def test_rename(target: str, replace: bool) -> None:
    found = parsed(smb_open.SMB2SetInfoRequest, wire.rename(target, replace=replace))
    assert found["file_info_class"].get_value() == 10
    assert found["file_id"].get_value() == b"\xff" * 16
    buffer = found["buffer"].get_value()
    assert len(buffer) >= 24
    inner = file_info.FileRenameInformation()
    inner.unpack(buffer)
    assert inner["replace_if_exists"].get_value() is replace
    assert inner["file_name"].get_value() == target


def test_the_other_requests() -> None:
    handle = bytes(range(16))
    assert parsed(smb_open.SMB2CloseRequest, wire.close(handle))["file_id"].get_value() == handle
    assert parsed(smb_open.SMB2FlushRequest, wire.flush(handle))["file_id"].get_value() == handle
    read = parsed(smb_open.SMB2ReadRequest, wire.read(7, 100_000, handle))
    assert (read["offset"].get_value(), read["length"].get_value()) == (7, 100_000)
    write = parsed(smb_open.SMB2WriteRequest, wire.write(7, b"data", handle))
    assert (write["offset"].get_value(), write["buffer"].get_value()) == (7, b"data")
    query = parsed(smb_open.SMB2QueryDirectoryRequest, wire.query_directory(200_000, handle))
    assert query["output_buffer_length"].get_value() == 200_000
    assert query["buffer"].get_value().decode("utf-16-le") == "*"


@pytest.mark.parametrize(
    ("message", "credits"),
    [
        (wire.create("a", 1, 7, 1, 0), 1),
        (wire.read(0, 65536), 1),
        (wire.read(0, 65537), 2),
        (wire.write(0, bytes(1 << 20)), 16),
        (wire.query_directory(4 << 20), 64),
    ],
)
def test_credits_are_counted_as_smbprotocol_does(message: wire.Message, credits: int) -> None:  # noqa: A002
    from smbprotocol.connection import Connection

    connection = Connection.__new__(Connection)
    connection.supports_multi_credit = True
    assert message.credits == credits == connection._calculate_credit_charge(message)


def packed(*entries: tuple[str, int, int, int]) -> bytes:
    """An answer to QUERY_DIRECTORY with names, FILETIMEs, sizes and attributes."""
    buffer = b""
    for number, (name, written, size, attributes) in enumerate(entries):
        entry = file_info.FileDirectoryInformation()
        entry["end_of_file"] = size
        entry["file_attributes"] = attributes
        entry["file_name"] = name.encode("utf-16-le")
        data = bytearray(entry.pack())
        struct.pack_into("<Q", data, 24, written)
        if number < len(entries) - 1:
            data += bytes(-len(data) % 8)
            struct.pack_into("<I", data, 0, len(data))
        buffer += data
    return struct.pack("<HHI", 9, 72, len(buffer)) + buffer


def test_a_listing_is_unpacked() -> None:
    body = packed(
        (".", 0, 0, 0x10),
        ("..", 0, 0, 0x10),
        ("job1.txt", 116_444_736_000_000_000 + 15_000_000, 7, 0x20),
        ("folder", 116_444_736_000_000_000, 0, 0x10),
        ("link", 0, 9, 0x400),
        ("smile \U0001f600", 0, 1 << 40, 0x80),
    )
    assert list(wire.entries(body)) == [
        Entry("job1.txt", 1.5, 7, FileKind.FILE),
        Entry("folder", 0.0, None, FileKind.FOLDER),
        Entry("link", None, None, FileKind.OTHER),
        Entry("smile \U0001f600", None, 1 << 40, FileKind.FILE),
    ]


def test_an_empty_listing() -> None:
    assert list(wire.entries(struct.pack("<HHI", 9, 72, 0))) == []


def damaged(offset: int, value: int) -> bytes:
    body = bytearray(packed(("job1", 0, 0, 0), ("job2", 0, 0, 0)))
    struct.pack_into("<I", body, 8 + offset, value)
    return bytes(body)


@pytest.mark.parametrize(
    "body",
    [
        damaged(60, 1 << 20),  # a name longer than the answer
        damaged(0, 8),  # entries that overlap
        damaged(0, 64),  # an entry that begins in the name of the one before
        damaged(0, 1 << 20),  # an entry behind the end
        packed(("job1", 0, 0, 0))[:40],
    ],
    ids=["long name", "overlap", "in a name", "far away", "truncated"],
)
def test_a_damaged_listing_is_an_error_and_no_endless_loop(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"points out of the answer|not where its"):
        list(wire.entries(body))


def test_a_read_that_announces_more_than_it_brings() -> None:
    body = struct.pack("<HBBIII", 17, 80, 0, 10, 0, 0) + b"short"
    with pytest.raises(ValueError, match="announced 10 bytes"):
        wire.data_read(body, 100)


@pytest.mark.parametrize("start", [0, 64, 79])
def test_a_read_whose_data_are_its_own_head(start: int) -> None:
    body = struct.pack("<HBBIII", 17, start, 0, 5, 0, 0) + b"hello"
    with pytest.raises(ValueError, match="brought 0"):
        wire.data_read(body, 100)


def test_more_than_was_asked_for_or_sent() -> None:
    body = struct.pack("<HBBIII", 17, 80, 0, 5, 0, 0) + b"hello"
    with pytest.raises(ValueError, match="a READ of 4 bytes brought 5"):
        wire.data_read(body, 4)
    with pytest.raises(ValueError, match="a WRITE of 4 bytes took 5"):
        wire.bytes_written(body, 4)


def test_the_first_answer_is_never_ambiguous() -> None:
    for status in [*ERRORS, 0xC0DEC0DE]:
        assert not isinstance(error_for(status, "try", first=True), AmbiguousResult)
        assert str(error_for(status, "try", first=False)).endswith(".")
    assert isinstance(error_for(0xC0DEC0DE, "try", first=False), AmbiguousResult)
    assert isinstance(error_for(0xC0DEC0DE, "try", first=True), Unavailable)
    assert type(error_for(SHARING_VIOLATION, "try", first=True)) is Busy


ANSWERS = {
    "created": (wire.created, struct.pack("<H86x", 89)),
    "read": (
        lambda body: wire.data_read(body, 100),
        struct.pack("<HBBIII", 17, 80, 0, 5, 0, 0) + b"hello",
    ),
    "written": (lambda body: wire.bytes_written(body, 100), struct.pack("<HHI8x", 17, 0, 5)),
    "listed": (lambda body: list(wire.entries(body)), b""),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_of_any_bytes_is_told_by_one_error(kind: str) -> None:
    parse, good = ANSWERS[kind]
    good = good or listing_of("job1.txt", "job2.txt", "job3.txt")
    dice = random.Random(7)
    refused = 0
    for _ in range(amount(5_000, 1_000_000)):
        body = bytearray(good[: dice.randrange(len(good) + 1)] if dice.random() < 0.3 else good)
        for _ in range(dice.randrange(4)):
            at = dice.randrange(len(body) + 1)
            body[at : at + 4] = struct.pack("<I", dice.choice((0, 1, 64, 72, 0xFFFF, 2**32 - 1)))
        try:
            parse(bytes(body))
        except ValueError:
            refused += 1
    assert refused


def listing_of(*names: str) -> bytes:
    """The answer to a QUERY_DIRECTORY."""
    entries = []
    for name in names:
        text = wire.encode(name)
        entry = wire._ENTRY.pack(0, 0, 133 * 10**15, 5, 0x20, len(text)) + text
        step = -(-len(entry) // 8) * 8 if name != names[-1] else 0
        entries.append((struct.pack("<I", step) + entry[4:]).ljust(step, b"\0"))
    buffer = b"".join(entries)
    return struct.pack("<HHI", 9, 72, len(buffer)) + buffer


def test_a_listing_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "MAX_ENTRIES", 10)
    answer = Answer(0, listing_of("a", "b", "c"))
    found: list[Entry] = []
    for _ in range(3):
        assert directory._take(answer, found, "list 'x'")
    with pytest.raises(Unsupported, match="more than 10 names"):
        directory._take(answer, found, "list 'x'")


def test_smbprotocol_prints_no_traceback_where_nobody_set_up_logging() -> None:
    script = (
        "import logging, dirjobs.backends.smb.session;"
        " logging.getLogger('smbprotocol.connection').error('the worker died')"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert said.stderr == ""


def test_smbprotocol_still_has_the_private_parts_that_we_lean_on() -> None:
    from smbclient._pool import ClientConfig, dfs_request, get_smb_tree
    from smbprotocol.connection import Connection, Request
    from smbprotocol.transport import Tcp

    assert callable(get_smb_tree)
    assert callable(dfs_request)
    assert callable(ClientConfig.cache_referral)
    connection = Connection(None, "nas")
    assert connection._t_exc is None
    assert connection.outstanding_requests == connection.session_table == {}
    assert connection.sequence_window.keys() == {"low", "high"}
    request = Request({}, wire.Message, connection)
    assert not request.response_event.is_set()
    assert not request.response_event_lock.locked()
    assert request.response is None
    assert Tcp("nas", 445)._sock is None
    assert Tcp.MAX_SIZE == 2**24 - 1


def test_smbprotocol_still_asks_us_about_each_answer() -> None:
    """`AuthenticConnection` stands and falls with that."""
    from smbprotocol.connection import Connection
    from smbprotocol.transport import Tcp

    assert list(inspect.signature(Connection.verify_signature).parameters) == [
        "self", "header", "session_id", "force",
    ]  # fmt: skip
    assert list(inspect.signature(Tcp._recv).parameters) == ["self", "length", "timeout"]
    assert "self.verify_signature(header, session_id)" in inspect.getsource(
        Connection._process_message_thread
    )
