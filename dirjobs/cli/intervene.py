"""What the commands that change single jobs have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeVar

import click

from dirjobs.console.text import on_terminal, printable, show, show_json
from dirjobs.layout import JobFile
from dirjobs.protocol.candidates import natural_key

F = TypeVar("F", bound=Callable[..., Any])

_ASKED_BEFORE = 10
"""So many jobs are changed without a question."""


def all_or_some(names: Sequence[str], everything: bool, option: str) -> None:
    """Refuse a command that names jobs and says `option` as well, or neither."""
    if bool(names) == everything:
        raise click.UsageError(f"name jobs, or write {option}")


def dry_run_option(command: F) -> F:
    """``--dry-run``, as argument ``dry_run``."""
    help_text = "Only say which jobs it would be."
    return click.option("--dry-run", is_flag=True, help=help_text)(command)


def yes_option(command: F) -> F:
    """``--yes``, as argument ``yes``; see `ask_before_many`."""
    help_text = "Don't ask, however many there are."
    return click.option("--yes", is_flag=True, help=help_text)(command)


def ask_before_many(what: str, names: Collection[str], *, yes: bool) -> None:
    """Ask whoever sits at a terminal before many jobs are changed; scripts have said what they
    want.

    Args:
        what: would be done to the jobs of these names, such as ``Cancel``.
        names: of the jobs.
        yes: it was answered already.

    Raises:
        click.Abort: the answer is no.
    """
    if len(names) > _ASKED_BEFORE and not yes and _is_person():
        question = f"{what} {len(names):,} jobs, such as {some(sorted(names))}?"
        click.confirm(printable(question), abort=True)


def say_which(places: Iterable[JobFile], what: str, *, as_json: bool) -> None:
    """Which jobs would be changed.

    Args:
        places: of the jobs.
        what: the key in JSON.
        as_json: print that.
    """
    names = sorted({place.job.name for place in places}, key=natural_key)
    if as_json:
        show_json({what: names})
    else:
        for name in names:
            show(name)


def _is_person() -> bool:
    return on_terminal() and sys.stdin.isatty()


def counted(names: Sequence[str]) -> str:
    """``a.json is``, ``1,234 jobs are``."""
    return f"{names[0]} is" if len(names) == 1 else f"{len(names):,} jobs are"


def some(names: Sequence[str]) -> str:
    """``a, b, c and 7 more``."""
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
