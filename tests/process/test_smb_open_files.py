"""Jobs that other programs have open: who blocks a claim, and who doesn't."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import smbclient

from dirjobs import DirJobs
from dirjobs.errors import Busy
from dirjobs.layers import Layer
from dirjobs.layout import RUNNING, WAITING
from dirjobs.registry import open_store
from tests.amounts import PATIENCE, amount
from tests.process.drain import Drain, wait_until
from tests.servers.child import die_with_parent
from tests.servers.samba import Samba, needed

BIG = 3_000_000
"""Bytes that no pipe holds: whoever copies them into one has the file open until we read."""


@pytest.fixture(scope="module")
def samba() -> Iterator[Samba]:
    with Samba() as server:
        yield server
        smbclient.reset_connection_cache()


@pytest.fixture
def url(samba: Samba) -> str:
    return f"{samba.url}/{secrets.token_hex(6)}"


@pytest.fixture
def drain(samba: Samba, url: str, tmp_path: Path) -> Iterator[Drain]:
    root = samba.root / url.rpartition("/")[2]
    with Drain(tmp_path, root, jobsdir=url, storage_options=samba.options) as running:
        yield running


Opener = Callable[..., AbstractContextManager[Any]]


@pytest.fixture
def opened(samba: Samba, url: str) -> Opener:
    """Opens a file of the queue as another Python program does: `opened(path, share)`."""

    def opened(path: str, share: str, mode: str = "rb") -> AbstractContextManager[Any]:
        folder = url.rpartition("/")[2]
        unc = rf"\\{samba.host}\{samba.share}\{folder}\{path}".replace("/", "\\")
        handle: AbstractContextManager[Any] = smbclient.open_file(
            unc, mode=mode, share_access=share,
            username=samba.user, password=samba.password, port=samba.port,
        )  # fmt: skip
        return handle

    return opened


@contextmanager
def samba_client(samba: Samba, command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Samba's own client, carrying out `command`."""
    client = subprocess.Popen(
        [needed("smbclient"), f"//{samba.host}/{samba.share}", "-p", str(samba.port),
         "-U", samba.user, "-s", "/dev/null", "-c", command],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "PASSWD": samba.password}, preexec_fn=die_with_parent,
    )  # fmt: skip
    try:
        yield client
    finally:
        client.kill()
        client.wait()


def test_readers_that_share_deletes_block_nobody(drain: Drain, opened: Opener) -> None:
    jobs = [f"job{number}.txt" for number in range(100)]
    drain.put(*jobs)
    drain.may_end()
    readers = [opened(f"{WAITING}/{name}", "rwd") for name in jobs[::10]]
    drain.start(4)
    drain.end()
    drain.check(*jobs)
    for reader in readers:
        reader.__exit__(None, None, None)


@pytest.mark.parametrize(
    ("mode", "share"), [("rb", "r"), ("r+b", "rw"), ("rb", "rw"), ("r+b", "r")][: amount(2, 4)]
)
def test_other_readers_and_writers_keep_their_jobs_until_they_close(
    drain: Drain, opened: Opener, mode: str, share: str
) -> None:
    """Everybody else's jobs are done meanwhile."""
    jobs = [f"job{number}.txt" for number in range(60)]
    drain.put(*jobs)
    held = jobs[::20]
    holders = [opened(f"{WAITING}/{name}", share, mode) for name in held]
    drain.start(4)
    wait_until(lambda: len(drain.names("02_done")) == len(jobs) - len(held))
    assert drain.names(WAITING) == sorted(held)
    assert not set(held) & set(drain.starts())
    for holder in holders:
        holder.__exit__(None, None, None)
    drain.end()
    drain.check(*jobs)


def test_a_writer_that_shares_everything_keeps_its_job_too(drain: Drain, opened: Opener) -> None:
    """Its job is still growing, so the claim does not share writing with it."""
    with opened(f"{WAITING}/job1.txt", "rwd", "xb") as writer:
        writer.write(b"half")
        writer.flush()
        drain.put("job2.txt")
        drain.start(2)
        wait_until(lambda: drain.names("02_done") == ["job2.txt"])
        assert drain.names(WAITING) == ["job1.txt"]
        writer.write(b" and half")
    drain.end()
    assert (drain.root / "02_done" / "job1.txt").read_bytes() == b"half and half"
    assert drain.starts() == {"job1.txt": 1, "job2.txt": 1}


def test_what_the_samba_client_reads_and_writes_waits(
    samba: Samba, drain: Drain, tmp_path: Path
) -> None:
    """`get` and `put` of smbclient share no deletes: the jobs are taken when it is through."""
    (drain.root / WAITING / "read.txt").write_bytes(b"r" * BIG)
    reads, writes = tmp_path / "reads", tmp_path / "writes"
    os.mkfifo(reads)
    os.mkfifo(writes)
    folder = f"{drain.root.name}\\{WAITING}"
    with (
        samba_client(samba, f'get "{folder}\\read.txt" {reads}') as getting,
        samba_client(samba, f'put {writes} "{folder}\\written.txt"') as putting,
    ):
        with reads.open("rb") as source, writes.open("wb") as target:
            assert source.read(1) == b"r"
            target.write(b"w" * BIG)
            wait_until(lambda: "written.txt" in drain.names(WAITING))
            drain.put("job.txt")
            drain.start(2)
            wait_until(lambda: drain.names("02_done") == ["job.txt"])
            assert drain.names(WAITING) == ["read.txt", "written.txt"]
            source.read()
        assert getting.wait(PATIENCE) == 0
        assert putting.wait(PATIENCE) == 0
    drain.end()
    assert drain.starts() == {"job.txt": 1, "read.txt": 1, "written.txt": 1}
    assert (drain.root / "02_done" / "written.txt").read_bytes() == b"w" * BIG


def test_a_claim_that_somebody_reads_is_ended_when_it_is_closed(
    samba: Samba, url: str, opened: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    with DirJobs(url, storage_options=samba.options, create=True) as dj:
        dj.add("job.txt", b"x")
        job = dj.next_and_lock()
        assert job is not None
        reader = opened(f"{RUNNING}/w1.job.txt", "rw")
        closing = ClosesAtTheThird(reader)
        caplog.handler.addFilter(closing)
        job.done()
        assert dj.status().done == 1
    assert closing.closed


class ClosesAtTheThird:
    """A log filter: lets go of the file when the worker says that it waits for it."""

    def __init__(self, reader: AbstractContextManager[Any]) -> None:
        self.reader = reader
        self.closed = False

    def filter(self, record: Any) -> bool:
        if "Trying on." in record.getMessage():
            self.reader.__exit__(None, None, None)
            self.closed = True
        return True


class LetsGo(Layer):
    """Calls `action` after the first Busy, as if a scanner had looked at a new file."""

    action: Callable[[], object] = staticmethod(lambda: None)

    def rename(self, src: str, dst: str) -> None:
        try:
            super().rename(src, dst)
        except Busy:
            self.action()
            raise


def test_a_moment_in_other_hands_does_not_end_a_worker(
    samba: Samba, url: str, opened: Opener
) -> None:
    store = LetsGo(open_store(url, samba.options))
    with DirJobs(store) as dj:
        dj.add("job.txt", b"x")
        scanner = opened(f"{WAITING}/job.txt", "r")
        store.action = lambda: scanner.__exit__(None, None, None)
        assert dj.next_and_lock() is not None
