"""What a queue on an SSH server costs: requests, renames a second, listings.

    python -m benchmarks.sftp [--jobs 400] [--names 10000] [--delay 0.01]

Starts OpenSSH on loopback.  Counts what one worker sends for a job in each mode; sets claims
beside a bare loop of the same library's renames, on loopback and through a proxy that holds each
direction up; and lists a folder through that proxy, beside fsspec's own SFTP filesystem, if
paramiko is installed.
"""

from __future__ import annotations

import argparse
import os
import platform
import secrets
import socket
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from dirjobs import DirJobs
from dirjobs.backends.sftp import SftpStore, open_store
from dirjobs.backends.sftp.loop import run
from tests.servers.sshd import OpenSsh, SshServer, running


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--jobs", type=int, default=400)
    arguments.add_argument("--names", type=int, default=10_000)
    arguments.add_argument("--delay", type=float, default=0.01, help="seconds each way")
    given = arguments.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    with running(OpenSsh) as server:
        for mode in ("trust", "verify"):
            requests_per_job(server, mode, given.jobs)
        print("on loopback:")
        claims(server, given.jobs)
        threads_together(server, given.jobs)
        with Delayed(server.port, given.delay) as proxy:
            print(f"{1000 * given.delay:.0f} ms each way:")
            claims(Far(server, proxy), given.jobs // 4)
            listings(Far(server, proxy), given.names)


def sent(store: SftpStore) -> int:
    """Requests so far, each of a file's pieces by itself."""
    return int(store._pool._channels[os.getpid()].handler._next_pktid)


class Far:
    """A server, reached through a proxy."""

    def __init__(self, server: SshServer, proxy: Delayed) -> None:
        known = (server.home / "known_hosts").read_text().replace(str(server.port), str(proxy.port))
        (server.home / "known_too").write_text(known)
        self.url = server.url.replace(f":{server.port}/", f":{proxy.port}/")
        self.options = {**server.options, "known_hosts": str(server.home / "known_too")}
        self.root, self.home = server.root, server.home
        self.user, self.port = server.user, proxy.port


def filled(server: SshServer | Far, jobs: int) -> str:
    name = secrets.token_hex(4)
    folder = server.root / name / "00_waiting"
    folder.mkdir(parents=True)
    for number in range(jobs):
        (folder / f"job{number}.txt").write_bytes(b"x")
    return f"{server.url}/{name}"


def opened(server: SshServer | Far, url: str, mode: str) -> tuple[DirJobs, SftpStore]:
    store = open_store(url, server.options)
    # However long it takes, heartbeats add nothing to what jobs cost.
    return DirJobs(store, mode=mode, heartbeat=600.0, lease=3600.0), store


def requests_per_job(server: SshServer, mode: str, jobs: int) -> None:
    counts = {}
    for number in (10, jobs):
        url = filled(server, number)
        dj, store = opened(server, url, mode)
        with dj:
            before, claiming, ending = sent(store), 0, 0
            for job in dj:
                claimed = sent(store)
                job.done()
                claiming += claimed - before
                before = sent(store)
                ending += before - claimed
            counts[number] = claiming, ending
    claim, end = ((counts[jobs][each] - counts[10][each]) / (jobs - 10) for each in (0, 1))
    print(
        f"mode {mode}: {claim + end:.2f} requests for a job: {claim:.2f} to claim it, {end:.2f} to"
        " record and end it"
    )


def claims(server: SshServer | Far, jobs: int) -> None:
    """Alternately, so that what else the machine does hits both."""
    url = filled(server, 8 * jobs)
    dj, _ = opened(server, url, "trust")
    bare = open_store(filled(server, 4 * jobs), server.options)
    root = bare._native("00_waiting/job")
    bare.exists("")
    channel = bare._pool._channels[os.getpid()]

    async def loop(first: int) -> float:
        began = time.perf_counter()
        for number in range(first, first + jobs):
            path = root + b"%d.txt" % number
            await channel.sftp.posix_rename(path, path + b".w1")
        return time.perf_counter() - began

    ratios = []
    with dj, bare:
        for turn in range(4):
            alone = run(loop(turn * jobs))
            began = time.perf_counter()
            for _ in range(jobs):
                assert dj.next_and_lock() is not None
            ours = time.perf_counter() - began
            ratios.append(alone / ours)
            print(f"  bare loop {jobs / alone:.0f} renames/s, claims {jobs / ours:.0f}/s")
    print(f"claims a second / bare renames a second: {statistics.median(ratios):.2f}")


def threads_together(server: SshServer, jobs: int) -> None:
    url = filled(server, jobs)
    dj, _ = opened(server, url, "trust")

    def work(_: int) -> int:
        done = 0
        for job in dj:
            job.done()
            done += 1
        return done

    with dj, ThreadPoolExecutor(16) as pool:
        began = time.perf_counter()
        done = sum(pool.map(work, range(16)))
        print(f"16 threads of one worker: {done / (time.perf_counter() - began):.0f} jobs/s")


def listings(server: Far, names: int) -> None:
    url = filled(server, names)
    (server.root / "empty").mkdir()
    with open_store(url, server.options) as store:
        store.exists("")
        before = sent(store)
        ours = timed(lambda: len([*store.list("00_waiting")]), names)
        print(f"{names:,} names: {ours:.2f} s, {sent(store) - before} requests")
    with open_store(f"{server.url}/empty", server.options) as store:
        store.exists("")
        before = sent(store)
        assert not [*store.list("")]
        print(f"an empty folder: {sent(store) - before} requests")
    try:
        from fsspec.implementations.sftp import SFTPFileSystem
    except ImportError:
        return
    other = SFTPFileSystem(
        "127.0.0.1", port=server.port, username=server.user,
        key_filename=str(server.home / "user_key"), skip_instance_cache=True,
    )  # fmt: skip
    place = url.partition(str(server.port))[2] + "/00_waiting"
    theirs = timed(lambda: len(other.ls(place, detail=True)), names)
    print(f"  fsspec's ls: {theirs:.2f} s, {theirs / ours:.1f} times as long")


def timed(action: Callable[[], int], expected: int) -> float:
    began = time.perf_counter()
    assert action() == expected
    return time.perf_counter() - began


class Delayed:
    """A proxy in front of a port, which holds everything up for a while."""

    def __init__(self, port: int, delay: float) -> None:
        self._to, self._delay = port, delay
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._to))
            for source, target in ((client, server), (server, client)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        """What comes while something is held up is not held up anew: it is a long line."""
        waiting: list[tuple[float, bytes]] = []
        come = threading.Condition()

        def forward() -> None:
            while True:
                with come:
                    come.wait_for(lambda: waiting)
                    due, data = waiting.pop(0)
                time.sleep(max(0.0, due - time.monotonic()))
                try:
                    target.sendall(data)
                    if not data:
                        target.shutdown(socket.SHUT_WR)
                        return
                except OSError:
                    return

        threading.Thread(target=forward, daemon=True).start()
        data = b"."
        while data:
            try:
                data = source.recv(1 << 16)
            except OSError:
                data = b""
            with come:
                waiting.append((time.monotonic() + self._delay, data))
                come.notify()


if __name__ == "__main__":
    main()
