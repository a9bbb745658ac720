"""What is read that others wrote, and which errors that may raise."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import struct
import tempfile
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, BinaryIO, NamedTuple
from unittest.mock import patch

import httpcore
import httpx

from dirjobs import layout, names
from dirjobs.admin import history, results
from dirjobs.backends.posix.paths import path_of_url
from dirjobs.backends.smb import config as smb_config
from dirjobs.backends.smb import directory, transfer, wire
from dirjobs.backends.smb.connection import Answer
from dirjobs.backends.webdav import config as webdav_config
from dirjobs.backends.webdav import open_store
from dirjobs.backends.webdav.directory import Listing
from dirjobs.backends.webdav.propfind import BadAnswer, Multistatus
from dirjobs.backends.webdav.proxy import from_environment
from dirjobs.backends.webdav.status import retry_after
from dirjobs.cli.commands.show import attempt, attempt_lines
from dirjobs.console.tables import cells
from dirjobs.console.text import json_text
from dirjobs.errors import ConfigurationError, StoreError
from dirjobs.layout import DONE, FAILED, JobFile
from dirjobs.policy import Policy
from dirjobs.protocol import agreement, attempts
from dirjobs.protocol.candidates import natural_key
from dirjobs.protocol.journal import Record
from dirjobs.protocol.records import convert, loads
from dirjobs.recovery.heartbeat import Heartbeat
from dirjobs.redaction import redacted, without_login
from dirjobs.registry import scheme_of
from dirjobs.runner import template
from dirjobs.store import Entry
from dirjobs.sweep import naming, parameters, sources
from tests.fuzz.mutation import mutated, mutated_text


class Kind(NamedTuple):
    """One reader of what others wrote.

    Attributes:
        make: an input.
        read: reads it; an error that is none of `allowed` is a fault.
        allowed: the errors that its contract names.
    """

    make: Callable[[random.Random], Any]
    read: Callable[[Any], object]
    allowed: tuple[type[Exception], ...] = ()


def of_bytes(*seeds: bytes) -> Callable[[random.Random], bytes]:
    return lambda dice: mutated(dice.choice(seeds), dice)


def of_text(*seeds: str) -> Callable[[random.Random], str]:
    return lambda dice: mutated_text(dice.choice(seeds), dice)


# -- what servers say ------------------------------------------------------------------------


_RESPONSE = (
    b'<D:response xmlns:D="DAV:"><D:href>/q/00_waiting/a%20b.txt</D:href><D:propstat><D:prop>'
    b"<D:resourcetype/><D:getcontentlength>3</D:getcontentlength><D:getlastmodified>"
    b"Mon, 12 Jan 2026 09:00:00 GMT</D:getlastmodified></D:prop><D:status>HTTP/1.1 200 OK"
    b"</D:status></D:propstat></D:response>"
)
_XML = b'<?xml version="1.0" encoding="utf-8"?>'
_LISTING = b'%s<D:multistatus xmlns:D="DAV:">%s</D:multistatus>' % (_XML, _RESPONSE * 3)


def read_propfind(data: bytes) -> None:
    listing = Listing("http", "h", 80, "/q/00_waiting/")
    parser = Multistatus(listing.add)
    step = 1 + len(data) % 199
    for start in range(0, len(data), step):
        parser.feed(data[start : start + step])
    parser.close()
    for entry in listing.believed("w"):
        why = names.unsafe_name(entry.name)
        assert why is None or "bytes" in why, f"{entry.name!r} {why}"


def http_answers(proxy: str | None = None) -> Callable[[bytes | list[bytes]], None]:
    """Reads all that a connection brings, for one verb after the other."""
    calls = itertools.cycle(
        [
            lambda store: list(store.list("00_waiting")),
            lambda store: store.exists("00_waiting/a"),
            lambda store: store.read("00_waiting/a"),
            lambda store: store.rename("00_waiting/a", "01_running/a"),
            lambda store: store.write("a", b"data"),
            lambda store: store.remove("a"),
            lambda store: store.mkdir("a"),
        ]
    )
    options = {"username": "me", "password": "x", "trust_env": False, "verify": False}

    def read(data: bytes | list[bytes]) -> None:
        url = "http://127.0.0.1/q"
        network = _Network([data] if isinstance(data, bytes) else data)
        with network.used(), open_store(url, options | {"proxy": proxy}) as store:
            next(calls)(store)

    return read


class _Network(httpcore.NetworkBackend):
    """Each connection brings the same pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def connect_tcp(self, *_: object, **__: object) -> httpcore.NetworkStream:
        return _Memory(self._pieces)

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        before, httpcore.SyncBackend = httpcore.SyncBackend, lambda: self  # type: ignore
        try:
            yield
        finally:
            httpcore.SyncBackend = before  # type: ignore[misc]


class _Memory(httpcore.NetworkStream):
    """A connection on which everything has come."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = [*pieces]

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        piece = self._pieces.pop(0) if self._pieces else b""
        if len(piece) > max_bytes:
            self._pieces.insert(0, piece[max_bytes:])
        return piece[:max_bytes]

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        pass

    def close(self) -> None:
        pass

    def get_extra_info(self, info: str) -> object:
        return None


def _answered(status: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers, b"", body]
    return b"\r\n".join(lines)


_ONE = b'%s<D:multistatus xmlns:D="DAV:">%s</D:multistatus>' % (_XML, _RESPONSE)
_HTTP = [
    _answered(b"207 Multi-Status", _LISTING, b"Content-Type: application/xml", b"Date: x") * 2,
    _answered(b"207 Multi-Status", _ONE) + _answered(b"201 Created", b"x"),
    _answered(b"200 OK", b"data", b"ETag: x", b"Last-Modified: x") * 2,
    _answered(b"301 Moved", b"", b"Location: /q/00_waiting/a/") + _answered(b"207 X", _ONE),
    _answered(b"401 Who", b"x", b'WWW-Authenticate: Digest realm="a", nonce="b", qop="auth"')
    + _answered(b"207 X", _ONE),
    _answered(b"503 Later", b"<", b"Retry-After: 120", b"Date: Mon, 12 Jan 2026 09:00:00 GMT"),
    b"HTTP/1.1 207 X\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
    % (len(_ONE), _ONE),
]


_SOCKS = [b"\x05\x00", b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50", _HTTP[0]]


def make_socks(dice: random.Random) -> list[bytes]:
    odd = dice.randrange(3)
    return [mutated(piece, dice) if at == odd else piece for at, piece in enumerate(_SOCKS)]


class _Share:
    """Stands for a pool of SMB connections, and for an open file."""

    timeout, root, rename_root = 30.0, "", ""
    max_read = max_write = max_list = 1 << 20
    id = b"x" * 16

    def __init__(self, dice: random.Random, answers: list[bytes]) -> None:
        self._dice, self._answers = dice, answers
        self._left = 30
        self.size = dice.choice([0, 5, 70_000, 1 << 40])

    def mine(self) -> _Share:
        return self

    def can_afford(self, *_: object) -> bool:
        return True

    def send(self, *messages: object, **_: object) -> list[Answer]:
        return [self._answer() for each in messages if isinstance(each, wire.Message)]

    def open_to_look(self, what: str, *messages: wire.Message) -> list[Answer]:
        return self.send(*messages)

    @contextlib.contextmanager
    def opened(self, *_: object, **__: object) -> Iterator[_Share]:
        yield self

    def _answer(self) -> Answer:
        self._left -= 1
        status = self._dice.choice([0, 0, 0, 0, 0x80000006, 0xC0000034, self._dice.getrandbits(32)])
        if self._left < 0:
            status = 0x80000006
        return Answer(status, self._dice.choice(self._answers))


def _entry(name: str, *, last: bool = False) -> bytes:
    text = wire.encode(name)
    entry = wire._ENTRY.pack(0, 0, 133 * 10**15, 5, 0x20, len(text)) + text
    step = 0 if last else -(-len(entry) // 8) * 8
    return (struct.pack("<I", step) + entry[4:]).ljust(step, b"\0")


_NAMES = b"".join(_entry(f"job{number}.txt") for number in range(5)) + _entry("z", last=True)
_LISTED = struct.pack("<HHI", 9, 72, len(_NAMES)) + _NAMES
_CREATED = struct.pack("<HBBIQQQQQQII16s8x", 89, 0, 0, 1, 1, 1, 1, 1, 4096, 5, 0x20, 0, b"H" * 16)
_READ = struct.pack("<HBBIII", 17, 80, 0, 5, 0, 0) + b"hello"


def make_smb(dice: random.Random) -> tuple[random.Random, list[bytes]]:
    return dice, [mutated(seed, dice) for seed in (_LISTED, _CREATED, _READ) for _ in range(2)]


def read_smb(made: tuple[random.Random, list[bytes]]) -> None:
    dice, answers = made
    share: Any = _Share(dice, answers)
    way = dice.randrange(3)
    if way == 0:
        for entry in directory.sweep(share, "f", "list 'f'"):
            assert {"/", "\\", "\0"}.isdisjoint(entry.name)
    elif way == 1:
        transfer.fetch(share, "f", "read 'f'", len, 1 << 20)
    else:
        transfer._fill(share, share, 0, b"data", "write 'f'")


# -- what workers and people write -------------------------------------------------------------


_HEARTBEAT = json.dumps(
    {
        "format": 1,
        "worker": "w9",
        "counter": 1,
        "terms": {"mode": "trust", "sync_time": 0.0, "heartbeat": 30.0, "lease": 300.0},
        "process": {
            "host": "h", "machine": "m", "boot": "b", "namespace": "n", "pid": 5, "started": "1"
        },
        "ended": False,
        "starting": False,
        "unsettled": 0,
        "running": {"a": 1},
        "groups": [1],
        "held_for": {"a": 1.5},
        "pace": [1, 2.0],
    }
).encode()  # fmt: skip
_AGREEMENT = (
    b'{"mode":"sync","sync_time":70.0,"heartbeat":30,"lease":300,"refuted":{"why":"x"},"id":"x"}'
)
_JOURNAL = (
    b'{"job":"a","worker":"w","host":"h","started":"2026-01-01T00:00:00.000+00:00","ended":'
    b'"2026-01-01T00:00:01.000+00:00","end":"done","attempt":1,"command":["a","b"],"params":'
    b'{"lr":0.1},"seconds":1.5,"exit_code":0,"memory":1,"result":{"x":[1,{"y":2}]},"log":'
    b'"logs/a.w.log","files":"results/a/w","git":{"commit":"c","dirty":true},"dirjobs":"1"}\n'
    b'{"job":"a","end":"failed","reason":"r","signal":"SIGKILL","lost":true,"ended_as":"b"}\n'
)
_NOTE = b'{"format":1,"attempts":[{"worker":"w","at":"x","reason":"r","died":true}]}'


def read_agreement(data: bytes) -> None:
    agreement.id_in(data)
    further = agreement.further_keys(data)
    policy = agreement.from_bytes(data, Policy())
    agreement.to_bytes(policy, further)


class _OneFile:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, path: str) -> bytes:
        return self._data

    def download(self, path: str, target: BinaryIO) -> None:
        target.write(self._data)


def read_note(data: bytes) -> None:
    share: Any = _OneFile(data)
    noted = attempts.read(share, "job")
    attempts.deaths(noted)
    attempts.tries(noted)
    attempts.was_given_back(share, "job", "w")


def read_journal(data: bytes) -> None:
    """Everything that is made of it: a row, an attempt as `show` prints it, its files."""
    share: Any = SimpleNamespace(store=_OneFile(data), read=_OneFile(b"{}").read)
    records = history.read(share, Entry("w.1.jsonl")).records
    found = history.History(records)
    for record in records:
        history.files_of(record)
        for folder in (DONE, FAILED):
            place = JobFile(folder, record.job, Entry(record.job))
            row = results.outcome(share, place, found.decisive(place), False).row
            cells([*row], row)
            json_text(row)
        attempt_lines(attempt(record, counts=True))
        json_text(attempt(record, counts=False))
        assert convert(loads(record.to_line()), Record) == record


def in_a_file(read: Callable[[str], object]) -> Callable[[bytes], None]:
    file, path = tempfile.mkstemp()
    os.close(file)

    def write_and_read(data: bytes) -> None:
        with open(path, "wb") as written:
            written.write(data)
        read(path)

    return write_and_read


def read_table(path: str) -> None:
    for kind in ("csv", "json"):
        with contextlib.suppress(ConfigurationError):
            batch = sources.from_parameters({}, (kind, path, "the table"), None, None)
            for job in batch.jobs():
                with job.open() as file:
                    file.read()


def read_job(path: str) -> None:
    template.environment(template.Subject.of_file("a", path))


def read_param(text: str) -> None:
    with patch.object(parameters, "MOST", 1000):  # a million jobs take a second, as they may
        name, values = parameters.parse_param(text)
    rows = [{name: value} for value in values[:3]]
    naming.Naming(None, ".json").names(rows)
    for row in rows:
        naming.content_of(row)


def read_url(url: str) -> None:
    redacted(url)
    without_login(url)
    for read in (
        lambda: webdav_config.read(url, {"netrc": False, "trust_env": False, "verify": False}),
        lambda: smb_config.read(url, {}),
        lambda: path_of_url(url, windows=False),
        lambda: path_of_url(url, windows=True),
        lambda: scheme_of(url, windows=False),
    ):
        with contextlib.suppress(ConfigurationError):
            read()


def read_proxy(text: str) -> None:
    # As an environment can hold it.
    value = os.fsdecode(text.replace("\0", "").encode("utf-8", "surrogatepass"))
    for name in ("HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        with patch.dict(os.environ, {"ALL_PROXY": "http://p", name: value}):
            for url in ("http://[fd00::7]:8080", "https://cloud.example"):
                with contextlib.suppress(ConfigurationError):
                    from_environment(httpx.URL(url))


def read_name(text: str) -> None:
    layout.parse_claim(text)
    layout.parse_staged(text)
    layout.is_job_name(text)
    layout.is_left_behind(text)
    names.unsafe_name(text)
    names.unportable_name(text)
    names.same_name(text, "ä")
    natural_key(text)
    retry_after(text, text)
    with contextlib.suppress(ConfigurationError):
        layout.check_new_job(text)
    with contextlib.suppress(ConfigurationError):
        naming.filled(text, {"lr": "1"}, "--name")
    with contextlib.suppress(template.UnknownParameter):
        template.fill_argument(text, template.Subject("a.txt", "/p", {"lr": "1"}))


KINDS: dict[str, Kind] = {
    "propfind": Kind(of_bytes(_LISTING), read_propfind, (BadAnswer, StoreError)),
    "http": Kind(of_bytes(*_HTTP), http_answers(), (StoreError,)),
    "socks": Kind(make_socks, http_answers("socks5://127.0.0.1"), (StoreError,)),
    "smb": Kind(make_smb, read_smb, (StoreError,)),
    "heartbeat": Kind(of_bytes(_HEARTBEAT), Heartbeat.from_bytes),
    "queue.json": Kind(of_bytes(_AGREEMENT), read_agreement, (ConfigurationError,)),
    "note": Kind(of_bytes(_NOTE), read_note),
    "journal": Kind(of_bytes(_JOURNAL), read_journal),
    "table": Kind(
        of_bytes(
            b'lr,seed\n0.1,1\n0.2,"x,y"\n',
            b'[{"lr":0.1,"seed":1},{"lr":1e3,"b":[1]}]',
            b'{"a":1}\n{"a":2.5e3}\n',
        ),
        in_a_file(read_table),
    ),
    "job": Kind(
        of_bytes(b'{"lr": 0.1, "s": "x\\u1234", "l": [1,2,{"a":null}]}'), in_a_file(read_job)
    ),
    "param": Kind(
        of_text("lr=0.1,0.2", "seed=1..5", "x=0..1..0.25", "a=true,null,1e-5", "f=../a,b"),
        read_param,
        (ConfigurationError,),
    ),
    "url": Kind(
        of_text(
            "http://user:pa%2fss@host:80/a/b%20c",
            "https://[fe80::1%25eth0]:8443/ä",
            "smb://DOM;u:p@[::1]:445/s/f",
            "\\\\host\\share\\x",
            "\\\\?\\UNC\\h\\s",
            "file:///a/b?c#d",
            "webdavs://me@lab.example@nas/q",
        ),
        read_url,
    ),
    "proxy": Kind(
        of_text("http://user:pass@proxy:3128", "socks5h://p:1", "[::1],fd00::/8,.lab,*", "p:3128"),
        read_proxy,
    ),
    "name": Kind(
        of_text(
            "w1~k3x9q2.job1.txt",
            "~w1~abcdef.w2.job.txt",
            "job~2.txt",
            "{lr}_{seed}.json {{x}} ${y} {} {param:a b}",
            "CON.txt",
            "ä\u202e.txt",
            "Mon, 12 Jan 2026 09:00:00 GMT",
        ),
        read_name,
    ),
}
