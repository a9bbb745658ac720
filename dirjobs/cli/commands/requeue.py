"""``dirjobs requeue``: running jobs are given back."""

from __future__ import annotations

from collections.abc import Sequence

import click

from dirjobs.admin.locate import chosen, missed
from dirjobs.admin.requeue import requeue as requeuing
from dirjobs.cli.intervene import all_or_some, counted, some
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
from dirjobs.layout import RUNNING
from dirjobs.protocol.share import Share


@click.command(cls=QueueCommand)
@jobs_argument
@job_argument("names", nargs=-1, metavar="[JOB]...")
@click.option("--dead", is_flag=True, help="All jobs of workers that are dead or have ended.")
@json_option
@verbose_option
@told_in_one_sentence
def requeue(jobs: str, names: tuple[str, ...], dead: bool, as_json: bool, verbose: int) -> None:
    """Give running jobs back, for another worker.

    JOB is a name or a pattern such as 'lr0.1*', whoever has it: a worker that is alive finds
    out when it wants to end the job, and the job is done twice.  Workers that live do the
    same as --dead by themselves; dead is who provably is, on this machine, or was silent
    for two leases (10 minutes).
    """
    all_or_some(names, dead, "--dead")
    with opened(jobs, verbose) as share:
        wanted = _running(share, names) if names else set()
        done = sorted(requeuing(share, wanted, dead=dead))
    left = sorted(wanted - set(done))
    if as_json:
        show_json({"requeued": done, "left": left})
        return
    show(f"{counted(done)} waiting again." if done else "No job was given back.")
    if left:
        show(f"Left alone, since they ended meanwhile or still change: {some(left)}.")


def _running(share: Share, wanted: Sequence[str]) -> set[str]:
    found, missing = chosen(share.jobs_in(RUNNING), wanted)
    if missing:
        raise missed(share, missing, "running")
    return {place.job.name for place in found}
