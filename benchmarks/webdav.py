"""What a job costs over WebDAV, against Apache on this machine.

    python -m benchmarks.webdav [--jobs 1000] [--rounds 3] [--workers 1,4]

Each worker is a process, as are the bare loops beside it, which send the MOVEs of mode
trust (there and back again is no job: waiting, running, done) and nothing else, each over
one connection.  The best of several rounds counts, all in one run, in turn.
"""

from __future__ import annotations

import argparse
import http.client
import multiprocessing
import os
import platform
import shutil
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.synchronize import Barrier
from urllib.parse import urlsplit

import httpx

from dirjobs import DirJobs
from tests.servers import apache
from tests.servers.apache import Apache

Loop = Callable[[str, int, list[str], Barrier], None]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--jobs", type=int, default=1000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--workers", default="1,4")
    given = arguments.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}", end=""
    )
    print(f", httpx {httpx.__version__}; {given.jobs} jobs, best of {given.rounds} rounds")
    print(f"{'':<22}{'workers':>8}{'jobs/s':>9}{'of httpx':>10}{'requests/job':>14}")
    with apache.running(auth=None) as server:
        for workers in (int(text) for text in given.workers.split(",")):
            compare(server, workers, given.jobs, given.rounds)


def compare(server: Apache, workers: int, jobs: int, rounds: int) -> None:
    loops: dict[str, Loop] = {
        "bare httpx": bare_httpx,
        "bare http.client": bare_http_client,
        "dirjobs, trust": partial(dirjobs, "trust"),
        "dirjobs, verify": partial(dirjobs, "verify"),
    }
    best = dict.fromkeys(loops, 0.0)
    requests = dict.fromkeys(loops, 0.0)
    for _ in range(rounds):
        for name, loop in loops.items():
            rate, per_job = one_round(server, loop, workers, jobs)
            if rate > best[name]:
                best[name], requests[name] = rate, per_job
    for name, rate in best.items():
        ratio = rate / best["bare httpx"]
        print(
            f"{name:<22}{workers:>8}{rate:>9.0f}{ratio:>10.2f}{requests[name]:>14.2f}", flush=True
        )


def one_round(server: Apache, loop: Loop, workers: int, jobs: int) -> tuple[float, float]:
    """Jobs per second, and requests per job; those of a worker's own life are not counted."""
    for folder in server.root.iterdir():
        shutil.rmtree(folder)
    with DirJobs(server.url):
        pass
    for number in range(jobs):
        (server.root / "00_waiting" / f"job{number}.txt").touch()
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(workers + 1)
    shares = [[f"job{number}.txt" for number in range(n, jobs, workers)] for n in range(workers)]
    running = [
        context.Process(target=loop, args=(server.url, n, share, barrier), daemon=True)
        for n, share in enumerate(shares)
    ]
    for process in running:
        process.start()
    barrier.wait(60)
    begun = time.perf_counter()
    barrier.wait(600)
    spent = time.perf_counter() - begun
    for process in running:
        process.join(60)
    assert len(list((server.root / "02_done").iterdir())) == jobs
    return jobs / spent, asked(server) / jobs


def asked(server: Apache) -> int:
    """How many requests for jobs there were since it was asked last."""
    paths = [path for _, path, _ in server.answered()]
    server.forget()
    server.start()
    return sum("/_queue/" not in path and path != "/dav" and path != "/dav/" for path in paths)


def dirjobs(mode: str, url: str, number: int, _share: list[str], barrier: Barrier) -> None:
    with DirJobs(url, wid=f"w{number}", mode=mode, create=True) as queue:
        barrier.wait(60)
        for job in queue:
            job.done()
        barrier.wait(600)


def bare_httpx(url: str, number: int, share: list[str], barrier: Barrier) -> None:
    with httpx.Client() as client:
        client.get(url)
        barrier.wait(60)
        for name in share:
            for source, target in moves(number, name):
                headers = {"Destination": f"{url}/{target}", "Overwrite": "F"}
                answer = client.request("MOVE", f"{url}/{source}", headers=headers)
                assert answer.status_code == 201, answer
        barrier.wait(600)


def bare_http_client(url: str, number: int, share: list[str], barrier: Barrier) -> None:
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port)
    connection.connect()
    barrier.wait(60)
    for name in share:
        for source, target in moves(number, name):
            headers = {"Destination": f"{url}/{target}", "Overwrite": "F"}
            connection.request("MOVE", f"{place.path}/{source}", headers=headers)
            with connection.getresponse() as answer:
                answer.read()
            assert answer.status == 201, answer.status
    barrier.wait(600)
    connection.close()


def moves(number: int, name: str) -> list[tuple[str, str]]:
    claim = f"01_running/w{number}.{name}"
    return [(f"00_waiting/{name}", claim), (claim, f"02_done/{name}")]


if __name__ == "__main__":
    main()
