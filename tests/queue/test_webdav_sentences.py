"""One clear sentence for each thing that is wrong with a server, and never a secret."""

from __future__ import annotations

import base64
import io
import logging
import pickle
import re
import socket
import traceback
from urllib.parse import quote

import pytest

from dirjobs import DirJobs
from dirjobs.errors import ConfigurationError, StoreError
from dirjobs.layers import Retrying
from dirjobs.registry import open_store
from tests.fake_webdav import FakeWebDAV, Fault
from tests.fake_webdav.fixtures import self_signed_tls, serve_fake
from tests.servers.child import free_port

__all__ = ["self_signed_tls", "serve_fake"]

CANARY = "c4nary/p@ss wörd:%41"
FORMS = [
    CANARY,
    quote(CANARY, safe=""),
    quote(CANARY),
    base64.b64encode(f"worker:{CANARY}".encode()).decode(),
    base64.b64encode(CANARY.encode()).decode().rstrip("="),
    repr(CANARY)[1:-1],
    ascii(CANARY)[1:-1],
]


@pytest.fixture(autouse=True)
def one_try_is_enough(monkeypatch):
    monkeypatch.setattr(Retrying, "FIRST", 0.001)


def refused(url: str, **options) -> str:
    """What `DirJobs` says; the store itself must say the same kind of thing."""
    with pytest.raises((StoreError, ConfigurationError)) as caught:
        DirJobs(url, storage_options={"netrc": False, "trust_env": False, **options})
    said = str(caught.value)
    assert said
    assert "\n" not in said
    with open_store(url, {"netrc": False, "trust_env": False, **options}) as store:
        with pytest.raises(StoreError) as again:
            list(store.list(""))
        assert type(again.value) is type(caught.value)
    return said


STATUSES = {
    401: r"user 'worker' was refused at .* \(401\): check user and password .* app password",
    403: r"allows no PROPFIND of .* \(403\): check the rights of user 'worker'",
    405: r"takes no PROPFIND \(405\), so it is not a WebDAV folder: check the URL",
    501: r"doesn't know PROPFIND \(501\), so it is not a WebDAV server",
}


@pytest.mark.parametrize("status", STATUSES)
def test_statuses(serve_fake, status):
    server = serve_fake()
    server.faults.add(Fault("status", status=status, times=None))
    assert re.search(STATUSES[status], refused(server.url, username="worker", password=CANARY))


def test_what_a_refused_login_lacks(serve_fake):
    server = serve_fake(user="worker", password="right")
    told = refused(server.url)
    assert f"{server.url}/ wants a login, and none was given (401): give user and" in told
    assert "nobody" not in told
    told = refused(server.url, username="{who}")
    assert "user '{who}' was refused at" in told
    assert "(401): no password was given; give user and password (`dirjobs login" in told
    assert "or write them into ~/.netrc" in told


@pytest.mark.parametrize("status", [404, 409])
def test_a_root_below_a_mistyped_folder(serve_fake, status):
    server = serve_fake()
    server.faults.add(Fault("status", status=status, method="MKCOL", times=None))
    with pytest.raises(StoreError) as caught, open_store(f"{server.url}/davv/jobs") as store:
        store.mkdir("")
    assert re.search(
        rf"the folder above .*/davv/jobs/? is not there \({status}\): check the spelling, or",
        str(caught.value),
    )


def test_a_root_that_can_not_be_made(serve_fake):
    """A missing folder is made if that is asked for; one whose parents are missing too is a
    mistyped URL."""
    server = serve_fake()
    with pytest.raises(ConfigurationError, match="create=True"):
        DirJobs(f"{server.url}/jobs")
    with DirJobs(f"{server.url}/jobs", create=True):
        pass
    assert ("jobs", "00_waiting") in {tuple(folder.split("/")) for folder in server.folders()}
    with pytest.raises(StoreError, match=r"the folder above .* is not there"):
        DirJobs(f"{server.url}/typo/jobs", create=True)


def test_a_login_page(serve_fake):
    server = serve_fake()
    server.faults.add(Fault("login_page", times=None))
    assert "is not a WebDAV folder, or a login page is in the way" in refused(server.url)


def test_a_certificate_of_its_own(serve_fake, self_signed_tls):
    server = serve_fake(tls=self_signed_tls.context)
    assert "can't be verified: pass the option ca=" in refused(server.url)
    with DirJobs(server.url, storage_options={"ca": self_signed_tls.certificate}):
        pass


def test_nobody_listens():
    assert "can't be reached" in refused(f"http://127.0.0.1:{free_port()}/dav")


def test_no_such_host(monkeypatch):
    def unknown(*args, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    said = refused("https://cloud.example.invalid/dav")
    assert said.startswith("https://cloud.example.invalid can't be reached")


# -- secrets ----------------------------------------------------------------------------------


FAILING = [
    Fault("status", status=401),
    Fault("status", status=403),
    Fault("status", status=500),
    Fault("login_page"),
    Fault("garbage_xml"),
    Fault("redirect", location="http://evil.example/{target}"),
    Fault("answer_lost"),
    Fault("cut"),
    Fault("stalled"),
]


def operations(queue: DirJobs):
    job = queue.next_and_lock()
    assert job is not None
    return [
        queue.status,
        queue.next_and_lock,
        lambda: queue.add("another.txt", b"x"),
        lambda: queue.store.exists("a"),
        lambda: queue.store.read("00_waiting/job2.txt"),
        lambda: queue.store.rename("00_waiting/job2.txt", "00_waiting/job3.txt"),
        lambda: queue.store.write("_queue/x.json", b"x"),
        lambda: queue.store.remove("00_waiting/nothing"),
        lambda: pickle.dumps(queue.store),
        lambda: pickle.dumps(queue),
        lambda: repr([queue, queue.store, job, str(job), queue.store.full_path("a"), job.path()]),
    ]


@pytest.mark.parametrize("in_url", [False, True], ids=["options", "url"])
def test_a_password_is_never_shown(tmp_path, monkeypatch, capfd, in_url):
    written = tmp_path / "log"
    handler = logging.FileHandler(written)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s %(args)r %(exc_text)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    monkeypatch.setattr("dirjobs.clock.sleep", lambda seconds: None)
    shown = io.StringIO()
    try:
        with FakeWebDAV(user="worker", password=CANARY) as server:
            url, options = server.url, {"timeout": 0.2, "netrc": False}
            if in_url:
                url = url.replace("://", f"://worker:{quote(CANARY, safe='')}@")
            else:
                options |= {"username": "worker", "password": CANARY}
            fail_in_all_ways(server, url, options, shown)
            shown.write(repr(server.tree()))
        refused_url = f"http://worker:{quote(CANARY, safe='')}@127.0.0.1:{free_port()}/dav?x=1"
        note(shown, lambda: DirJobs(refused_url))
        note(shown, lambda: DirJobs(refused_url.partition("?")[0]))
        note(shown, lambda: DirJobs(url, storage_options={"token": CANARY}))
        note(shown, lambda: DirJobs(url, storage_options={"auth": CANARY}))
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        handler.close()
    output = "".join(capfd.readouterr()) + shown.getvalue() + written.read_text()
    assert "dirjobs" in written.read_text(), "the log was on"
    assert output.count("Error") > 20, "operations failed"
    found = {form for form in FORMS if form in output}
    assert not found, [line for line in output.splitlines() if any(f in line for f in found)][:3]


def fail_in_all_ways(server: FakeWebDAV, url: str, options: dict, shown: io.StringIO) -> None:
    for fault in FAILING:
        server.write("00_waiting/job1.txt", b"x")
        server.write("00_waiting/job2.txt", b"x")
        with DirJobs(url, storage_options=options, patience=0) as queue:
            for operation in operations(queue):
                server.faults.add(fault)
                note(shown, operation)
                server.faults.clear()
                fault.fired = fault._seen = 0
        for path in list(server.tree()):
            if path.split("/")[0] in ("00_waiting", "02_done", "99_failed"):
                server.remove(path)
    server.check()


def note(shown: io.StringIO, operation) -> None:
    """Keep all that an operation says or raises, with every cause."""
    try:
        shown.write(repr(operation()))
    except Exception as error:  # noqa: BLE001 - whatever it is, it may not tell
        chain: BaseException | None = error
        while chain is not None:
            shown.write(repr([chain, chain.args, getattr(chain, "__dict__", None)]))
            chain = chain.__cause__ or chain.__context__
        shown.write("".join(traceback.TracebackException.from_exception(error).format()))
