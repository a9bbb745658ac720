"""What the commands that print a table have in common."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from dirjobs.admin import results
from dirjobs.layout import JobFile

F = TypeVar("F", bound=Callable[..., Any])


def state_option(call: F) -> F:
    """``--state``, of commands about jobs that have ended."""
    return click.option(
        "--state",
        type=click.Choice(results.STATES),
        help="Only these jobs.  [default: all]",
    )(call)


def filter_option(call: F) -> F:
    """``--filter``, as argument ``pattern``; see `like`."""
    return click.option("--filter", "pattern", metavar="GLOB", help="Only jobs like 'lr0.1*'.")(
        call
    )


def like(pattern: str | None, places: Iterable[JobFile]) -> list[JobFile]:
    """Those jobs whose names are like a shell pattern; all if there is none."""
    return [
        place for place in places if pattern is None or fnmatch.fnmatchcase(place.job.name, pattern)
    ]


def table_options(call: F) -> F:
    """The options of commands that print a table."""
    for option in (
        click.option(
            "--columns", "chosen", metavar="A,B", help="Print these columns, in this order."
        ),
        click.option(
            "--sort",
            "sort_by",
            metavar="A,-B",
            default="",
            help="Sort by these columns; -B: the largest first.",
        ),
        click.option(
            "--where",
            metavar="CONDITION",
            help="Only rows for which this is true: 'lr < 0.1 and seed == 3'.",
        ),
    ):
        call = option(call)
    return call
