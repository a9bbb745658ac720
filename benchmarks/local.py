"""How fast a local queue is drained, beside a bare loop of two renames per job.

    python benchmarks/local.py
    python benchmarks/local.py --jobs 500 5000 --processes 1 --repeat 3 --folder /mnt/disk

Both sides do the least that is work: each lists ``00_waiting`` once it may begin, and
renames every (empty) job to ``01_running`` and on to ``02_done``.  With several processes
the bare loop gives each an equal slice of the list, so that it has no rivals at all:
nothing that shares a folder can be fairer to it.  Runs are interleaved, and the best of
each kind counts: the machine's other business only ever makes a run slower.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, NamedTuple
from zlib import crc32

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from dirjobs import DirJobs

WAITING, RUNNING, DONE = "00_waiting", "01_running", "02_done"


class Run(NamedTuple):
    """One drain: seconds per job, and seconds to open the queue."""

    per_job: float
    opening: float = 0.0


class Drained(NamedTuple):
    """What one process saw, by the clock that all processes of a machine share."""

    began: float
    ended: float
    opening: float


# -- what is measured -----------------------------------------------------------------------


def bare(folder: str, number: int, processes: int, ready: Callable[[], object]) -> Drained:
    """The least that a queue of folders can do."""
    waiting, running, done = (os.path.join(folder, name) for name in (WAITING, RUNNING, DONE))
    ready()
    began = time.monotonic()
    for name in sorted(os.listdir(waiting)):
        if processes > 1 and crc32(name.encode()) % processes != number:
            continue
        claim = f"{running}/w{number}.{name}"
        os.rename(f"{waiting}/{name}", claim)
        os.rename(claim, f"{done}/{name}")
    return Drained(began, time.monotonic(), 0.0)


def dirjobs(folder: str, number: int, processes: int, ready: Callable[[], object]) -> Drained:  # noqa: ARG001
    """The same by `DirJobs`, opened while the queue is still empty."""
    opened = time.monotonic()
    queue = DirJobs(folder, wid=f"w{number}", create=True)
    if queue.next_and_lock() is not None:
        raise RuntimeError(f"{folder} is not empty")
    opening = time.monotonic() - opened
    ready()
    began = ended = time.monotonic()
    while (job := queue.next_and_lock()) is not None:
        job.done()
        ended = time.monotonic()
    queue.close()
    return Drained(began, ended, opening)


def in_process(side: Any, folder: str, number: int, processes: int, barrier: Any, out: Any) -> None:
    def ready() -> None:
        barrier.wait(600)  # opened; now the jobs are added
        barrier.wait(600)  # they are there

    out.put(side(folder, number, processes, ready))


def drain(side: Any, jobs: int, processes: int, where: str | None) -> Run:
    """Drain `jobs` jobs once, and make sure that they all are done."""
    context = get_context("spawn")
    with empty_queue(where) as folder:
        barrier, out = context.Barrier(processes + 1), context.Queue()
        workers = [
            context.Process(
                target=in_process, args=(side, folder, n, processes, barrier, out), daemon=True
            )
            for n in range(processes)
        ]
        for worker in workers:
            worker.start()
        barrier.wait(60)
        add_jobs(folder, jobs)
        barrier.wait(60)
        seen = [out.get(timeout=600) for _ in workers]
        for worker in workers:
            worker.join()
        done = len(os.listdir(os.path.join(folder, DONE)))
        if done != jobs:
            raise RuntimeError(f"{jobs} jobs were added, {done} are done")
    spent = max(one.ended for one in seen) - min(one.began for one in seen)
    return Run(spent / jobs, max(one.opening for one in seen))


@contextmanager
def empty_queue(where: str | None) -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="dirjobs-benchmark-", dir=where)
    try:
        for name in (WAITING, RUNNING, DONE):
            os.mkdir(os.path.join(folder, name))
        yield folder
    finally:
        shutil.rmtree(folder)


def add_jobs(folder: str, jobs: int) -> None:
    for number in range(jobs):
        open(os.path.join(folder, WAITING, f"job{number}.txt"), "x").close()


# -- calls ----------------------------------------------------------------------------------

DRAIN = """
import sys
from dirjobs import DirJobs
for job in DirJobs(sys.argv[1]):
    job.done()
"""


def calls_per_job(where: str | None, jobs: int = 1000, mode: int = 0o700) -> float | None:
    """System calls about files for one job more, by strace, in a folder with these rights; None
    without strace."""
    if shutil.which("strace") is None:
        return None
    return (count_calls(where, 2 * jobs, mode) - count_calls(where, jobs, mode)) / jobs


def count_calls(where: str | None, jobs: int, mode: int) -> int:
    with empty_queue(where) as folder, tempfile.NamedTemporaryFile("r") as table:
        os.chmod(folder, mode)
        add_jobs(folder, jobs)
        subprocess.run(
            [
                *("strace", "-f", "-c", "-e", "trace=%file,%desc", "-o", table.name),
                *(sys.executable, "-c", DRAIN, folder),
            ],
            check=True,
            env={**os.environ, "PYTHONPATH": sys.path[0]},
        )
        # % time, seconds, usecs/call, calls, errors (perhaps), name
        rows = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", table.read(), re.M)
    return sum(int(calls) for calls, name in rows if name != "total")


# -- the report -----------------------------------------------------------------------------


def machine(where: str | None) -> str:
    model = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            found = re.search(r"^model name\s*: (.*)$", file.read(), re.M)
            model = found.group(1) if found else model
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    place = os.path.realpath(where or tempfile.gettempdir())
    return (
        f"{os.cpu_count()} x {model}, {platform.system()} {platform.release()},"
        f" Python {platform.python_version()}, folder {place}{load}"
    )


def growth(best: dict[Any, Run], side: Any, sizes: list[int], processes: int) -> float:
    return best[side, sizes[-1], processes].per_job / best[side, sizes[0], processes].per_job


def report(best: dict[Any, Run], sizes: list[int], processes: list[int]) -> None:
    print(f"{'jobs':>7} {'processes':>9} {'bare':>9} {'dirjobs':>9} {'ratio':>6} {'opening':>9}")
    print(f"{'':>17} {'us/job':>9} {'us/job':>9} {'':>6} {'ms':>9}")
    for jobs in sizes:
        for count in processes:
            loop, queue = best[bare, jobs, count], best[dirjobs, jobs, count]
            print(
                f"{jobs:>7} {count:>9} {1e6 * loop.per_job:>9.1f} {1e6 * queue.per_job:>9.1f}"
                f" {loop.per_job / queue.per_job:>6.2f} {1e3 * queue.opening:>9.1f}"
            )
    if len(sizes) > 1:
        for count in processes:
            loop, queue = (growth(best, side, sizes, count) for side in (bare, dirjobs))
            print(
                f"growth of the cost per job from {sizes[0]} to {sizes[-1]} jobs, {count}"
                f" process(es): bare {loop:.2f}, dirjobs {queue:.2f},"
                f" relative {queue / loop:.2f}"
            )
    if len(processes) > 1:
        few, many = processes[0], processes[-1]
        for jobs in sizes:
            faster = best[dirjobs, jobs, few].per_job / best[dirjobs, jobs, many].per_job
            print(f"{many} processes against {few}, {jobs} jobs: {faster:.2f} x as fast")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, nargs="+", default=[500, 5000, 50000])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--folder", help="where to make the queues; default: the temporary folder")
    options = parser.parse_args()
    print(machine(options.folder))
    best: dict[Any, Run] = {}
    for _ in range(options.repeat):
        for jobs in options.jobs:
            for processes in options.processes:
                for side in (bare, dirjobs):
                    run = drain(side, jobs, processes, options.folder)
                    key = side, jobs, processes
                    best[key] = min(best.get(key, run), run)
    report(best, options.jobs, options.processes)
    calls = calls_per_job(options.folder)
    if calls is None:
        print("system calls per job: not counted, strace is missing (apt-get install strace)")
    else:
        shared = calls_per_job(options.folder, mode=0o777)
        print(
            f"system calls about files per job: {calls:.2f};"
            f" {shared:.2f} where others may write to the queue's folder"
        )


if __name__ == "__main__":
    main()
