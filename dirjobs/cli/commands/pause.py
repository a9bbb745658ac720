"""``dirjobs pause``: no worker takes another job."""

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
