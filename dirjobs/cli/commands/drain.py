"""``dirjobs drain``: workers end what they run, and end."""

from __future__ import annotations

import click

from dirjobs.admin import control
from dirjobs.cli.options import QueueCommand, jobs_argument, json_option, opened, verbose_option
from dirjobs.console.errors import told_in_one_sentence
from dirjobs.console.text import show, show_json


@click.command(cls=QueueCommand)
@jobs_argument
@click.argument("workers", nargs=-1, metavar="[WORKER]...")
@click.option("--all", "everybody", is_flag=True, help="All workers.")
@json_option
@verbose_option
@told_in_one_sentence
def drain(
    jobs: str, workers: tuple[str, ...], everybody: bool, as_json: bool, verbose: int
) -> None:
    """Let workers end what they run, and then end.

    They take no other job from now on.  WORKER is an id as `dirjobs status` shows it.  The order
    is for the process that goes by this id now; another one that is started later under the same
    id works as usual.
    """
    if bool(workers) == everybody:
        raise click.UsageError("name the workers to drain, or write --all")
    with opened(jobs, verbose) as share:
        told = control.drain(share, None if everybody else workers)
    if as_json:
        show_json({"drained": told})
    elif told:
        show(f"Drained: {', '.join(told)}.  Told with the next heartbeat.")
    else:
        show("No worker lives.")
