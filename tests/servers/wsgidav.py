"""A real WsgiDAV on cheroot, in a child process, on a free port."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from .child import Child, missing, running_in_new_folder

_PROGRAM = """
import sys
from cheroot.wsgi import Server
from wsgidav.fs_dav_provider import FilesystemProvider
from wsgidav.wsgidav_app import WsgiDAVApp

root, port, user, password = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
users = {"*": {user: {"password": password}}} if user else {"*": True}
app = WsgiDAVApp({
    "provider_mapping": {"/dav": FilesystemProvider(root)},
    "simple_dc": {"user_mapping": users},
    "http_authenticator": {"accept_basic": True, "accept_digest": False,
                           "default_to_digest": False},
    "lock_storage": True,      # in memory
    "property_manager": True,  # in memory
    "verbose": 1,
    "logging": {"enable": False},
})
Server(("127.0.0.1", port), app, numthreads=16).start()
"""


class WsgiDav:
    """A running server; the attributes are those of `apache.Apache`."""

    def __init__(self, home: Path) -> None:
        for package in ("wsgidav", "cheroot"):
            if find_spec(package) is None:
                missing(f"{package} is not installed: pip install wsgidav cheroot")
        self.root = home / "served"
        self.root.mkdir()
        self.user, self.password = "worker", "s3cret-password"
        self.ca: Path | None = None
        self._child = Child(self._command, home)

    @property
    def url(self) -> str:
        return f"http://localhost:{self._child.port}/dav"

    def start(self) -> None:
        self._child.start()

    def stop(self) -> None:
        self._child.stop()

    def _command(self, port: int) -> list[str]:
        login = [self.user, self.password]
        return [sys.executable, "-c", _PROGRAM, str(self.root), str(port), *login]


@contextmanager
def running() -> Iterator[WsgiDav]:
    with running_in_new_folder("wsgidav", WsgiDav) as server:
        yield server


@pytest.fixture
def wsgidav() -> Iterator[WsgiDav]:
    with running() as server:
        yield server
