"""The WebDAV store keeps the contract on real servers; there it is told what they can."""

from __future__ import annotations

import functools
import os
import time
import uuid

import pytest

from dirjobs.backends.webdav import open_store
from dirjobs.layers import Retrying
from dirjobs.store import Guarantees
from dirjobs.testing import StoreTests
from dirjobs.testing.conformance.promises import RaceTests
from tests.amounts import amount
from tests.fake_webdav import PERSONALITIES, FakeWebDAV
from tests.servers import apache, wsgidav

# Measured: of the racers of a MOVE exactly one wins on both; MKCOL is exclusive.
TOLD = Guarantees(
    atomic_rename=True,
    atomic_rename_in_folder=True,
    rename_keeps_mtime=True,
    exclusive_mkdir=True,
    visible_after=0,
)


class Served:
    ROUNDS = amount(20, 30)
    PROCESS_ROUNDS = amount(25, 50)
    MANY = amount(200, 300)
    OPEN = staticmethod(open_store)

    @pytest.fixture
    def reopen(self, server):
        # Each test has a folder of its own on the one server of its class.
        options = {"username": server.user, "password": server.password, "guarantees": TOLD}
        if server.ca:
            options["ca"] = str(server.ca)
        self.folder = uuid.uuid4().hex
        return functools.partial(self.OPEN, f"{server.url}/{self.folder}", options)

    @pytest.fixture
    def store(self, reopen):
        with reopen() as store:
            store.mkdir("")
            yield store

    @pytest.fixture
    def secrets(self, server):
        return (server.password,)

    @pytest.fixture(autouse=True)
    def _server(self, server):
        self.at = server


class Files(Served):
    """Served from files, which can be made old without waiting."""

    def make_old(self, store, path):
        os.utime(self.at.root / self.folder / path, (1_000_000_000, 1_000_000_000))


class Fake(Served):
    """Served by a server whose clock can be set."""

    def let_time_pass(self, store, seconds):
        self.at.time.ahead += seconds


@pytest.fixture(scope="module")
def apache_basic():
    with apache.running() as server:
        yield server


@pytest.fixture(scope="module")
def apache_digest_tls():
    with apache.running(auth="digest", tls=True) as server:
        yield server


@pytest.fixture(scope="module")
def wsgidav_server():
    with wsgidav.running() as server:
        yield server


class TestApacheBasic(Files, StoreTests):
    @pytest.fixture
    def server(self, apache_basic):
        return apache_basic


class TestApacheDigestTls(Files, StoreTests):
    @pytest.fixture
    def server(self, apache_digest_tls):
        return apache_digest_tls


def open_and_retry(url, options):
    return Retrying(open_store(url, options))


class TestWsgiDav(Files, StoreTests):
    """It answers 500 to a listing in which a name goes away: every client must repeat it."""

    OPEN = staticmethod(open_and_retry)

    @pytest.fixture
    def server(self, wsgidav_server):
        return wsgidav_server


class Clock:
    """The time, and what was added to it."""

    ahead = 0.0

    def __call__(self):
        return time.time() + self.ahead


def fake(personality):
    login = {"user": "worker", "password": "s3cret"}
    clock = Clock()
    with FakeWebDAV(PERSONALITIES[personality], clock=clock, **login) as server:
        server.user, server.password, server.ca = "worker", "s3cret", None
        server.time = clock
        yield server
        server.check()


@pytest.fixture(scope="module")
def fake_atomic():
    yield from fake("atomic")


@pytest.fixture(scope="module")
def fake_go():
    yield from fake("go")


class TestFakeAtomic(Fake, StoreTests):
    @pytest.fixture
    def server(self, fake_atomic):
        return fake_atomic


class TestFakeGo(Fake, RaceTests):
    """Losers are told 403 or 423, and so is who renames what never was: nobody knows."""

    @pytest.fixture
    def server(self, fake_go):
        return fake_go
