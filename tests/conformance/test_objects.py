"""The object store keeps the contract on real servers."""

from __future__ import annotations

import functools
import uuid

import pytest

from dirjobs.backends.objects import open_store
from dirjobs.testing import ObjectStoreTests
from tests.amounts import amount
from tests.servers import azurite, seaweedfs


class Served:
    ROUNDS = amount(10, 30)
    PROCESS_ROUNDS = amount(10, 60)
    MANY = 1200  # more than one page

    MEGABYTES = 20  # more than one piece

    @pytest.fixture
    def reopen(self, server):
        # Each test has a prefix of its own in the one bucket of its class.
        return functools.partial(open_store, f"{server.url}/{uuid.uuid4().hex}", server.options)

    @pytest.fixture
    def store(self, reopen):
        with reopen() as store:
            store.mkdir("")
            yield store

    @pytest.fixture
    def secrets(self, server):
        return (server.password,)


@pytest.fixture(scope="module")
def weed():
    with seaweedfs.running() as server:
        yield server


@pytest.fixture(scope="module")
def azure():
    with azurite.running() as server:
        yield server


class TestSeaweedFS(Served, ObjectStoreTests):
    @pytest.fixture
    def server(self, weed):
        return weed


class TestAzurite(Served, ObjectStoreTests):
    @pytest.fixture
    def server(self, azure):
        return azure
