"""``dirjobs results``: the parameters and results of all jobs as one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from dirjobs.admin.results import (
    RESULT,
    Outcome,
    columns,
    ended,
    outcome,
    with_results,
)
from dirjobs.admin.tables import Condition, known, names_in, sort
from dirjobs.cli.options import (
    QueueCommand,
    jobs_argument,
    json_option,
    opened,
    table_options,
    verbose_option,
)
from dirjobs.cli.parallel import each
from dirjobs.console.errors import say, told_in_one_sentence
from dirjobs.console.spreadsheet import as_typed, csv_line
from dirjobs.console.text import Bar, show, show_json, show_raw, show_table
from dirjobs.layout import JobFile
from dirjobs.protocol.share import Share
from dirjobs.runner.parameters import text_of

_THREADS = 8


@click.command(cls=QueueCommand)
@jobs_argument
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@click.option("--raw", is_flag=True, help="With --csv: every cell exactly as it is in the files.")
@click.option(
    "--state", type=click.Choice(["done", "failed"]), help="Only these jobs.  [default: both]"
)
@table_options
@json_option
@verbose_option
@told_in_one_sentence
def results(
    jobs: str,
    as_csv: bool,
    raw: bool,
    state: str | None,
    where: str | None,
    sort_by: str,
    chosen: str | None,
    as_json: bool,
    verbose: int,
) -> None:
    """Print a table of all jobs that have ended: state, parameters, results.

    A row for each job; its parameters are those of the job, if that is a JSON object, and
    its results those of the file result.json that the command wrote into $DIRJOBS_OUT.  A
    result with the name of a parameter is called result.NAME.

    \b
      dirjobs results jobs/ --csv > table.csv
      dirjobs results jobs/ --where 'lr < 0.1 and seed == 3' --sort -accuracy

    A condition compares columns with numbers and 'texts': < <= > >= == != in, and, or, not, with
    parentheses; the name of a column that is no word stands in `backticks`.  What a job does not
    have is neither equal nor unequal to anything.

    On a terminal columns that don't fit are left out, and named below the table.

    In --csv a row is a line: line breaks and other control characters are written as \\n and so
    on, and texts that a spreadsheet would take for formulas have a ' before them.  --raw leaves
    all of that out, for programs.
    """  # noqa: D301 - click wants the very character
    if as_csv and as_json:
        raise click.UsageError("give either --csv or --json")
    if raw and not as_csv:
        raise click.UsageError("--raw is for --csv")
    condition = None if where is None else Condition(where)
    with opened(jobs, verbose) as share:
        places = [place for place in ended(share) if state in (None, place.state)]
        rows = _rows(share, places)
    header = columns(rows)
    by = names_in(sort_by)
    wanted = names_in(chosen) if chosen is not None else header
    if rows:
        asked = () if condition is None else condition.columns
        known(header, [*asked, *(name.removeprefix("-") for name in by), *wanted])
    if condition is not None:
        rows = [row for row in rows if condition.matches(row)]
    sort(rows, by)
    if chosen is not None:
        header = wanted
        rows = [{name: row[name] for name in wanted if name in row} for row in rows]
    if as_json:
        show_json(rows)
        return
    table = [header, *([_cell(row.get(name, "")) for name in header] for row in rows)]
    if as_csv:
        for line in table:
            if raw:
                show_raw(as_typed(line))
            else:
                show(csv_line(line))
    elif rows:
        show_table(table, ("bold",), fits=True)
    else:
        show("No job is like that." if places else "No job has ended yet.")


def _rows(share: Share, places: Sequence[JobFile]) -> list[dict[str, Any]]:
    have = with_results(share)

    def row_of(share: Share, at: int) -> Outcome:
        return outcome(share, places[at], places[at].job.name in have)

    found: dict[int, Outcome] = {}
    with Bar("reading", len(places)) as bar:
        for at, row in each(share, range(len(places)), row_of, _THREADS):
            found[at] = row
            bar.show(len(found))
    odd = [places[at].job.name for at in sorted(found) if not found[at].is_readable]
    if odd:
        say(
            f"{RESULT} of {len(odd)} {'job' if len(odd) == 1 else 'jobs'} is no JSON object of at"
            f" most 1 MiB, such as that of {odd[0]!r}: nothing of it is in the table."
        )
    return [found[at].row for at in range(len(places))]


def _cell(value: object) -> str:
    return "" if value is None else text_of(value)
