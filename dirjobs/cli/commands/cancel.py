"""``dirjobs cancel``: jobs go to 99_failed before they are done."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import click

from dirjobs.admin import cancel as cancelling
from dirjobs.admin.history import CANCEL
from dirjobs.admin.locate import chosen, missed
from dirjobs.cli.intervene import (
    ask_before_many,
    dry_run_option,
    say_which,
    some,
    visit,
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
from dirjobs.console.text import show, show_json
from dirjobs.layout import RUNNING, WAITING, JobFile
from dirjobs.protocol.share import Share

_PASSES = 3
"""Looks for jobs that moved between 00_waiting and 01_running meanwhile."""


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
    """Take waiting or running jobs out: they go to 99_failed, and count as cancelled.

    JOB is a name or a pattern such as 'lr0.1*'.  The worker of a running job finds out within
    a minute (`dirjobs work` ends the command then), or when it wants to end the job.
    `dirjobs retry` brings a job back.  On a terminal it asks before it cancels more than 10.
    """
    done: set[str] = set()
    with opened(jobs, verbose) as share:
        places = _unfinished(share, names)
        asked = {place.job.name for place in places}
        if dry_run:
            say_which(places, "would_be_cancelled", as_json=as_json)
            return
        ask_before_many("Cancel", asked, yes=yes)
        for _ in range(_PASSES):
            pairs = visit(share, CANCEL, "cancelling", places, cancelling.cancel)
            done |= {place.job.name for place, moved in pairs if moved}
            # Somebody may have claimed it, or given it back, meanwhile.
            places = _of(asked - done, _all_unfinished(share))
            if not places:
                break
    left = sorted(asked - done)
    if as_json:
        show_json({"cancelled": sorted(done), "left": left})
        return
    show(f"Cancelled {some(sorted(done))}." if done else "No job was cancelled.")
    if left:
        show(f"Left alone, since they ended meanwhile: {some(left)}.")


def _all_unfinished(share: Share) -> list[JobFile]:
    waiting = share.jobs_in(WAITING)
    return waiting + share.jobs_in(RUNNING)


def _unfinished(share: Share, wanted: Sequence[str]) -> list[JobFile]:
    found, missing = chosen(_all_unfinished(share), wanted)
    if missing:
        raise missed(share, missing, "waiting or running")
    return found


def _of(names: Collection[str], places: Iterable[JobFile]) -> list[JobFile]:
    return [place for place in places if place.job.name in names]
