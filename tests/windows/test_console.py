"""What a person types at a Windows worker: on a real console of Wine's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from tests.amounts import amount
from tests.command_line import make_queue, where_jobs_are
from tests.process.drain import Python, wait_until
from tests.process.test_windows import TREE
from tests.terminal import CTRL_C, Terminal, on_terminal
from tests.windows.wine import CHECKOUT


def running(folder: Path) -> list[str]:
    """The command lines of what runs a program in `folder`."""
    name = str(folder).replace("/", "\\")
    lines = [
        " ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])
    ]
    return [line for line in lines if f"{name}\\tree.py" in line]


class Cmd:
    """Windows' command interpreter, at which somebody types.

    Args:
        screen: on which it runs.
    """

    PROMPT = "ready>"

    def __init__(self, screen: Terminal) -> None:
        self._screen = screen
        self._prompts = 0
        screen.type(b"prompt ready$G\r")
        self._wait()

    def _wait(self) -> None:
        self._prompts += 1
        self._screen.read_until(lambda: self._screen.text().count(self.PROMPT) >= self._prompts)

    def types(self, line: str) -> str:
        """What a command shows; it must have no exit code but 0."""
        before = len(self._screen.text())
        self._screen.type(f"{line}\r".encode())
        self._wait()
        shown = self._screen.text()[before:]
        self._screen.type(b"echo code=%errorlevel%\r")
        self._wait()
        assert "code=0" in self._screen.text()[before:], shown
        return shown.removesuffix(self.PROMPT)


def python_block(number: int) -> str:
    """A program of the README."""
    blocks = (CHECKOUT / "README.md").read_text("utf-8").split("```python\n")
    return blocks[number].partition("```")[0]


def test_the_readme_typed_in_cmd(windows_python: Python, tmp_path: Path) -> None:
    """Its first command, its sweep and its quick start, spelled as cmd has it."""
    (tmp_path / "train.py").write_text(python_block(1))
    (tmp_path / "quick.py").write_text(python_block(2))
    (tmp_path / "dirjobs.cmd").write_text("@python -m dirjobs %*\r\n", newline="")
    environment = {**os.environ, **windows_python.environment, "TERM": "xterm"}
    command = [windows_python.command[0], "cmd.exe"]
    with on_terminal(command, tmp_path, environment, lines=60, columns=120, raw=True) as screen:
        cmd = Cmd(screen)
        demo = cmd.types("dirjobs demo")
        assert "12 jobs done by 3 workers" in demo
        assert "order" in demo
        cmd.types("set DIRJOBS_URL=queue")
        cmd.types("dirjobs init")
        assert "Added 60 jobs" in cmd.types(
            "dirjobs add --param lr=0.1,0.01,0.001 --param seed=1..20"
        )
        assert "60 done" in cmd.types("dirjobs work --slots 2 -- python train.py {lr} {seed}")
        assert "done" in cmd.types("dirjobs status")
        cmd.types("dirjobs list --failed --reason")
        assert "exit" in cmd.types("dirjobs logs lr0.01_seed13.json")
        cmd.types("dirjobs results --csv > table.csv")
        assert len((tmp_path / "table.csv").read_text("utf-8").splitlines()) == 61
        cmd.types("set DIRJOBS_URL=")
        cmd.types(r"mkdir jobs\00_waiting")
        cmd.types(r"copy nul jobs\00_waiting\job1.txt")
        cmd.types(r"copy nul jobs\00_waiting\job2.txt")
        said = cmd.types("python quick.py")
        assert r"w1.job1.txt" in said
        assert "No more jobs!" in said
        print(screen.text())


@pytest.mark.parametrize("time", range(amount(1, 50)))
def test_two_ctrl_c_give_the_job_back_and_leave_nothing(
    windows_python: Python, tmp_path: Path, time: int
) -> None:
    queue = make_queue(tmp_path / "jobs", "a", "b")
    (tmp_path / "tree.py").write_text(TREE)
    program = windows_python.spelled(tmp_path / "tree.py")
    command = ["-m", "dirjobs", "work", "jobs", "--drain", "--", "python", program, "child"]
    environment: Mapping[str, str] = {**os.environ, **windows_python.environment, "TERM": "xterm"}
    with on_terminal([*windows_python.command, *command], tmp_path, environment) as console:
        console.read_until(lambda: len([*tmp_path.glob("*.pid")]) == 2)
        assert len(running(tmp_path)) == 3, "the worker, the program, and what it has started"
        console.type(CTRL_C)
        console.wait_for(b"again: giving back")
        console.type(CTRL_C)
        assert console.ended() == 130, console.text()
        assert "1 given back" in console.text()
    wait_until(lambda: not running(tmp_path))
    there = where_jobs_are(queue)
    assert there["00_waiting"] == ["a", "b"]
    assert there["01_running"] == []
