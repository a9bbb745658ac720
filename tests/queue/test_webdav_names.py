"""Names that HTTP mangles go through a WebDAV queue unchanged."""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import replace

import pytest

from dirjobs import DirJobs, open_store
from dirjobs.errors import InvalidName, JobsRefused, StoreError
from tests.fake_webdav import PERSONALITIES, FakeWebDAV, Fault
from tests.servers import apache, nginx

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


# -- a proxy that encodes the new name once more ------------------------------------------

ODD = ["a b.txt", "gr\u00fcn.txt", "100%.txt", "x+y.txt", "a&b.txt", "#1.txt", "a [1].txt"]


@pytest.fixture
def encoding_again():
    """A server where no way leads around it."""
    personality = replace(PERSONALITIES["atomic"], encodes_again=True)
    with FakeWebDAV(personality, "worker", "s3cret") as server:
        yield server
        server.check()


@pytest.mark.parametrize("mode", ["verify", "trust", "sync"])
@pytest.mark.parametrize("name", ODD)
def test_a_job_whose_name_would_be_changed_is_left_alone(encoding_again, mode, name):
    server, login = encoding_again, {"username": "worker", "password": "s3cret"}
    more = {"sync_time": 0.01} if mode == "sync" else {}
    with DirJobs(server.url, job_ext="", mode=mode, storage_options=login, **more) as queue:
        server.write(f"00_waiting/{name}", b"x")
        server.write("00_waiting/plain.txt", b"x")
        assert queue.next_and_lock().name() == "plain.txt"
        with pytest.raises(JobsRefused, match="changes or refuses") as caught:
            queue.next_and_lock()
        assert "have the proxy pass on Destination as it is" in str(caught.value)
        with pytest.raises(StoreError, match="changes or refuses"):
            queue.add(f"2{name}", b"x")
    assert set(server.files("00_waiting")) == {name, "plain.txt"}
    assert not server.files("01_running")


@pytest.mark.parametrize("nth", range(1, 6))
@pytest.mark.parametrize("method", ["PUT", "MOVE", "PROPFIND", "DELETE"])
@pytest.mark.parametrize("kind", ["answer_lost", "request_lost"])
def test_whatever_fails_at_the_trial_no_name_is_changed(encoding_again, kind, method, nth):
    """The trial is made with a file of its own, so nothing of the job can be half way."""
    server, login = encoding_again, {"username": "worker", "password": "s3cret"}
    with DirJobs(server.url, job_ext="", storage_options=login) as queue:
        server.write("00_waiting/a b.txt", b"x")
        server.faults.add(Fault(kind, method, "00_waiting/*~*", nth=nth))
        with pytest.raises(StoreError):
            queue.next_and_lock()
            queue.next_and_lock()
        assert jobs_in(server, "00_waiting") == {"a b.txt"}
    assert jobs_in(server, "00_waiting") == {"a b.txt"}
    assert not server.files("01_running")


@pytest.mark.parametrize("status", [302, 401, 403, 404, 502, 503, 507])
@pytest.mark.parametrize("method", ["PUT", "MOVE", "PROPFIND", "DELETE"])
def test_a_refusal_at_the_trial_lets_nothing_be_renamed_untried(encoding_again, method, status):
    server, login = encoding_again, {"username": "worker", "password": "s3cret"}
    server.write("00_waiting/a b.txt", b"x")
    server.mkdir("01_running")
    server.faults.add(Fault("status", method, "00_waiting/*~*", status=status))
    with closing(open_store(server.url, login)) as store:
        for _ in range(2):
            with pytest.raises(StoreError):
                store.rename("00_waiting/a b.txt", "01_running/w1.a b.txt")
    assert jobs_in(server, "00_waiting") == {"a b.txt"}
    assert not server.files("01_running")


@pytest.mark.parametrize("status", [401, 404, 503, 507])
@pytest.mark.parametrize("method", ["PUT", "MOVE", "PROPFIND", "DELETE"])
def test_a_refusal_at_the_trial_is_no_verdict_on_names(method, status):
    """A proxy that refuses everything for a moment says nothing about names."""
    login = {"username": "worker", "password": "s3cret"}
    with FakeWebDAV(PERSONALITIES["atomic"], "worker", "s3cret") as server:
        server.write("00_waiting/a b.txt", b"x")
        server.mkdir("01_running")
        server.faults.add(Fault("status", method, "00_waiting/*~*", status=status))
        with closing(open_store(server.url, login)) as store:
            with suppress(StoreError):
                store.rename("00_waiting/a b.txt", "01_running/w1.a b.txt")
            if server.files("00_waiting").get("a b.txt"):
                store.rename("00_waiting/a b.txt", "01_running/w1.a b.txt")
        assert set(server.files("01_running")) == {"w1.a b.txt"}
        server.check()


def jobs_in(server, folder):
    return {name for name in server.files(folder) if name[0] != "~"}


def test_what_only_some_names_have_is_found_out(encoding_again):
    """A server that changes nothing but percent signs."""
    server, login = encoding_again, {"username": "worker", "password": "s3cret"}
    server.encode_again = lambda name: name.replace("%", "%25")
    with DirJobs(server.url, job_ext="", storage_options=login) as queue:
        for name in ("a b.txt", "100%.txt"):
            server.write(f"00_waiting/{name}", b"x")
        assert queue.next_and_lock().name() == "a b.txt"
        with pytest.raises(JobsRefused, match="'%' in the name"):
            queue.next_and_lock()


@pytest.mark.parametrize("mode", ["verify", "trust"])
def test_a_proxy_that_rewrites_https_is_told_http(mode, caplog):
    """nginx leaves alone what its expression does not match."""
    caplog.set_level("INFO")
    with (
        apache.running() as behind,
        nginx.running(behind.port, tls=True, rewrites="https") as proxy,
    ):
        login = {"username": behind.user, "password": behind.password, "verify": str(proxy.ca)}
        with DirJobs(proxy.url, job_ext="", mode=mode, storage_options=login) as queue:
            for name in NAMES:
                queue.add(name, name.encode())
            for job in queue:
                with job:
                    assert job.read_text() == job.name()
        done = {path.name for path in (behind.root / "02_done").iterdir()}
    assert done == set(NAMES)
    assert "changes names" not in caplog.text


@pytest.mark.parametrize("mode", ["verify", "trust"])
def test_a_proxy_that_rewrites_all_is_told_of(mode, caplog):
    caplog.set_level("INFO")
    with apache.running() as behind, nginx.running(behind.port, rewrites="http") as proxy:
        login = {"username": behind.user, "password": behind.password}
        with DirJobs(proxy.url, job_ext="", mode=mode, storage_options=login) as queue:
            for name in (*ODD, "plain.txt"):
                (behind.root / "00_waiting" / name).write_bytes(b"x")
            queue.next_and_lock().done()
            with pytest.raises(JobsRefused, match=f"{len(ODD)} jobs could not be taken"):
                queue.next_and_lock()
        assert {path.name for path in (behind.root / "00_waiting").iterdir()} == set(ODD)
        assert {path.name for path in (behind.root / "02_done").iterdir()} == {"plain.txt"}
    told = [each for each in caplog.messages if "changes names on the way" in each]
    assert len(told) == 1


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
