"""What the README and the pages for users show is run as it stands, section by section, each
in a new folder."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import environment

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/command-line.md", "docs/python.md", "docs/shares.md")
PIECE = re.compile(
    r"^<!-- (?P<note>.*?) -->$|^```(?P<language>\w*)\n(?P<body>.*?)^```$|^#+ (?P<title>[^\n]*)$",
    re.MULTILINE | re.DOTALL,
)


def sections(page="README.md"):
    """Title -> its notes and code blocks, as (kind, text) in their order."""
    found, blocks = {}, []
    for piece in PIECE.finditer((ROOT / page).read_text("utf-8")):
        if piece["title"]:
            blocks = found.setdefault(piece["title"], [])
        elif piece["note"]:
            kind, _, text = piece["note"].partition(": ")
            blocks.append((kind, text))
        else:
            blocks.append((piece["language"] or "output", piece["body"]))
    return found


def command_folder(folder):
    """A PATH on which the commands are that the pages take for granted."""
    commands = folder / "bin"
    commands.mkdir()
    for name, command in (("dirjobs", "-m dirjobs"), ("python", "")):
        (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {command} "$@"\n')
        (commands / name).chmod(0o755)
    return f"{commands}{os.pathsep}{os.environ['PATH']}"


def run_blocks(blocks, folder, path):
    """Run what can be run; returns how many blocks that were."""
    ran, output, skip = 0, None, False
    env = environment(PATH=path)
    for kind, text in blocks:
        if kind == "not run":
            skip = True
        elif skip:
            if kind == "python":
                compile(text, "example.py", "exec")
                ran += 1
            skip = False
        elif kind == "prepare" or (kind == "sh" and text.startswith("mkdir ")):
            done = subprocess.run(
                ["bash", "-euc", text], cwd=folder, env=env, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
            ran += kind == "sh"
        elif kind == "python":
            (folder / "example.py").write_text(text)
            done = subprocess.run(
                [sys.executable, "example.py"], cwd=folder, env=env, capture_output=True, text=True
            )
            assert (done.returncode, done.stderr) == (0, "")
            output, ran = done.stdout, ran + 1
        elif kind == "output" and output is not None:
            assert output == text
            output = None
    assert not output, "the page does not show what its code prints"
    return ran


WALK = "A sweep over three machines, in ten lines"
"""Run elsewhere, on three kinds of shares: tests/process/test_walkthrough.py."""

EXECUTABLE = {
    f"{page}: {title}": blocks
    for page in PAGES
    for title, blocks in sections(page).items()
    if title != WALK and any(kind == "python" or text.startswith("mkdir ") for kind, text in blocks)
}


def test_the_examples_are_there():
    assert len(EXECUTABLE) >= 9
    assert {name.partition(":")[0] for name in EXECUTABLE} == set(PAGES)


@pytest.fixture
def path(tmp_path):
    """The PATH of somebody who has installed dirjobs."""
    if shutil.which("bash") is None:
        pytest.skip("needs bash: apt-get install bash")
    return command_folder(tmp_path)


@pytest.mark.parametrize("name", EXECUTABLE)
def test_section(name, tmp_path, path):
    folder = tmp_path / "here"
    folder.mkdir()
    assert run_blocks(EXECUTABLE[name], folder, path) > 0


@pytest.mark.parametrize(
    ("page", "title"),
    [("README.md", "Quick start: one worker in Python"), ("docs/python.md", "Scripts of 2018")],
)
def test_the_original_quick_start_prints_what_it_always_printed(page, title, tmp_path):
    (tmp_path / "jobs" / "00_waiting").mkdir(parents=True)
    for name in ("job1.txt", "job2.txt"):
        (tmp_path / "jobs" / "00_waiting" / name).touch()
    blocks = sections(page)[title]
    script = next(text for kind, text in blocks if kind == "python")
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert done.stdout == (
        "Processing: jobs/01_running/w1.job1.txt\n"
        "Processing: jobs/01_running/w1.job2.txt\n"
        "No more jobs!\n"
    )


def test_ci_runs_the_test_command_of_the_readme():
    blocks = [text for blocks in sections().values() for kind, text in blocks if kind == "sh"]
    (command,) = [text.strip() for text in blocks if "pytest" in text]
    in_ci = (ROOT / ".ci" / "run").read_text().replace("pip install -q", "pip install")
    assert command in in_ci
