"""What a job costs: requests counted by the server itself."""

from __future__ import annotations

from collections import Counter

import pytest

from dirjobs import DirJobs
from tests.amounts import amount
from tests.process.webdav_worker import content, workers
from tests.servers import apache

JOBS, WORKERS = amount(400, 1000), 4
SELDOM = {"heartbeat": 600.0, "lease": 3600.0}
"""However long the jobs take on a busy machine, heartbeats add nothing to what they cost."""


@pytest.mark.parametrize(("mode", "most", "per_lost_race"), [("trust", 2.1, 3), ("verify", 6.3, 3)])
def test_requests_per_job(tmp_path, figures, mode, most, per_lost_race):
    """Four workers: claims, looks, finishing, listings, all counted by the server.

    Lost races are counted apart: how many there are is a matter of luck and of how busy the
    machine is.  One costs its MOVE, a look whether the job is ours all the same, and a listing,
    for a worker soon looks for better places.  So is what a worker's own life costs, however
    many its jobs.
    """
    with apache.running(auth=None) as server:
        with DirJobs(server.url, mode=mode, **SELDOM) as first:
            # The first worker writes down what all agree on; several at once would each.
            assert first.next_and_lock() is None
        for number in range(JOBS):
            name = f"job{number}.txt"
            (server.root / "00_waiting" / name).write_bytes(content(name))
        server.finish()
        server.forget()
        server.start()
        (tmp_path / "all_added").touch()
        with workers(tmp_path, server.url, WORKERS, reads=False, mode=mode, **SELDOM) as finish:
            done = finish()
        asked = server.answered()
        assert len(list((server.root / "02_done").iterdir())) == JOBS
    assert sum(done.started.values()) == JOBS
    records = [path for method, path, _ in asked if "/journal/" in path and method == "PUT"]
    life = [path for _, path, _ in asked if "/_queue/" in path or path == "/dav/"]
    lost = sum(method == "MOVE" and status >= 400 for method, _, status in asked)
    per_job = (len(asked) - len(life)) / JOBS
    besides = per_job - per_lost_race * lost / JOBS
    methods = dict(Counter(method for method, _, _ in asked))
    figures(
        f"{per_job:.3f} requests per job, {besides:.3f} without lost races ({lost} of them);"
        f" all: {methods}"
    )
    assert besides <= most
    assert lost <= JOBS / 3
    assert len(records) <= JOBS
    life = [path for path in life if "/journal/" not in path]
    assert len(life) <= 24 * WORKERS  # the busier the machine, the more often they look again
