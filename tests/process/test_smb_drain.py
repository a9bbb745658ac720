"""Many workers empty one queue on Samba: each job once, whole, in few round trips."""

from __future__ import annotations

import multiprocessing
import secrets
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from dirjobs import DirJobs
from tests.amounts import PATIENCE, amount
from tests.conftest import Figures
from tests.process.drain import Drain, payload
from tests.servers.proxy import Proxy
from tests.servers.samba import Samba


@pytest.fixture(scope="module")
def samba() -> Iterator[Samba]:
    with Samba() as server:
        yield server


@pytest.fixture
def url(samba: Samba) -> str:
    return f"{samba.url}/{secrets.token_hex(6)}"


@pytest.fixture
def root(samba: Samba, url: str) -> Path:
    return samba.root / url.rpartition("/")[2]


@pytest.fixture
def drain(samba: Samba, url: str, root: Path, tmp_path: Path) -> Iterator[Drain]:
    with Drain(tmp_path, root, jobsdir=url, storage_options=samba.options) as running:
        yield running


def test_eight_workers_and_a_producer(samba: Samba, url: str, drain: Drain) -> None:
    there = [f"job{number}.txt" for number in range(amount(100, 700))]
    added = [f"added{number}.txt" for number in range(amount(50, 300))]
    drain.put(*there)
    drain.start(8)
    with DirJobs(url, wid="producer", storage_options=samba.options, create=True) as producer:
        for name in added:
            producer.add(name, payload(name))
    drain.end()
    drain.check(*there, *added)


def test_nobody_ends_before_the_last_job_is_taken(drain: Drain) -> None:
    """The loser of a race may be told "busy": that must not look like an empty queue."""
    jobs = [f"job{number}.txt" for number in range(amount(80, 400))]
    drain.put(*jobs)
    drain.may_end()
    drain.start(8)
    drain.end()
    drain.check(*jobs)


def test_a_job_costs_five_round_trips(samba: Samba, drain: Drain, figures: Figures) -> None:
    """One for the claim, three for its record, one for its end; listings are the rest.

    Races that are lost are counted apart: their number is a matter of luck and load.  What a
    worker does once, for any number of jobs, is not counted: it logs on, announces itself,
    and says that it has ended.
    """
    jobs = [f"job{number}.txt" for number in range(amount(200, 1000))]
    drain.may_end()
    with Proxy(samba.port) as proxy:
        # However long it takes on a busy machine, heartbeats add nothing to what jobs cost.
        settings = {"reads": False, "heartbeat": 600.0, "lease": 3600.0}
        settings["storage_options"] = {**samba.options, "port": proxy.port}
        drain.start(4, **settings)
        drain.end()
        coming_and_going = proxy.requests
        drain.put(*jobs)
        drain.start(4, **settings)
        drain.end()
        lost = proxy.renames - 2 * len(jobs)
        per_job = (proxy.requests - 2 * coming_and_going) / len(jobs)
    besides = per_job - lost / len(jobs)
    figures(
        f"{per_job:.3f} round trips per job, {besides:.3f} without lost races ({lost} of them);"
        f" {coming_and_going / 4:.1f} per worker"
    )
    assert drain.starts() == Counter(jobs)
    assert drain.names("02_done") == sorted(jobs)
    assert besides <= 5.3
    assert lost <= len(jobs) / 3


def test_a_forked_child_works_under_an_incarnation_of_its_own(
    samba: Samba, url: str, root: Path
) -> None:
    jobs = [f"job{number}.txt" for number in range(6)]
    with DirJobs(url, storage_options=samba.options, create=True) as dj:
        for name in jobs:
            dj.add(name, payload(name))
        mine = dj.next_and_lock()
        assert mine is not None
        assert mine.full_name() == "w1.job0.txt"

        def child() -> None:
            job = dj.next_and_lock()
            assert job is not None
            assert job.full_name().startswith("w1~")
            assert job.read_bytes() == payload(job.name())
            job.done()
            for job in dj:
                job.done()
            dj.close()

        worker = multiprocessing.get_context("fork").Process(target=child)
        worker.start()
        worker.join(PATIENCE)
        assert worker.exitcode == 0
        assert mine.read_bytes() == payload("job0.txt")
        mine.done()
        assert dj.next_and_lock() is None
        status = dj.status()
    assert (status.waiting, status.running, status.done) == (0, 0, len(jobs))
    assert len(list((root / "_queue" / "workers").glob("w1~*.json"))) == 1


def test_eight_threads_of_one_worker(samba: Samba, url: str) -> None:
    jobs = [f"job{number}.txt" for number in range(300)]
    worked: list[str] = []
    with DirJobs(url, storage_options=samba.options, create=True) as dj:
        root = samba.root / url.rpartition("/")[2] / "00_waiting"
        for name in jobs:
            (root / name).write_bytes(payload(name))

        def work() -> None:
            for job in dj:
                with job:
                    assert job.read_bytes() == payload(job.name())
                    worked.append(job.name())

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        status = dj.status()
    assert Counter(worked) == Counter(jobs)
    assert (status.waiting, status.running, status.done, status.failed) == (0, 0, len(jobs), 0)
