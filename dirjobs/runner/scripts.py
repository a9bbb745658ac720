"""Which arguments of a command are code: what is put into these is run, not read.

    sh -c 'wc -c {}'          a job called `a;reboot` reboots
    sh -c 'wc -c "$1"' sh {}  it is counted

Known are shells, interpreters that take a script as an argument, and programs that hand their
arguments to a shell, wherever in a command they are (``nice env bash -ec ...``).  Languages
within a program's own arguments, such as awk's or SQL, are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Script(NamedTuple):
    """An argument that is code.

    Attributes:
        number: which one of the command it is.
        program: what runs it, such as ``bash -c``.
        reads: how that gets the value of a variable of its environment, ``NAME``.
    """

    number: int
    program: str
    reads: str


class _Language(NamedTuple):
    """How an interpreter is given code.

    Attributes:
        reads: see `Script`.
        letters: its options before code.
        words: its long options before code.
        valued: the letters of options before something else.
        has_one: after one script there are arguments for it.
    """

    reads: str
    letters: str
    words: tuple[str, ...] = ()
    valued: str = ""
    has_one: bool = False


_SH = '"$NAME"'
_SHELL = _Language(_SH, "c", valued="oO", has_one=True)
_PYTHON = _Language('os.environ["NAME"]', "c", valued="WX", has_one=True)
_EVAL = ("--eval", "--print")
_LANGUAGES = {
    **dict.fromkeys(
        ["sh", "bash", "rbash", "dash", "ash", "ksh", "mksh", "zsh", "csh", "tcsh"], _SHELL
    ),
    "fish": _Language(_SH, "cC", ("--command", "--init-command")),
    "env": _Language("${NAME}", "S", ("--split-string",), "uC"),
    **dict.fromkeys(("python", "pythonw", "pypy"), _PYTHON),
    "perl": _Language("$ENV{NAME}", "eE", (), "I"),
    "ruby": _Language('ENV["NAME"]', "e", (), "Ir"),
    **dict.fromkeys(("node", "nodejs"), _Language("process.env.NAME", "ep", _EVAL, "r")),
    "php": _Language('getenv("NAME")', "rBRE", ("--run",), "dcz"),
    "lua": _Language('os.getenv("NAME")', "e", (), "l"),
    **dict.fromkeys(("Rscript", "R"), _Language('Sys.getenv("NAME")', "e")),
    "julia": _Language('ENV["NAME"]', "eE", _EVAL, "LJpt"),
}
_RUN_BY_SHELL = re.compile(r"-[a-z]*c|--(?:session-)?command|--wrap", re.IGNORECASE)
_CMD = re.compile(r"(?:/[a-z:]+)*/[ckr]", re.IGNORECASE)
_COMMAND = re.compile(r"[-/]c(?:o(?:m(?:m(?:a(?:nd?)?)?)?)?)?", re.IGNORECASE)
_FILE = re.compile(r"[-/]f(?:i(?:le?)?)?", re.IGNORECASE)


def scripts_in(command: Sequence[str]) -> dict[int, Script]:
    """The arguments of `command` that are code, by their numbers."""
    found: dict[int, Script] = {}
    for at, word in enumerate(command):
        name = _program(word)
        if name in _LANGUAGES:
            scripts = _of_language(name, command, at + 1)
        elif name in ("su", "runuser", "flock", "script", "sbatch"):
            scripts = _run_by_shell(name, command, at + 1)
        elif name == "cmd":
            scripts = _of_cmd(command, at + 1)
        elif name in ("powershell", "pwsh"):
            scripts = _of_powershell(name, command, at + 1)
        elif name in ("ssh", "autossh", "rsh") and "rsync" not in map(_program, command[:at]):
            # A shell on the other host gets all of them as one line; the environment stays here.
            reads = "bash -c 'ssh HOST \"COMMAND ${NAME@Q}\"'"
            scripts = (Script(number, name, reads) for number in range(at + 1, len(command)))
        else:
            continue
        for script in scripts:
            if script.number < len(command):
                found.setdefault(script.number, script)
    return found


def _program(word: str) -> str:
    """The name of the program at a path, without its version: ``python`` for
    ``/usr/bin/python3.11``."""
    base = re.split(r"[/\\]", word)[-1]
    name = re.sub(r"(?:[\d.]*|\.exe)\Z", "", base, flags=re.IGNORECASE)
    return name if name in _LANGUAGES else name.lower()


def _of_language(name: str, command: Sequence[str], at: int) -> Iterator[Script]:
    language, option = _LANGUAGES[name], ""
    while at < len(command):
        word = command[at]
        if word.startswith("--"):
            long = word.partition("=")[0]
            if long in language.words:
                option = long
                yield Script(at, f"{name} {option}", language.reads)
        elif word[:1] in ("-", "+") and len(word) > 1:
            if letter := next((char for char in word[1:] if char in language.letters), ""):
                option = f"-{letter}"
                yield Script(at, f"{name} {option}", language.reads)  # there may be code in it
            if word[-1] in language.valued:
                at += 1
        elif option:
            yield Script(at, f"{name} {option}", language.reads)
            if language.has_one:
                return
            option = ""
        else:
            return  # a file with code, and what it is given
        at += 1


def _run_by_shell(name: str, command: Sequence[str], at: int) -> Iterator[Script]:
    for number in range(at, len(command)):
        option, is_whole, _ = command[number].partition("=")
        if _RUN_BY_SHELL.fullmatch(option):
            yield Script(number if is_whole else number + 1, f"{name} {option}", _SH)


def _of_cmd(command: Sequence[str], at: int) -> Iterator[Script]:
    is_code = False
    for number in range(at, len(command)):
        is_code = is_code or _CMD.match(command[number]) is not None
        if is_code:  # %NAME% is put in before cmd reads the line
            yield Script(number, "cmd /c", "!NAME! after `cmd /v:on /c`")


def _of_powershell(name: str, command: Sequence[str], at: int) -> Iterator[Script]:
    is_code = name == "powershell"  # pwsh takes a file by itself
    for number in range(at, len(command)):
        if _FILE.fullmatch(command[number]):
            return
        is_code = is_code or _COMMAND.fullmatch(command[number]) is not None
        if is_code:
            yield Script(number, f"{name} -Command", "$env:NAME")
