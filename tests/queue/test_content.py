"""A job's content comes whole, or there is an error: whatever a proxy makes of it."""

from __future__ import annotations

import io

import pytest

from dirjobs import DirJobs
from dirjobs.errors import AmbiguousResult
from dirjobs.layers import Retrying
from tests.fake_webdav import Fault
from tests.fake_webdav.fixtures import serve_fake

__all__ = ["serve_fake"]

CONTENT = b"line1\nline2\nline3\nline4\n"
OTHERS = [b"", b"line1\n", CONTENT[:-1], CONTENT + b"x", CONTENT * 1000]


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch):
    monkeypatch.setattr(Retrying, "FIRST", 0.002)


@pytest.fixture
def server(serve_fake):
    return serve_fake()


@pytest.fixture
def job(server):
    with DirJobs(f"{server.url}/jobs", mode="trust", create=True) as queue:
        server.write("jobs/00_waiting/job1.txt", CONTENT)
        job = queue.next_and_lock()
        assert job is not None
        with job:
            yield job


def cut(server, body, times):
    """Answers to the GET of the job are well-formed, and have another `body`."""
    fault = Fault("body", "GET", "jobs/01_running/*", body=body, times=times, headers={"ETag": "x"})
    return server.faults.add(fault)


@pytest.mark.parametrize("body", OTHERS, ids=len)
def test_it_is_fetched_again(server, job, body):
    fault = cut(server, body, 2)
    assert job.read_bytes() == CONTENT
    assert fault.fired == 2
    server.faults.clear()
    cut(server, body, 2)
    target = io.BytesIO(b"before")
    target.seek(6)
    job.download(target)
    assert target.getvalue() == b"before" + CONTENT


@pytest.mark.parametrize("body", OTHERS, ids=len)
def test_it_may_stay_so(server, job, body):
    cut(server, body, None)
    for call in (job.read_bytes, lambda: job.download(io.BytesIO())):
        with pytest.raises(AmbiguousResult, match=r"'job1\.txt' has 24 bytes as it is listed, and"):
            call()


def test_what_can_not_be_rewound_is_not_fetched_again(server, job):
    class Pipe(io.BytesIO):
        def seekable(self):
            return False

    fault = cut(server, CONTENT[:6], None)
    target = Pipe()
    with pytest.raises(AmbiguousResult, match="and 6 came"):
        job.download(target)
    assert fault.fired == 1
    server.faults.clear()
    target = Pipe()
    job.download(target)
    assert target.getvalue() == CONTENT


@pytest.mark.parametrize("now", [CONTENT[:6], CONTENT * 2], ids=len)
def test_a_file_that_was_changed_after_the_listing_is_what_it_is_now(server, job, now):
    server.write("jobs/01_running/" + job.full_name(), now)
    assert job.read_bytes() == now


def test_it_costs_no_request_more(server, job):
    server.log.clear()
    assert job.read_bytes() == CONTENT
    assert [request.method for request in server.log] == ["GET"]
