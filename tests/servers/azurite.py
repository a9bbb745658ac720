"""A real Azurite, Microsoft's emulator of its blobs, in a temporary folder, on a free port."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.amounts import PATIENCE

from .child import Child, missing, running_in_new_folder

_INSTALL = "npm install -g azurite (or set AZURITE to the program)"
ACCOUNT, CONTAINER = "worker", "lab"
_API = "2023-11-03"


class Azurite:
    """A running server with one container.

    Attributes:
        url: of the container.
        options: how to get in.
        password: the key among them.
    """

    def __init__(self, home: Path) -> None:
        found = os.environ.get("AZURITE") or shutil.which("azurite-blob")
        self._program = found or missing(f"Azurite is not installed: {_INSTALL}")
        self._home = home
        self.password = base64.b64encode(b"a key of this server alone " * 2).decode()
        self.url = f"az://{CONTAINER}"
        self._child = Child(self._command, home)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._child.port}/{ACCOUNT}"

    @property
    def options(self) -> dict[str, object]:
        return {
            "account_name": ACCOUNT,
            "account_key": self.password,
            "endpoint_url": self.endpoint,
        }

    @property
    def environment(self) -> dict[str, str]:
        """The same as variables of fsspec."""
        return {f"FSSPEC_AZ_{name.upper()}": str(value) for name, value in self.options.items()}

    def start(self) -> None:
        self._child.start()
        self._make_container()

    def stop(self) -> None:
        self._child.stop()

    def _command(self, port: int) -> list[str]:
        return [
            "env", f"AZURITE_ACCOUNTS={ACCOUNT}:{self.password}", self._program,
            "--blobHost", "127.0.0.1", "--blobPort", str(port),
            "--inMemoryPersistence", "--skipApiVersionCheck", "--silent", "--disableTelemetry",
        ]  # fmt: skip

    def _make_container(self) -> None:
        path = f"/{ACCOUNT}/{CONTAINER}"
        date = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
        signed = (
            f"PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:{_API}\n"
            f"/{ACCOUNT}{path}\nrestype:container"
        )
        key = base64.b64decode(self.password)
        signature = base64.b64encode(hmac.digest(key, signed.encode(), hashlib.sha256)).decode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._child.port}{path}?restype=container",
            method="PUT",
            headers={
                "x-ms-date": date,
                "x-ms-version": _API,
                "Authorization": f"SharedKey {ACCOUNT}:{signature}",
                "Content-Length": "0",
            },
        )
        with urllib.request.urlopen(request, timeout=PATIENCE):
            pass


@contextmanager
def running() -> Iterator[Azurite]:
    pytest.importorskip("obstore")
    with running_in_new_folder("azurite", Azurite) as server:
        yield server
