"""``dirjobs status``: how a queue is doing."""

from __future__ import annotations

import click

from dirjobs.admin.inspect import Inspector
from dirjobs.cli.options import QueueCommand, jobs_argument, json_option, opened, verbose_option
from dirjobs.console.errors import told_in_one_sentence
from dirjobs.console.text import on_terminal, show, show_json, show_table
from dirjobs.console.words import counted, failure_row, remarks, shown_workers, worker_row
from dirjobs.recovery.process import this_process


@click.command(cls=QueueCommand)
@jobs_argument
@json_option
@verbose_option
@told_in_one_sentence
def status(jobs: str, as_json: bool, verbose: int) -> None:
    """Show how many jobs are where, and who works.

    Ages are by the share's own clock.  A worker is silent if its heartbeat is late, and
    dead if its process is gone or it was silent for two leases (10 minutes): others take
    over its jobs, or `dirjobs requeue --dead` does.
    """
    with opened(jobs, verbose) as share:
        found = Inspector(this_process()).look(share)
        url = share.store.url
    if as_json:
        show_json({"queue": url, **found.as_json()})
        return
    if on_terminal():
        from rich.console import Console

        from dirjobs.console.dashboard import Board

        Console().print(Board(found, url))
        return
    show(f"{url}: {counted(found)}")
    for remark in remarks(found):
        show(remark.text)
    if workers := shown_workers(found):
        show("")
        show_table((worker_row(found, worker) for worker in workers), ("bold",))
    if found.failures:
        show("")
        show("Latest failures:")
        show_table(map(failure_row, found.failures), ("", "red"))
