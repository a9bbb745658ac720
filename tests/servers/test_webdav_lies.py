"""A server that lies about everything: to whom is a login ever sent?"""

from __future__ import annotations

import base64
import io
import ssl
from pathlib import Path

import pytest

from dirjobs.backends.webdav import open_store
from dirjobs.errors import StoreError
from tests.servers import apache
from tests.servers.apache import make_certificate
from tests.unit.scripted_server import ScriptedServer, answer

CHALLENGES = {
    "digest": 'Digest realm=\\"elsewhere\\", nonce=\\"n1\\", qop=\\"auth\\", domain=\\"{other}/\\"',
    "digest-md2": 'Digest realm=\\"elsewhere\\", nonce=\\"n1\\", algorithm=MD2',
    "basic": 'Basic realm=\\"elsewhere\\"',
    "negotiate": "Negotiate",
    "ntlm": "NTLM TlRMTVNTUAACAAAA",
    "bearer": "Bearer error=invalid_token",
}
"""What Apache puts into an answer to whoever is logged on already."""


def lies(other: str, plain: str) -> dict[str, str]:
    """Folders of a server and what is done there, as lines of Apache's configuration.

    Args:
        other: an ``https`` server on another port of the same host.
        plain: an ``http`` server.
    """
    named = other.replace("localhost", "127.0.0.1")
    found = {
        "other-port": f"Redirect 302 {{}} {other}/dav",
        "other-host": f"Redirect 307 {{}} {named}/dav",
        "to-http": f"Redirect 301 {{}} {plain}/dav",
        "user-in-it": f"Redirect 308 {{}} {other.replace('//', '//localhost@')}/dav",
        "proxy": "Redirect 407 {}\n<Location {}>\nHeader always set Proxy-Authenticate"
        ' "Basic realm=proxy"\n</Location>',
        "cookies": '<Location {}>\nHeader always add Set-Cookie "id=1; Path=/"\n</Location>',
    }
    for kind, challenge in CHALLENGES.items():
        said = challenge.format(other=other)
        found[kind] = (
            f'Redirect 401 {{}}\n<Location {{}}>\nHeader always set WWW-Authenticate "{said}"'
            "\n</Location>"
        )
    return found


@pytest.fixture
def elsewhere(tmp_path):
    """An ``https`` and an ``http`` server that nobody should ask for anything."""
    make_certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with (
        ScriptedServer(lambda _: answer(200), tls) as secure,
        ScriptedServer(lambda _: answer(200)) as plain,
    ):
        yield secure, plain


def ask_everything(store):
    """Every verb once; whatever is answered, nothing but a `StoreError` comes of it."""
    for verb in (
        lambda: [*store.list("q")],
        lambda: store.exists("q/a"),
        lambda: store.read("q/a"),
        lambda: store.mtime("q/a"),
        lambda: store.download("q/a", io.BytesIO()),
        lambda: store.write("q/b", b"x"),
        lambda: store.upload("q/c", io.BytesIO(b"x")),
        lambda: store.rename("q/a", "q/d"),
        lambda: store.remove("q/a"),
        lambda: store.mkdir("q/e"),
        lambda: store.rmdir("q/e"),
    ):
        try:
            verb()
        except StoreError as error:
            assert "s3cret" not in str(error)


def test_a_login_is_sent_to_nobody_else(elsewhere, tmp_path, monkeypatch):
    secure, plain = elsewhere
    told = lies(f"https://localhost:{secure.port}", f"http://localhost:{plain.port}")
    config = "\n".join(lines.replace("{}", f"/dav/{kind}") for kind, lines in told.items())
    config += (
        f'\nLogFormat "%m %U|%{{Authorization}}i|%{{Cookie}}i|%{{Proxy-Authorization}}i" sent\n'
        f'CustomLog "{tmp_path}/sent.log" sent'
    )
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with apache.running(tls=True, more=config) as server:
        trusted = tmp_path / "trusted.pem"
        trusted.write_bytes(Path(server.ca).read_bytes() + (tmp_path / "cert.pem").read_bytes())
        login = {"username": server.user, "password": server.password, "ca": str(trusted)}
        for kind in told:
            (server.root / kind).mkdir()
            with open_store(f"{server.url}/{kind}", login) as store:
                ask_everything(store)
        server.finish()
    assert secure.requests == []
    assert plain.requests == []
    basic = base64.b64encode(f"{server.user}:{server.password}".encode()).decode()
    asked = set()
    for line in (tmp_path / "sent.log").read_text().splitlines():
        path, authorization, cookie, proxy = line.rsplit("|", 3)
        asked.add(path.split("/")[2])
        assert (cookie, proxy) == ("-", "-")
        assert authorization == f"Basic {basic}" or authorization.startswith("Digest username=")
        if authorization.startswith("Digest"):
            assert "/digest" in path  # nobody else asked for it
    assert asked == {*told}
