"""Broken connections, frozen servers, restarts: nothing hangs, nothing is guessed."""

from __future__ import annotations

import contextlib
import io
import threading
import time
from collections.abc import Iterator

import pytest

from dirjobs.backends.smb import SmbStore, open_store
from dirjobs.errors import AmbiguousResult, StoreError, Unavailable
from tests.amounts import PATIENCE
from tests.servers.proxy import Proxy
from tests.servers.samba import Samba

TIMEOUT = 2.0


@pytest.fixture(scope="module")
def samba() -> Iterator[Samba]:
    with Samba() as server:
        yield server


@pytest.fixture
def proxy(samba: Samba) -> Iterator[Proxy]:
    with Proxy(samba.port) as running:
        yield running


@pytest.fixture
def store(samba: Samba, proxy: Proxy) -> Iterator[SmbStore]:
    options = {**samba.options, "port": proxy.port, "timeout": TIMEOUT}
    with open_store(samba.url, options) as opened:
        for path in samba.root.iterdir():
            path.rmdir() if path.is_dir() else path.unlink()
        opened.write("job", b"x")
        yield opened


def names(samba: Samba) -> list[str]:
    return sorted(path.name for path in samba.root.iterdir())


def test_a_killed_serving_process_is_made_good_by_the_next_call(
    samba: Samba, store: SmbStore
) -> None:
    for _ in range(3):
        assert samba.kill_serving_processes() >= 1
        with contextlib.suppress(Unavailable):
            store.exists("job")  # the end of the connection may not have reached us yet
        assert store.read("job") == b"x"


def test_a_restarted_server_is_made_good_by_the_next_call(samba: Samba) -> None:
    with open_store(samba.url, samba.options) as store:
        store.write("job", b"x")
        samba.stop()
        with pytest.raises(Unavailable):
            store.exists("job")  # the end of the connection may not have reached us yet
        with pytest.raises(Unavailable, match="connection refused"):
            store.rename("job", "never")
        samba.start()
        store.rename("job", "w1.job")
        assert store.read("w1.job") == b"x"


CHANGES = {
    "rename": lambda store: store.rename("job", "w1.job"),
    "remove": lambda store: store.remove("job"),
    "mkdir": lambda store: store.mkdir("folder"),
    "write": lambda store: store.write("new", b"x"),
    "upload": lambda store: store.upload("new", io.BytesIO(b"x")),
}
LOOKS = {
    "list": lambda store: store.list(""),
    "exists": lambda store: store.exists("job"),
    "mtime": lambda store: store.mtime("job"),
    "read": lambda store: store.read("job"),
    "download": lambda store: store.download("job", io.BytesIO()),
}


@pytest.mark.parametrize("verb", [*CHANGES, *LOOKS])
@pytest.mark.parametrize("fault", ["freeze", "cut_after_request", "drop_request"])
def test_a_lost_answer_is_ambiguous_where_it_matters(
    proxy: Proxy, store: SmbStore, verb: str, fault: str
) -> None:
    error: type[StoreError] = AmbiguousResult if verb in CHANGES else Unavailable
    getattr(proxy, fault)()
    with pytest.raises(error) as raised:
        (CHANGES | LOOKS)[verb](store)  # returns while the server is still frozen
    assert type(raised.value) is error
    proxy.thaw()
    assert store.exists("") is True


def test_a_claim_cut_before_the_answer_is_executed(
    samba: Samba, proxy: Proxy, store: SmbStore
) -> None:
    proxy.cut_after_request()
    with pytest.raises(AmbiguousResult, match=r"rename 'job' to 'w1\.job'"):
        store.rename("job", "w1.job")
    assert store.exists("w1.job")
    assert names(samba) == ["w1.job"]


def test_a_claim_cut_before_the_request_is_not(samba: Samba, proxy: Proxy, store: SmbStore) -> None:
    proxy.drop_request()
    with pytest.raises(AmbiguousResult):
        store.rename("job", "w1.job")
    assert not store.exists("w1.job")
    store.rename("job", "w1.job")


def test_a_frozen_claim_may_still_happen_and_later_calls_work(
    samba: Samba, proxy: Proxy, store: SmbStore
) -> None:
    proxy.freeze()
    with pytest.raises(AmbiguousResult, match="did not answer in time"):
        store.rename("job", "w1.job")
    with pytest.raises(Unavailable, match="does not answer"):
        store.exists("w1.job")
    proxy.thaw()
    assert store.exists("job") is not store.exists("w1.job")


def test_a_big_upload_to_a_frozen_server_ends_too(proxy: Proxy, store: SmbStore) -> None:
    """More than the send buffers hold: here a thread is blocked in sending."""

    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            proxy.freeze()
            return bytes(size)

    with pytest.raises(AmbiguousResult):
        store.upload("big", Endless())  # type: ignore[arg-type]
    proxy.thaw()
    assert store.exists("job")


def test_an_upload_cut_before_its_end_is_not_taken_for_finished(
    proxy: Proxy, store: SmbStore
) -> None:
    class Cutting(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            piece = super().read(size)
            if not piece:
                proxy.cut()
                wait_for_the_end()
            return piece

    def wait_for_the_end() -> None:
        for thread in threading.enumerate():
            if thread.name == f"msg_worker-127.0.0.1:{proxy.port}":
                thread.join(PATIENCE)

    with pytest.raises(AmbiguousResult, match="upload 'big'"):
        store.upload("big", Cutting(b"x"))
    assert store.exists("big")


def test_a_server_that_takes_the_connection_and_says_nothing(samba: Samba) -> None:
    with Proxy(samba.port) as proxy:
        proxy.freeze()
        options = {**samba.options, "port": proxy.port, "timeout": TIMEOUT}
        with (
            open_store(samba.url, options) as store,
            pytest.raises(Unavailable, match="takes the connection but does not answer"),
        ):
            store.exists("")


@pytest.mark.parametrize("request_number", [1, 2, 3, 4])
def test_a_logon_that_freezes_or_breaks_is_unavailable(samba: Samba, request_number: int) -> None:
    with Proxy(samba.port) as proxy:
        options = {**samba.options, "port": proxy.port, "timeout": TIMEOUT}
        with open_store(samba.url, options) as store:
            proxy.cut_after_request(request_number)
            with pytest.raises(Unavailable):
                store.rename("a", "b") if request_number < 4 else store.list("")
            assert store.exists("")
        with open_store(samba.url, options) as store:
            proxy.freeze_at_request(request_number)
            with pytest.raises(Unavailable):
                store.list("")
            proxy.thaw()
            assert store.exists("")


def receivers() -> int:
    """smbprotocol has one receiving thread for each connection."""
    return sum(thread.name.startswith("msg_worker") for thread in threading.enumerate())


def wait_for_receivers(count: int) -> None:
    """A receiver ends when it sees that its connection has: that may take a moment."""
    deadline = time.monotonic() + PATIENCE
    while receivers() > count:
        assert time.monotonic() < deadline, f"{receivers()} receivers instead of {count}"
        time.sleep(0.01)


def test_no_threads_or_connections_are_left_behind(samba: Samba) -> None:
    before = receivers()
    with open_store(samba.url, samba.options) as store:
        for _ in range(3):
            other = store.another()
            assert other.exists("")
            other.close()
        worker = threading.Thread(target=store.exists, args=("",))
        worker.start()
        worker.join()
    wait_for_receivers(before)


def test_a_thread_that_ends_gives_its_connection_back(samba: Samba) -> None:
    with open_store(samba.url, samba.options) as store:
        assert store.exists("")
        before = receivers()
        for _ in range(5):
            worker = threading.Thread(target=store.exists, args=("",))
            worker.start()
            worker.join()
        wait_for_receivers(before)


def test_using_a_closed_store_connects_again(samba: Samba) -> None:
    store = open_store(samba.url, samba.options)
    store.close()
    assert store.exists("")
    store.close()
    store.close()
    assert store.exists("")
    store.close()
