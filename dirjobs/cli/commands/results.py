"""``dirjobs results``: the parameters and results of all jobs as one table."""

from __future__ import annotations

import click

from dirjobs.admin.results import columns, table
from dirjobs.admin.tables import Selection, names_in
from dirjobs.cli.options import QueueCommand, jobs_argument, json_option, opened, verbose_option
from dirjobs.cli.tables import filter_option, like, state_option, table_options
from dirjobs.console.errors import told_in_one_sentence
from dirjobs.console.parquet import write_table
from dirjobs.console.spreadsheet import as_typed, csv_line
from dirjobs.console.tables import cells, show_rows
from dirjobs.console.terminal import TERMINAL
from dirjobs.console.text import show, show_json, show_raw


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
@filter_option
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
    pattern: str | None,
    where: str | None,
    sort_by: str,
    chosen: str | None,
    as_json: bool,
    verbose: int,
) -> None:
    """Print a table of parameters and results.

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

    On a terminal numbers have six digits, and times are local; where the table is too wide, texts
    are cut, and columns that don't fit even so are named below it.  All else (--csv, --json,
    pipes) has every cell as it is, with times in UTC.

    In --csv a row is a line: line breaks and other control characters are written as \\n and so
    on, and texts that a spreadsheet would take for formulas have a ' before them.  --raw leaves
    all of that out, for programs.
    """  # noqa: D301 - click wants the very character
    if as_csv + as_json + (parquet is not None) > 1:
        raise click.UsageError("give one of --csv, --json and --parquet")
    if raw and not as_csv and parquet is None:
        raise click.UsageError("--raw is for --csv and --parquet")
    selection = Selection(where, names_in(sort_by), None if chosen is None else names_in(chosen))
    with opened(jobs, verbose) as share:
        rows = table(share, state, TERMINAL, lambda places: like(pattern, places))
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
    if as_csv:
        for line in [header, *(cells(header, row) for row in rows)]:
            if raw:
                show_raw(as_typed(line))
            else:
                show(csv_line(line))
    elif rows:
        show_rows(header, rows)
    else:
        asked = pattern is not None or state is not None or where is not None
        show("No job is like that." if asked else "No job has ended yet.")
