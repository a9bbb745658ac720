"""What a look costs that finds nothing."""

import pytest

from dirjobs import DirJobs
from tests.fake_webdav.fixtures import serve_fake

__all__ = ["serve_fake"]


@pytest.mark.parametrize("mode", ["verify", "trust"])
def test_whoever_looks_again_asks_once(serve_fake, mode):
    server = serve_fake()
    with DirJobs(f"{server.url}/jobs", mode=mode, create=True) as dj:
        assert dj.next_and_lock() is None
        server.reset_log()
        assert dj.look_for_job() is None
        assert [(each.method, each.path) for each in server.log] == [
            ("PROPFIND", "jobs/00_waiting")
        ]
        server.reset_log()
        assert dj.next_and_lock() is None  # for whoever ends then, it is made sure of
        assert [each.path for each in server.log] == ["jobs/00_waiting", "jobs/_queue/queue.json"]


def test_who_has_the_others_jobs_is_asked_where_there_are_some(serve_fake):
    server = serve_fake()
    with DirJobs(f"{server.url}/jobs", mode="verify", create=True) as dj:
        assert dj.next_and_lock() is None
        server.write("jobs/00_waiting/job1.txt", b"")
        server.reset_log()
        job = dj.look_for_job()
        assert [each.path for each in server.log[:2]] == ["jobs/00_waiting", "jobs/01_running"]
        job.done()
