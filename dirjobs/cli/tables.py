"""What the commands that print a table have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click

from dirjobs.admin import history
from dirjobs.admin.history import History
from dirjobs.admin.tables import Condition, known, names_in, sort
from dirjobs.cli.parallel import each
from dirjobs.console.errors import say
from dirjobs.console.text import Bar, and_more
from dirjobs.protocol.share import Share
from dirjobs.store import Entry
from dirjobs.typed import text_of

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
R = TypeVar("R")

_THREADS = 8


def state_option(call: F) -> F:
    """``--state``, of commands about jobs that have ended."""
    return click.option(
        "--state",
        type=click.Choice(["done", "failed", "cancelled"]),
        help="Only these jobs.  [default: all]",
    )(call)


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


class Selection:
    """Which rows of a table a person wants to see, in which order, and which columns of them.

    Args:
        where: as the options of `table_options`; so are the others.

    Raises:
        ConfigurationError: `where` is no condition.
    """

    def __init__(self, where: str | None, sort_by: str, chosen: str | None) -> None:
        self._condition = None if where is None else Condition(where)
        self._by = names_in(sort_by)
        self._chosen = None if chosen is None else names_in(chosen)

    def check(self, columns: Iterable[str]) -> None:
        """Refuse what asks for other columns than the table has.

        Raises:
            ConfigurationError: it does.
        """
        asked = () if self._condition is None else self._condition.columns
        by = (name.removeprefix("-") for name in self._by)
        known(columns, [*asked, *by, *(self._chosen or ())])

    def header(self, columns: Sequence[str]) -> Sequence[str]:
        """The wanted ones of a table's columns."""
        return columns if self._chosen is None else self._chosen

    def rows(self, rows: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
        """The wanted rows, with the wanted columns as far as they have them; one after the other
        unless they are to be sorted."""
        if self._condition is not None:
            rows = filter(self._condition.matches, rows)
        if self._by:
            rows = sort([*rows], self._by)
        chosen = self._chosen
        if chosen is None:
            return rows
        return ({name: row[name] for name in chosen if name in row} for row in rows)


def cells(header: Iterable[str], row: Mapping[str, Any]) -> list[str]:
    """A row as it is printed."""
    values = (row.get(name) for name in header)
    return ["" if value is None else text_of(value) for value in values]


def read_all(
    share: Share, items: Sequence[T], call: Callable[[Share, T], R], what: str = "reading"
) -> list[R]:
    """What comes of a call for each item, in their order; with a progress bar that says `what`
    is done."""
    found: dict[int, R] = {}

    def call_at(share: Share, at: int) -> R:
        return call(share, items[at])

    with Bar(what, len(items)) as bar:
        for at, result in each(share, range(len(items)), call_at, _THREADS):
            found[at] = result
            bar.show(len(found))
    return [found[at] for at in range(len(items))]


def history_of_failures(share: Share) -> History:
    """What tells which jobs in ``99_failed`` were cancelled; one request where nobody has
    cancelled any, and all that `read_history` needs where somebody has."""
    files = history.journals(share)
    return _read_files(share, files) if history.has_cancelled(files) else History()


def read_history(share: Share) -> History:
    """All attempts that the journals of a queue tell of; a request for each file, and one."""
    return _read_files(share, history.journals(share))


def _read_files(share: Share, files: Sequence[Entry]) -> History:
    found = read_all(share, files, history.read)
    if problems := [one.problem for one in found if one.problem]:
        say(f"some attempts are left out: {problems[0]}{and_more(problems)}.")
    return History(record for one in found for record in one.records)
