"""``dirjobs cancel``: jobs go to 99_failed before they are done."""

from __future__ import annotations

from collections.abc import Collection

import click

from dirjobs.admin.cancel import cancel_each, unfinished
from dirjobs.cli.intervene import (
    ask_before_many,
    dry_run_option,
    say_which,
    some,
    yes_option,
)
from dirjobs.cli.options import (
    QueueCommand,
    job_argument,
    jobs_argument,
    json_option,
    opened,
    verbose_option,
)
from dirjobs.console.errors import told_in_one_sentence
from dirjobs.console.terminal import TERMINAL
from dirjobs.console.text import show, show_json
from dirjobs.layout import RUNNING


@click.command(cls=QueueCommand)
@jobs_argument
@job_argument("names", nargs=-1, required=True, metavar="JOB...")
@dry_run_option
@yes_option
@json_option
@verbose_option
@told_in_one_sentence
def cancel(
    jobs: str, names: tuple[str, ...], dry_run: bool, yes: bool, as_json: bool, verbose: int
) -> None:
    """Take waiting or running jobs out.

    They go to 99_failed, and count as cancelled, not as failed.  JOB is a name or a pattern such as
    'lr0.1*'.  `dirjobs work` ends the command of a running job
    within half a minute; a program in Python finds out when it wants to end the job.
    `dirjobs retry` brings a job back.  On a terminal it asks before it cancels more than 10.
    """
    with opened(jobs, verbose) as share:
        places = unfinished(share, names, TERMINAL)
        asked = {place.job.name for place in places}
        if dry_run:
            say_which(places, "would_be_cancelled", as_json=as_json)
            return
        ask_before_many("Cancel", asked, yes=yes)
        moved = cancel_each(share, places, TERMINAL)
    done = {place.job.name for place in moved}
    ran = {place.job.name for place in moved if place.folder == RUNNING}
    left = sorted(asked - done)
    if as_json:
        show_json({"cancelled": sorted(done), "left": left})
        return
    show(f"Cancelled {some(sorted(done))}{_ending(ran)}." if done else "No job was cancelled.")
    if left:
        show(f"Left alone, since they ended meanwhile: {some(left)}.")


def _ending(ran: Collection[str]) -> str:
    """What becomes of the commands of jobs that were running."""
    if not ran:
        return ""
    names = some(sorted(ran))
    ends = f"command of {names} ends" if len(ran) == 1 else f"commands of {names} end"
    return f"; the {ends} within half a minute"
