"""The WebDAV store against real servers: names, logins, certificates, big files."""

from __future__ import annotations

import hashlib
import json
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from dirjobs.backends.webdav import open_store
from dirjobs.errors import AmbiguousResult, Denied, Unavailable
from tests.amounts import PATIENCE, amount
from tests.servers import apache, wsgidav
from tests.servers.apache import Apache, make_certificate
from tests.unit.scripted_server import ScriptedServer, answer

NAMES = [
    "a b.txt",
    "%41.txt",
    "a%20b",
    "#1",
    "a+b",
    "a&b",
    "\u00e4 composed",
    "a\u0308 decomposed",
    "日本語",
    "😀.txt",
    "it's [1] {2} (3) =~@$!,^`",
    "job.gz",
]
MEGABYTES = amount(100, 300)


def opened(server, folder="", **options):
    login = {"username": server.user, "password": server.password} if server.user else {}
    if server.ca:
        login["ca"] = str(server.ca)
    return open_store(f"{server.url}/{folder}", {**login, **options})


@pytest.fixture(params=["apache", "wsgidav"])
def server(request):
    with {"apache": apache, "wsgidav": wsgidav}[request.param].running() as server:
        yield server


@pytest.mark.parametrize("folder", ["", "my jobs %41 ä #1"])
def test_names_make_the_round_trip(server, folder):
    with opened(server) as top:
        if folder:
            top.mkdir(folder)
    with opened(server, "my%20jobs%20%2541%20%C3%A4%20%231" if folder else "") as store:
        store.mkdir("in")
        store.mkdir("out")
        for name in NAMES:
            assert store.name_problem(name) is None
            store.write(f"in/{name}", name.encode())
        assert {entry.name for entry in store.list("in")} == set(NAMES)
        for name in NAMES:
            store.rename(f"in/{name}", f"out/w1.{name}")
            assert store.read(f"out/w1.{name}") == name.encode()
        assert list(store.list("in")) == []
        there = {entry.name: entry.size for entry in store.list("out")}
        assert there == {f"w1.{name}": len(name.encode()) for name in NAMES}
    assert len(list((server.root / folder / "out").iterdir())) == len(NAMES)


@pytest.mark.parametrize("auth", ["basic", "digest", None])
@pytest.mark.parametrize("tls", [False, True])
def test_logins(auth, tls):
    with apache.running(auth=auth, tls=tls) as server:
        with opened(server) as store:
            store.write("file", b"data")
            store.rename("file", "other")
            assert store.read("other") == b"data"
        if auth:
            with (
                opened(server, username="worker", password="wrong") as store,
                pytest.raises(Denied, match=r"user 'worker' was refused .* app password"),
            ):
                list(store.list(""))
            options = {"ca": str(server.ca)} if tls else {}
            with (
                open_store(server.url, options) as store,
                pytest.raises(Denied, match="none was given"),
            ):
                list(store.list(""))


def test_a_certificate_of_its_own_is_refused_with_advice(apache_tls):
    with opened(apache_tls, ca=None) as store:
        with pytest.raises(Denied, match=r"can't be verified: pass the option ca="):
            list(store.list(""))
        with pytest.raises(Denied, match="can't be verified"):
            store.rename("a", "b")
    with opened(apache_tls, ca=None, verify=False) as store:
        assert list(store.list("")) == []


def test_http_where_https_is_meant(apache):
    with (
        open_store(apache.url.replace("http:", "https:"), {}) as store,
        pytest.raises(Unavailable, match="it is http"),
    ):
        list(store.list(""))


def test_a_server_that_restarts(apache):
    with opened(apache) as store:
        store.write("file", b"data")
        apache.stop()
        with pytest.raises((Unavailable, AmbiguousResult)):
            store.rename("file", "other")
        with pytest.raises(Unavailable):
            store.rename("file", "other")
        apache.start()
        store.rename("file", "other")
        assert store.read("other") == b"data"


def test_one_request_for_each_verb(apache):
    """Preparing the login costs one request per connection to a server without TLS."""
    with opened(apache, auth_type="basic") as store:
        store.mkdir("folder")
        store.write("folder/file", b"x")
        store.list("folder")
        store.exists("folder/file")
        store.mtime("folder/file")
        store.read("folder/file")
        store.rename("folder/file", "folder/other")
        store.remove("folder/other")
    looks = ["PROPFIND"] * 3
    assert apache.requests() == ["MKCOL", "PUT", *looks, "GET", "MOVE", "PROPFIND", "DELETE"]


def test_tls_that_ends_at_a_proxy(tmp_path):
    """The server behind knows itself as http:// and refuses an https destination."""
    make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")

    def respond(request):
        if request.method == "PROPFIND":
            return answer(404)
        return answer(502 if request.headers["destination"].startswith("https:") else 201)

    with ScriptedServer(respond, context) as server:
        url = f"https://localhost:{server.port}/dav"
        with open_store(url, {"ca": str(tmp_path / "cert.pem"), "netrc": False}) as store:
            store.rename("a", "b")
            store.rename("c", "d")
            with store.another() as other:
                other.rename("e", "f")
        methods = [request.method for request in server.requests]
        assert methods == ["MOVE", "PROPFIND", "MOVE", "MOVE", "MOVE"], "asked once, remembered"
        server.respond = lambda request: answer(404 if request.method == "PROPFIND" else 502)
        with (
            open_store(url, {"ca": str(tmp_path / "cert.pem"), "netrc": False}) as store,
            pytest.raises(AmbiguousResult, match="may have been done"),
        ):
            store.rename("a", "b")


PAYLOAD = """
import json, resource, sys, hashlib
from dirjobs.backends.webdav import open_store
url, options, megabytes, source, target = json.loads(sys.argv[1])
store = open_store(url, options)
store.write("warm", b"x")
store.read("warm")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open(source, "rb") as file:
    store.upload("big", file)
with open(target, "wb") as file:
    store.download("big", file)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_a_big_payload_needs_little_memory(tmp_path, auth):
    """100 MB (300) up and down: the process grows by less than 50 MB."""
    source, target = tmp_path / "source", tmp_path / "target"
    block = hashlib.shake_256(b"payload").digest(1_000_000)
    with source.open("wb") as file:
        for number in range(MEGABYTES):
            file.write(number.to_bytes(8, "big") + block[8:])
    with apache.running(auth=auth) as server:
        options = {"username": server.user, "password": server.password}
        job = json.dumps([server.url, options, MEGABYTES, str(source), str(target)])
        done = subprocess.run(
            [sys.executable, "-c", PAYLOAD, job],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            cwd=Path(__file__).parents[2],
        )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 50 * 1024, "KiB"
    with source.open("rb") as one, target.open("rb") as other:
        assert (
            hashlib.file_digest(one, "md5").digest() == hashlib.file_digest(other, "md5").digest()
        )


apache_tls = apache.apache_tls


@pytest.fixture(name="apache")
def apache_server():
    with apache.running() as server:
        assert isinstance(server, Apache)
        yield server
