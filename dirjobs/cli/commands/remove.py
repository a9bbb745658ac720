"""``dirjobs remove``: jobs go to the trash."""

from __future__ import annotations

from collections.abc import Sequence

import click

from dirjobs.admin import remove as removing
from dirjobs.admin.history import History, history_of_failures
from dirjobs.admin.locate import at_rest, chosen, missed, underway
from dirjobs.admin.visit import visit
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
from dirjobs.errors import ConfigurationError, and_more
from dirjobs.layout import DONE, FAILED, RUNNING, STATES, TRASH, WAITING, JobFile
from dirjobs.protocol.journal import CANCELLED
from dirjobs.protocol.share import Share

_REMOVED = [STATES[WAITING], STATES[FAILED], STATES[DONE], CANCELLED]
"""What states a job may be in."""


@click.command(cls=QueueCommand)
@jobs_argument
@job_argument("names", nargs=-1, required=True, metavar="JOB...")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(_REMOVED),
    help="Only these jobs; may be given more than once.  [default: all but running]",
)
@dry_run_option
@yes_option
@json_option
@verbose_option
@told_in_one_sentence
def remove(
    jobs: str,
    names: tuple[str, ...],
    states: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    as_json: bool,
    verbose: int,
) -> None:
    """Move jobs that wait or have ended to the trash.

    That is _queue/trash.  JOB is a name or a pattern such as 'lr0.1*'.  They count no more, and
    their names are free for new jobs.  Nothing is deleted: logs, results, notes and checkpoints
    stay where they are, and a file that you move from the trash to 00_waiting is a job again.
    `dirjobs clean` empties the trash.

    A running job is left alone: cancel it first.  On a terminal it asks before it removes more
    than 10.
    """
    with opened(jobs, verbose) as share:
        found, busy = _choose(share, names, states)
        places = at_rest(found, busy)
        if dry_run:
            say_which(places, "would_be_removed", as_json=as_json)
            return
        ask_before_many("Remove", {place.job.name for place in places}, yes=yes)
        pairs = visit(
            share,
            "remove",
            "removing",
            places,
            removing.remove,
            removing.removable,
            audience=TERMINAL,
        )
    went = {place.path for place, name in pairs if name is not None}
    done = sorted(place.job.name for place in places if place.path in went)
    gone = sorted(place.job.name for place in places if place.path not in went)
    held = sorted({place.job.name for place in busy})
    if as_json:
        show_json({"removed": done, "left": sorted({*gone, *held})})
        return
    show(f"Removed {some(done)}: moved to {TRASH}." if done else "No job was removed.")
    if gone:
        show(f"Left alone, since they are gone, have begun or still change: {some(gone)}.")
    if held:
        show(f"Left alone, since they are running: {some(held)}.  Cancel them first.")


def _choose(
    share: Share, wanted: Sequence[str], states: Sequence[str]
) -> tuple[list[JobFile], list[JobFile]]:
    """The places of the jobs that a person means, and what somebody has of these jobs.

    Raises:
        ConfigurationError: one of the names, or patterns, is of no job that may be removed.
    """
    # In the order in which jobs move on, so that each is seen.
    waiting, running = share.jobs_in(WAITING), share.jobs_in(RUNNING)
    files = waiting + share.jobs_in(DONE) + share.jobs_in(FAILED)
    busy = underway(waiting, running)
    history = history_of_failures(share, TERMINAL) if states else History()
    files = [file for file in files if not file.staged or file.folder != WAITING]
    found, missing = chosen(
        [file for file in files if not states or history.state(file) in states], wanted
    )
    held, _ = chosen(busy, missing if missing else wanted)
    if missing and held and not states:
        raise ConfigurationError(
            f"job {held[0].job.name!r} is running{and_more(held)}: cancel it first, with"
            " `dirjobs cancel`; nothing was changed."
        )
    if missing:
        what = " or ".join(states) if states else "waiting, failed or done"
        raise missed(share, missing, what, history.state)
    if states:  # nobody asked for what is running
        held = [*set(held).difference(at_rest(held, found))]
    return found, held
