"""Servers that die and connections that break in the middle of a drain: workers go on."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dirjobs import DirJobs, StoreError
from dirjobs.layout import DONE
from tests.amounts import PATIENCE, amount
from tests.process.drain import Drain, wait_until
from tests.servers.proxy import Proxy, is_rename
from tests.servers.samba import Samba

FREEZE = amount(0, 30)
"""Seconds for which the server is frozen once that was noticed."""
TIMEOUT = 5.0
"""Seconds after which a request counts as lost; answers of a busy server take fewer."""


@pytest.fixture
def samba() -> Iterator[Samba]:
    with Samba() as server:
        yield server


@pytest.fixture
def proxy(samba: Samba) -> Iterator[Proxy]:
    with Proxy(samba.port) as running:
        yield running


@pytest.fixture
def drain(samba: Samba, proxy: Proxy, tmp_path: Path) -> Iterator[Drain]:
    """Four workers at work on the queue, through the proxy.

    A worker that is only beginning would not wait: its address may be wrong.
    """
    options = {**samba.options, "port": proxy.port, "timeout": TIMEOUT}
    with Drain(
        tmp_path,
        samba.root / "queue",
        jobsdir=f"{samba.url}/queue",
        storage_options=options,
        heartbeat=0.5,
        lease=60,
        timeout=TIMEOUT,
        max_pause=5,
    ) as running:
        running.start(4)
        wait_until(lambda: sum(words == ["ready"] for words in running.records()) == 4)
        yield running


def more_done(drain: Drain, count: int) -> None:
    """Return when so many more jobs are done; there is always work meanwhile."""
    wanted = len(drain.names(DONE)) + count
    drain.busy_until(lambda: len(drain.names(DONE)) >= wanted)


def finish(drain: Drain) -> None:
    """All jobs get done, by workers that nobody has helped."""
    wait_until(
        lambda: len(drain.names(DONE)) == len(drain.supplied),
        lambda: f"{drain.left()}\n{drain.log()}",
    )
    drain.end()
    drain.check(*drain.supplied)


def test_killed_serving_processes_and_a_restarted_server(samba: Samba, drain: Drain) -> None:
    for _ in range(3):
        more_done(drain, 20)
        assert samba.kill_serving_processes() >= 1
    more_done(drain, 20)
    samba.restart()
    more_done(drain, 20)
    samba.stop()
    samba.start()
    more_done(drain, 20)
    finish(drain)


@pytest.mark.parametrize("fault", ["cut_after_request", "drop_request"][: amount(1, 2)])
def test_connections_cut_around_a_rename(proxy: Proxy, drain: Drain, fault: str) -> None:
    """After the request: executed, and the answer is lost.  Instead of it: not executed."""
    rng = random.Random(fault)
    for _ in range(12):
        getattr(proxy, fault)(rng.randrange(1, 20), of=is_rename)
        drain.busy_until(lambda: proxy.cuts.acquire(blocking=False))
    finish(drain)


def test_a_server_that_freezes(proxy: Proxy, drain: Drain) -> None:
    proxy.freeze_at_request(10, of=is_rename)
    drain.busy_until(lambda: proxy.cuts.acquire(blocking=False))
    wait_until(lambda: "can't be reached" in drain.log())
    proxy.cuts.acquire(timeout=FREEZE)  # nobody releases it: the length of the outage
    proxy.thaw()
    more_done(drain, 20)
    finish(drain)


@pytest.mark.parametrize("connections", ["kept", "killed"])
def test_a_share_that_is_there_later_than_its_server(samba: Samba, connections: str) -> None:
    """As after a restart of a NAS: the volume behind the share is mounted last."""
    url, elsewhere = f"{samba.url}/queue", samba.root.with_name("elsewhere")
    with DirJobs(url, storage_options=samba.options, create=True) as queue:
        queue.add("a.txt")
        job = queue.next_and_lock()
        assert job is not None
        samba.root.rename(elsewhere)
        if connections == "killed":
            samba.kill_serving_processes()
        done = threading.Thread(target=job.done)
        done.start()
        wait_until(lambda: queue._generation.presence.is_away)
        with pytest.raises(StoreError):
            queue._membership.beat()
        elsewhere.rename(samba.root)
        done.join(PATIENCE)
        assert not done.is_alive()
        assert [path.name for path in (samba.root / "queue" / DONE).iterdir()] == ["a.txt"]
        queue._membership.beat()
