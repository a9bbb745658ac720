"""``dirjobs results``: the parameters and results of all jobs as one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from dirjobs.admin.history import History
from dirjobs.admin.results import (
    Outcome,
    columns,
    ended,
    outcome,
    with_results,
)
from dirjobs.cli.options import QueueCommand, jobs_argument, json_option, opened, verbose_option
from dirjobs.cli.tables import Selection, cells, read_all, read_history, state_option, table_options
from dirjobs.console.errors import say, told_in_one_sentence
from dirjobs.console.parquet import write_table
from dirjobs.console.spreadsheet import as_typed, csv_line
from dirjobs.console.text import show, show_json, show_raw, show_table
from dirjobs.layout import RESULT, JobFile
from dirjobs.protocol.journal import Record
from dirjobs.protocol.share import Share


@click.command(cls=QueueCommand)
@jobs_argument
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@click.option("--parquet", metavar="FILE", help="Write a Parquet file (needs pyarrow).")
@click.option(
    "--raw",
    is_flag=True,
    help="With --csv, --parquet: every cell exactly as it is in the files.",
)
@state_option
@table_options
@json_option
@verbose_option
@told_in_one_sentence
def results(
    jobs: str,
    as_csv: bool,
    parquet: str | None,
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
      dirjobs results jobs/ --parquet table.parquet
      dirjobs results jobs/ --where 'lr < 0.1 and seed == 3' --sort -accuracy

    A condition compares columns with numbers and 'texts': < <= > >= == != in, and, or, not, with
    parentheses; the name of a column that is no word stands in `backticks`.  What a job does not
    have is neither equal nor unequal to anything.

    On a terminal columns that don't fit are left out, and named below the table.

    In --csv a row is a line: line breaks and other control characters are written as \\n and so
    on, and texts that a spreadsheet would take for formulas have a ' before them.  --raw leaves
    all of that out, for programs.
    """  # noqa: D301 - click wants the very character
    if as_csv + as_json + (parquet is not None) > 1:
        raise click.UsageError("give one of --csv, --json and --parquet")
    if raw and not as_csv and parquet is None:
        raise click.UsageError("--raw is for --csv and --parquet")
    selection = Selection(where, sort_by, chosen)
    with opened(jobs, verbose) as share:
        history = read_history(share)
        places = [place for place in ended(share) if state in (None, history.state(place))]
        rows = _rows(share, places, history)
    there = columns(rows)
    if rows:
        selection.check(there)
    header = selection.header(there)
    rows = [*selection.rows(rows)]
    if as_json:
        show_json(rows)
        return
    if parquet is not None:
        write_table(parquet, header, rows, raw=raw)
        show(f"Wrote {len(rows):,} rows to {parquet}.")
        return
    table = [header, *(cells(header, row) for row in rows)]
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


def _rows(share: Share, places: Sequence[JobFile], history: History) -> list[dict[str, Any]]:
    decisive = [history.decisive(place) for place in places]
    have = with_results(share) if None in decisive else frozenset()

    def row_of(share: Share, one: tuple[JobFile, Record | None]) -> Outcome:
        place, record = one
        return outcome(share, place, record, place.job.name in have)

    found = read_all(share, [*zip(places, decisive, strict=True)], row_of)
    odd = [place.job.name for place, one in zip(places, found, strict=True) if not one.is_readable]
    if odd:
        say(
            f"{RESULT} of {len(odd)} {'job' if len(odd) == 1 else 'jobs'} is no JSON object of at"
            f" most 1 MiB, such as that of {odd[0]!r}: nothing of it is in the table."
        )
    return [one.row for one in found]
