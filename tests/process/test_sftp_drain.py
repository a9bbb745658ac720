"""Many workers empty one queue on SSH servers: each job once, whole, in few requests."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dirjobs import DirJobs, JobExists
from dirjobs.backends.sftp import open_store
from dirjobs.check import check
from dirjobs.check.record import record
from tests.amounts import THOROUGH, amount
from tests.conftest import Figures
from tests.process.drain import Drain, payload
from tests.servers.sshd import OpenSsh, ProFtpd, SshServer, running

RACERS, ROUNDS = 4, amount(15, 60)


@pytest.fixture(scope="module", params=[OpenSsh, ProFtpd], ids=["openssh", "proftpd"])
def server(request: pytest.FixtureRequest) -> Iterator[SshServer]:
    with running(request.param) as started:
        yield started


@pytest.fixture
def url(server: SshServer) -> str:
    return f"{server.url}/{secrets.token_hex(6)}"


@pytest.fixture
def drain(server: SshServer, url: str, tmp_path: Path) -> Iterator[Drain]:
    root = server.root / url.rpartition("/")[2]
    with Drain(tmp_path, root, jobsdir=url, storage_options=server.options) as running:
        yield running


@pytest.mark.parametrize("mode", ["verify", "trust"])
def test_all_workers(
    server: SshServer, url: str, drain: Drain, figures: Figures, mode: str
) -> None:
    """Verify is what a server gets by itself, trust what a check has found."""
    if not THOROUGH and (mode == "verify") is isinstance(server, ProFtpd):
        pytest.skip("DIRJOBS_THOROUGH=1 does this")
    if mode == "trust":
        reopen = functools.partial(open_store, url, server.options)
        with reopen() as store:
            done = check(store, rounds=300, short=True, reopen=reopen)
            figures(record(store, done).sentence)
    jobs = [f"job{number}.txt" for number in range(amount(50, 1000))]
    drain.put(*jobs)
    drain.may_end()
    drain.start(amount(4, 8))
    drain.end()
    drain.check(*jobs, mode=mode)


def test_of_several_adds_of_one_name_one_is_told_added(server: SshServer, url: str) -> None:
    queues = [DirJobs(url, wid=f"a{number}", job_ext="", storage_options=server.options,
                      create=True) for number in range(RACERS)]  # fmt: skip
    told: list[list[int]] = []

    def add(number: int, name: str) -> int | None:
        try:
            queues[number].add(name, payload(f"{name}{number}"))
        except JobExists:
            return None
        return number

    with ThreadPoolExecutor(RACERS) as pool:
        for turn in range(ROUNDS):
            answers = pool.map(add, range(RACERS), [f"job{turn}"] * RACERS)
            told.append([number for number in answers if number is not None])
    for queue in queues:
        queue.close()
    waiting = server.root / url.rpartition("/")[2] / "00_waiting"
    for turn, winners in enumerate(told):
        assert len(winners) == 1, f"round {turn}: {winners} were told 'added'"
        assert (waiting / f"job{turn}").read_bytes() == payload(f"job{turn}{winners[0]}")
    assert len(list(waiting.iterdir())) == ROUNDS
