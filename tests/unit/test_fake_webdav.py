"""The fake as a WebDAV server: methods, litmus, authentication, TLS, command line."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.amounts import PATIENCE
from tests.fake_webdav import FakeWebDAV
from tests.fake_webdav import personalities as are
from tests.fake_webdav.client import Client
from tests.fake_webdav.fixtures import TLS, ServeFake, need, self_signed_tls, serve_fake

__all__ = ["self_signed_tls", "serve_fake"]
ROOT = Path(__file__).resolve().parents[2]
ASK = b'<propfind xmlns="DAV:"><prop><getcontentlength/><x xmlns="urn:y"/></prop></propfind>'


@pytest.fixture
def server(serve_fake: ServeFake) -> FakeWebDAV:
    return serve_fake()


@pytest.fixture
def asker(server: FakeWebDAV) -> Iterator[Client]:
    client = Client(server.url)
    yield client
    client.close()


@pytest.mark.parametrize("personality", ["atomic", "partial"])
def test_litmus_basic_and_copymove(serve_fake: ServeFake, personality: str, tmp_path: Path) -> None:
    litmus = need(shutil.which("litmus"), "apt-get install litmus")
    server = serve_fake(are.PERSONALITIES[personality])
    ran = subprocess.run(
        [litmus, "-k", server.url + "/"],
        cwd=tmp_path,
        env={**os.environ, "TESTS": "basic copymove props"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    assert ran.stdout.count(" 0 failed") == 3
    assert "FAIL" not in ran.stdout


def test_files_and_folders(server: FakeWebDAV, asker: Client) -> None:
    steps: list[tuple[int, tuple[str, str], dict[str, object]]] = [
        (409, ("PUT", "a/x"), {"body": b"1"}),
        (201, ("MKCOL", "a/"), {}),
        (405, ("MKCOL", "a/"), {}),
        (409, ("MKCOL", "b/c/"), {}),
        (415, ("MKCOL", "b/"), {"body": b"<x/>"}),
        (201, ("PUT", "a/x"), {"body": b"0123456789"}),
        (204, ("PUT", "a/x"), {"body": b"0123456789"}),
        (405, ("PUT", "a"), {"body": b"1"}),
        (412, ("PUT", "a/x"), {"body": b"1", "If_None_Match": "*"}),
        (412, ("PUT", "a/new"), {"body": b"1", "If_Match": "*"}),
        (201, ("COPY", "a/x"), {"to": "a/y"}),
        (412, ("MOVE", "a/x"), {"to": "a/y", "Overwrite": "F"}),
        (412, ("MOVE", "a/x"), {"to": "a/z", "If_Match": '"other"'}),
        (204, ("MOVE", "a/x"), {"to": "a/y", "Overwrite": "T"}),
        (404, ("MOVE", "a/x"), {"to": "a/z"}),
        (409, ("MOVE", "a/y"), {"to": "nowhere/z"}),
        (403, ("MOVE", "a/y"), {"to": "a/y"}),
        (400, ("MOVE", "a/y"), {}),
        (400, ("MOVE", "a/y"), {"Destination": "/dav/a/z"}),
        (502, ("MOVE", "a/y"), {"Destination": "http://other/dav/a/z"}),
        (502, ("MOVE", "a/y"), {"Destination": server.url.replace("http", "https") + "/a/z"}),
        (403, ("MOVE", "a/y"), {"Destination": server.url_for("/outside")}),
        (405, ("LOCK", "a/y"), {}),
        (404, ("PROPFIND", "nowhere"), {"Depth": "0"}),
        (400, ("PROPFIND", "a/"), {"Depth": "2"}),
        (400, ("PROPFIND", "a/"), {"Depth": "1", "body": b"<propfind"}),
        (200, ("OPTIONS", "a/"), {}),
        (204, ("DELETE", "a/y"), {}),
        (404, ("DELETE", "a/y"), {}),
        (204, ("DELETE", "a/"), {}),
    ]
    for status, (method, path), options in steps:
        told = asker.ask(method, path, **options)  # type: ignore[arg-type]
        assert told.status == status, (method, path, options)
    assert server.folders() == set()
    assert [each.status for each in server.log] == [step[0] for step in steps]
    assert server.count("MKCOL") == 4
    server.reset_log()
    assert server.count() == 0


@pytest.mark.parametrize(
    ("wanted", "status", "body"),
    [
        ("bytes=2-4", 206, b"234"),
        ("bytes=7-", 206, b"789"),
        ("bytes=-3", 206, b"789"),
        ("bytes=8-99", 206, b"89"),
        ("lines=1", 200, b"0123456789"),
    ],
)
def test_ranges(server: FakeWebDAV, asker: Client, wanted: str, status: int, body: bytes) -> None:
    server.write("x", b"0123456789")
    told = asker.ask("GET", "x", Range=wanted)
    assert (told.status, told.body) == (status, body)
    head = asker.ask("HEAD", "x")
    assert (head.headers["Content-Length"], head.body) == ("10", b"")


def test_range_behind_the_end_and_unchanged(server: FakeWebDAV, asker: Client) -> None:
    server.write("x", b"0123456789")
    assert asker.ask("GET", "x", Range="bytes=10-").status == 416
    etag = asker.ask("HEAD", "x").headers["ETag"]
    assert asker.ask("GET", "x", If_None_Match=etag).status == 304
    assert asker.ask("PUT", "x", b"new", If_Match=etag).status == 204
    assert asker.ask("PUT", "x", b"newer", If_Match=etag).status == 412


def test_propfind_depths_and_missing_properties(server: FakeWebDAV, asker: Client) -> None:
    server.write("a/x", b"123")
    server.write("a/b/y", b"")
    for depth, number in (("0", 1), ("1", 3), ("infinity", 4)):
        root = ElementTree.fromstring(asker.ask("PROPFIND", "a/", Depth=depth).body)
        assert len(root) == number
    body = asker.ask("PROPFIND", "a/x", ASK, Depth="0").body
    root = ElementTree.fromstring(body)
    found = {
        prop.tag: (prop.text, status.text)
        for stat in root.iter("{DAV:}propstat")
        for prop in stat.iterfind("{DAV:}prop/*")
        if (status := stat.find("{DAV:}status")) is not None
    }
    assert found["{DAV:}getcontentlength"] == ("3", "HTTP/1.1 200 OK")
    assert found["{urn:y}x"] == (None, "HTTP/1.1 404 Not Found")
    names = asker.ask("PROPFIND", "a/x", b'<propfind xmlns="DAV:"><propname/></propfind>')
    assert b"<D:getetag/>" in names.body


NAMES = ["a b", "%41", "a#b", "a+b", "a&b;c?d", "\u00fc", "u\u0308", "漢字", "🎈"]


@pytest.mark.parametrize("name", NAMES)
def test_names_round_trip(server: FakeWebDAV, asker: Client, name: str) -> None:
    server.mkdir("b")
    assert asker.ask("PUT", name, b"x").status == 201
    assert server.files() == {name: b"x"}
    assert asker.ask("MOVE", name, to=f"b/{name}").status == 201
    assert server.files("b") == {name: b"x"}
    listing = asker.ask("PROPFIND", "b/", Depth="1").body.decode()
    assert f"<D:href>{asker.path(f'b/{name}')}</D:href>" in listing


@pytest.mark.parametrize("target", ["/dav/../x", "/dav/a%2Fb", "/dav/%00", "/davx/a", "/"])
def test_paths_out_of_the_tree(server: FakeWebDAV, asker: Client, target: str) -> None:
    asker.connection.request("PUT", target, b"x")
    with asker.connection.getresponse() as response:
        response.read()
        assert response.status == 404
    assert server.tree() == {}


def test_keep_alive_survives_a_body_nobody_read(server: FakeWebDAV, asker: Client) -> None:
    asker.ask("OPTIONS")
    connection = asker.connection.sock
    assert asker.ask("PUT", "no/where", b"x" * 3_000_000).status == 409
    assert asker.ask("PUT", "chunked", iter([b"some", b"pieces"])).status == 201
    assert asker.connection.sock is connection
    assert server.files() == {"chunked": b"somepieces"}


def test_a_cut_upload_leaves_nothing(server: FakeWebDAV, asker: Client) -> None:
    asker.connection.putrequest("PUT", asker.path("x"))
    asker.connection.putheader("Content-Length", "100")
    asker.connection.endheaders(b"first")
    asker.close()
    server.stop()
    assert server.tree() == {}


def test_basic_authentication(serve_fake: ServeFake) -> None:
    server = serve_fake(user="me", password="pä:ss")
    asker = Client(server.url)
    told = asker.ask("PUT", "x", b"x" * 100)
    assert (told.status, told.headers["WWW-Authenticate"][:5]) == (401, "Basic")
    good = "Basic " + base64.b64encode("me:pä:ss".encode()).decode()
    assert asker.ask("PUT", "x", b"x", Authorization=good[:-4]).status == 401
    assert server.tree() == {}
    assert asker.ask("PUT", "x", b"x", Authorization=good).status == 201
    assert "pä" not in repr(server)
    asker.close()


def test_tls(serve_fake: ServeFake, self_signed_tls: TLS) -> None:
    server = serve_fake(tls=self_signed_tls.context)
    silent = socket.create_connection((server.host, server.port))
    stranger = Client(server.url)
    with pytest.raises(ssl.SSLCertVerificationError):
        stranger.ask("OPTIONS")
    stranger.close()
    asker = Client(server.url, trust=self_signed_tls.certificate)
    assert asker.ask("PUT", "x", b"x").status == 201
    assert asker.ask("MOVE", "x", to="y").status == 201
    asker.close()
    proxied = serve_fake(replace(are.atomic, http_behind_tls=True), tls=self_signed_tls.context)
    proxied.write("x")
    asker = Client(proxied.url, trust=self_signed_tls.certificate)
    assert asker.ask("MOVE", "x", to="y").status == 502
    as_http = proxied.url.replace("https", "http") + "/y"
    assert asker.ask("MOVE", "x", Destination=as_http).status == 201
    asker.close()
    silent.close()


def test_restart_keeps_the_tree_and_the_port(server: FakeWebDAV, asker: Client) -> None:
    asker.ask("PUT", "x", b"x")
    server.stop()
    with pytest.raises(ConnectionError):
        asker.ask("GET", "x")
    asker.close()
    server.start()
    assert asker.ask("GET", "x").body == b"x"


def test_errors_in_hooks_reach_the_test() -> None:
    with FakeWebDAV() as server:
        server.before("GET", lambda request: [][1])
        asker = Client(server.url)
        assert asker.ask("GET").status == 500
        asker.close()
    with pytest.raises(IndexError):
        server.check()
