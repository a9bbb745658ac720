"""Somebody between client and server changes what the server says."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from dirjobs.backends.smb import SmbStore, open_store
from dirjobs.errors import AmbiguousResult, StoreError, Unavailable
from tests.amounts import PATIENCE, THOROUGH
from tests.fuzz.mutation import mutated
from tests.servers.proxy import Proxy
from tests.servers.samba import Samba

CREATE, READ, QUERY_DIRECTORY, SET_INFO = 5, 8, 14, 17
SIGNED, SERVER = 0x8, 0x1
PLAIN, ENCRYPTED = b"\xfeSMB", b"\xfdSMB"
CONTENT = b"train --for-real"
PATIENT = {"timeout": PATIENCE, "connect_timeout": PATIENCE}
"""A forgery is refused at once; an honest answer may be late on a busy machine."""


@pytest.fixture(scope="module")
def samba() -> Iterator[Samba]:
    with Samba() as server:
        yield server


class Forger:
    """Forges answers to one command, in one way."""

    def __init__(self, command: int, way: Callable[[bytearray, int], None]) -> None:
        self.command = command
        self.way = way
        self.forged = 0
        self.active = False

    def __call__(self, message: bytes) -> bytes:
        changed = bytearray(message)
        at = 0
        while self.active and changed[at : at + 4] == PLAIN:
            (command,) = struct.unpack_from("<H", changed, at + 12)
            (following,) = struct.unpack_from("<I", changed, at + 20)
            if command == self.command:
                self.way(changed, at)
                self.forged += 1
            if not following:
                break
            at += following
        return bytes(changed)


def set_flags(message: bytearray, at: int, *, add: int = 0, remove: int = 0) -> None:
    (flags,) = struct.unpack_from("<I", message, at + 16)
    struct.pack_into("<I", message, at + 16, (flags | add) & ~remove)


def change(message: bytearray, at: int) -> None:
    """A byte of the answer itself."""
    message[at + 64 + 2] ^= 0xFF


def unsigned(message: bytearray, at: int) -> None:
    """As a server that does not sign."""
    change(message, at)
    set_flags(message, at, remove=SIGNED)
    message[at + 48 : at + 64] = bytes(16)


def wrongly_signed(message: bytearray, at: int) -> None:
    change(message, at)


def as_a_session_setup(message: bytearray, at: int) -> None:
    """A command whose answers nobody verifies, since the keys are just being made."""
    unsigned(message, at)
    struct.pack_into("<H", message, at + 12, 1)


def as_an_error(message: bytearray, at: int) -> None:
    """No such file: what a lost race looks like."""
    set_flags(message, at, remove=SIGNED)
    struct.pack_into("<I", message, at + 8, 0xC0000034)


def as_not_yet(message: bytearray, at: int) -> None:
    """Pending, but with the content of an answer."""
    unsigned(message, at)
    struct.pack_into("<I", message, at + 8, 0x103)


def as_a_request(message: bytearray, at: int) -> None:
    """Our own words."""
    set_flags(message, at, remove=SERVER)


WAYS = [unsigned, wrongly_signed, as_a_session_setup, as_an_error, as_not_yet, as_a_request]
VERBS: dict[int, Callable[[SmbStore], object]] = {
    CREATE: lambda store: store.exists("job"),
    READ: lambda store: store.read("job"),
    QUERY_DIRECTORY: lambda store: list(store.list("")),
    SET_INFO: lambda store: store.rename("job", "w1.job"),
}
TRIES = 42 if THOROUGH else 1


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("command", VERBS)
def test_a_forged_answer_is_refused(
    samba: Samba, command: int, way: Callable[[bytearray, int], None]
) -> None:
    forger = Forger(command, way)
    verb = VERBS[command]
    with (
        Proxy(samba.port, forger) as proxy,
        open_store(samba.url, {**samba.options, **PATIENT, "port": proxy.port}) as store,
    ):
        for _ in range(TRIES):
            (samba.root / "w1.job").unlink(missing_ok=True)
            (samba.root / "job").write_bytes(CONTENT)
            store.exists("job")
            forger.active = True
            changes = command == SET_INFO
            with pytest.raises(AmbiguousResult if changes else Unavailable):
                verb(store)
            forger.active = False
        assert forger.forged >= TRIES
        (samba.root / "w1.job").unlink(missing_ok=True)
        (samba.root / "job").write_bytes(CONTENT)
        assert store.read("job") == CONTENT


@pytest.mark.parametrize("command", VERBS)
def test_a_plain_answer_in_an_encrypted_session_is_refused(samba: Samba, command: int) -> None:
    (samba.root / "job").write_bytes(CONTENT)
    asked: Counter[str] = Counter()

    def forge(message: bytes) -> bytes:
        asked["encrypted"] += message[:4] == ENCRYPTED
        if message[:4] != ENCRYPTED or not asked["forging"]:
            return message
        asked["forged"] += 1
        header = (PLAIN, 64, 0, 0, command, 1, SERVER, 0, asked["id"], 0, 0, 0, bytes(16))
        return struct.pack("<4sHHIHHIIQIIQ16s", *header) + bytes(72)

    options = {**samba.options, **PATIENT, "encrypt": True}
    with Proxy(samba.port, forge) as proxy:
        with open_store(samba.url, {**options, "port": proxy.port}) as store:
            assert store.read("job") == CONTENT
            assert asked["encrypted"]
            asked["id"] = store._pool.mine()._smb.sequence_window["low"]
            asked["forging"] = 1
            with pytest.raises((AmbiguousResult, Unavailable)):
                VERBS[command](store)
        assert asked["forged"]


def test_a_share_behind_dfs_is_as_safe(samba: Samba) -> None:
    (samba.root / "job").write_bytes(CONTENT)
    (samba.base / "dfs" / "safe").symlink_to(rf"msdfs:{samba.host}\{samba.share}")
    forger = Forger(READ, unsigned)
    with Proxy(samba.port, forger) as proxy:
        url = f"smb://{samba.user}@{samba.host}:{proxy.port}/dfs/safe"
        with open_store(url, {**samba.options, **PATIENT}) as store:
            assert store.read("job") == CONTENT
            forger.active = True
            with pytest.raises(StoreError):
                store.read("job")
    assert forger.forged


NEGOTIATE, SESSION_SETUP, TREE_CONNECT, IOCTL = 0, 1, 3, 11


@pytest.mark.parametrize("way", [unsigned, wrongly_signed], ids=lambda way: way.__name__)
@pytest.mark.parametrize("command", [NEGOTIATE, SESSION_SETUP, TREE_CONNECT, IOCTL])
def test_nobody_on_the_way_leads_elsewhere(
    samba: Samba, command: int, way: Callable[[bytearray, int], None]
) -> None:
    """What is agreed on, which share it is, and where DFS says that it is."""
    (samba.root / "job").write_bytes(CONTENT)
    link = samba.base / "dfs" / f"forged{command}{way.__name__}"
    link.symlink_to(rf"msdfs:{samba.host}\{samba.share}")
    forger = Forger(command, way)
    forger.active = True
    with Proxy(samba.port, forger) as proxy:
        url = f"smb://{samba.user}@{samba.host}:{proxy.port}/dfs/{link.name}"
        with pytest.raises(Unavailable), open_store(url, {**samba.options, **PATIENT}) as store:
            store.read("job")
    assert forger.forged


def log_on(store: SmbStore) -> None:
    store.close()
    store.exists("job")


@pytest.mark.parametrize(
    "verb", [*VERBS.values(), log_on], ids=["look", "read", "list", "rename", "log on"]
)
def test_without_signatures_whatever_comes_is_one_error(
    samba: Samba, verb: Callable[[SmbStore], object]
) -> None:
    """Damaged answers get as far as the code that takes them apart."""
    dice = random.Random(11)
    damaging = threading.Event()

    def damage(message: bytes) -> bytes:
        return mutated(message, dice) if damaging.is_set() else message

    options = {**samba.options, "require_signing": False, "timeout": 0.5}
    with (
        Proxy(samba.port, damage) as proxy,
        open_store(samba.url, {**options, "port": proxy.port}) as store,
    ):
        for _ in range(400 if THOROUGH else 12):
            (samba.root / "w1.job").unlink(missing_ok=True)
            (samba.root / "job").write_bytes(CONTENT)
            damaging.clear()
            with contextlib.suppress(StoreError):  # the machine may be busy
                store.exists("job")
            damaging.set()
            with contextlib.suppress(StoreError):
                verb(store)


def test_a_server_of_another_kind_gets_no_room() -> None:
    """An HTTP server's ``HTTP/1.1 400`` is a frame of 1.2 GB, read as a length."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        client, _ = listener.accept()
        with client:
            client.recv(1 << 16)
            client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            client.recv(1)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    tracemalloc.start()
    try:
        with (
            listener,
            open_store(f"smb://me@127.0.0.1:{listener.getsockname()[1]}/s", {"password": "x"}) as s,
            pytest.raises(Unavailable, match="is no SMB 2 or 3 server"),
        ):
            s.exists("job")
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()
        thread.join()
