"""Calls from Python: dirjobs beside joblib's loky and dask.distributed, on one machine.

    python -m benchmarks.joblib [--workers 3] [--calls 200] [--short 10000] [--only apache]

Needs joblib, scikit-learn and distributed.  Over a local folder, over Apache and over Samba by
URL: a grid search on scikit-learn's digits; what one call of nothing costs beside loky's and
dask's, and in requests; and how many requests many short calls take.  All in one run.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

import dirjobs
from dirjobs.functions.joblib_backend import DirjobsBackend
from tests.process.backends import BACKENDS

GRID = {"C": [0.1, 1, 10, 100], "gamma": [0.0001, 0.001, 0.01, 0.1]}


def nothing(value: object) -> object:
    return value


def one_millisecond(value: int) -> int:
    time.sleep(0.001)
    return value


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--workers", type=int, default=3)
    arguments.add_argument("--calls", type=int, default=200)
    arguments.add_argument("--short", type=int, default=10_000)
    arguments.add_argument("--only", default="", help="places whose names have this in them")
    given = arguments.parse_args()
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    print(f"{machine}; {given.workers} workers of one call each")
    begun = time.perf_counter()
    expected = searched(1)
    print(f"grid search, n_jobs=1: {time.perf_counter() - begun:.1f} s")
    with tempfile.TemporaryDirectory() as folder:
        for name, backend in places(given.workers, Path(folder)):
            if given.only in name:
                report(name, backend, expected, given)


def places(workers: int, folder: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Each place, and what gives its joblib backend and, of ours, a counter of requests."""
    yield "loky", lambda: others("loky", workers)
    yield "dask", lambda: others("dask", workers)
    for name, backend in BACKENDS.items():
        yield f"dirjobs, {name}", lambda backend=backend: ours(backend, workers, folder)


@contextmanager
def others(name: str, workers: int) -> Iterator[tuple[Any, Callable[[], int] | None]]:
    if name == "dask":
        from distributed import Client

        with (
            Client(n_workers=workers, threads_per_worker=1, dashboard_address=None) as client,
            joblib.parallel_config(backend="dask", n_jobs=workers),
        ):
            yield lambda count: [f.result() for f in client.map(nothing, range(count))], None
        return
    from joblib.externals.loky import ProcessPoolExecutor

    with (
        joblib.parallel_config(backend=name, n_jobs=workers),
        ProcessPoolExecutor(max_workers=workers) as executor,
    ):
        yield lambda count: [*executor.map(nothing, range(count))], None


@contextmanager
def ours(
    backend: Callable[[Path], Any], workers: int, folder: Path
) -> Iterator[tuple[Any, Callable[[], int] | None]]:
    import subprocess

    for place, server in backend(folder):
        os.environ.update(place.login)
        with dirjobs.Executor(
            place.url, create=True, storage_options=place.options["storage_options"]
        ) as executor:
            command = [sys.executable, "-m", "dirjobs", "work", place.url, "--functions", "--wait"]
            started = [
                subprocess.Popen(
                    [*command, "--poll", "1"],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                for _ in range(workers)
            ]
            try:
                while executor.slots() < workers:
                    time.sleep(0.1)
                one = DirjobsBackend(executor=executor)
                with joblib.parallel_config(backend=one, n_jobs=workers):
                    count = None
                    if hasattr(server, "requests"):

                        def count(server: Any = server) -> int:
                            return (server.home / "access.log").read_text().count("\n")

                    yield lambda many: [*executor.map(nothing, range(many))], count
            finally:
                for process in started:
                    process.terminate()
                for process in started:
                    process.wait()


def report(name: str, backend: Callable[[], Any], expected: Any, given: argparse.Namespace) -> None:
    with backend() as (call, count):
        call(given.workers)  # what is started at first is no call's
        found, seconds = timed(lambda: searched(given.workers))
        same = found.best_params_ == expected.best_params_ and bool(
            (found.cv_results_["mean_test_score"] == expected.cv_results_["mean_test_score"]).all()
        )
        found, again = timed(lambda: searched(given.workers))
        before = count() if count else 0
        _, each = timed(lambda: call(given.calls))
        requests = f"{(count() - before) / given.calls:.1f}" if count else "-"
        before = count() if count else 0
        _, short = timed(lambda: many_short(given.short, given.workers))
        batched = f"{count() - before}" if count else "-"
    print(
        f"{name:<16} grid {seconds:5.1f} s, again {again:5.1f} s, as n_jobs=1: {same};"
        f" a call {each / given.calls * 1000:6.1f} ms, {requests} requests;"
        f" {given.short:,} of 1 ms: {short:5.1f} s, {batched} requests",
        flush=True,
    )


def searched(workers: int) -> Any:
    data, target = load_digits(return_X_y=True)
    return GridSearchCV(SVC(), GRID, n_jobs=workers).fit(data, target)


def many_short(count: int, workers: int) -> Any:
    return joblib.Parallel(n_jobs=workers)(
        joblib.delayed(one_millisecond)(one) for one in range(count)
    )


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    begun = time.perf_counter()
    result = call()
    return result, time.perf_counter() - begun


if __name__ == "__main__":
    main()
