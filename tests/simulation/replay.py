"""Runs that are replayed by their seeds alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def check_replay(program: str, names: list[str]) -> None:
    """Two processes that hash otherwise tell the same of each run, in whichever order.

    Args:
        program: prints a line for each of its arguments.
        names: of the runs.
    """
    told = []
    for hashes, order in (("1", names), ("2", names[::-1])):
        command = [sys.executable, "-c", program, *order]
        environment = os.environ | {"PYTHONHASHSEED": hashes}
        told.append(
            subprocess.run(
                command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
            ).stdout
        )
    first, again = told
    assert first.splitlines() == again.splitlines()[::-1]
    assert len(first.splitlines()) == len(names)
