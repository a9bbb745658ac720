"""A worker killed at each request between the end of its command and the end of its job."""

import os
import signal
import subprocess
import sys

import pytest

from tests.amounts import PATIENCE, THOROUGH
from tests.cli.conftest import Queue

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="killed by a POSIX signal")

VICTIM = """
import os, signal, sys
from dirjobs.backends.posix.store import PosixStore
from dirjobs.files.workspace import Workspace

left, ended = int(sys.argv.pop(1)), []
command_ended = Workspace.command_ended

def note_end(self, *args, **named):
    command_ended(self, *args, **named)
    ended.append(1)

def dying(verb):
    original = getattr(PosixStore, verb)

    def call(self, path, *args):
        global left
        about_the_job = ended and not path.startswith("_queue/workers")
        if about_the_job:
            left -= 1
        if about_the_job and left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, path, *args)

    return call

Workspace.command_ended = note_end
for verb in ("list", "exists", "read", "write", "upload", "rename", "mkdir"):
    setattr(PosixStore, verb, dying(verb))
from dirjobs.cli import main
main()
"""

SCRIPT = (
    'echo "{\\"by\\": \\"$DIRJOBS_WID\\"}" > "$DIRJOBS_OUT/result.json";'
    ' echo $DIRJOBS_WID > "$DIRJOBS_OUT/$DIRJOBS_WID.txt"'
)


@pytest.mark.parametrize(
    "end",
    [
        "done",
        pytest.param("failed", marks=pytest.mark.skipif(not THOROUGH, reason="much the same")),
    ],
)
def test_record_results_and_folder_agree(tmp_path, end):
    """Whenever the worker dies: the job was ended by its attempt, and its row is that attempt's;
    or another one ends it, and nothing of the first is in the row."""
    command = ("--", "sh", "-c", SCRIPT if end == "done" else f"{SCRIPT}; exit 1")
    points = 0
    while True:
        queue, home = Queue(tmp_path / f"jobs{points}"), tmp_path / f"home{points}"
        queue.put("00_waiting", "a")
        victim = subprocess.run(
            [sys.executable, "-c", VICTIM, str(points), "work", queue.url, "--wid", "w1", *command],
            env={**os.environ, "DIRJOBS_SCRATCH": str(tmp_path / "of the victim")},
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        if victim.returncode != -signal.SIGKILL:
            break
        points += 1
        had_ended = queue.jobs().keys() & {"02_done", "99_failed"}
        fails = end == "failed" and not had_ended
        queue.run("work", "--wid", "w2", *command, code=int(fails))
        (row,) = queue.json("results")
        who = "w1" if had_ended else "w2"
        assert (row["state"], row["by"]) == (end, who)
        queue.run("download", "-o", home)
        assert {path.name: path.read_text() for path in (home / "a").iterdir()} == {
            "result.json": f'{{"by": "{who}"}}\n',
            f"{who}.txt": f"{who}\n",
        }
        attempts = queue.json("show", "a")["attempts"]
        assert [one["worker"] for one in attempts if one["counts"]] == [who]
        others = [one for one in attempts if not one["counts"]]
        assert all((one["worker"], one["end"]) == ("w1", end) for one in others)
    assert victim.returncode == int(end == "failed")
    assert points >= 8
