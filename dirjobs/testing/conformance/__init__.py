"""The conformance suite: subclass `StoreTests`, override `store`, run pytest."""

from __future__ import annotations

from dirjobs.testing.conformance.contents import ListTests, NameTests, StreamTests
from dirjobs.testing.conformance.lifecycle import LifecycleTests
from dirjobs.testing.conformance.objects import NoRenameTests
from dirjobs.testing.conformance.promises import RaceTests
from dirjobs.testing.conformance.verbs import CreateTests, FolderTests, RenameTests, VerbTests

__all__ = ["ObjectStoreTests", "StoreTests"]


class StoreTests(
    VerbTests,
    FolderTests,
    RenameTests,
    CreateTests,
    NameTests,
    ListTests,
    StreamTests,
    LifecycleTests,
    RaceTests,
):
    """What every store must do, and a race for every promise that it makes.

        class TestMyStore(StoreTests):
            @pytest.fixture
            def store(self, tmp_path):
                return MyStore(tmp_path)

            @pytest.fixture
            def reopen(self, tmp_path):
                return functools.partial(MyStore, tmp_path)  # for races of processes

    Override `secrets` with the passwords that the store was given, `let_time_pass` if it
    has a clock of its own, and the numbers of rounds if it is slow.
    """


class ObjectStoreTests(
    NoRenameTests, VerbTests, CreateTests, NameTests, ListTests, StreamTests, LifecycleTests,
    RaceTests,
):  # fmt: skip
    """The same for a store without a rename, of which `Guarantees.exclusive_create` is asked.

    Its folders may come with the first file in them.
    """
