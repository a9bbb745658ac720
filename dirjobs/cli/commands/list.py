"""``dirjobs list``: which jobs are where."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator

import click

from dirjobs.admin.report import iso
from dirjobs.cli.options import QueueCommand, jobs_argument, json_option, opened, verbose_option
from dirjobs.console.errors import told_in_one_sentence
from dirjobs.console.text import json_text, show
from dirjobs.layout import PARKED, STATES, JobFile
from dirjobs.protocol.candidates import natural_key
from dirjobs.protocol.share import Share


@click.command("list", cls=QueueCommand)
@jobs_argument
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(list(STATES.values())),
    help="Only these jobs; may be given more than once.  [default: all but parked]",
)
@click.option("--filter", "pattern", metavar="GLOB", help="Only jobs like 'lr0.1*'.")
@click.option("--names", "only_names", is_flag=True, help="Print nothing but the names.")
@json_option
@verbose_option
@told_in_one_sentence
def list_jobs(
    jobs: str,
    states: tuple[str, ...],
    pattern: str | None,
    only_names: bool,
    as_json: bool,
    verbose: int,
) -> None:
    """List the jobs: state, name, and for running ones the worker.

    One request for each state, however many jobs there are.
    """
    folders = [
        folder
        for folder, state in STATES.items()
        if (state in states if states else folder != PARKED)
    ]
    with opened(jobs, verbose) as share:
        places = _places(share, folders, pattern)
        lines = _json_lines(places) if as_json else map(_name if only_names else _line, places)
        for line in lines:
            show(line)


def _places(share: Share, folders: Iterable[str], pattern: str | None) -> Iterator[JobFile]:
    """Folder by folder, so that one listing at a time is in memory."""
    for folder in folders:
        found = share.jobs_in(folder)
        if pattern is not None:
            found = [each for each in found if fnmatch.fnmatchcase(each.job.name, pattern)]
        found.sort(key=lambda place: natural_key(place.job.name))
        yield from found


def _name(place: JobFile) -> str:
    return place.job.name


def _line(place: JobFile) -> str:
    worker = f"  {place.worker}" if place.worker else ""
    return f"{place.state:7}  {place.job.name}{worker}"


def _json_lines(places: Iterable[JobFile]) -> Iterator[str]:
    """One array, an object on each line; never the whole of it in memory."""
    before = "["
    for place in places:
        document = {
            "job": place.job.name,
            "state": place.state,
            "worker": place.worker or None,
            "size": place.job.size,
            "modified": iso(place.job.mtime),
        }
        yield f"{before}{json_text(document)}"
        before = ","
    yield "]" if before == "," else "[]"
