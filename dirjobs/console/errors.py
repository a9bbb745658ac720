"""What goes wrong, told in one sentence: never a traceback, never a password."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn, ParamSpec, TypeVar

import click

from dirjobs.console.text import printable
from dirjobs.errors import DirJobsError, StoreError
from dirjobs.redaction import redacted

P = ParamSpec("P")
T = TypeVar("T")

MISTAKE = 2
_RIGHTS = "you need the right to read and write there"
_ADVICE = {
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: "it can't be written to",
    errno.ENOSPC: "make room there, then start again",
    errno.EDQUOT: "make room there, then start again",
}


def sentence(text: object) -> str:
    """`text` on one line, without secrets, and without what a terminal would obey."""
    return printable(redacted(" ".join(str(text).split())))


def say(text: object) -> None:
    """Tell the person at the terminal, on standard error."""
    click.echo(f"dirjobs: {sentence(text)}", err=True)


class Mistake(click.ClickException):
    """Something that the user can put right; ends the program with exit code 2."""

    exit_code = MISTAKE


def told_in_one_sentence(command: Callable[P, T]) -> Callable[P, T]:
    """Make a `Mistake` of every error that is about the queue, its store or a file."""

    @wraps(command)
    def told(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except (DirJobsError, OSError) as error:
            if not isinstance(error, StoreError) and getattr(error, "errno", 0) == errno.EPIPE:
                raise  # nobody reads our output any more; click knows what to do
            raise Mistake(sentence(explained(error))) from error
        except MemoryError as error:
            raise Mistake(
                "this machine has no memory left for this: see `ulimit -v`, or a container's limit."
            ) from error
        except RuntimeError as error:
            if "new thread" not in str(error):
                raise
            # Of a library: ours are started by `dirjobs.threads`.
            raise Mistake("this machine has no room for another thread.") from error

    return told


def explained(error: Exception) -> str:
    """What an error says; with what to do, where the operating system only says what."""
    code = getattr(error, "errno", None)
    if not isinstance(error, OSError) or code is None:
        return str(error)
    what = str(error)
    if not isinstance(error, DirJobsError | StoreError):
        what = f"{error.filename!r}: {error.strerror}" if error.filename else str(error.strerror)
    return f"{what}; {_ADVICE[code]}." if code in _ADVICE else what


def exit_with(program: Callable[[], object]) -> NoReturn:
    """Run a click program and exit with the code that it returns; every mistake of its user
    is one sentence."""
    survive_closed_streams()
    survive_odd_names()
    try:
        code = program()
    except click.ClickException as error:
        refuse(error)
    except click.Abort:
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


def refuse(error: click.ClickException) -> NoReturn:
    """Say what is wrong and end the program."""
    text = error.format_message()
    if isinstance(error, click.UsageError) and error.ctx is not None:
        if type(error).__name__ == "NoArgsIsHelpError":
            click.echo(text)
            sys.exit(MISTAKE)
        text = f"{text.rstrip('.')} (see `{error.ctx.command_path} --help`)."
    say(text)
    sys.exit(error.exit_code)


def survive_closed_streams() -> None:
    """Print to nowhere if whoever started this program closed its output (``>&-``): no file that
    it opens may get the number of a standard stream."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - open until the end


def survive_odd_names() -> None:
    """Print what the terminal's encoding can't show as escapes instead of failing.  Files and pipes
    get UTF-8 and line feeds on Windows, too, unless PYTHONIOENCODING asks for something else."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is None:
            continue
        settings = {"errors": "backslashreplace"}
        if sys.platform == "win32" and not stream.isatty():
            settings["newline"] = "\n"
            if not os.environ.get("PYTHONIOENCODING"):
                settings["encoding"] = "utf-8"
        reconfigure(**settings)


class _OnOneLine(logging.Formatter):
    """Without secrets, and without what a terminal would obey."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return sentence(f"dirjobs: {super().formatMessage(record)}")

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return "\n".join(map(printable, redacted(super().formatException(ei)).split("\n")))


def show_log(verbosity: int) -> None:
    """Show the log of every module of the library on standard error.

    Args:
        verbosity: 0 for warnings, 1 for what goes on as well, 2 for every store call too.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_OnOneLine())
    if logging.lastResort is not None:  # warnings of other libraries, about what servers said
        logging.lastResort.setFormatter(_OnOneLine("%(name)s: %(message)s"))
    log = logging.getLogger("dirjobs")
    log.handlers = [handler]
    log.propagate = False
    log.setLevel((logging.WARNING, logging.INFO, logging.DEBUG)[min(verbosity, 2)])
