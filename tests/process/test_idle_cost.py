"""What a worker costs that is only alive: counted by the server itself."""

from __future__ import annotations

import time
import urllib.request

import pytest

from tests.process.crew import Crew, H, Place, until
from tests.servers import apache

WORKERS, BEATS = 4, 10


@pytest.fixture(scope="module")
def server():
    with apache.running(auth=None) as server:
        yield server


@pytest.mark.parametrize("waiting", [0, 500])
def test_a_worker_at_work_costs_four_requests_per_heartbeat(server, tmp_path, waiting, figures):
    """Writing its own, listing the others', the sweep, a look at queue.json."""
    place = Place(f"{server.url}/{waiting}", server.root / str(waiting))
    place.fill(WORKERS)
    crew = Crew(place, tmp_path)
    try:
        for number in range(WORKERS):
            crew.start(f"w{number}", until=str(tmp_path / "never"))
        until(lambda: len([e for e in crew.journal() if e["event"] == "start"]) == WORKERS)
        for number in range(waiting):
            (place.root / "00_waiting" / f"more{number}.txt").touch()
        begun, first = time.monotonic(), mark(server, "begin")
        before = counters(place)
        until(lambda: all(n >= before[w] + BEATS for w, n in counters(place).items()))
        last, spent = mark(server, "end"), time.monotonic() - begun
    finally:
        crew.end()
    paths = [path for _, path, _ in server.answered()]
    server.start()
    requests = paths.index(last) - paths.index(first) - 1
    per_beat = requests / (WORKERS * (spent / H + 1))
    figures(f"{per_beat:.2f} requests per H and worker, {waiting} jobs waiting")
    assert per_beat <= 4


def counters(place):
    return {worker: beat.counter for worker, beat in place.beats().items() if worker != "adder"}


def mark(server, name):
    """Leave a line in the log of the server; returns its path."""
    path = f"/dav/{time.monotonic_ns()}-{name}"
    try:
        urllib.request.urlopen(f"http://localhost:{server.port}{path}")
    except urllib.error.HTTPError as error:
        error.close()
    return path
