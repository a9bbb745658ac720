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
from tests.terminal import CTRL_C, on_terminal


def running(folder: Path) -> list[str]:
    """The command lines of what runs a program in `folder`."""
    name = str(folder).replace("/", "\\")
    lines = [
        " ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])
    ]
    return [line for line in lines if f"{name}\\tree.py" in line]


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
