"""What the WebDAV store makes of each status and each failure, told by a scripted server."""

from __future__ import annotations

import base64
import email.utils
import io
import logging
import os
import pickle
import socket
import time
import traceback
from urllib.parse import quote

import fsspec.config
import pytest

from dirjobs.backends.webdav import open_store
from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    Busy,
    ConfigurationError,
    Denied,
    LogonRefused,
    NoSpace,
    NotFound,
    StoreError,
    TooLarge,
    Unavailable,
    Unsupported,
)
from dirjobs.store import Guarantees
from tests.unit.scripted_server import ScriptedServer, answer

CANARY = "c4nary p@ss/wörd"
QUOTED = quote(CANARY, safe="")
SHOWN = (
    CANARY,
    quote(CANARY, safe=""),
    quote(CANARY),
    base64.b64encode(f"me:{CANARY}".encode()).decode(),
    repr(CANARY)[1:-1],
)
FOLDER_XML = (
    b'<D:multistatus xmlns:D="DAV:"><D:response><D:href>/dav/</D:href><D:propstat><D:prop>'
    b"<D:resourcetype><D:collection/></D:resourcetype></D:prop>"
    b"<D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response></D:multistatus>"
)
FILE_XML = FOLDER_XML.replace(b"<D:collection/>", b"")
THERE, MISSING = answer(207, FOLDER_XML), answer(404)
FILE = answer(207, FILE_XML)


@pytest.fixture
def server():
    with ScriptedServer(lambda request: answer(500)) as server:
        yield server


@pytest.fixture
def store(server):
    url = f"http://me:{quote(CANARY, safe='')}@127.0.0.1:{server.port}/dav"
    with open_store(url, {"auth_type": "basic", "timeout": 5}) as store:
        yield store


def raised(call, *arguments):
    """The error of a call; it is one sentence and shows no secret."""
    with pytest.raises(StoreError) as caught:
        list(call(*arguments) or ())
    message = str(caught.value)
    assert message.endswith((".", ")"))
    assert "\n" not in message
    text = message + repr(caught.value) + "".join(traceback.format_exception(caught.value))
    assert not any(secret in text for secret in SHOWN)
    return caught.value


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, AmbiguousResult),
        (401, LogonRefused),
        (403, AmbiguousResult),
        (404, NotFound),
        (405, Unsupported),
        (409, AmbiguousResult),
        (412, AlreadyExists),
        (423, AmbiguousResult),
        (425, Unavailable),
        (429, Unavailable),
        (200, AmbiguousResult),
        (202, AmbiguousResult),
        (207, AmbiguousResult),
        (302, Unsupported),
        (500, AmbiguousResult),
        (501, Unsupported),
        (502, AmbiguousResult),
        (503, AmbiguousResult),
        (504, AmbiguousResult),
        (507, NoSpace),
        (599, AmbiguousResult),
        (299, AmbiguousResult),
    ],
)
def test_move(server, store, status, kind):
    server.respond = lambda request: answer(status, b"<x/>", Location="/dav/b")
    assert type(raised(store.rename, "a", "b")) is kind
    assert [request.method for request in server.requests] == ["MOVE"], "sent once"


@pytest.mark.parametrize("status", [201, 204])
def test_move_that_was_done(server, store, status):
    looks = {"PROPFIND": FILE, "DELETE": answer(204)}
    server.respond = lambda request: looks.get(request.method, answer(status))
    store.rename("a %41#;ä", "sub/b +&?")
    request = server.requests[-1]
    assert [each.method for each in server.requests[:-1]] == ["PUT", "MOVE", "PROPFIND", "DELETE"]
    assert request.path == "/dav/a%20%2541%23%3B%C3%A4"
    assert request.headers["destination"] == (
        f"http://127.0.0.1:{server.port}/dav/sub/b%20%2B%26%3F"
    )
    assert (request.headers["overwrite"], request.headers["depth"]) == ("F", "infinity")


def test_a_yes_is_a_yes_even_if_its_text_never_comes(server):
    server.respond = lambda request: b"HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\nhal"
    with open_store(f"http://127.0.0.1:{server.port}/dav", {"timeout": 2.0}) as impatient:
        impatient.rename("a", "b")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, StoreError),
        (400, StoreError),
        (401, LogonRefused),
        (403, Denied),
        (404, NotFound),
        (405, Unsupported),
        (423, Busy),
        (425, Unavailable),
        (429, Unavailable),
        (500, Unavailable),
        (501, Unsupported),
        (502, Unavailable),
        (503, Unavailable),
        (507, NoSpace),
    ],
)
def test_list_and_exists(server, store, status, kind):
    server.respond = lambda request: answer(status, b"<html>Log in</html>")
    assert type(raised(store.list, "")) is kind
    if kind is NotFound:
        assert store.exists("") is False
    else:
        assert type(raised(store.exists, "")) is kind, "unclear is not 'no'"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, LogonRefused),
        (403, Denied),
        (413, TooLarge),
        (423, Busy),
        (425, Unavailable),
        (429, Unavailable),
        (500, AmbiguousResult),
        (502, AmbiguousResult),
        (503, Unavailable),
        (507, NoSpace),
        (409, Denied),
        (301, Unsupported),
    ],
)
def test_put_into_a_folder_that_is_there(server, store, status, kind):
    server.respond = lambda request: THERE if request.method == "PROPFIND" else answer(status)
    assert type(raised(store.write, "a", b"x")) is kind
    assert type(raised(store.upload, "a", io.BytesIO(b"x"))) is kind


@pytest.mark.parametrize("status", [400, 403, 404, 409, 500])
def test_put_and_mkcol_into_a_missing_folder(server, store, status):
    server.respond = lambda request: MISSING if request.method == "PROPFIND" else answer(status)
    assert type(raised(store.write, "sub/a", b"x")) is NotFound
    assert type(raised(store.mkdir, "sub/a")) is NotFound


@pytest.mark.parametrize("status", [403, 404, 409])
@pytest.mark.parametrize("seekable", [True, False])
def test_the_folder_of_a_put_is_made_between_the_refusal_and_the_look(
    server, store, status, seekable
):
    """By another thread, or machine, that was told of the missing folder as well."""

    def respond(request):
        if request.method == "PROPFIND":
            return THERE
        sent.append(request.body)
        return answer(status if len(sent) == 1 else 201)

    server.respond = respond
    sent = []
    store.write("sub/a", b"content")
    assert sent == [b"content"] * 2
    sent.clear()
    source = io.BytesIO(b"...content")
    source.read(3)
    source.seekable = lambda: seekable
    store.upload("sub/a", source)
    assert sent == [b"content"] * 2


def test_a_web_page_is_no_yes_to_a_put(server, store):
    server.respond = lambda request: answer(200, b"Log in", Content_Type="text/html; x")
    assert type(raised(store.write, "a", b"x")) is AmbiguousResult


@pytest.mark.parametrize(("status", "kind"), [(405, AlreadyExists), (403, Denied), (507, NoSpace)])
def test_mkcol(server, store, status, kind):
    server.respond = lambda request: THERE if request.method == "PROPFIND" else answer(status)
    assert type(raised(store.mkdir, "a")) is kind
    assert server.requests[0].path == "/dav/a/"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(207, AmbiguousResult), (403, Denied), (404, NotFound), (423, Busy), (502, AmbiguousResult)],
)
def test_delete(server, store, status, kind):
    server.respond = lambda request: FILE if request.method == "PROPFIND" else answer(status)
    assert type(raised(store.remove, "a")) is kind


ABSURD = (
    ("1000000000", 300.0),
    ("9" * 400, 300.0),
    ("Fri, 31 Dec 9999 23:59:59 GMT", 300.0),
    ("Fri, 31 Dec 9999 23:59:59 -9999", None),
    ("Fri, 31 Dec 99999 23:59:59 GMT", None),
    ("1e9", None),
)
"""What a proxy says, and what is heeded of it."""


def test_retry_after_in_seconds_and_as_a_date(server, store):
    now = time.time()
    date, later = email.utils.formatdate(now), email.utils.formatdate(now + 90)
    for value, seconds in (
        ("7", 7.0),
        (later, 90.0),
        ("soon", None),
        ("-5", None),
        (date, 0.0),
        *ABSURD,
    ):
        server.respond = lambda _, value=value: answer(503, Retry_After=value, Date=date)
        assert raised(store.mkdir, "a").retry_after == seconds
        assert raised(store.list, "").retry_after == seconds


def test_a_lost_answer_is_ambiguous_for_changes_only(server, store):
    server.respond = lambda request: None
    assert type(raised(store.rename, "a", "b")) is AmbiguousResult
    assert type(raised(store.mkdir, "a")) is AmbiguousResult
    assert type(raised(store.write, "a", b"")) is AmbiguousResult
    assert type(raised(store.upload, "a", io.BytesIO(b"x"))) is AmbiguousResult
    for call in (store.list, store.exists, store.mtime, store.read):
        assert type(raised(call, "a")) is Unavailable


def test_garbage_instead_of_http(server, store):
    server.respond = lambda request: b"SSH-2.0-OpenSSH\r\n\r\n"
    assert type(raised(store.rename, "a", "b")) is AmbiguousResult
    assert type(raised(store.list, "")) is Unavailable


def test_a_cut_listing_is_no_listing(server, store):
    """The connection is cut where the XML is whole but the announced length isn't reached."""

    def cut(request):
        server._open[-1].sendall(answer(207, FOLDER_XML + b" " * 9)[:-9])

    server.respond = cut
    assert type(raised(store.list, "")) is Unavailable


def test_a_server_that_never_answers(server):
    quiet = socket.create_server(("127.0.0.1", 0))
    with quiet, open_store(f"http://127.0.0.1:{quiet.getsockname()[1]}", {"timeout": 2.0}) as store:
        assert type(raised(store.rename, "a", "b")) is AmbiguousResult
        assert type(raised(store.list, "")) is Unavailable


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with open_store(f"http://127.0.0.1:{port}", {}) as store:
        assert type(raised(store.rename, "a", "b")) is Unavailable


def test_an_unknown_host():
    with open_store("http://nowhere.invalid/x", {"trust_env": False}) as store:
        assert type(raised(store.rename, "a", "b")) is Unavailable


# -- redirects -------------------------------------------------------------------------


def test_questions_follow_redirects_on_this_server(server, store):
    def respond(request):
        if request.path.startswith("/dav/"):
            return answer(308, Location="/new/")
        return answer(207, FOLDER_XML.replace(b"/dav/", b"/new/"))

    server.respond = respond
    assert list(store.list("")) == []
    assert [request.path for request in server.requests] == ["/dav/", "/new/"]


@pytest.mark.parametrize(
    ("folder", "sent_back"),
    [
        ("J%C3%B6rg", "J%c3%b6rg"),
        ("me@uni.example", "me%40uni.example"),
        ("a%2Bb", "a+b"),
        ("it%27s", "it's"),
        ("x&y", "x%26y"),
    ],
)
def test_the_slash_of_a_folder_may_come_in_another_encoding(server, folder, sent_back):
    """From the server behind a proxy that ends TLS, under its own address."""

    def respond(request):
        if not request.path.endswith("/"):
            return answer(301, Location=f"http://backend.invalid:8080/{sent_back}/00_waiting/")
        return answer(207, FOLDER_XML.replace(b"/dav/", request.path.encode()))

    server.respond = respond
    url = f"http://127.0.0.1:{server.port}/{folder}"
    with open_store(url, {"trust_env": False}) as store:
        assert store.exists("00_waiting")
    first, second = (request.path for request in server.requests)
    assert second == f"{first}/"


@pytest.mark.parametrize(
    "location",
    ["http://evil.invalid/dav/", "http://127.0.0.1:1/dav/", "//evil.invalid/", "ftp://x/"],
)
def test_nothing_follows_redirects_elsewhere(server, store, location):
    server.respond = lambda request: answer(302, Location=location)
    assert type(raised(store.list, "")) is Unsupported
    assert type(raised(store.read, "a")) is Unsupported
    assert len(server.requests) == 2


def test_circles_of_redirects_end(server, store):
    server.respond = lambda request: answer(302, Location="/dav/again")
    raised(store.list, "")
    assert len(server.requests) == 4


# -- logins ----------------------------------------------------------------------------


def test_without_tls_a_password_is_sent_only_when_asked_for(server):
    def respond(request):
        if "authorization" not in request.headers:
            return answer(401, WWW_Authenticate='Basic realm="x"')
        return THERE

    server.respond = respond
    url = f"http://127.0.0.1:{server.port}/dav"
    with open_store(url, {"username": "me", "password": CANARY}) as store:
        assert [list(store.list("")) for _ in range(3)] == [[], [], []]
    sent = ["authorization" in request.headers for request in server.requests]
    assert sent == [False, True, True, True]


def test_a_server_that_knows_digest_never_gets_the_password(server):
    challenge = 'Digest realm="x", nonce="n", qop="auth", algorithm=SHA-256'

    def respond(request):
        if not request.headers.get("authorization", "").startswith("Digest "):
            return answer(401, WWW_Authenticate=challenge)
        return THERE if request.method == "PROPFIND" else answer(201)

    server.respond = respond
    url = f"http://127.0.0.1:{server.port}/dav"
    with open_store(url, {"username": "me", "password": CANARY}) as store:
        store.upload("big", io.BytesIO(b"x" * 1_000_000))
        store.rename("a", "b")
    assert not any(secret in str(server.requests) for secret in SHOWN)
    assert [request.method for request in server.requests] == ["PROPFIND"] * 2 + ["PUT", "MOVE"]


@pytest.mark.parametrize(
    "challenge", ['Digest realm="x"', "Digest", 'Digest algorithm=X,realm="x",nonce="n"']
)
def test_a_digest_of_an_unknown_kind(server, challenge):
    server.respond = lambda request: answer(401, WWW_Authenticate=challenge)
    url = f"http://me:x@127.0.0.1:{server.port}/dav"
    with open_store(url, {}) as store:
        assert isinstance(raised(store.list, ""), Denied)


def test_a_token(server):
    server.respond = lambda request: answer(201)
    with open_store(f"http://127.0.0.1:{server.port}/dav", {"token": "t0ken"}) as store:
        store.rename("a", "b")
    assert server.requests[0].headers["authorization"] == "Bearer t0ken"


def test_netrc(server, tmp_path, monkeypatch):
    server.respond = lambda request: answer(201)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    url, known = f"http://127.0.0.1:{server.port}/dav", {"auth_type": "basic"}
    with open_store(url, {**known, "netrc": str(netrc)}) as store:
        store.rename("a", "b")
    monkeypatch.setenv("NETRC", str(netrc))
    with open_store(url, known) as store:
        store.rename("a", "b")
    with open_store(url, {**known, "netrc": False}) as store:
        store.rename("a", "b")
    sent = [request.headers.get("authorization") for request in server.requests]
    basic = "Basic " + base64.b64encode(b"me:secret").decode()
    assert sent == [basic, basic, None]


# -- TLS that ends at a proxy: only the decision, a real one is in tests/servers ---------


def test_destinations_are_tried_with_http_once_only_over_tls(server, store):
    server.respond = lambda request: answer(502)
    assert type(raised(store.rename, "a", "b")) is AmbiguousResult
    assert len(server.requests) == 1, "our URL has no TLS that could end early"


# -- who we are ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "options", "configured", "login"),
    [
        ("https://u:p@h", {}, {}, ("u", "p", None)),
        ("https://h", {"auth": ("u", "p")}, {}, ("u", "p", None)),
        ("https://h", {"user": "u", "password": "p"}, {}, ("u", "p", None)),
        ("https://u:p@h", {"password": "o"}, {}, ("u", "o", None)),
        ("https://u:p@h", {"username": "o"}, {}, ("o", "", None)),
        ("https://u:p@h", {"token": "t"}, {}, ("", "", "t")),
        ("https://h", {}, {"username": "c", "password": "cp"}, ("c", "cp", None)),
        ("https://h", {}, {"auth": ["c", "cp"]}, ("c", "cp", None)),
        ("https://u@h", {}, {"username": "c", "password": "cp"}, ("u", "", None)),
        ("https://u@h", {}, {"password": "cp"}, ("u", "cp", None)),
        ("https://u@h", {}, {"token": "ct"}, ("u", "", None)),
        ("https://h", {"username": "u"}, {"auth": ["c", "cp"], "retry": True}, ("u", "", None)),
    ],
)
def test_nobodys_password_goes_with_another_ones_name(monkeypatch, url, options, configured, login):
    monkeypatch.setitem(fsspec.config.conf, "webdav", configured)
    found = open_store(url, {"netrc": False, **options})._config.login
    assert (found.user, found.password, found.token) == login
    assert "password" not in repr(found)


# -- what a user may write ---------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        f"https://me:{CANARY}@host/x",
        f"https://me:{QUOTED}@host/x?query",
        f"https://me:{QUOTED}@host/x#fragment",
        "https://me:can#ry@host/x",
        f"https://me:{QUOTED}@/x",
        f"https://me:{QUOTED}@host:port/x",
        f"https://me:{QUOTED}@host/a/../b",
        f"https://me:{QUOTED}@host/a%2Fb",
        f"https://me:{QUOTED}@host/%FF",
        f"https://me:{QUOTED}@host/\udcff",
        f"https://me:{QUOTED}%ff@host/",
        f"https://m%ff:{QUOTED}@host/",
        f"https://me:{QUOTED}@xn--p/",
        f"https://me:{CANARY}\r\nX: y@host/",
        f"ftp://me:{QUOTED}@host/",
        "https://",
        "nonsense",
    ],
)
def test_urls_that_are_refused(url):
    with pytest.raises(ConfigurationError) as caught:
        open_store(url, {})
    assert "can#ry" not in str(caught.value)
    assert not any(secret in str(caught.value) for secret in SHOWN)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://HOST/dav/", "https://host/dav"),
        ("https://host:443/dav", "https://host/dav"),
        ("http://host:8080//dav//jobs", "http://host:8080/dav/jobs"),
        ("webdav://u:p@host/x", "http://host/x"),
        ("webdavs://host", "https://host/"),
        ("dav://host/x", "http://host/x"),
        ("DAVS://host/x", "https://host/x"),
        ("https://[::1]:8443/x", "https://[::1]:8443/x"),
        ("https://bücher.example/ä%20b%2541", "https://xn--bcher-kva.example/ä%20b%2541"),
    ],
)
def test_urls_that_are_understood(url, shown):
    store = open_store(url, {})
    assert store.url == shown
    assert store.full_path("01_running/w1.ä #1.txt") == (
        f"{shown.rstrip('/')}/01_running/w1.ä%20%231.txt"
    )


@pytest.mark.parametrize(
    "options",
    [
        {"pasword": CANARY},
        {"username": "me\r\nX: y", "password": CANARY},
        {"username": "m:e", "password": CANARY},
        {"username": "me", "password": f"{CANARY}\n"},
        {"token": f"{CANARY}\r\nX: y"},
        {"auth": CANARY},
        {"auth": (CANARY,)},
        {"ca": "/no/such/file"},
        {"cert": ("/no/such/file", "/none", CANARY)},
        {"proxy": f"me:{CANARY}@proxy"},
        {"proxy": 5},
        {"headers": {"X": f"{CANARY}\r\nY: z"}},
        {"headers": {"X y": CANARY}},
        {"timeout": "soon"},
        {"timeout": float("nan")},
        {"timeout": -1},
        {"verify": "perhaps not"},
        {"auth_type": "ntlm", "username": "me"},
        {"netrc": "/no/such/file"},
        {"guarantees": {"atomic_rename": True}},
    ],
)
def test_options_that_are_refused(options):
    with pytest.raises(ConfigurationError) as caught:
        open_store("https://host/x", options)
    assert not any(secret in str(caught.value) for secret in SHOWN)


def test_it_promises_nothing_about_renames_until_told():
    assert open_store("http://host", {}).guarantees == Guarantees(visible_after=0)
    told = Guarantees(atomic_rename=True)
    assert open_store("http://host", {"guarantees": told}).another().guarantees == told


def test_names_that_servers_lose():
    store = open_store("http://host", {})
    for name in ("a;b", "q?x", "a/b", "..", "a\0", "x" * 300):
        assert store.name_problem(name)
    for name in ("a b", "%41", "#", "+&", "ä", "a\u0308", "日本", "😀", "~x"):
        assert store.name_problem(name) is None


# -- secrets -----------------------------------------------------------------------------


def test_a_password_is_shown_nowhere(server, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    url = f"http://me:{quote(CANARY, safe='')}@127.0.0.1:{server.port}/dav"
    shown = []
    for options in ({}, {"auth_type": "basic"}, {"auth_type": "digest"}):
        for status in (200, 207, 301, 401, 403, 404, 500, 503, None):
            headers = {"Location": "http://evil.invalid/", "WWW_Authenticate": "Basic"}
            server.respond = lambda _, s=status, h=headers: s and answer(s, b"<", **h)
            with open_store(url, options) as store:
                calls = [store.list, store.exists, store.mtime, store.read, store.mkdir]
                for call in calls:
                    try:
                        list(call("a") or ())
                    except StoreError as error:
                        shown += traceback.format_exception(error)
                shown += [repr(store), str(vars(store)), store.url, repr(store._config)]
                shown += [repr(vars(store._session())), repr(store._config.login)]
                with pytest.raises(TypeError, match="pickle"):
                    pickle.dumps(store)
                with pytest.raises(TypeError, match="pickle"):
                    pickle.dumps(store._config)
    out, err = capfd.readouterr()
    everything = "".join(shown) + caplog.text + out + err
    assert "send_request_headers" in caplog.text, "httpcore logged: there was something to find"
    assert not any(secret in everything for secret in SHOWN)


# -- connections ---------------------------------------------------------------------------


def test_one_connection_serves_many_requests(server, store):
    server.respond = lambda request: answer(201)
    for _ in range(5):
        store.rename("a", "b")
    assert len(server._threads) == 2, "the accepting thread and one connection"


def test_a_connection_is_not_kept_longer_than_servers_keep_it(store):
    with store._session()._line() as line:
        assert line.transport._pool._keepalive_expiry < 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_leaves_the_connection_alone(server, store):
    server.respond = lambda request: answer(201)
    store.rename("a", "b")
    child = os.fork()
    if child == 0:
        try:
            store.rename("a", "b")
            store.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    store.rename("a", "b")
    assert len(server.requests) == 3
    assert len(server._threads) == 3, "two connections: the parent's, still good, and the child's"
