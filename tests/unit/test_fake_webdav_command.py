"""The fake as a program of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.amounts import PATIENCE
from tests.fake_webdav.client import Client

ROOT = Path(__file__).resolve().parents[2]


class Served:
    """``python -m tests.fake_webdav`` as a child."""

    def __init__(self, *options: str) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-m", "tests.fake_webdav", "--until-eof", *options],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.child.stdout is not None
        self.url = self.child.stdout.readline().strip()

    def end(self, number: int) -> tuple[int, str]:
        self.child.send_signal(number)
        rest, errors = self.child.communicate(timeout=PATIENCE)
        return self.child.returncode, rest + errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_command_line(number: int, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n", encoding="utf-8")
    options = ["--user", "me", "--password-file", str(tmp_path / "password")]
    served = Served("--personality", "go", *options)
    try:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/dav", served.url)
        asker = Client(served.url)
        assert asker.ask("OPTIONS").status == 401
    finally:
        verdict = served.end(number)
    asker.close()
    assert verdict == (0, "")


def test_ends_with_its_parent() -> None:
    served = Served()
    assert served.child.stdin is not None
    served.child.stdin.close()
    assert served.child.wait(PATIENCE) == 0
    assert served.child.stdout is not None
    assert served.child.stderr is not None
    served.child.stdout.close()
    served.child.stderr.close()


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
def test_100_mb_up_and_down_with_flat_memory() -> None:
    served = Served()

    def peak() -> int:
        """Most memory the server ever had, in MiB."""
        with open(f"/proc/{served.child.pid}/status", encoding="ascii") as file:
            return int(dict(line.split(":", 1) for line in file)["VmHWM"].split()[0]) // 1024

    try:
        before = peak()
        piece = b"\xa5" * (1 << 20)
        asker = Client(served.url)
        asker.ask("PUT", "small", b"x")
        assert asker.ask("PUT", "big", (piece for _ in range(100))).status == 201
        asker.connection.request("GET", asker.path("big"))
        with asker.connection.getresponse() as response:
            size = 0
            while got := response.read(1 << 20):
                assert got == piece[: len(got)]
                size += len(got)
        assert size == 100 << 20
        assert peak() - before < 30
        asker.close()
    finally:
        served.end(signal.SIGTERM)
