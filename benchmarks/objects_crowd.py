"""Many workers on object storage, in virtual time: jobs a second, against the store's requests.

    python -m benchmarks.objects_crowd [--workers 10,50,200] [--jobs 20] [--work 5] [--latency 0.03]
                                       [--rate 1000]

The code of workers and markers runs as it is, over a store in memory (`tests.simulation.objects`).
Each request takes `--latency` seconds, and the store takes up `--rate` requests a second at most;
those beyond it wait their turn.  Nothing goes wrong.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from dirjobs.layout import DONE, FOLDERS
from dirjobs.policy import Order
from dirjobs.protocol.candidates import Candidates
from dirjobs.worker import Worker
from tests.simulation.objects import Actor, Bucket, Run, Trouble

T = TypeVar("T")


class Crowd(Run):
    """Workers that begin within a second, and as many jobs for each.

    Args:
        workers: how many.
        jobs: for each of them.
        work: seconds that a job takes.
        latency: seconds that a request takes.
        rate: requests a second that the store takes up.
    """

    def __init__(self, workers: int, jobs: int, work: float, latency: float, rate: float) -> None:
        self.rng = random.Random(workers)
        self.now, self.is_changed, self.trouble = 0.0, True, Trouble()
        self.requests: Counter[str] = Counter()
        self.decided: Counter[str] = Counter()
        self.memory = Bucket(clock=lambda: 1e6 + self.now)
        for folder in FOLDERS:
            self.memory.mkdir(folder)
        self.jobs, self.dead, self.crashed, self.actors, self.robbed = {}, set(), 0, {}, set()
        self._queue, self._serial = [], 0
        self.work, self.latency, self.rate = work, latency, rate
        self.done, self.ended = 0, 0.0
        self._free = 0.0
        for number in range(workers * jobs):
            self.add(f"job{number}.txt")
        for number in range(workers):
            actor = self.actors[f"w{number}"] = Busy(self, f"w{number}", calm=True)
            self.later(self.rng.random(), actor.proceed)

    def request(self, verb: str, action: Callable[[], T]) -> T:
        self.requests[verb] += 1
        self._free = max(self.now, self._free) + 1 / self.rate
        actor = self._caller()
        self.later(self._free - self.now + self.latency, actor.proceed)
        actor.pause()
        return action()

    def _check(self) -> None:
        """What is right is the simulation's to find out."""

    def go(self) -> None:
        while self._queue:
            self._go_on()


class Busy(Actor):
    """A worker that works until it finds nothing."""

    simulation: Crowd

    def live(self) -> None:
        run = self.simulation
        rng = random.Random(run.rng.random())
        worker = Worker(self.parts, Candidates(order=Order.NATURAL, job_ext="", rng=rng))
        while (claim := worker.next()) is not None:
            run.sleep(run.work)
            worker.finish(claim, DONE)
            run.done += 1
            run.ended = run.now


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--workers", default="10,50,200")
    arguments.add_argument("--jobs", type=int, default=20)
    arguments.add_argument("--work", type=float, default=5.0)
    arguments.add_argument("--latency", type=float, default=0.03)
    arguments.add_argument("--rate", type=float, default=1000.0)
    given = arguments.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    print(
        f"{given.jobs} jobs of {given.work:g} s for each worker, {1000 * given.latency:g} ms for a"
        f" request, at most {given.rate:g} requests a second; all in virtual time"
    )
    for workers in map(int, given.workers.split(",")):
        began = time.perf_counter()
        crowd = Crowd(workers, given.jobs, given.work, given.latency, given.rate)
        crowd.go()
        jobs = workers * given.jobs
        assert crowd.done == jobs, (crowd.done, jobs)
        sent = sum(crowd.requests.values())
        ideal = workers / given.work if given.work else float("inf")
        print(
            f"{workers:4} workers: {jobs / crowd.ended:6.1f} jobs/s (work alone {ideal:.1f}),"
            f" {sent / jobs:5.1f} requests a job, {sent / crowd.ended:6.0f} requests/s"
            f"   [{dict(crowd.requests)}; {time.perf_counter() - began:.0f} s here]"
        )


if __name__ == "__main__":
    main()
