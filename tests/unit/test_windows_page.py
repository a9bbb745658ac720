"""What docs/windows.md tells people to type, as the words that a program gets of it."""

import re
import shlex
from pathlib import Path

import click
import pytest

from dirjobs.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "windows.md").read_text("utf-8")
EACH = ["python", "train.py", "{lr}", "{seed}"]


def by_cmd(line):
    """The examples for cmd need no quotes: cmd and the C library divide them at blanks."""
    assert not set(line) & set('"^&|<>%'), line
    return line.split()


def by_powershell(line):
    """Single quotes take all as it is; outside of them there is nothing that means something."""
    bare = re.sub("'[^']*'", "", line)
    assert not set(bare) & set(',{}()@$`;|&<>"'), line
    return shlex.split(line)


DIVIDED = {"bat": by_cmd, "powershell": by_powershell}


def examples():
    """The words of each command of dirjobs, by the line."""
    for shell, block in re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.M | re.S):
        for line in block.splitlines():
            if line.startswith("dirjobs ") and "%" not in line:
                yield line, DIVIDED[shell](line)[1:]
            if found := re.search(r"-Argument '([^']*)'", line):
                yield line, by_cmd(found[1])
            if found := re.search(r"nssm install dirjobs \S+dirjobs\.exe (.*)", line):
                yield line, by_cmd(found[1])


EXAMPLES = dict(examples())


def test_there_are_examples_of_each_kind():
    assert len(EXAMPLES) == 8


@pytest.mark.parametrize("line", EXAMPLES)
def test_an_example_is_understood(line, monkeypatch):
    monkeypatch.setenv("DIRJOBS_URL", "jobs")
    name, *words = EXAMPLES[line]
    with click.Context(main, **main.context_settings) as group:
        command = main.get_command(group, name)
        with command.make_context(name, words, parent=group) as context:
            given = context.params
    if name == "work":
        assert context.meta["command"] == EACH
    if name == "add":
        assert given["params"] == ("lr=0.1,0.01", "seed=1..20")
