"""The SFTP store keeps its promises on real servers: OpenSSH, ProFTPD, asyncssh."""

from __future__ import annotations

import functools
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dirjobs.backends.sftp import SftpStore, open_store
from dirjobs.store import Store
from dirjobs.testing import StoreTests
from tests.amounts import amount
from tests.servers.asyncssh_server import AsyncSsh
from tests.servers.sshd import OpenSsh, ProFtpd, SshServer

SERVERS: dict[str, Callable[[Path], SshServer | AsyncSsh]] = {
    "openssh": OpenSsh,
    "proftpd": ProFtpd,
    "asyncssh": AsyncSsh,
}


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SshServer | AsyncSsh]:
    with SERVERS[request.param](tmp_path_factory.mktemp(request.param)) as running:
        yield running


class TestSftp(StoreTests):
    @pytest.fixture
    def url(self, server: SshServer | AsyncSsh) -> str:
        return f"{server.url}/{secrets.token_hex(6)}"

    @pytest.fixture
    def store(self, server: SshServer | AsyncSsh, url: str) -> Iterator[SftpStore]:
        with open_store(url, server.options) as opened:
            opened.mkdir("")
            yield opened

    @pytest.fixture
    def reopen(self, server: SshServer | AsyncSsh, url: str) -> Callable[[], SftpStore]:
        return functools.partial(open_store, url, server.options)

    @pytest.fixture(autouse=True)
    def _root(self, server: SshServer | AsyncSsh, url: str) -> None:
        self.root = server.root / url.rpartition("/")[2]
        if not isinstance(server, OpenSsh):
            self.ROUNDS, self.PROCESS_ROUNDS, self.MANY = amount(8, 20), amount(15, 40), 200

    def make_old(self, store: Store, path: str) -> None:
        os.utime(self.root / path, (1_000_000_000, 1_000_000_000))
