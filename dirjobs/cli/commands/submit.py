"""``dirjobs submit``: a job that brings its command along."""

from __future__ import annotations

import io
from collections.abc import Sequence

import click

from dirjobs.admin.signatures import Signatures
from dirjobs.cli.commands.add import WITH_SKIP_EXISTING
from dirjobs.cli.options import (
    TrailingCommand,
    jobs_argument,
    json_option,
    key_file_option,
    opened,
    verbose_option,
)
from dirjobs.console.errors import told_in_one_sentence
from dirjobs.console.terminal import TERMINAL
from dirjobs.console.text import show, show_json
from dirjobs.layout import check_new_job
from dirjobs.runner.template import COMMAND
from dirjobs.signing import this_machines_key
from dirjobs.sweep.adding import add_all, names_to_add
from dirjobs.sweep.naming import content_of, name_for
from dirjobs.sweep.sources import Batch, NewJob

_SUFFIX = ".json"


@click.command(cls=TrailingCommand)
@jobs_argument
@click.option("--name", metavar="NAME", help="The job's name.  [default: made of the command]")
@click.option("--sign", is_flag=True, help="Sign it, for `dirjobs work --signed-only`.")
@key_file_option
@json_option
@verbose_option
@told_in_one_sentence
def submit(
    jobs: str, name: str | None, sign: bool, key_file: str | None, as_json: bool, verbose: int
) -> None:
    """Put a job into the queue that brings its command along.

    \b
      dirjobs submit jobs/ -- python train.py --lr 0.1
      dirjobs work jobs/

    `dirjobs work` without a command runs it, in the folder in which that worker was started, and
    as that worker's user.  The words reach the program as they are: no shell is involved.  The
    same command twice is one job, unless each has a --name of its own.
    """  # noqa: D301 - click wants the very character
    command: Sequence[str] = click.get_current_context().meta["command"]
    content = content_of({COMMAND: [*command]})
    if name is None:
        name = name_for("_".join(command), content, _SUFFIX)
    job = NewJob(check_new_job(name), lambda: io.BytesIO(content), len(content))
    batch = Batch([job.name], lambda: iter([job]))
    key = this_machines_key(key_file) if sign or key_file else None
    with opened(jobs, verbose) as share:
        advice = "to run the command once more, give this job a --name of its own"
        wanted = names_to_add(share, batch, skip_existing=False, advice=advice)
        signatures = None if key is None else Signatures(share, key)
        add_all(share, batch, wanted, False, signatures, TERMINAL, WITH_SKIP_EXISTING)
        where = share.store.url
    if as_json:
        show_json({"added": job.name})
    else:
        show(f"Added job {job.name} to {where}.")
