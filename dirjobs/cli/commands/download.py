"""``dirjobs download``: the files of jobs, from the share to this machine."""

from __future__ import annotations

import os

import click

from dirjobs.admin.history import read_history
from dirjobs.admin.locate import chosen, missed
from dirjobs.admin.parallel import read_all
from dirjobs.admin.results import ended
from dirjobs.cli.options import (
    QueueCommand,
    job_argument,
    jobs_argument,
    json_option,
    opened,
    verbose_option,
)
from dirjobs.cli.tables import state_option
from dirjobs.console.errors import say, told_in_one_sentence
from dirjobs.console.terminal import TERMINAL
from dirjobs.console.text import show, show_json
from dirjobs.errors import and_more
from dirjobs.protocol.share import Share
from dirjobs.runner import download as downloading
from dirjobs.runner.download import Remote


@click.command(cls=QueueCommand)
@jobs_argument
@job_argument("names", nargs=-1, metavar="[JOB]...")
@click.option(
    "-o", "--output", metavar="DIR", default="results", help="Where to.  [default: ./results]"
)
@state_option
@json_option
@verbose_option
@told_in_one_sentence
def download(
    jobs: str,
    names: tuple[str, ...],
    output: str,
    state: str | None,
    as_json: bool,
    verbose: int,
) -> None:
    """Copy the files of jobs to this machine.

    JOB is a name or a pattern such as 'lr0.1*'; without any, all jobs that have ended.  What a
    command wrote into $DIRJOBS_OUT, at the attempt that ended its job, comes to DIR/JOB/.  Files
    that are there already, of the same size and time, are skipped: call it again after more
    jobs have ended, or when it was interrupted.

    \b
      dirjobs download jobs/ 'lr0.1*' -o plots
    """  # noqa: D301 - click wants the very character
    with opened(jobs, verbose) as share:
        history = read_history(share, TERMINAL)
        places = [place for place in ended(share) if state in (None, history.state(place))]
        if names:
            places, missing = chosen(places, names)
            if missing:
                raise missed(share, missing, state or "done or failed")
        folders = [
            (place.job.name, folder)
            for place in places
            if (folder := downloading.folder_with_files(place, history))
        ]

        def listed(share: Share, one: tuple[str, str]) -> list[Remote]:
            job, folder = one
            return [*downloading.files_below(share, folder, job)]

        files = [file for found in read_all(share, folders, listed, TERMINAL) for file in found]
        odd = [file for file in files if file.problem]
        if odd:
            say(f"left out: {odd[0].path!r}: {odd[0].problem}{and_more(odd)}.")
        wanted = [file for file in files if not file.problem]
        brought = read_all(
            share,
            wanted,
            lambda share, file: downloading.fetch(share, file, output),
            TERMINAL,
            "fetching",
        )
    new = [file for file, is_new in zip(wanted, brought, strict=True) if is_new]
    count, there = len(new), len(wanted) - len(new)
    size = sum(file.entry.size or 0 for file in new)
    if as_json:
        show_json({"folder": os.path.abspath(output), "fetched": count, "there": there})
        return
    if not files:
        show("No job left files." if places else "No job has ended yet.")
        return
    had = f"; {there:,} were there already" if there else ""
    what = "file" if count == 1 else "files"
    show(f"Fetched {count:,} {what} ({size:,} bytes) into {output}{had}.")
