"""What the commands that change single jobs have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import click

from dirjobs.cli.parallel import each
from dirjobs.console.text import Bar, on_terminal, printable
from dirjobs.errors import Denied, FileStays, JobsRefused, StoreError
from dirjobs.layout import JobFile
from dirjobs.protocol.parts import Parts
from dirjobs.protocol.share import Share
from dirjobs.recovery.membership import temporary_member

R = TypeVar("R")

_MOST_REFUSED = 4
"""After so many files that the store does not let go it is about the store."""


def all_or_some(names: Sequence[str], everything: bool, option: str) -> None:
    """Refuse a command that names jobs and says `option` as well, or neither."""
    if bool(names) == everything:
        raise click.UsageError(f"name jobs, or write {option}")


def confirm(question: str) -> None:
    """Ask whoever sits at a terminal; scripts have said what they want.

    Raises:
        click.Abort: the answer is no.
    """
    if _is_person():
        click.confirm(printable(question), abort=True)


def _is_person() -> bool:
    return on_terminal() and sys.stdin.isatty()


def visit(
    share: Share,
    purpose: str,
    what: str,
    places: Sequence[JobFile],
    change: Callable[[Parts, JobFile], R],
    choose: Callable[[Parts, Sequence[JobFile]], Sequence[JobFile]] = lambda _, places: places,
) -> list[tuple[JobFile, R]]:
    """Change each of `places` that may be changed, by several threads under one name.

    Raises:
        JobsRefused: the store does not let go of some of them; the others were changed.
        StoreError: it is away, or lets go of hardly any.
    """
    found: list[tuple[JobFile, R]] = []
    refused: dict[str, StoreError] = {}
    if not places:
        return found
    with temporary_member(share, purpose) as member, Bar(what, len(places)) as bar:
        places = choose(member.parts, places)
        told = share.now()

        def changed(share: Share, place: JobFile) -> R | None:
            try:
                return change(member.parts.over(share), place)
            except (Denied, FileStays) as error:  # the others don't wait
                refused[place.job.name] = error
                if len(refused) >= _MOST_REFUSED:
                    raise
                return None

        for place, result in each(share, places, changed):
            if place.job.name not in refused:
                found.append((place, cast("R", result)))
            bar.show(len(found))
            if share.now() - told > member.me.policy.heartbeat:
                member.incarnations.tell()
                told = share.now()
    if refused:
        raise JobsRefused.of(refused, "moved")
    return found


def counted(names: Sequence[str]) -> str:
    """``a.json is``, ``1,234 jobs are``."""
    return f"{names[0]} is" if len(names) == 1 else f"{len(names):,} jobs are"


def some(names: Sequence[str]) -> str:
    """``a, b, c and 7 more``."""
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
