"""A filesystem of fsspec that is known to rename by one native operation keeps the contract."""

from __future__ import annotations

import functools

import pytest

from dirjobs.backends.fsspec import open_store
from dirjobs.store import Guarantees
from dirjobs.testing import StoreTests
from tests.amounts import amount

PROMISED = Guarantees(
    atomic_rename=True,
    atomic_rename_in_folder=True,
    rename_keeps_mtime=True,
    exclusive_mkdir=True,
    visible_after=0,
)
"""What is true of a local disk: all but `no_replace`."""


class TestFsspecLocal(StoreTests):
    ROUNDS = amount(20, 60)
    PROCESS_ROUNDS = amount(40, 200)

    @pytest.fixture
    def reopen(self, tmp_path):
        url = f"local://{tmp_path}/queue"
        return functools.partial(open_store, url, {"guarantees": PROMISED})

    @pytest.fixture
    def store(self, reopen):
        with reopen() as store:
            store.mkdir("")
            yield store
