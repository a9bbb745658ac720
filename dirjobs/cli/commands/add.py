"""``dirjobs add``: new jobs, from files, lines or sets of parameters."""

from __future__ import annotations

import sys
from contextlib import ExitStack

import click

from dirjobs.admin.signatures import Signatures
from dirjobs.cli.options import (
    QueueCommand,
    file_argument,
    jobs_argument,
    json_option,
    key_file_option,
    opened,
    verbose_option,
)
from dirjobs.console.errors import say, told_in_one_sentence
from dirjobs.console.terminal import TERMINAL
from dirjobs.console.text import show, show_json
from dirjobs.errors import ConfigurationError
from dirjobs.signing import this_machines_key
from dirjobs.sweep.adding import add_all, names_to_add
from dirjobs.sweep.parameters import MOST, axes_of, taken_for_text
from dirjobs.sweep.sources import (
    INPUT,
    Batch,
    Choice,
    called,
    from_files,
    from_lines,
    from_parameters,
    matching,
    readable,
)

WITH_SKIP_EXISTING = "the same command with --skip-existing"
_OTHER_NAMES = "give the new ones other names, or write --skip-existing to leave them out"


@click.command(cls=QueueCommand)
@jobs_argument
@file_argument("files", nargs=-1, metavar="[FILE]...")
@click.option("--each-line", is_flag=True, help="A job for each line of FILE.")
@click.option(
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUES",
    help="lr=0.1,0.01 or seed=1..5 or x=0..1..0.25 or lr=log(1e-4,1e-1,7); with several, a job"
    " for each combination.",
)
@click.option("--zip", "paired", is_flag=True, help="The first values together, the second, ...")
@click.option(
    "--repeat",
    type=click.IntRange(1, MOST),
    metavar="N",
    help="Each N times, with a parameter 'repeat' from 1 to N.",
)
@click.option(
    "--sample",
    type=click.IntRange(1, MOST),
    metavar="N",
    help="Only N of them, drawn by chance; the same N each time.",
)
@click.option("--from-csv", metavar="FILE", help="A job for each row; the first line has names.")
@click.option("--from-json", metavar="FILE", help="A job for each object of an array or line.")
@click.option(
    "--template", metavar="FILE", help="The content of each job: FILE, with {lr} etc. filled in."
)
@click.option("--name", "pattern", metavar="PATTERN", help="Names such as '{lr}_{seed}.json'.")
@click.option("--skip-existing", is_flag=True, help="Leave out jobs whose name is in use.")
@click.option("--sign", is_flag=True, help="Sign them, for `dirjobs work --signed-only`.")
@key_file_option
@click.option("--dry-run", is_flag=True, help="Print the names and add nothing.")
@json_option
@verbose_option
@told_in_one_sentence
def add(
    jobs: str,
    files: tuple[str, ...],
    each_line: bool,
    params: tuple[str, ...],
    paired: bool,
    repeat: int | None,
    sample: int | None,
    from_csv: str | None,
    from_json: str | None,
    template: str | None,
    pattern: str | None,
    skip_existing: bool,
    sign: bool,
    key_file: str | None,
    dry_run: bool,
    as_json: bool,
    verbose: int,
) -> None:
    """Put jobs into the queue, none over another one.

    Each is added whole or not at all.

    \b
      dirjobs add jobs/ parameters/*.json                    the files, under their names
      find . -name '*.dat' | dirjobs add jobs/ -             the same, named on standard input
      dirjobs add jobs/ --param lr=0.1,0.01 --param seed=1..5          ten JSON files
      dirjobs add jobs/ --from-csv table.csv --template run.inp        one for each row
      dirjobs add jobs/ --each-line commands.txt                       one for each line

    A job of parameters is a JSON file with a name such as lr0.1_seed3.json, or what
    --template makes of it.  In a --name, {number} counts the jobs.  The same parameters always
    have the same name: `--param seed=1..10 --skip-existing` after seed=1..5 adds five jobs.

    If anything is wrong with the input nothing is added.  If adding is interrupted, the same
    command with --skip-existing adds the rest.
    """  # noqa: D301 - click wants the very character
    for told in filter(None, map(taken_for_text, params)):
        say(told)
    with ExitStack() as stack:
        key = this_machines_key(key_file) if sign or key_file else None
        share = stack.enter_context(opened(jobs, verbose))
        choice = Choice(paired, repeat, sample)
        if sys.platform == "win32":
            files = tuple(matching(files))
        batch = _batch(
            stack, files, each_line, params, from_csv, from_json, template, pattern, choice
        )
        wanted = names_to_add(share, batch, skip_existing, _OTHER_NAMES)
        skipped = len(batch.names) - len(wanted)
        if dry_run:
            added = [name for name in batch.names if name in wanted]
        else:
            signatures = None if key is None else Signatures(share, key)
            added = add_all(
                share, batch, wanted, skip_existing, signatures, TERMINAL, WITH_SKIP_EXISTING
            )
            skipped = len(batch.names) - len(added)
        where = share.store.url
    if as_json:
        show_json({"added": [] if dry_run else added, "would_add": added, "skipped": skipped})
    elif dry_run:
        for line in added or ["No job would be added."]:
            show(line)
    else:
        what = f"job {added[0]}" if len(added) == 1 else f"{len(added):,} jobs"
        left_out = f"; {skipped:,} had names that are in use" if skipped else ""
        show(f"Added {what} to {where}{left_out}.")


def _batch(
    stack: ExitStack,
    files: tuple[str, ...],
    each_line: bool,
    params: tuple[str, ...],
    from_csv: str | None,
    from_json: str | None,
    template: str | None,
    pattern: str | None,
    choice: Choice,
) -> Batch:
    tables = [("csv", from_csv), ("json", from_json)]
    given = [(kind, path) for kind, path in tables if path is not None]
    if params or given:
        if files or each_line:
            raise click.UsageError(
                "give either files or parameters; PowerShell makes several arguments of"
                " lr=0.1,0.01 without quotes"
            )
        if len(given) > 1:
            raise click.UsageError("give either --from-csv or --from-json")
        table = None
        for kind, path in given:
            table = kind, stack.enter_context(readable(path)), called(path)
        batch = from_parameters(axes_of(params), table, template, pattern, choice)
        return _not_empty(batch, "parameters")
    if choice != Choice():
        raise click.UsageError("--zip, --repeat and --sample want parameters, such as --param")
    if template is not None:
        raise click.UsageError("--template wants parameters: --param, --from-csv or --from-json")
    if not files:
        raise click.UsageError("name the files to add, or - to read their names, or --param")
    if each_line:
        if len(files) > 1:
            raise click.UsageError("--each-line wants one file, or -")
        return _not_empty(from_lines(stack.enter_context(readable(files[0])), pattern), files[0])
    if pattern is not None:
        raise click.UsageError("--name is for parameters and --each-line: files keep their names")
    return _not_empty(from_files(files), called(INPUT))


def _not_empty(batch: Batch, what: str) -> Batch:
    if not batch.names:
        raise ConfigurationError(f"there is nothing to add in {called(what)}.")
    return batch
