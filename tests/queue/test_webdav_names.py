"""Names that HTTP mangles go through a WebDAV queue unchanged."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dirjobs import DirJobs
from dirjobs.errors import InvalidName, Unsupported
from tests.fake_webdav import PERSONALITIES, FakeWebDAV
from tests.servers import apache

NAMES = [
    "a b.txt",
    "%41.txt",
    "a%20b",
    "#1.txt",
    "a+b",
    "a&b",
    "\u00e4 composed",
    "a\u0308 decomposed",
    "日本語.txt",
    "😀",
    "it's [1] {2} (3) =@$!,^`",
    "job.gz",
]


@pytest.fixture(params=["apache", "fake"])
def place(request):
    """A URL, storage options, and how to put a file there behind everybody's back."""
    if request.param == "fake":
        with FakeWebDAV(PERSONALITIES["atomic"], "worker", "s3cret") as server:
            login = {"username": "worker", "password": "s3cret"}
            yield server.url, login, server.write, server.files
            server.check()
        return
    with apache.running() as server:

        def write(path, data):
            (server.root / path).write_bytes(data)

        def files(folder):
            return {path.name: path.read_bytes() for path in (server.root / folder).iterdir()}

        login = {"username": server.user, "password": server.password}
        yield server.url, login, write, files


@pytest.mark.parametrize("mode", ["verify", "trust"])
def test_names_make_the_round_trip(place, mode):
    url, login, _, files = place
    with DirJobs(url, job_ext="", mode=mode, storage_options=login) as queue:
        for name in NAMES:
            assert queue.add(name, name.encode()) == name
        assert set(files("00_waiting")) == set(NAMES)
        assert queue.status().waiting == len(NAMES)
        seen = []
        for job in queue:
            with job:
                assert job.read_text() == job.name()
                assert job.full_name() == f"w1.{job.name()}"
                assert queue.status().claims == {job.name(): "w1"}
                seen.append(job.name())
        assert sorted(seen) == sorted(NAMES)
    assert files("02_done") == {name: name.encode() for name in NAMES}


@pytest.mark.parametrize("name", ["a b.txt", "grün.txt", "100%.txt", "x+y.txt"])
def test_a_server_that_changes_names_is_noticed_and_the_job_has_its_own_again(name):
    personality = replace(PERSONALITIES["atomic"], encodes_again=True)
    with FakeWebDAV(personality, "worker", "s3cret") as server:
        login = {"username": "worker", "password": "s3cret"}
        with DirJobs(server.url, job_ext="", storage_options=login) as queue:
            server.write(f"00_waiting/{name}", b"x")
            with pytest.raises(Unsupported, match="changes names on the way") as caught:
                queue.next_and_lock()
            assert "it has its own name again" in str(caught.value)
            assert set(server.files("00_waiting")) == {name}
            assert queue.status().waiting == 1
        assert set(server.files("00_waiting")) == {name}
        server.check()


def test_names_that_servers_drop_are_refused_and_skipped(place, caplog):
    """WsgiDAV moves ``q?x.txt`` to ``q`` and says 201."""
    url, login, write, files = place
    with DirJobs(url, job_ext="", storage_options=login) as queue:
        for name in ("a;b", "a?b"):
            with pytest.raises(InvalidName, match=r"can't be used: it contains '[;?]'"):
                queue.add(name)
            write(f"00_waiting/{name}", b"x")
        write("00_waiting/good", b"x")
        for _ in range(3):
            for job in queue:
                job.done()
    assert set(files("02_done")) == {"good"}
    assert set(files("00_waiting")) == {"a;b", "a?b"}
    told = [record.getMessage() for record in caplog.records if "is skipped" in record.message]
    assert len(told) == 2, "one line for each"
    assert all("rename it" in line for line in told)
