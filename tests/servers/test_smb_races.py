"""Exactly one of many gets a job; and the test would notice if it were otherwise."""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.synchronize import Barrier
from typing import cast

import pytest
import smbclient
from smbprotocol.exceptions import SMBConnectionClosed

from dirjobs.backends.smb import SmbStore, open_store
from dirjobs.errors import AlreadyExists, Busy, NotFound, Unavailable
from tests.amounts import PATIENCE, amount
from tests.servers.samba import Samba

ROUNDS = amount(100, 300)
WORKERS = 8

Claim = Callable[[str, str], None]


@pytest.fixture(scope="module")
def samba() -> Iterator[Samba]:
    with Samba() as server:
        yield server


@pytest.fixture(scope="module")
def encrypting_samba() -> Iterator[Samba]:
    with Samba(encrypt=True) as server:
        yield server


def honest(server: Samba) -> Claim:
    store = open_store(server.url, server.options)
    connected(lambda: store.exists(""))
    return store.rename


def liar(server: Samba) -> Claim:
    """What fsspec's ``mv`` does."""
    login = {"username": server.user, "password": server.password, "port": server.port}
    smbclient.reset_connection_cache()
    # Forked racers would share the GUID of the process, and smbd carries connections of one
    # GUID over to one process: it has refused the next request of such a connection ("used
    # more credits than granted") without closing it.
    smbclient.ClientConfig(client_guid=uuid.uuid4())
    connected(lambda: smbclient.register_session(server.host, **login))
    base = rf"\\{server.host}\{server.share}"

    def rename(src: str, dst: str) -> None:
        try:
            smbclient.rename(rf"{base}\{src}", rf"{base}\{dst}", **login)
        except OSError as error:
            raise NotFound(str(error)) from None

    return rename


def connected(log_on: Callable[[], object]) -> None:
    """Log on before the race: a busy server may end a connection that is only beginning."""
    for _ in range(9):
        with contextlib.suppress(Unavailable, SMBConnectionClosed):
            log_on()
            return
    log_on()


def _race(
    server: Samba,
    make: Callable[[Samba], Claim],
    me: int,
    start: Barrier,
    result: Connection,
) -> None:
    won = []
    try:
        claim = make(server)
        for number in range(ROUNDS):
            start.wait(PATIENCE)
            try:
                claim(f"job{number}", f"w{me}.job{number}")
                won.append(f"job{number}")
            except (NotFound, Busy):
                pass
    except BaseException as error:
        start.abort()  # the others would wait for us
        result.send(repr(error))
        raise
    result.send(won)


def race(server: Samba, make: Callable[[Samba], Claim]) -> Counter[str]:
    """How many workers believe that they have won each job."""
    for number in range(ROUNDS):
        (server.root / f"job{number}").write_text(str(number))
    context = multiprocessing.get_context("fork")
    start = context.Barrier(WORKERS)
    workers, pending = [], {}
    for me in range(WORKERS):
        here, there = context.Pipe(duplex=False)
        workers.append(
            context.Process(target=_race, args=(server, make, me, start, there), daemon=True)
        )
        workers[-1].start()
        there.close()  # so that a child that dies is noticed at once
        pending[here] = me
    count: Counter[str] = Counter()
    errors = []
    try:
        while pending:
            for here in cast("list[Connection]", wait(list(pending))):
                me = pending.pop(here)
                try:
                    told = here.recv()
                except EOFError:
                    start.abort()
                    told = "nothing: it was killed"
                here.close()
                if isinstance(told, list):
                    count.update(told)
                else:
                    errors.append(f"racer {me} told {told}")
    finally:
        for worker in workers:
            worker.join(0 if pending else 60)
            worker.kill()
            worker.join()
    assert not errors, f"{errors}\n{server.log()}"
    return count


@pytest.mark.parametrize("kind", ["samba", "encrypting_samba"])
def test_each_job_is_won_exactly_once(request: pytest.FixtureRequest, kind: str) -> None:
    server = request.getfixturevalue(kind)
    count = race(server, honest)
    assert count == {f"job{number}": 1 for number in range(ROUNDS)}
    claimed = sorted(path.name.partition(".")[2] for path in server.root.iterdir())
    assert claimed == sorted(count)
    for path in server.root.iterdir():
        path.unlink()


def test_the_race_finds_out_the_rename_of_smbclient(samba: Samba) -> None:
    count = race(samba, liar)
    assert max(count.values()) > 1
    for path in samba.root.iterdir():
        path.unlink()


def test_of_many_making_one_folder_one_succeeds(samba: Samba) -> None:
    stores = [open_store(samba.url, samba.options) for _ in range(WORKERS)]
    start = threading.Barrier(WORKERS)
    made: list[str] = []

    def make(store: SmbStore) -> None:
        for number in range(50):
            start.wait(PATIENCE)
            try:
                store.mkdir(f"folder{number}")
                made.append(f"folder{number}")
            except AlreadyExists:
                pass
        store.close()

    threads = [threading.Thread(target=make, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == sorted(f"folder{number}" for number in range(50))


def test_threads_share_a_store(samba: Samba) -> None:
    names = [f"t{number}" for number in range(amount(150, 400))]
    for name in names:
        (samba.root / name).write_text(name)
    won: list[str] = []
    with open_store(samba.url, samba.options) as store:

        def work(me: int) -> None:
            for name in names:
                try:
                    store.rename(name, f"x{me}.{name}")
                except (NotFound, Busy):
                    continue
                assert store.read(f"x{me}.{name}") == name.encode()
                won.append(name)

        threads = [threading.Thread(target=work, args=(me,)) for me in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert Counter(won) == Counter(names)


def test_a_forked_child_starts_afresh_and_leaves_its_parent_alone(samba: Samba) -> None:
    with open_store(samba.url, samba.options) as store:
        store.write("before", b"parent")
        context = multiprocessing.get_context("fork")

        def child() -> None:
            assert store.read("before") == b"parent"
            store.write("after", b"child")
            store.close()

        worker = context.Process(target=child)
        worker.start()
        worker.join(PATIENCE)
        assert worker.exitcode == 0
        assert store.read("after") == b"child"
