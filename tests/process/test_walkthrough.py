"""The README's walk-through, typed as it stands there, on a folder, Apache and others."""

import csv
import re
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack

import pytest

from tests.amounts import PATIENCE, THOROUGH
from tests.command_line import environment
from tests.process.backends import BACKENDS
from tests.test_readme import WALK, command_folder, sections

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX shells and signals")

MISTAKE = """
import pathlib, sys
if sys.argv[2] == "13" and not pathlib.Path("thirteen.dat").exists():
    sys.exit("thirteen.dat is missing")
"""


def typed():
    """The script, and what is typed when: note -> the lines of the block below it."""
    blocks = sections()[WALK]
    (script,) = [text for kind, text in blocks if kind == "python"]
    notes = [kind for kind, _ in blocks]
    lines = {
        note: blocks[at + 1][1]
        for at, note in enumerate(notes)
        if at + 1 < len(blocks) and blocks[at + 1][0] == "sh"
    }
    return script, lines


class Person:
    """Types commands into a shell.

    Args:
        folder: where.
        env: what is set there.
        stack: ends what was started.
    """

    def __init__(self, folder, env, stack):
        self._folder, self._env, self._stack = folder, env, stack

    def types(self, lines):
        """Start `lines`."""
        process = subprocess.Popen(
            ["bash", "-euc", lines],
            cwd=self._folder,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._stack.callback(process.communicate)
        self._stack.callback(process.kill)
        return process

    def gets(self, lines, code=0):
        """What `lines` print."""
        return ended(self.types(lines), code)


def ended(process, code=0):
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, (out, err)
    return out


@pytest.mark.parametrize("backend", [*BACKENDS] if THOROUGH else ["posix", "apache"], indirect=True)
def test_the_walk_through(place, tmp_path):
    if shutil.which("bash") is None:
        pytest.skip("needs bash: apt-get install bash")
    script, lines = typed()
    assert lines["where"].startswith("export DIRJOBS_URL=")
    folder = tmp_path / "machine"
    folder.mkdir()
    (folder / "train.py").write_text(MISTAKE + script)
    env = environment(PATH=command_folder(tmp_path), DIRJOBS_URL=place.url, **place.login)
    with ExitStack() as stack:
        person = Person(folder, env, stack)
        assert "Added 60 jobs" in person.gets(lines["once"])
        watch = person.types("exec " + lines["meanwhile"])
        workers = [person.types(lines["on each machine"]) for _ in range(3)]
        said = [process.communicate(timeout=PATIENCE)[0] for process in workers]
        assert {process.returncode for process in workers} <= {0, 1}
        text = "".join(said)
        assert text.count(".json ... done") == 57
        assert text.count(".json ... failed") == 3
        assert len(place.files("99_failed")) == 3
        told = person.gets(lines["what failed"])
        assert len(re.findall(r"\.json +exit code 1: thirteen.dat is missing\n", told)) == 3
        assert "\nthirteen.dat is missing\n" in told
        (folder / "thirteen.dat").touch()
        again = person.gets(lines["at last"])
        assert "3 jobs are waiting again." in again
        assert again.count(".json ... done") == 3
        watch.send_signal(signal.SIGINT)
        assert "of 60 ended" in ended(watch)
    with (folder / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60
    assert {row["state"] for row in rows} == {"done"}
    assert {(row["lr"], row["seed"]) for row in rows} == {
        (lr, str(seed)) for lr in ("0.1", "0.01", "0.001") for seed in range(1, 21)
    }
    assert all(0 < float(row["loss"]) < 1 for row in rows)
