"""Servers as children of the tests: they never outlive them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import NoReturn, Protocol, TypeVar

import pytest

from dirjobs.recovery.process import group_is_gone
from tests.amounts import PATIENCE


class Server(Protocol):
    def start(self) -> None: ...
    def stop(self) -> None: ...


S = TypeVar("S", bound=Server)

_PR_SET_PDEATHSIG = 1
_TRIES = 5
_PORTS = range(12_000, 32_000)
"""Below those that systems choose from for a client's end of a connection."""


class Child:
    """A server process that dies with us, however we end.

    Args:
        command: makes the command line for a port.
        folder: a temporary folder; what the server prints is in ``output.txt`` there.
    """

    def __init__(self, command: Callable[[int], Sequence[str]], folder: Path) -> None:
        self._command = command
        self._output = folder / "output.txt"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def pid(self) -> int:
        """Of its first process, which leads the group of all the others."""
        assert self._process is not None, "it is not running"
        return self._process.pid

    def start(self) -> None:
        """Start it, or start it again on the same port; returns when it answers."""
        for _ in range(_TRIES):
            port = self.port or free_port()
            if self._started(port):
                self.port = port
                return
        raise RuntimeError(f"the server did not start:\n{self.output()}")

    def _started(self, port: int) -> bool:
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                list(self._command(port)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=die_with_parent if sys.platform == "linux" else None,
            )
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            # Somebody else may have taken the port: then our child is gone soon.
            if self._process.poll() is not None:
                return False
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1):
                    pass
            except OSError:
                time.sleep(0.02)
            else:
                return self._still_ours()
        self.stop()
        return False

    def _still_ours(self) -> bool:
        assert self._process is not None
        try:
            self._process.wait(0.1)
        except subprocess.TimeoutExpired:
            return True
        return False

    def signal(self, number: int) -> None:
        """Send a signal to all processes of the server."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def end(self, number: int) -> None:
        """Ask its first process to end by a signal, and wait until it has."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(PATIENCE)
        self.stop()

    def stop(self) -> None:
        """Stop it at once; stopping twice is fine."""
        if self._process is None:
            return
        group, self._process = self._process, None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group.pid, signal.SIGKILL)
        group.wait()
        # The others of the group may listen for a moment yet.
        deadline = time.monotonic() + PATIENCE
        while not group_is_gone(group.pid):
            assert time.monotonic() < deadline, f"the server's processes {group.pid} don't die"
            time.sleep(0.005)

    def output(self) -> str:
        return self._output.read_text(errors="replace") if self._output.exists() else ""


def die_with_parent() -> None:
    """In a child: be told to end when the test process dies, however it dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def free_port() -> int:
    """A port that nobody listens at, and that no connection gets as its own by chance."""
    for port in random.SystemRandom().sample(_PORTS, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")


def require_program(*names: str, install: str) -> str:
    """The path of the first of these programs that is installed; else skip (or, under
    CI, fail) with the line that installs it."""
    for name in names:
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
        if found:
            return found
    return missing(f"{names[0]} is not installed: {install}")


def missing(why: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


@contextmanager
def running_in_new_folder(name: str, make: Callable[[Path], S]) -> Iterator[S]:
    """A server in a temporary folder; both are gone afterwards."""
    home = Path(mkdtemp(prefix=f"dirjobs-{name}-"))
    try:
        server = make(home)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)
