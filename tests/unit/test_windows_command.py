"""What Windows is given to start a command; on any system, for nothing is started here."""

from __future__ import annotations

import pytest

from dirjobs.runner import windows_command
from dirjobs.runner.console_events import ConsoleEvents
from dirjobs.runner.windows_command import is_run_by_batch, started_as


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
    assert started_as(r"C:\x\train.py", ["1"]) == [path, r"C:\x\train.py", "1"]


def test_without_a_launcher_it_is_refused(monkeypatch):
    monkeypatch.setattr(windows_command, "find_program", lambda name: None)
    with pytest.raises(FileNotFoundError, match="neither py nor python"):
        started_as(r"C:\x\train.py", [])


def test_other_events_of_a_console_are_for_others():
    told = []
    events = ConsoleEvents(told.append)
    assert not any(map(events.handle, (0, 1)))
    assert not told
