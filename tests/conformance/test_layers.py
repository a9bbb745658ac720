"""A layer changes no meaning: around the reference it passes the reference's suite."""

import pytest

from dirjobs.backends.memory import MemoryStore
from dirjobs.layers import Logged, Retrying
from dirjobs.testing import Copying, Lossy, StoreTests


class LayerTests(StoreTests):
    ROUNDS, MANY = 20, 50

    @staticmethod
    def layer(store):
        raise NotImplementedError

    @pytest.fixture
    def store(self):
        self.now = 1_000_000.0
        return self.layer(MemoryStore(clock=lambda: self.now))

    def let_time_pass(self, store, seconds):
        self.now += seconds


class TestRetrying(LayerTests):
    layer = Retrying


class TestLogged(LayerTests):
    layer = Logged


class TestLossyWithoutLosses(LayerTests):
    @staticmethod
    def layer(store):
        return Lossy(store, [])


class TestCopyingThatIsHonest(LayerTests):
    layer = Copying
