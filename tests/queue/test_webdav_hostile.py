"""A hostile server: nothing outside the queue is touched, and one clear error is said."""

from __future__ import annotations

import pytest

from dirjobs import DirJobs
from dirjobs.errors import StoreError
from dirjobs.layers import Retrying
from tests.amounts import amount
from tests.fake_webdav import Fault
from tests.fake_webdav.fixtures import serve_fake

__all__ = ["serve_fake"]

MOST = amount(10_000, 1_000_000)
"""Entries of a listing; by day fewer than we really take."""
HREFS = [
    "/dav/00_waiting/../x",
    "../x",
    "/dav/00_waiting/..%2fx",
    "/dav/00_waiting/%2e%2e/",
    "/dav/00_waiting/%2e%2e%2fsecret.txt",
    "/dav/00_waiting/..%5cx",
    "//evil.example/dav/00_waiting/x.txt",
    "http://evil.example/dav/00_waiting/x.txt",
    "https://127.0.0.1:1/dav/00_waiting/x.txt",
    "file:///etc/passwd",
    "/etc/passwd",
    "/dav/secret.txt",
    "/dav/02_done/x.txt",
    "/dav/00_waiting/a%00b.txt",
    "/dav/00_waiting/a%0d%0aHost:%20evil.txt",
    "/dav/00_waiting/deep/er.txt",
    "/dav/00_waiting/%ff.txt",
    "/dav/00_waiting/%E2%80%AEtxt.exe",
]


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch):
    monkeypatch.setattr(Retrying, "FIRST", 0.002)


def prepared(serve_fake):
    server = serve_fake()
    server.write("secret.txt", b"not ours")
    server.write("x", b"not ours")
    return server


def assert_stayed_inside(server):
    """No request was for anything but the queue's own folders."""
    tree = server.tree()
    assert tree["jobs/00_waiting/job1.txt" if "jobs/00_waiting/job1.txt" in tree else "x"]
    assert tree["secret.txt"] == tree["x"] == b"not ours"
    for request in server.log:
        for path in (request.path, request.destination):
            assert path is None or path == "jobs" or path.startswith("jobs/"), request
            assert path is None or not {"", ".", ".."} & set(path.split("/")), request


@pytest.mark.parametrize("mode", ["trust", "verify"])
def test_names_outside_the_folder_are_ignored(serve_fake, caplog, mode):
    server = prepared(serve_fake)
    hrefs = [href.replace("/dav/", "/dav/jobs/", 1) for href in HREFS]
    with DirJobs(f"{server.url}/jobs", mode=mode, job_ext="", create=True) as queue:
        server.write("jobs/00_waiting/job1.txt", b"1")
        hrefs.append("/dav/jobs/00_waiting/job1.txt")
        server.faults.add(
            Fault("hostile_hrefs", "PROPFIND", "jobs/00_waiting", hrefs=hrefs, times=None)
        )
        job = queue.next_and_lock()
        assert job is not None
        assert job.name() == "job1.txt"
    assert_stayed_inside(server)
    told = [record.message for record in caplog.records if "outside it" in record.message]
    assert told
    assert all("\n" not in line and "\r" not in line and "\0" not in line for line in told)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault("garbage_xml"), "can't be used"),
        (Fault("truncated_xml"), "can't be used"),
        (Fault("entity_bomb"), "can't be used"),
        (Fault("flood", entries=MOST + 1), "can't be used"),
        (Fault("login_page"), "not a WebDAV folder, or a login page is in the way"),
        (Fault("redirect", location="http://evil.example/{target}"), "where we don't follow"),
        (Fault("inner_status", status=403), "allows no PROPFIND"),
    ],
    ids=lambda each: each.kind if isinstance(each, Fault) else "",
)
def test_listings_that_are_none(serve_fake, fault, said, monkeypatch):
    monkeypatch.setattr("dirjobs.backends.webdav.propfind.MAX_ENTRIES", MOST)
    server = prepared(serve_fake)
    with DirJobs(f"{server.url}/jobs", mode="trust", create=True) as queue:
        server.write("jobs/00_waiting/job1.txt", b"payload")
        fault.method, fault.path, fault.times = "PROPFIND", "jobs/00_waiting", None
        server.faults.add(fault)
        with pytest.raises(StoreError) as caught:
            queue.next_and_lock()
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)
        server.faults.clear()
        server.faults.add(fault)
    assert server.files("jobs/00_waiting") == {"job1.txt": b"payload"}
    assert_stayed_inside(server)
