"""Any fsspec filesystem keeps the contract, promising nothing."""

from __future__ import annotations

import functools
import uuid

import pytest

from dirjobs.backends.fsspec import FsspecStore, open_store
from dirjobs.layers import Retrying
from dirjobs.testing import StoreTests


class TestFsspecMemory(StoreTests):
    @pytest.fixture
    def store(self):
        # Its listing fails when a name goes away meanwhile: every client must repeat it.
        store = Retrying(open_store(f"memory://dirjobs-{uuid.uuid4().hex}", {}))
        store.mkdir("")
        return store


class TestFsspecLocal(StoreTests):
    @pytest.fixture
    def url(self, tmp_path):
        return f"file://{tmp_path}/queue"

    @pytest.fixture
    def store(self, url):
        store = open_store(url, {})
        store.mkdir("")
        return store

    @pytest.fixture
    def reopen(self, url):
        return functools.partial(open_store, url, {})


def test_two_stores_share_no_filesystem():
    one, two = open_store("memory://x", {}), open_store("memory://x", {})
    assert one._fs is not two._fs
    assert isinstance(one.another(), FsspecStore)
