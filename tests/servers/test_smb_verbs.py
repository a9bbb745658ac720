"""Every verb against a real Samba: plain, encrypted, signed."""

from __future__ import annotations

import io
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dirjobs.backends.smb import SmbStore, open_store
from dirjobs.errors import AlreadyExists, Busy, Denied, NotFound, Unsupported
from dirjobs.store import MAX_READ, Entry, FileKind
from tests.amounts import PATIENCE, amount
from tests.servers.proxy import Proxy
from tests.servers.samba import Samba, needed


@pytest.fixture(scope="module", params=["plain", "encrypted", "signed"])
def samba(request: pytest.FixtureRequest) -> Iterator[Samba]:
    with Samba(encrypt=request.param == "encrypted", sign=request.param == "signed") as server:
        yield server


@pytest.fixture
def store(samba: Samba, request: pytest.FixtureRequest) -> Iterator[SmbStore]:
    folder = f"{samba.url}/{abs(hash(request.node.nodeid))}"
    with open_store(folder, samba.options) as opened:
        opened.mkdir("")
        yield opened


def test_a_file_is_written_read_renamed_and_removed(store: SmbStore) -> None:
    store.write("a.txt", b"one")
    store.write("a.txt", b"another")
    assert store.read("a.txt") == b"another"
    mtime = store.mtime("a.txt")
    store.rename("a.txt", "b.txt")
    assert store.mtime("b.txt") == mtime
    (entry,) = store.list("")
    assert entry == Entry("b.txt", mtime, 7, FileKind.FILE)
    store.remove("b.txt")
    assert not store.exists("b.txt")
    assert list(store.list("")) == []


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 3_000_001])
def test_any_size_comes_back_as_it_was(store: SmbStore, size: int) -> None:
    data = os.urandom(size)
    store.write("written", data)
    store.upload("uploaded", io.BytesIO(data))
    for name in ("written", "uploaded"):
        target = io.BytesIO()
        store.download(name, target)
        assert target.getvalue() == data
        if size <= MAX_READ:
            assert store.read(name) == data
    assert {(e.name, e.size) for e in store.list("")} == {("written", size), ("uploaded", size)}


def test_a_shorter_upload_leaves_nothing_of_a_longer_one(store: SmbStore) -> None:
    store.upload("a", io.BytesIO(b"long" * 1000))
    store.upload("a", io.BytesIO(b"short"))
    assert store.read("a") == b"short"


def test_rename_tells_what_is_missing_and_what_is_in_the_way(store: SmbStore) -> None:
    store.write("a", b"a")
    store.write("b", b"b")
    store.mkdir("folder")
    with pytest.raises(AlreadyExists):
        store.rename("a", "b")
    with pytest.raises(AlreadyExists):
        store.rename("a", "a")
    with pytest.raises(AlreadyExists):
        store.rename("a", "folder")
    with pytest.raises(NotFound):
        store.rename("c", "c")
    with pytest.raises(NotFound):
        store.rename("c", "d")
    with pytest.raises(NotFound):
        store.rename("missing/c", "d")
    with pytest.raises(NotFound):
        store.rename("a", "missing/d")
    with pytest.raises(Denied):
        store.rename("folder", "folder2")
    assert (store.read("a"), store.read("b")) == (b"a", b"b")


def test_missing_things_are_not_found(store: SmbStore) -> None:
    for verb in (store.list, store.mtime, store.read, store.remove):
        with pytest.raises(NotFound):
            verb("missing")
    with pytest.raises(NotFound):
        store.write("missing/a", b"")
    with pytest.raises(NotFound):
        store.upload("missing/a", io.BytesIO())
    with pytest.raises(NotFound):
        store.mkdir("missing/a")
    assert not store.exists("missing")
    assert not store.exists("missing/a")


def test_mkdir_is_exclusive_and_remove_spares_folders(store: SmbStore) -> None:
    store.mkdir("folder")
    with pytest.raises(AlreadyExists):
        store.mkdir("folder")
    with pytest.raises(AlreadyExists):
        store.mkdir("")
    with pytest.raises(Denied):
        store.remove("folder")
    assert [entry.kind for entry in store.list("")] == [FileKind.FOLDER]


@pytest.mark.parametrize("name", ["a:b", "a*b", "a?b", 'a"b', "a|b", "a<b", "a\\b", "a.", "a "])
def test_names_that_windows_mangles_are_refused(store: SmbStore, name: str) -> None:
    assert store.name_problem(name)
    with pytest.raises(Unsupported, match="no name for an SMB share"):
        store.write(name, b"")
    assert list(store.list("")) == []


@pytest.mark.parametrize("name", ["ä ö.txt", "日本.txt", "emoji \N{PILE OF POO}", "a#b%20c&d;e"])
def test_other_names_come_back_as_they_were(store: SmbStore, name: str) -> None:
    store.write(name, b"x")
    store.rename(name, f"w1.{name}")
    assert [entry.name for entry in store.list("")] == [f"w1.{name}"]


def test_symbolic_links_out_of_the_share_are_no_jobs(samba: Samba, store: SmbStore) -> None:
    folder = samba.root / store.url.rpartition("/")[2]
    (folder / "link").symlink_to("/etc/hostname")
    assert [e for e in store.list("") if e.kind is FileKind.FILE] == []


def test_a_large_folder_is_listed_whole(samba: Samba, store: SmbStore) -> None:
    folder = samba.root / store.url.rpartition("/")[2]
    names = {f"{'n' * 180}{number:06}" for number in range(amount(5_000, 20_000))}
    for name in names:
        (folder / name).touch()
    found = [entry.name for entry in store.list("")]
    assert len(found) == len(names)
    assert set(found) == names


def test_readers_do_not_block_a_claim_and_writers_do(store: SmbStore) -> None:
    store.upload("read", io.BytesIO(b"x" * 3_000_000))
    store.write("written", b"")
    at_the_target = threading.Event()
    go_on = threading.Event()

    class Slow(io.BytesIO):
        def write(self, data: object) -> int:
            at_the_target.set()
            assert go_on.wait(PATIENCE)
            return 0

        def read(self, size: int | None = -1) -> bytes:
            first = not at_the_target.is_set()
            at_the_target.set()
            assert go_on.wait(PATIENCE) if not first else True
            return b"x" if first else b""

    reader = threading.Thread(target=store.download, args=("read", Slow()))
    reader.start()
    assert at_the_target.wait(PATIENCE)
    store.rename("read", "claimed")
    go_on.set()
    reader.join()

    at_the_target.clear()
    go_on.clear()
    writer = threading.Thread(target=store.upload, args=("written", Slow()))
    writer.start()
    assert at_the_target.wait(PATIENCE)
    with pytest.raises(Busy):
        store.rename("written", "claimed2")
    go_on.set()
    writer.join()
    store.rename("written", "claimed2")


def test_a_file_is_replaced_as_soon_as_its_reader_lets_go(samba: Samba, store: SmbStore) -> None:
    store.upload("a", io.BytesIO(b"x" * 3_000_000))
    reading = threading.Event()
    pieces: list[bytes] = []

    class Slow(io.BytesIO):
        def write(self, data: object) -> int:
            if not reading.is_set():
                reading.set()
                writer.start()
            assert isinstance(data, bytes)
            pieces.append(data)
            return len(data)

    writer = threading.Thread(target=store.write, args=("a", b"new"))
    store.download("a", Slow())
    writer.join()
    assert b"".join(pieces) == b"x" * 3_000_000
    assert store.read("a") == b"new"
    assert [entry.name for entry in store.list("")] == ["a"]


def test_readers_see_the_old_or_the_new_content(store: SmbStore) -> None:
    contents = [bytes([65 + number]) * 5000 for number in range(8)]
    store.write("a", contents[0])
    stop = threading.Event()
    seen: set[bytes] = set()

    def look() -> None:
        while not stop.is_set():
            seen.add(store.read("a"))

    reader = threading.Thread(target=look)
    reader.start()
    for round_ in range(40):
        store.write("a", contents[round_ % 8])
    stop.set()
    reader.join()
    assert seen <= set(contents)


def test_a_rename_a_look_and_a_listing_cost_one_round_trip_each(samba: Samba) -> None:
    with (
        Proxy(samba.port) as proxy,
        open_store(f"{samba.url}/trips", {**samba.options, "port": proxy.port}) as store,
    ):
        store.mkdir("")
        for number in range(100):
            store.write(str(number), b"x")
        store.list("")
        before = proxy.requests
        for number in range(100):
            store.rename(str(number), f"w1.{number}")
        assert proxy.requests - before == 100
        for number in range(10):
            store.exists(f"w1.{number}")
            store.mtime(f"w1.{number}")
            store.read(f"w1.{number}")
            store.list("")
        assert proxy.requests - before == 140


def test_what_another_program_has_open_is_busy_until_it_closes(
    samba: Samba, store: SmbStore, tmp_path: Path
) -> None:
    """Samba's own client shares reads and writes but no deletes with others: so it would
    be on any server, for a rename needs the right to delete."""
    store.upload("a", io.BytesIO(b"x" * 3_000_000))
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    folder = store.url.rpartition("/")[2]
    client = subprocess.Popen(
        [needed("smbclient"), f"//{samba.host}/{samba.share}", "-p", str(samba.port),
         "-U", samba.user, "--password", samba.password, "-s", "/dev/null",
         "-c", f'get "{folder}\\a" {fifo}'],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with fifo.open("rb") as pipe:
        assert pipe.read(1) == b"x"
        with pytest.raises(Busy):
            store.rename("a", "b")
        pipe.read()
    assert client.wait(PATIENCE) == 0
    store.rename("a", "b")
