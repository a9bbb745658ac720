"""Names, listings and streams."""

from __future__ import annotations

import io
import random
import threading
import unicodedata
from typing import BinaryIO, cast

import pytest

from dirjobs.errors import NotFound, StoreError, TooLarge
from dirjobs.names import same_name
from dirjobs.store import MAX_READ, FileKind, Store
from dirjobs.testing.conformance.base import Base
from dirjobs.testing.names import ODD_NAMES

NAMES = [
    *(pattern.format("a") for pattern in ODD_NAMES.values()),
    "plain.txt", "a%2Fb.txt", "50%.txt", "a|b.txt", "a\\b.txt", 'a"b.txt', "a<b>.txt", "a,b.txt",
    "a@b.txt", "a!b.txt", "$(a).txt", "`a`.txt", "-rf", "a~2.txt", "no_suffix", "two.dots.txt",
    "Ünïcödé ñ.txt", unicodedata.normalize("NFD", "übergröße.txt"), "a\u00a0b.txt",
    "CON", "nul.txt", "desktop.ini", "x" * 180, "ü" * 90,
]  # fmt: skip


class NameTests(Base):
    @pytest.mark.parametrize("name", NAMES, ids=ascii)
    def test_a_name_survives(self, store: Store, name: str) -> None:
        if problem := store.name_problem(name):
            pytest.skip(f"this store refuses the name: {problem}")
        store.mkdir("a")
        store.mkdir("b")
        store.write(f"a/{name}", name.encode())
        assert self._only_name(store, "a", name)
        assert store.read(f"a/{name}") == name.encode()
        assert store.exists(f"a/{name}")
        assert store.mtime(f"a/{name}") > 0
        claim = f"w1.{name}"
        self.move(store, f"a/{name}", f"b/{claim}")
        assert self._only_name(store, "b", claim)
        assert not store.exists(f"a/{name}")
        assert store.read(f"b/{claim}") == name.encode()
        self.move(store, f"b/{claim}", f"a/{name}")
        store.remove(f"a/{name}")
        assert self.names(store, "a") == self.names(store, "b") == set()

    def test_names_are_decoded_once(self, store: Store) -> None:
        names = [
            name for name in ("a b", "a%20b", "a%2520b", "a+b") if not store.name_problem(name)
        ]
        for name in names:
            store.write(name, name.encode())
        assert self.names(store, "") == set(names)
        assert [store.read(name) for name in names] == [name.encode() for name in names]

    @pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\nb", "a\0b", "\udcff", "x" * 300])
    def test_a_name_that_nobody_can_carry_is_reported(self, store: Store, name: str) -> None:
        assert store.name_problem(name)

    def test_a_folder_of_any_name(self, store: Store) -> None:
        for name in ("with space", "ü%41#", "漢字"):
            if not store.name_problem(name):
                store.mkdir(name)
                store.write(f"{name}/file", b"data")
                assert self.names(store, name) == {"file"}

    def _only_name(self, store: Store, folder: str, name: str) -> bool:
        [found] = self.names(store, folder)
        return same_name(found, name)


class ListTests(Base):
    def test_list_of_an_empty_folder(self, store: Store) -> None:
        assert [*store.list("")] == []
        store.mkdir("folder")
        assert [*store.list("folder")] == []

    def test_list_of_a_missing_folder(self, store: Store) -> None:
        with pytest.raises(NotFound):
            [*store.list("missing")]

    def test_list_of_a_file(self, store: Store) -> None:
        store.write("file", b"")
        with pytest.raises(StoreError):
            [*store.list("file")]

    def test_list_tells_files_from_folders(self, store: Store) -> None:
        store.mkdir("folder")
        store.mkdir("folder/inner")
        store.write("folder/file", b"")
        store.write("folder/inner/deep", b"")
        found = {entry.name: entry.kind for entry in store.list("folder")}
        assert found == {"inner": FileKind.FOLDER, "file": FileKind.FILE}

    def test_names_of_files(self, store: Store) -> None:
        store.mkdir("folder")
        store.mkdir("folder/inner")
        for name in ("b", "a"):
            store.write(f"folder/{name}", b"")
        assert sorted(store.names_of_files("folder")) == ["a", "b"]
        assert [*store.names_of_files("folder/inner")] == []
        with pytest.raises(NotFound):
            [*store.names_of_files("missing")]

    def test_list_tells_sizes_and_mtimes(self, store: Store) -> None:
        sizes = {"empty": 0, "small": 5, "big": 100_000}
        for name, size in sizes.items():
            store.write(name, b"x" * size)
        for entry in store.list(""):
            assert entry.size in (None, sizes[entry.name])
            if entry.mtime is not None:
                assert abs(entry.mtime - store.mtime(entry.name)) <= 2  # as coarse as FAT

    def test_list_shows_one_s_own_changes(self, store: Store) -> None:
        if store.guarantees.visible_after != 0:
            pytest.skip("the store doesn't promise visible_after=0")
        for number in range(5):
            store.write(f"file{number}", b"")
            assert f"file{number}" in self.names(store, "")
            self.move(store, f"file{number}", f"renamed{number}")
            assert f"file{number}" not in self.names(store, "")
            assert f"renamed{number}" in self.names(store, "")

    def test_list_of_many(self, store: Store) -> None:
        store.mkdir("many")
        for number in range(self.MANY):
            store.write(f"many/job{number}.txt", b"")
        found = [entry.name for entry in store.list("many")]
        assert sorted(found) == sorted(f"job{number}.txt" for number in range(self.MANY))

    def test_list_while_names_come_and_go(self, store: Store) -> None:
        store.mkdir("busy")
        stable = {f"stable{number}" for number in range(20)}
        for name in stable:
            store.write(f"busy/{name}", b"")
        stop = threading.Event()

        def come_and_go() -> None:
            with store.another() as other:
                while not stop.is_set():
                    for number in range(5):
                        other.write(f"busy/going{number}", b"")
                    for number in range(5):
                        other.remove(f"busy/going{number}")

        thread = threading.Thread(target=come_and_go)
        thread.start()
        try:
            for _ in range(30):
                found = [entry.name for entry in store.list("busy")]
                assert stable <= set(found)
                assert len(found) == len(set(found))
        finally:
            stop.set()
            thread.join()


class _Pipe:
    """A stream that can only go forward; it remembers the biggest piece."""

    def __init__(self, data: bytes = b"") -> None:
        self._source = io.BytesIO(data)
        self.received = io.BytesIO()
        self.biggest: float = 0

    def read(self, size: int | None = -1) -> bytes:
        self.biggest = max(self.biggest, float("inf") if size is None or size < 0 else size)
        return self._source.read(size)

    def write(self, piece: bytes) -> int:
        self.biggest = max(self.biggest, len(piece))
        return self.received.write(piece)

    def seekable(self) -> bool:
        return False

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True


class StreamTests(Base):
    def test_a_stream_arrives_whole(self, store: Store) -> None:
        data = random.Random(1).randbytes(self.MEGABYTES * 1_000_000 + 17)
        source, target = _Pipe(data), _Pipe()
        store.upload("big", cast("BinaryIO", source))
        store.download("big", cast("BinaryIO", target))
        assert target.received.getvalue() == data
        assert source.biggest <= 16 << 20, "the source was read in one piece"
        [entry] = store.list("")
        assert entry.size in (None, len(data))

    def test_reading_at_once_ends_at_its_bound(self, store: Store) -> None:
        """Whoever asks for a small file is not given somebody's large one."""
        for size in (MAX_READ, MAX_READ + 1):
            store.upload(f"file{size}", io.BytesIO(b"x" * size))
        assert len(store.read(f"file{MAX_READ}")) == MAX_READ
        with pytest.raises(TooLarge):
            store.read(f"file{MAX_READ + 1}")

    def test_upload_begins_at_the_current_position(self, store: Store) -> None:
        source = io.BytesIO(b"skipped and sent")
        source.seek(len(b"skipped "))
        store.upload("file", source)
        assert store.read("file") == b"and sent"

    def test_upload_of_nothing(self, store: Store) -> None:
        store.upload("empty", io.BytesIO())
        assert store.read("empty") == b""

    def test_upload_replaces_a_longer_file(self, store: Store) -> None:
        store.write("file", b"long content")
        store.upload("file", io.BytesIO(b"short"))
        assert store.read("file") == b"short"

    def test_download_goes_to_the_current_position(self, store: Store) -> None:
        store.write("file", b"data")
        target = io.BytesIO(b"kept ")
        target.seek(0, io.SEEK_END)
        store.download("file", target)
        assert target.getvalue() == b"kept data"

    def test_append(self, store: Store) -> None:
        if not store.appends:
            pytest.skip("the store adds to no file")
        store.write("file", b"one\n")
        for piece in (b"two\n", b"x" * 70_000, b""):
            store.append("file", piece)
        assert store.read("file") == b"one\ntwo\n" + b"x" * 70_000
        with pytest.raises(NotFound):
            store.append("missing", b"data")
        assert not store.exists("missing")

    def test_download_of_a_missing_file(self, store: Store) -> None:
        target = io.BytesIO()
        with pytest.raises(NotFound):
            store.download("missing", target)
        assert target.getvalue() == b""
