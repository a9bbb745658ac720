"""The reference keeps every promise, with a clock that only goes on when told to."""

import pytest

from dirjobs.backends.memory import MemoryStore
from dirjobs.testing import StoreTests


class TestMemoryStore(StoreTests):
    @pytest.fixture
    def store(self):
        self.now = 1_000_000.0
        return MemoryStore(clock=lambda: self.now)

    def let_time_pass(self, store, seconds):
        self.now += seconds
