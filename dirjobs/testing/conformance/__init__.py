"""The conformance suite: subclass `StoreTests`, override `store`, run pytest."""

from __future__ import annotations

from dirjobs.testing.conformance.contents import ListTests, NameTests, StreamTests
from dirjobs.testing.conformance.lifecycle import LifecycleTests
from dirjobs.testing.conformance.promises import RaceTests
from dirjobs.testing.conformance.verbs import RenameTests, VerbTests

__all__ = ["StoreTests"]


class StoreTests(
    VerbTests, RenameTests, NameTests, ListTests, StreamTests, LifecycleTests, RaceTests
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
