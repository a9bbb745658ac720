"""``dirjobs retry``: failed jobs are waiting again."""

from __future__ import annotations

from collections.abc import Sequence

import click

from dirjobs.admin import retry as retrying
from dirjobs.admin.locate import chosen, missed, unchanged
from dirjobs.cli.intervene import all_or_some, counted, some, visit
from dirjobs.cli.options import (
    QueueCommand,
    job_argument,
    jobs_argument,
    json_option,
    opened,
    verbose_option,
)
from dirjobs.cli.tables import history_of_failures
from dirjobs.console.errors import told_in_one_sentence
from dirjobs.console.text import show, show_json
from dirjobs.layout import FAILED, PARKED, JobFile
from dirjobs.protocol.journal import CANCELLED
from dirjobs.protocol.share import Share


@click.command(cls=QueueCommand)
@jobs_argument
@job_argument("names", nargs=-1, metavar="[JOB]...")
@click.option(
    "--failed", "everything", is_flag=True, help="All failed jobs; none that were cancelled."
)
@json_option
@verbose_option
@told_in_one_sentence
def retry(jobs: str, names: tuple[str, ...], everything: bool, as_json: bool, verbose: int) -> None:
    """Put failed jobs back among the waiting ones.

    JOB is a name or a pattern such as 'lr0.1*': a job that was cancelled comes back only so.  A
    second copy that was parked can be named as well: it comes back as job~2.  What was noted of
    earlier attempts is kept, but workers that died at a job before now no longer count against
    it.
    """
    all_or_some(names, everything, "--failed")
    with opened(jobs, verbose) as share:
        places = _failed(share, None if everything else names)
        pairs = visit(share, "retry", "retrying", places, retrying.retry, unchanged)
    done = sorted(name for _, name in pairs if name is not None)
    came = {place.path for place, name in pairs if name is not None}
    left = sorted(place.job.name for place in places if place.path not in came)
    if as_json:
        show_json({"retried": done, "left": left})
        return
    show(f"{counted(done)} waiting again." if done else "No job was retried.")
    if left:
        show(f"Left alone, since they are gone, still change or wait already: {some(left)}.")


def _failed(share: Share, wanted: Sequence[str] | None) -> list[JobFile]:
    failed = share.jobs_in(FAILED)
    if wanted is None:
        history = history_of_failures(share)
        return [place for place in failed if history.state(place) != CANCELLED]
    found, missing = chosen(failed, wanted)
    if missing:
        parked, missing = chosen(share.jobs_in(PARKED), missing)
        found += parked
    if missing:
        raise missed(share, missing, "failed")
    return found
