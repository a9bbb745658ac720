"""A job that is killed again and again goes on where it was, on whichever worker."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import tarfile

import pytest

from dirjobs.layout import parse_checkpoint
from tests.amounts import PATIENCE, amount
from tests.command_line import DIRJOBS, environment
from tests.process.crew import until
from tests.servers.child import die_with_parent

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="killed by a POSIX signal")

KILLS, SHARE = amount(2, 5), 17
"""SHARE is the steps of each attempt: then it waits for its end."""
STEPS = (KILLS + 1) * SHARE - 2

COUNT = f"""
import json, os, sys, time
kept = os.path.join(os.environ["DIRJOBS_KEEP"], "state.json")
state = json.load(open(kept)) if os.path.exists(kept) else {{"n": 0, "sum": 0, "began": []}}
state["began"].append(state["n"])
until = min(state["n"] + {SHARE}, {STEPS})
while state["n"] < until:
    state["n"] += 1
    state["sum"] += state["n"]
    with open(kept + ".new", "w") as file:
        json.dump(state, file)
    os.replace(kept + ".new", kept)
    time.sleep(0.01)
while state["n"] < {STEPS}:
    time.sleep(60)
with open(os.path.join(os.environ["DIRJOBS_OUT"], "result.json"), "w") as file:
    json.dump({{"sum": state["sum"], "began": str(state["began"])}}, file)
"""


def kept(place):
    """How far the latest checkpoint is."""
    found = (place.root / "_queue/keep/count").glob("*.tar")
    try:
        latest = max(found, key=lambda path: parse_checkpoint(path.name))
        with tarfile.open(fileobj=io.BytesIO(latest.read_bytes())) as tar:
            return json.load(tar.extractfile("state.json"))["n"]
    except (OSError, KeyError, ValueError, tarfile.TarError):
        return 0  # on its way, or just replaced


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"], ids=["killed", "stopped"])
def test_each_attempt_goes_on_where_the_one_before_was(place, tmp_path, name, figures):
    number = signal.Signals[name]
    place.fill(0)
    with place.queue("adder") as queue:
        queue.add("count", "")

    def worker(tag):
        every = "0.2" if name == "SIGKILL" else "1000"
        scratch = str(tmp_path / tag)
        command = ["work", place.url, "--wid", tag, "--checkpoint-every", every]
        command += ["--max-attempts", str(KILLS + 1)]
        return subprocess.Popen(
            [*DIRJOBS, *command, "--", sys.executable, "-c", COUNT],
            env=environment(DIRJOBS_SCRATCH=scratch, **place.login),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
        )

    def local(tag):
        """How far the command is, on its machine."""
        try:
            (path,) = (tmp_path / tag).glob("*/keep/state.json")
            return json.loads(path.read_text())["n"]
        except (OSError, ValueError):
            return 0

    for kill in range(KILLS):
        tag, reached = f"w{kill % 2}", (kill + 1) * SHARE
        with worker(tag) as process:
            try:
                if name == "SIGKILL":
                    until(lambda: process.poll() is not None or kept(place) == reached)  # noqa: B023
                else:
                    until(lambda: process.poll() is not None or local(tag) == reached)  # noqa: B023
                assert process.poll() is None, process.stdout.read()
            finally:
                process.send_signal(number)
            process.wait(PATIENCE)
        assert kept(place) == reached
    with worker("w2") as process:
        told, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, told
    (result,) = (place.root / "results/count").glob("*/result.json")
    found = json.loads(result.read_text())
    began = [kill * SHARE for kill in range(KILLS + 1)]
    assert found == {"sum": STEPS * (STEPS + 1) // 2, "began": str(began)}
    assert list((place.root / "_queue/keep").iterdir()) == []
    figures(f"{name}: attempts began at {began}, the sum is {found['sum']}")
