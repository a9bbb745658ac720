"""Certificates, and what never goes where TLS has ended."""

from __future__ import annotations

import ssl

import pytest

from dirjobs.backends.webdav import open_store
from dirjobs.errors import ConfigurationError, Denied, StoreError, Unavailable, Unsupported
from tests.fake_webdav.tls import self_signed
from tests.unit.scripted_server import Request, ScriptedServer, answer

LOGIN = {"username": "me", "password": "x", "timeout": 10, "trust_env": False}
FOLDER = (
    b'<D:multistatus xmlns:D="DAV:"><D:response><D:href>%s</D:href><D:propstat><D:prop>'
    b"<D:resourcetype><D:collection/></D:resourcetype></D:prop>"
    b"<D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response></D:multistatus>"
)


def missing(request: Request) -> bytes:
    return answer(404)


def refused(url: str, **options: object) -> StoreError:
    with open_store(url, {**LOGIN, **options}) as store, pytest.raises(StoreError) as caught:
        store.exists("a")
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("made", "said", "helps"),
    [
        ({"days": (-10, -1)}, "has expired", "must renew it"),
        ({"days": (5, 10)}, "is not valid yet", "the clock of this machine (2"),
        ({"host": "cloud.example.org"}, "is for another name", "write the URL with the name"),
    ],
    ids=["expired", "not yet", "other name"],
)
def test_what_is_wrong_with_a_certificate(tmp_path, made, said, helps) -> None:
    context, ca = self_signed(str(tmp_path), **made)
    with ScriptedServer(missing, context) as server:
        error = refused(f"https://localhost:{server.port}/q", ca=ca)
        assert type(error) is Denied
        assert f"the certificate of https://localhost:{server.port} {said}: " in str(error)
        assert helps in str(error)
        assert server.requests == []


@pytest.fixture
def tls(tmp_path):
    return self_signed(str(tmp_path))


def test_a_certificate_of_an_unknown_issuer(tls) -> None:
    with ScriptedServer(missing, tls[0]) as server:
        error = refused(f"https://localhost:{server.port}/q")
        assert "can't be verified: pass the option ca='/path/to/ca.pem'" in str(error)
        assert "nobody here knows its issuer" in str(error)
        assert server.requests == []


def test_an_address_instead_of_the_name(tmp_path) -> None:
    context, ca = self_signed(str(tmp_path), host="cloud.example.org")
    with ScriptedServer(missing, context) as server:
        assert "is for another name" in str(refused(f"https://127.0.0.1:{server.port}/q", ca=ca))


def test_an_old_version_of_tls(tls) -> None:
    context, ca = tls
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        ScriptedServer(missing, context) as server,
        open_store(f"https://localhost:{server.port}/q", {**LOGIN, "ca": ca}) as store,
    ):
        store._config.tls.minimum_version = ssl.TLSVersion.TLSv1_3
        with pytest.raises(Unavailable, match=r"could not agree on TLS with us \(.*version\)"):
            store.exists("a")


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_a_variable_that_names_no_certificates(tmp_path, monkeypatch, variable) -> None:
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("no certificate")
    monkeypatch.setenv("SSL_CERT_FILE", "")
    monkeypatch.setenv(variable, str(nothing))
    if variable == "SSL_CERT_FILE":  # a folder is looked into later
        with pytest.raises(ConfigurationError, match=rf"^{variable}='.*' can't be read as a file"):
            open_store("https://localhost/q", {})
    open_store("https://localhost/q", {"trust_env": False})


# -- behind a proxy that ends TLS, and elsewhere -----------------------------------------------


@pytest.mark.parametrize("folder", ["plain", "J%C3%B6rg", "me%40uni.example", "Lab%20Daten"])
@pytest.mark.parametrize("verb", ["exists", "list", "read"])
def test_a_redirect_to_http_for_a_slash_stays_in_tls(tls, folder, verb) -> None:
    """The server behind the proxy knows of no TLS, and of another host."""

    def respond(request: Request) -> bytes:
        if not request.path.endswith("/"):
            where = request.path.replace("%40", "@")
            return answer(301, Location=f"http://localhost:{plain.port}{where}/")
        if request.method == "GET":
            return answer(200, b"data", ETag="x")
        return answer(207, FOLDER % request.path.encode())

    with (
        ScriptedServer(missing) as plain,
        ScriptedServer(respond, tls[0]) as server,
        open_store(f"https://localhost:{server.port}/{folder}", {**LOGIN, "ca": tls[1]}) as store,
    ):
        if verb == "exists":
            assert store.exists("a")
        elif verb == "list":
            assert list(store.list("a")) == []
        else:
            with pytest.raises(Denied, match="is a folder"):
                store.read("a")
        assert plain.requests == []
        assert all("authorization" in request.headers for request in server.requests)


@pytest.mark.parametrize("verb", ["exists", "list", "read", "rename", "write", "remove", "mkdir"])
def test_a_redirect_to_http_is_not_followed(tls, verb) -> None:
    def respond(request: Request) -> bytes:
        if verb == "remove" and request.method == "PROPFIND":
            return answer(207, FOLDER.replace(b"<D:collection/>", b"") % b"/q/a")
        where = f"http://s3cret:s3cret@localhost:{plain.port}/me@uni/b"
        return answer(302, Location=where)

    arguments = {"rename": ("a", "b"), "write": ("a", b"")}.get(verb, ("a",))
    with (
        ScriptedServer(missing) as plain,
        ScriptedServer(respond, tls[0]) as server,
        open_store(f"https://localhost:{server.port}/q", {**LOGIN, "ca": tls[1]}) as store,
    ):
        with pytest.raises(Unsupported, match=rf"'http://localhost:{plain.port}/me@uni/b'") as said:
            getattr(store, verb)(*arguments)
        assert "s3cret" not in str(said.value)
        assert plain.requests == []
