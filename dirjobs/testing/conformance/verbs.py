"""Each verb by itself, and each error."""

from __future__ import annotations

import io

import pytest

from dirjobs.errors import AlreadyExists, AmbiguousResult, NotFound, StoreError, Unsupported
from dirjobs.store import Store
from dirjobs.testing.conformance.base import Base


class VerbTests(Base):
    def test_read_gives_what_write_wrote(self, store: Store) -> None:
        for data in (b"", b"one\r\ntwo\n\0\xff", b"x" * 70_000):
            store.write("file", data)
            assert store.read("file") == data

    def test_write_replaces_a_longer_file(self, store: Store) -> None:
        store.write("file", b"long content")
        store.write("file", b"short")
        assert store.read("file") == b"short"
        assert self.names(store, "") == {"file"}, "a draft was left behind"

    def test_read_of_a_missing_file(self, store: Store) -> None:
        for path in ("missing", "missing/file"):
            with pytest.raises(NotFound):
                store.read(path)

    def test_read_of_a_folder(self, store: Store) -> None:
        store.mkdir("folder")
        with pytest.raises(StoreError):
            store.read("folder")

    def test_exists(self, store: Store) -> None:
        store.mkdir("folder")
        store.write("folder/file", b"")
        assert store.exists("")
        assert store.exists("folder")
        assert store.exists("folder/file")
        assert not store.exists("folder/other")
        assert not store.exists("missing/file")
        assert not store.exists("folder/file/below")

    def test_mtime_of_a_missing_file(self, store: Store) -> None:
        with pytest.raises(NotFound):
            store.mtime("missing")

    def test_mtime_is_the_time_of_the_last_write(self, store: Store) -> None:
        store.write("file", b"1")
        self.make_old(store, "file")
        old = store.mtime("file")
        store.write("file", b"2")
        assert store.mtime("file") > old

    def test_remove(self, store: Store) -> None:
        store.write("file", b"")
        store.write("other", b"")
        store.remove("file")
        assert not store.exists("file")
        assert self.names(store, "") == {"other"}

    def test_remove_of_a_missing_file(self, store: Store) -> None:
        for path in ("missing", "missing/file"):
            with pytest.raises(NotFound):
                store.remove(path)

    def test_remove_never_deletes_a_folder(self, store: Store) -> None:
        store.mkdir("empty")
        store.mkdir("full")
        store.write("full/file", b"data")
        for folder in ("empty", "full"):
            with pytest.raises(StoreError):
                store.remove(folder)
        assert self.names(store, "") == {"empty", "full"}
        assert store.read("full/file") == b"data"

    def test_rmdir_takes_an_empty_folder_and_nothing_else(self, store: Store) -> None:
        store.mkdir("empty")
        store.mkdir("full")
        store.write("full/file", b"data")
        try:
            store.rmdir("empty")
        except Unsupported:
            pytest.skip("the store removes no folders")
        with pytest.raises(NotFound):
            store.rmdir("empty")
        for path in ("full", "full/file"):
            with pytest.raises(StoreError):
                store.rmdir(path)
        assert self.names(store, "") == {"full"}
        assert store.read("full/file") == b"data"

    def test_mkdir(self, store: Store) -> None:
        store.mkdir("one")
        store.mkdir("one/two")
        assert [*store.list("one/two")] == []
        assert self.names(store, "one") == {"two"}

    def test_mkdir_of_an_existing_folder(self, store: Store) -> None:
        store.mkdir("folder")
        store.write("folder/file", b"data")
        if store.guarantees.exclusive_mkdir:
            with pytest.raises(AlreadyExists):
                store.mkdir("folder")
        assert store.read("folder/file") == b"data"

    def test_mkdir_of_an_existing_file(self, store: Store) -> None:
        store.write("file", b"data")
        with pytest.raises(StoreError):
            store.mkdir("file")
        assert store.read("file") == b"data"

    def test_mkdir_needs_the_parent(self, store: Store) -> None:
        with pytest.raises(NotFound):
            store.mkdir("missing/folder")
        assert not store.exists("missing")

    def test_mkdir_of_the_existing_root(self, store: Store) -> None:
        store.write("file", b"data")
        if store.guarantees.exclusive_mkdir:
            with pytest.raises(AlreadyExists):
                store.mkdir("")
        assert store.read("file") == b"data"

    @pytest.mark.parametrize("path", ["../x", "/x", "a//b", "a/", "./x", "a/../b", ".", "a\0b"])
    def test_a_malformed_path_is_refused(self, store: Store, path: str) -> None:
        store.mkdir("a")
        store.write("file", b"data")
        for use in (store.list, store.exists, store.mtime, store.read, store.remove, store.mkdir):
            with pytest.raises(ValueError, match="path"):
                list(use(path) or ())  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="path"):
            store.write(path, b"")
        with pytest.raises(ValueError, match="path"):
            store.rename("file", path)
        with pytest.raises(ValueError, match="path"):
            store.stat(path)
        with pytest.raises(ValueError, match="path"):
            store.rename(path, "other")
        assert store.read("file") == b"data"


class CreateTests(Base):
    """Skipped where the store does not promise `exclusive_create`."""

    @pytest.fixture
    def creates(self, store: Store) -> None:
        if not store.guarantees.exclusive_create:
            pytest.skip("the store doesn't promise exclusive_create")

    @pytest.mark.usefixtures("creates")
    def test_create_makes_a_file(self, store: Store) -> None:
        store.mkdir("a")
        for name, data in (("empty", b""), ("full", b"one\r\n\0\xff" * 1000)):
            store.create(f"a/{name}", data)
            assert store.read(f"a/{name}") == data
        assert self.names(store, "a") == {"empty", "full"}

    @pytest.mark.usefixtures("creates")
    def test_create_replaces_nothing(self, store: Store) -> None:
        store.write("written", b"one")
        store.create("created", b"one")
        for name in ("written", "created"):
            for data in (b"two", b"one", b""):
                with pytest.raises(AlreadyExists):
                    store.create(name, data)
            assert store.read(name) == b"one"

    @pytest.mark.usefixtures("creates")
    def test_what_was_removed_may_be_created_again(self, store: Store) -> None:
        for turn in range(3):
            store.create("file", b"%d" % turn)
            assert store.read("file") == b"%d" % turn
            store.remove("file")

    def test_stat_tells_what_a_listing_tells(self, store: Store) -> None:
        store.mkdir("a")
        store.write("a/file", b"12345")
        [listed], told = store.list("a"), store.stat("a/file")
        assert (told.name, told.kind, told.tag) == (listed.name, listed.kind, listed.tag)
        assert told.size in (None, 5)
        if told.mtime is not None and listed.mtime is not None:
            assert abs(told.mtime - listed.mtime) < 1
        store.write("a/file", b"54321")
        assert told.tag is None or store.stat("a/file").tag != told.tag
        for path in ("a/missing", "missing", "missing/file"):
            with pytest.raises(NotFound):
                store.stat(path)


class FolderTests(Base):
    """There are folders, and a file is in one that was made."""

    def test_write_needs_the_folder(self, store: Store) -> None:
        with pytest.raises(NotFound):
            store.write("missing/file", b"data")
        assert not store.exists("missing")

    def test_write_does_not_replace_a_folder(self, store: Store) -> None:
        store.mkdir("folder")
        store.write("folder/file", b"data")
        with pytest.raises(StoreError):
            store.write("folder", b"data")
        assert store.read("folder/file") == b"data"
        assert self.names(store, "") == {"folder"}

    def test_upload_needs_the_folder(self, store: Store) -> None:
        with pytest.raises(NotFound):
            store.upload("missing/file", io.BytesIO(b"data"))


class RenameTests(Base):
    @pytest.fixture
    def folders(self, store: Store) -> None:
        store.mkdir("a")
        store.mkdir("b")

    @pytest.mark.usefixtures("folders")
    @pytest.mark.parametrize("target", ["a/new", "b/new"])
    def test_rename_keeps_the_bytes(self, store: Store, target: str) -> None:
        for data in (b"", bytes(range(256)) * 300):
            store.write("a/old", data)
            store.rename("a/old", target)
            assert not store.exists("a/old")
            assert "old" not in self.names(store, "a")
            assert store.read(target) == data
            store.remove(target)

    @pytest.mark.usefixtures("folders")
    @pytest.mark.parametrize("target", ["a/taken", "b/taken"])
    def test_rename_never_replaces(self, store: Store, target: str) -> None:
        store.write("a/file", b"one")
        store.write(target, b"two")
        with pytest.raises(AlreadyExists):
            store.rename("a/file", target)
        assert store.read("a/file") == b"one"
        assert store.read(target) == b"two"

    @pytest.mark.usefixtures("folders")
    def test_rename_never_replaces_a_folder(self, store: Store) -> None:
        store.mkdir("b/taken")
        store.write("a/file", b"one")
        with pytest.raises(StoreError):
            store.rename("a/file", "b/taken")
        assert store.read("a/file") == b"one"
        assert [*store.list("b/taken")] == []

    @pytest.mark.usefixtures("folders")
    def test_rename_to_itself_is_refused(self, store: Store) -> None:
        store.write("a/file", b"one")
        with pytest.raises(StoreError):
            store.rename("a/file", "a/file")
        assert store.read("a/file") == b"one"

    @pytest.mark.usefixtures("folders")
    @pytest.mark.parametrize("target", ["a/new", "b/new"])
    def test_rename_of_a_missing_file(self, store: Store, target: str) -> None:
        with pytest.raises(NotFound):
            store.rename("a/missing", target)
        assert not store.exists(target)
        assert self.names(store, "a") == self.names(store, "b") == set()

    @pytest.mark.usefixtures("folders")
    def test_rename_from_a_missing_folder(self, store: Store) -> None:
        with pytest.raises(NotFound):
            store.rename("missing/file", "b/new")
        assert self.names(store, "b") == set()

    @pytest.mark.usefixtures("folders")
    def test_rename_into_a_missing_folder(self, store: Store) -> None:
        store.write("a/file", b"one")
        with pytest.raises((NotFound, AmbiguousResult)):
            store.rename("a/file", "missing/file")
        assert store.read("a/file") == b"one"

    @pytest.mark.usefixtures("folders")
    def test_an_error_that_names_the_file(self, store: Store) -> None:
        with pytest.raises(NotFound, match="my-missing"):
            store.rename("a/my-missing", "b/new")
