"""``dirjobs list``: which jobs are where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import click

from dirjobs.admin.history import History, history_of_failures, read_history, time_of
from dirjobs.admin.parallel import read_all
from dirjobs.admin.report import iso
from dirjobs.admin.tables import Selection, names_in
from dirjobs.cli.options import QueueCommand, jobs_argument, json_option, opened, verbose_option
from dirjobs.cli.tables import filter_option, like, table_options
from dirjobs.console.errors import say, told_in_one_sentence
from dirjobs.console.tables import show_rows
from dirjobs.console.terminal import TERMINAL
from dirjobs.console.text import json_text, on_terminal, printable, show
from dirjobs.layout import ATTEMPTS, FAILED, PARKED, STATES, JobFile
from dirjobs.protocol import attempts
from dirjobs.protocol.candidates import natural_key
from dirjobs.protocol.journal import CANCELLED, Record
from dirjobs.protocol.share import Share
from dirjobs.store import Entry

_CLOCKS_AGREE = 2.0
"""Seconds by which a note of the same attempt may seem to be later than its record."""
_WIDEST = 40
"""Characters of a job's name, so far as the reasons after it stand below each other."""
_COLUMNS = ("job", "state", "worker", "size", "modified")


@click.command("list", cls=QueueCommand)
@jobs_argument
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([*STATES.values(), CANCELLED]),
    help="Only these jobs; may be given more than once.  [default: all but parked]",
)
@click.option("--failed", is_flag=True, help="The same as --state failed.")
@click.option("--reason", "with_reasons", is_flag=True, help="Say why a job failed.")
@filter_option
@click.option("--names", "only_names", is_flag=True, help="Print nothing but the names.")
@table_options
@json_option
@verbose_option
@told_in_one_sentence
def list_jobs(
    jobs: str,
    states: tuple[str, ...],
    failed: bool,
    with_reasons: bool,
    pattern: str | None,
    only_names: bool,
    where: str | None,
    sort_by: str,
    chosen: str | None,
    as_json: bool,
    verbose: int,
) -> None:
    """List the jobs, with their states and workers.

    One request for each state, however many jobs there are, and one to know whether jobs were
    cancelled.

    \b
      dirjobs list jobs/ --failed --reason
      dirjobs list jobs/ --state done --where 'size > 1000' --sort -size --columns job,size

    The columns are job, state, worker, size (in bytes) and modified, and reason with --reason;
    `dirjobs results --help` says what a condition is.
    """  # noqa: D301 - click wants the very character
    if only_names and chosen is not None:
        raise click.UsageError("give either --names or --columns")
    selection = Selection(where, names_in(sort_by), None if chosen is None else names_in(chosen))
    if failed:
        states = (*states, STATES[FAILED])
    folders = [
        folder
        for folder, state in STATES.items()
        if (state in states if states else folder != PARKED)
        or (folder == FAILED and CANCELLED in states)
    ]
    columns = [*_COLUMNS, *(["reason"] if with_reasons else [])]
    selection.check(columns)
    header = selection.header(columns)
    with opened(jobs, verbose) as share:
        history = _history(share, folders, with_reasons)
        places = (
            place
            for place in _places(share, folders, pattern)
            if not states or history.state(place) in states
        )
        rows = selection.rows(
            _with_reasons(share, [*places], history)
            if with_reasons
            else (_row(place, history) for place in places)
        )
        number = 0
        if as_json:
            for line in _json_lines(rows):
                show(line)
        elif chosen is not None:
            found = [*rows]
            number = len(found)
            show_rows(header, found)
        else:
            width = 0
            if with_reasons and not only_names:
                rows = [*rows]
                width = min(_WIDEST, max((len(printable(row["job"])) for row in rows), default=0))
            for row in rows:
                number += 1
                show(row["job"] if only_names else _line(row, width))
    if not number and not as_json and on_terminal():
        say(_nothing(states, pattern, is_part=where is not None))


def _history(share: Share, folders: Sequence[str], with_reasons: bool) -> History:
    """What the journals say of the jobs in these folders, as far as it is asked for."""
    if FAILED not in folders:
        return History()
    return read_history(share, TERMINAL) if with_reasons else history_of_failures(share, TERMINAL)


def _places(share: Share, folders: Iterable[str], pattern: str | None) -> Iterator[JobFile]:
    """Folder by folder, so that one listing at a time is in memory."""
    for folder in folders:
        found = like(pattern, share.jobs_in(folder))
        found.sort(key=lambda place: natural_key(place.job.name))
        yield from found


def _row(place: JobFile, history: History) -> dict[str, Any]:
    return {
        "job": place.job.name,
        "state": history.state(place),
        "worker": place.worker or None,
        "size": place.job.size,
        "modified": iso(place.job.mtime),
    }


def _with_reasons(
    share: Share, places: Sequence[JobFile], history: History
) -> Iterator[dict[str, Any]]:
    """The rows with why each failed job failed: by the journal, or by what was noted since."""
    notes = {entry.name: entry for entry in share.listed(ATTEMPTS)}
    asked = []
    reasons: dict[str, str | None] = {}
    for place in places:
        if place.folder != FAILED:
            continue
        record, note = history.decisive(place), notes.get(f"{place.job.name}.json")
        if note is not None and (record is None or _is_later(note, record)):
            asked.append(place)
        elif record is not None:
            reasons[place.path] = _in_one_line(record.reason)
    reasons.update(
        zip((p.path for p in asked), read_all(share, asked, _noted_last, TERMINAL), strict=True)
    )
    for place in places:
        yield {**_row(place, history), "reason": reasons.get(place.path)}


def _is_later(note: Entry, record: Record) -> bool:
    """Whether a note may be of a later attempt: workers died at the job since then."""
    ended = time_of(record.ended)
    return ended is None or note.mtime is None or note.mtime > ended + _CLOCKS_AGREE


def _noted_last(share: Share, place: JobFile) -> str | None:
    noted = attempts.read(share, place.job.name)
    return _in_one_line(str(noted[-1].get("reason", ""))) if noted else None


def _in_one_line(reason: str) -> str | None:
    return " ".join(reason.split()) or None


def _line(row: Mapping[str, Any], width: int = 0) -> str:
    """A job on a line, in which its name takes `width` characters at least if more follows."""
    more = "".join(f"  {row[name]}" for name in ("worker", "reason") if row.get(name))
    name = f"{printable(row['job']):{width}}" if more else row["job"]
    return f"{row['state']:9}  {name}{more}"


def _nothing(states: Sequence[str], pattern: str | None, *, is_part: bool) -> str:
    """That no job is in the list."""
    if pattern is not None:
        which = f"no {' or '.join(states)} job" if states else "no job"
        return f"{which} is like {pattern!r}."
    if is_part:
        return "no job is like that."
    if not states:
        return "there are no jobs yet: `dirjobs add` brings some."
    return (
        "no job has failed." if set(states) == {"failed"} else f"no job is {' or '.join(states)}."
    )


def _json_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """One array, an object on each line; never the whole of it in memory."""
    before = "["
    for row in rows:
        yield f"{before}{json_text(row)}"
        before = ","
    yield "]" if before == "," else "[]"
