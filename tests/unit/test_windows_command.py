"""What Windows is given to start a command; on any system, for nothing is started here."""

from __future__ import annotations

import os
import shutil
import sys

import pytest

from dirjobs.runner import process, windows_command
from dirjobs.runner.console_events import ConsoleEvents
from dirjobs.runner.process import CannotStart, Program
from dirjobs.runner.windows_command import find_program, is_run_by_batch, launched, started_as


@pytest.mark.parametrize(
    ("there", "name", "found"),
    [
        (["python.exe"], "python", "python.exe"),
        (["python.exe", "python.bat"], "python", "python.exe"),
        (["npm", "npm.cmd"], "npm", "npm.cmd"),  # the first one is for other systems
        (["tool.v1.exe"], "tool.v1", "tool.v1.exe"),
        (["tool.exe", "tool.exe.bat"], "tool.exe", "tool.exe"),
        (["train.py"], "train.py", "train.py"),
        (["train.py"], "train", None),  # PATHEXT has no .py
        (["tool"], "tool", None),
        (["data.txt"], "data.txt", None),
        ([], "python", None),
    ],
)
def test_a_program_is_found_in_a_folder_without_its_extension(
    monkeypatch, tmp_path, there, name, found
):
    for each in there:
        (tmp_path / each).write_bytes(b"")
    # As of Python 3.11, where every file is executable.
    monkeypatch.setattr(shutil, "which", lambda name: name if os.path.isfile(name) else None)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("PATHEXT", ".COM;.EXE;.BAT;.CMD;")
    path = None if found is None else os.fspath(tmp_path / found)
    assert find_program(os.fspath(tmp_path / name)) == path


def test_a_program_without_a_folder_is_found_on_path_only(monkeypatch, tmp_path):
    (tmp_path / "python.exe").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "platform", "win32")
    assert find_program("python") is None


def test_a_program_gets_its_arguments_as_they_are():
    words = ["{}", "a b", 'c"d', "%PATH%", ""]
    assert started_as(r"C:\bin\train.exe", words) == [r"C:\bin\train.exe", *words]


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("x", "x"),
        ("lr=0.1", '"lr=0.1"'),
        ("a,b;c", '"a,b;c"'),
        ("a b", '"a b"'),
        ("", '""'),
        ("--lr", '"--lr"'),
        ("größe", "größe"),
        ("C:\\data", r'"C:\data"'),
        ("C:\\data\\", r'"C:\data\\"'),
        ("C:\\a b\\", r'"C:\a b\\"'),
        ("\\\\", r'"\\\\"'),
    ],
)
def test_a_batch_file_gets_each_argument_in_quotes(monkeypatch, argument, line):
    monkeypatch.setenv("SYSTEMROOT", r"C:\Windows")
    assert started_as(r"C:\my bin\train.cmd", [argument, "2"]) == (
        r'"C:\Windows\System32\cmd.exe" /d /e:on /v:off /s /c'
        rf' ""C:\my bin\train.cmd" {line} 2"'
    )


@pytest.mark.parametrize("value", ["a&b", "a|b", "%x%", "<", ">", "^", "!x!", '"', "a\nb", "\r"])
def test_what_cmd_would_run(value):
    assert is_run_by_batch(value)


@pytest.mark.parametrize(
    "value", ["0.1", "run (2).txt", "größe", "a,b;c=d", "-x", "C:\\a b", "$x", "'"]
)
def test_what_cmd_takes_as_it_is(value):
    assert not is_run_by_batch(value)


@pytest.mark.parametrize("launcher", ["py", "python"])
def test_a_program_in_python_is_run_by_the_launcher(monkeypatch, launcher):
    path = rf"C:\bin\{launcher}.exe"
    monkeypatch.setattr(windows_command, "find_program", {launcher: path}.get)
    assert launched(r"C:\x\train.py", ["1"]) == [path, r"C:\x\train.py", "1"]


def test_without_a_launcher_it_is_refused(monkeypatch):
    monkeypatch.setattr(windows_command, "find_program", lambda name: None)
    with pytest.raises(FileNotFoundError, match="neither py nor python"):
        launched(r"C:\x\train.py", [])


@pytest.fixture
def batch_launches_python(monkeypatch):
    """Windows, with the shims of pyenv-win first on PATH; nothing is started."""
    shim = r"C:\pyenv\shims\python.bat"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("SYSTEMROOT", r"C:\Windows")
    monkeypatch.setattr(windows_command, "find_program", {"python": shim}.get)
    monkeypatch.setattr(process, "find_program", lambda name: rf"C:\x\{name}")


@pytest.mark.usefixtures("batch_launches_python")
def test_a_batch_file_that_launches_python_gets_its_words_in_quotes():
    assert Program(["train.py", "{}"])._started_as(["train.py", "lr=1"]) == (
        r'"C:\Windows\System32\cmd.exe" /d /e:on /v:off /s /c'
        r' ""C:\pyenv\shims\python.bat" "C:\x\train.py" "lr=1""'
    )


@pytest.mark.usefixtures("batch_launches_python")
@pytest.mark.parametrize(
    ("typed", "command"),
    [
        (["train.py", "{x}"], ["train.py", "1&calc"]),
        ([], ["train.py", "1&calc"]),
        ([], ["1&calc.py"]),
        (["{}"], ["1&calc.py"]),
    ],
)
def test_a_batch_file_that_launches_python_runs_nothing_of_a_job(typed, command):
    with pytest.raises(CannotStart, match=r"python\.bat' would run a part of '1&calc") as caught:
        Program(typed)._started_as(command)
    assert caught.value.about_the_job


@pytest.mark.usefixtures("batch_launches_python")
def test_a_batch_file_that_launches_python_gets_what_the_user_wrote():
    assert "a&b" in Program(["train.py", "a&b"])._started_as(["train.py", "a&b"])


def test_other_events_of_a_console_are_for_others():
    told = []
    events = ConsoleEvents(told.append)
    assert not any(map(events.handle, (0, 1)))
    assert not told
