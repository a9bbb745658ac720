"""What a job costs: requests counted by the server itself."""

from __future__ import annotations

from collections import Counter

import pytest

from dirjobs import DirJobs
from tests.process.webdav_worker import content, workers
from tests.servers import apache

JOBS, WORKERS = 1000, 4


@pytest.mark.parametrize(("mode", "most", "per_lost_race"), [("trust", 2.1, 0), ("verify", 6.3, 2)])
def test_requests_per_job(tmp_path, capsys, mode, most, per_lost_race):
    """Four workers: claims, lost races, looks, finishing, listings, all counted.

    What a worker's own life costs, however many jobs it does, is counted apart.
    """
    with apache.running(auth=None) as server:
        with DirJobs(server.url):
            pass
        for number in range(JOBS):
            name = f"job{number}.txt"
            (server.root / "00_waiting" / name).write_bytes(content(name))
        before = len(server.requests())
        (tmp_path / "all_added").touch()
        with workers(tmp_path, server.url, WORKERS, reads=False, mode=mode) as finish:
            done = finish()
        asked = server.answered()[before:]
        assert len(list((server.root / "02_done").iterdir())) == JOBS
    assert sum(done.started.values()) == JOBS
    life = [path for _, path, _ in asked if "/_queue/" in path or path == "/dav/"]
    lost = sum(method == "MOVE" and status == 404 for method, _, status in asked)
    per_job = (len(asked) - len(life)) / JOBS
    methods = dict(Counter(method for method, _, _ in asked))
    with capsys.disabled():
        print(f"\n{mode}: {per_job:.3f} requests per job ({lost} races lost), all: {methods}")
    assert per_job <= most + per_lost_race * lost / JOBS
    assert len(life) <= 12 * WORKERS
