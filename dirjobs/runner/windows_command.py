"""What Windows is given to start a command: the very program that is meant, and its arguments in
the words of whoever parses them again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

_BATCH = (".bat", ".cmd")
_PYTHON = (".py", ".pyw")
_RUN_BY_CMD = frozenset('"%&<>^|!\r\n')
"""What cmd, which runs batch files, takes for code or for the name of a variable."""
_CMD = r'"{root}\System32\cmd.exe" /d /e:on /v:off /s /c "{line}"'


def find_program(name: str) -> str | None:
    """The file that the first word of a command names; None if there is none, or if it may not be
    executed.

    Windows itself would look beside the running Python first, where another ``python`` may be.

    Args:
        name: as it is typed, with or without folder and extension.
    """
    found = shutil.which(name)
    if sys.platform != "win32":
        return found
    if found is None and is_python_file(name) and os.path.isfile(name):
        found = name  # PATHEXT need not have .py
    if found is None or not _is_started(found):
        found = _with_extension(found or name)
    return None if found is None else os.path.abspath(found)


def _with_extension(name: str) -> str | None:
    """The program that a name with a folder means; None if there is none.

    Python 3.11 tries no extensions for such a name, and 3.12.0 finds a file without one first: a
    script for other systems that is beside the program.
    """
    if os.path.dirname(name):
        for extension in _extensions():
            if os.path.isfile(name + extension):
                return name + extension
    return None


def _extensions() -> list[str]:
    """What Windows puts after the name of a program to find it."""
    listed = os.environ.get("PATHEXT") or ".COM;.EXE;.BAT;.CMD"
    return [extension for extension in listed.lower().split(";") if extension]


def _is_started(path: str) -> bool:
    """Whether Windows, or somebody whom it asks, runs files that are called like this."""
    extension = os.path.splitext(path)[1].lower()
    return extension in (".exe", ".com", *_BATCH, *_PYTHON, *_extensions())


def is_batch(program: str) -> bool:
    """Whether cmd runs this file, and parses its arguments again."""
    return program.lower().endswith(_BATCH)


def is_python_file(program: str) -> bool:
    """Whether it is a program in Python that is started by its own name."""
    return program.lower().endswith(_PYTHON)


def is_run_by_batch(argument: str) -> bool:
    """Whether a batch file that is given `argument` may run a part of it."""
    return not _RUN_BY_CMD.isdisjoint(argument)


def launched(program: str, arguments: Sequence[str]) -> list[str]:
    """The file that Windows starts to run a program, and all arguments for that: a program in
    Python has a launcher, which may be a batch file.

    Args:
        program: from `find_program`.
        arguments: for it.

    Raises:
        FileNotFoundError: there is no Python launcher for a program in Python.
    """
    if not is_python_file(program):
        return [program, *arguments]
    launcher = find_program("py") or find_program("python")
    if launcher is None:
        raise FileNotFoundError(2, "neither py nor python was found, which run it", program)
    return [launcher, program, *arguments]


def started_as(program: str, arguments: Sequence[str]) -> list[str] | str:
    """What `subprocess.Popen` is given on Windows.

    Args:
        program: the first of `launched`.
        arguments: the others; those of a batch file have nothing in them that `is_run_by_batch`,
            but for what the user wrote.
    """
    if is_batch(program):
        line = " ".join([f'"{program}"', *map(_for_batch, arguments)])
        return _CMD.format(root=os.environ.get("SYSTEMROOT", r"C:\Windows"), line=line)
    return [program, *arguments]


def _for_batch(argument: str) -> str:
    """An argument in quotes: to cmd ``a=1`` and ``a,b`` are two arguments each.

    Backslashes at its end are doubled: a program to which the batch file hands it on would take
    the last one for the escape of the quote.
    """
    if argument.isalnum():
        return argument
    quoted = subprocess.list2cmdline([argument])
    if quoted.startswith('"'):
        return quoted
    backslashes = argument[len(argument.rstrip("\\")) :]
    return f'"{argument}{backslashes}"'
