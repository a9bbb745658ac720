"""What is different where nothing can be renamed."""

from __future__ import annotations

import io

import pytest

from dirjobs.errors import Unsupported
from dirjobs.store import Store
from dirjobs.testing.conformance.base import Base


class NoRenameTests(Base):
    def move(self, store: Store, src: str, dst: str) -> None:
        """Give a file another name, in three steps, as nobody else looks."""
        store.create(dst, store.read(src))
        store.remove(src)

    def test_it_says_what_it_can(self, store: Store) -> None:
        promised = store.guarantees
        assert promised.exclusive_create, "a queue on a store without a rename rests on it"
        assert not (promised.atomic_rename or promised.atomic_rename_in_folder)
        assert promised.visible_after == 0, "a queue there rests on fresh listings"

    def test_it_renames_nothing(self, store: Store) -> None:
        store.write("file", b"data")
        with pytest.raises(Unsupported):
            store.rename("file", "other")
        assert self.names(store, "") == {"file"}
        assert store.read("file") == b"data"

    def test_a_folder_comes_with_its_first_file(self, store: Store) -> None:
        store.write("written/file", b"1")
        store.create("created/file", b"2")
        store.upload("uploaded/file", io.BytesIO(b"3"))
        assert {"written", "created", "uploaded"} <= self.names(store, "")
        assert self.names(store, "created") == {"file"}
        assert store.exists("uploaded")

    def test_an_empty_folder_stays(self, store: Store) -> None:
        store.mkdir("folder")
        store.write("folder/file", b"")
        store.remove("folder/file")
        assert [*store.list("folder")] == []
        assert store.exists("folder")
