"""``dirjobs retry``: jobs that have ended are waiting again."""

from __future__ import annotations

import click

from dirjobs.admin.retry import done_jobs, failed_jobs, retry_each
from dirjobs.cli.intervene import (
    all_or_some,
    ask_before_many,
    counted,
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


@click.command(cls=QueueCommand)
@jobs_argument
@job_argument("names", nargs=-1, metavar="[JOB]...")
@click.option("--failed", is_flag=True, help="All failed jobs; none that were cancelled.")
@click.option("--done", is_flag=True, help="Repeat jobs that are done: name them, or write --all.")
@click.option("--all", "everything", is_flag=True, help="With --done: all that are done.")
@dry_run_option
@yes_option
@json_option
@verbose_option
@told_in_one_sentence
def retry(
    jobs: str,
    names: tuple[str, ...],
    failed: bool,
    done: bool,
    everything: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    verbose: int,
) -> None:
    """Let failed jobs, or done ones, wait again.

    JOB is a name or a pattern such as 'lr0.1*': a job that was cancelled comes back only so.  A
    second copy that was parked can be named as well: it comes back as job~2.  What was noted of
    earlier attempts is kept, but workers that died at a job before now no longer count against
    it.

    With --done it is jobs that are done, to be run once more; their earlier results stay where
    they are.  On a terminal it asks before it repeats more than 10.
    """
    if failed and done:
        raise click.UsageError("give either --failed or --done")
    if everything and not done:
        raise click.UsageError("--all is for --done (--failed means all that failed)")
    if done:
        all_or_some(names, everything, "--all")
    else:
        all_or_some(names, failed, "--failed")
    with opened(jobs, verbose) as share:
        places = (
            done_jobs(share, None if everything else names, TERMINAL)
            if done
            else failed_jobs(share, None if failed else names, TERMINAL)
        )
        if dry_run:
            say_which(places, "would_be_retried", as_json=as_json)
            return
        if done:
            ask_before_many("Repeat", {place.job.name for place in places}, yes=yes)
        pairs = retry_each(share, places, TERMINAL)
    waits = sorted(name for _, name in pairs if name is not None)
    came = {place.path for place, name in pairs if name is not None}
    left = sorted(place.job.name for place in places if place.path not in came)
    if as_json:
        show_json({"retried": waits, "left": left})
        return
    show(f"{counted(waits)} waiting again." if waits else "No job was retried.")
    if left:
        show(f"Left alone, since they are gone, still change, wait or run already: {some(left)}.")
