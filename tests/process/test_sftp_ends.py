"""The end of a program that has SFTP connections open: no message, no hang, whatever it was at."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.amounts import PATIENCE
from tests.command_line import environment
from tests.servers.sshd import OpenSsh

BEGIN = """
import gc, json, os, sys, threading
from dirjobs.backends.sftp import open_store
url, options = json.loads(sys.argv[1])
store = open_store(url, options)
store.write("job", b"x")
"""
ENDS = {
    "nothing is closed": "others = [store.another() for _ in range(12)]\n"
    "assert all(one.exists('') for one in others)",
    "it is collected": "del store; gc.collect()",
    "it is closed": "store.close()",
    "closed, used and left": "store.close(); store.list(''); store.close(); store.read('job')",
    "a thread is at it": """
def look():
    while True:
        store.list("")
for _ in range(4):
    threading.Thread(target=look, daemon=True).start()
store.read("job")
""",
    "an error ends it": """
import atexit
atexit.register(store.close)
store.list("")
sys.excepthook = lambda *_: None
raise SystemExit(0)
""",
    "closed at exit": "import atexit\natexit.register(store.close)",
    "after a fork": """
pid = os.fork()
store.write(f"{pid == 0}", b"x")
if pid:
    assert os.waitpid(pid, 0)[1] == 0
""",
}


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSsh]:
    with OpenSsh(tmp_path_factory.mktemp("sshd")) as server:
        yield server


def started(server: OpenSsh, script: str, *flags: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *flags, "-c", BEGIN + script, json.dumps([server.url, server.options])],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("end", ENDS)
def test_the_end_of_a_program(sshd: OpenSsh, end: str) -> None:
    process = started(sshd, ENDS[end])
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize("end", ENDS)
def test_the_same_with_all_warnings(sshd: OpenSsh, end: str) -> None:
    """As under pytest: what is left open, never awaited or destroyed too early is told."""
    process = started(sshd, ENDS[end], "-X", "dev", "-W", "ignore::DeprecationWarning")
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    for told in ("Task was destroyed", "never awaited", "never retrieved", "Traceback"):
        assert told not in err, err


def test_a_thread_that_is_interrupted_while_it_waits(tmp_path: Path) -> None:
    with OpenSsh(tmp_path) as server:
        waiting = "sys.stdout.write('ready\\n'); sys.stdout.flush()\nwhile True: store.list('')"
        process = started(server, waiting)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        server.freeze()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
        server.thaw()
    assert process.returncode == -signal.SIGINT
    assert err.rstrip().endswith("KeyboardInterrupt"), err
    assert "Task" not in err
