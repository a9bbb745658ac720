"""The local store keeps every promise."""

import functools
import os

import pytest

from dirjobs.backends.posix.store import PosixStore
from dirjobs.testing import StoreTests


class TestPosixStore(StoreTests):
    @pytest.fixture
    def store(self, tmp_path):
        return PosixStore(os.fspath(tmp_path))

    @pytest.fixture
    def reopen(self, tmp_path):
        return functools.partial(PosixStore, os.fspath(tmp_path))
