"""``dirjobs resume``: the workers of a paused queue go on."""

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
