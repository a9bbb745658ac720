"""``dirjobs pause``, ``resume`` and ``drain``: orders to the workers of a queue."""

from __future__ import annotations

import click

from dirjobs.admin import control
from dirjobs.cli.options import QueueCommand, jobs_argument, json_option, opened, verbose_option
from dirjobs.console.errors import told_in_one_sentence
from dirjobs.console.text import show, show_json


@click.command(cls=QueueCommand)
@jobs_argument
@json_option
@verbose_option
@told_in_one_sentence
def pause(jobs: str, as_json: bool, verbose: int) -> None:
    """Let no worker take another job until `dirjobs resume`.

    What runs goes on to its end.  Workers see it with their next heartbeat, 30 seconds
    later at most; those that start meanwhile, at once.
    """
    with opened(jobs, verbose) as share:
        changed = control.pause(share)
    if as_json:
        show_json({"paused": True, "changed": changed})
    else:
        show(
            "Paused: workers end what they run and then wait."
            if changed
            else "The queue was paused already."
        )


@click.command(cls=QueueCommand)
@jobs_argument
@json_option
@verbose_option
@told_in_one_sentence
def resume(jobs: str, as_json: bool, verbose: int) -> None:
    """Let the workers of a paused queue go on."""
    with opened(jobs, verbose) as share:
        changed = control.resume(share)
    if as_json:
        show_json({"paused": False, "changed": changed})
    else:
        show(
            "Resumed: workers go on with their next heartbeat."
            if changed
            else "The queue was not paused."
        )


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
    """Let workers end what they run, take no other job, and end.

    WORKER is an id as `dirjobs status` shows it.  The order is for the process that goes by
    this id now; another one that is started later under the same id works as usual.
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
