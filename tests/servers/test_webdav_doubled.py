"""Workers behind a proxy that sends each MOVE twice: Apache says 404 to the second."""

from __future__ import annotations

from threading import Thread

import pytest

from dirjobs import DirJobs
from dirjobs.errors import DirJobsError, StoreError
from tests.servers import apache
from tests.servers.forwarding import forwarding, twice_if_move


@pytest.mark.parametrize("mode", ["trust", "verify"])
def test_each_job_is_done_once_and_said_to_be(mode):
    jobs = [f"job{number}.txt" for number in range(12)]
    done, errors = [], []

    def work(url, wid):
        try:
            with DirJobs(
                url, wid=wid, mode=mode, storage_options={"netrc": False}, create=True
            ) as queue:
                for job in queue:
                    name = job.name()
                    job.done()
                    done.append(name)
        except (StoreError, DirJobsError) as error:
            errors.append(error)

    with apache.running(auth=None) as server, forwarding(server.port, times=twice_if_move) as port:
        url = f"http://127.0.0.1:{port}{server.url.partition(str(server.port))[2]}/jobs"
        with DirJobs(
            url, wid="person", mode=mode, storage_options={"netrc": False}, create=True
        ) as queue:
            for job in jobs:
                queue.add(job, b"data")
        crew = [Thread(target=work, args=(url, wid)) for wid in ("w1", "w2", "w3")]
        for worker in crew:
            worker.start()
        for worker in crew:
            worker.join()
        assert errors == []
        assert sorted(done) == sorted(jobs)
        left = {path.parent.name for path in (server.root / "jobs").glob("*/*.txt")}
        assert left == {"02_done"}
        told = [status for verb, _, status in server.answered() if verb == "MOVE"]
        assert told.count(404) > len(jobs)
