"""The SMB store keeps its promises on a real Samba: plain, encrypted, signed."""

from __future__ import annotations

import functools
import os
import secrets
from collections.abc import Callable, Iterator, Mapping

import pytest
import smbclient
from smbprotocol.exceptions import SMBOSError

from dirjobs.backends.smb import SmbStore, open_store
from dirjobs.backends.smb.config import read
from dirjobs.errors import NotFound
from dirjobs.store import Store
from dirjobs.testing import StoreTests
from tests.amounts import THOROUGH, amount
from tests.servers.samba import USER_PASSWORD, Samba


@pytest.fixture(scope="module", params=["plain", "encrypted", "signed"])
def samba(request: pytest.FixtureRequest) -> Iterator[Samba]:
    with Samba(encrypt=request.param == "encrypted", sign=request.param == "signed") as server:
        yield server


class TestSmb(StoreTests):
    @pytest.fixture
    def url(self, samba: Samba) -> str:
        return f"{samba.url}/{secrets.token_hex(6)}"

    @pytest.fixture
    def store(self, samba: Samba, url: str) -> Iterator[SmbStore]:
        with open_store(url, samba.options) as opened:
            opened.mkdir("")
            yield opened

    @pytest.fixture
    def reopen(self, samba: Samba, url: str) -> Callable[[], SmbStore]:
        return functools.partial(open_store, url, samba.options)

    @pytest.fixture(autouse=True)
    def _root(self, request: pytest.FixtureRequest, samba: Samba, url: str) -> None:
        self.root = samba.root / url.rpartition("/")[2]
        if "plain" not in request.node.name:  # what the server does is the same then
            if "raced" in request.node.name and not THOROUGH:
                pytest.skip("DIRJOBS_THOROUGH=1 does this")
            self.ROUNDS, self.PROCESS_ROUNDS, self.MANY = amount(8, 20), amount(15, 40), 200

    def make_old(self, store: Store, path: str) -> None:
        os.utime(self.root / path, (1_000_000_000, 1_000_000_000))

    @pytest.fixture
    def secrets(self) -> tuple[str, ...]:
        return (USER_PASSWORD,)


class Liar(SmbStore):
    """Renames as smbclient and fsspec's ``mv`` do: open sharing everything, then rename."""

    def rename(self, src: str, dst: str) -> None:
        config = self._config
        root = rf"\\{config.host}\{config.share}\{config.folder}"
        there = [f"{root}\\{path}".replace("/", "\\") for path in (src, dst)]
        try:
            smbclient.rename(
                *there, username=config.username, password=config.password, port=config.port
            )
        except SMBOSError as error:
            raise NotFound(str(error)) from None


def open_liar(url: str, options: Mapping[str, object]) -> Liar:
    return Liar(read(url, options))


def test_the_suite_finds_out_the_rename_of_smbclient() -> None:
    with Samba() as samba, open_liar(f"{samba.url}/liar", samba.options) as store:
        store.mkdir("")
        reopen = functools.partial(open_liar, f"{samba.url}/liar", samba.options)
        with pytest.raises(AssertionError, match=r"told yes|not exactly one"):
            StoreTests().test_atomic_rename_raced_by_processes(store, reopen)
