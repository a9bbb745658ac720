"""``dirjobs work``: one worker that runs a command for each job."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

import click

from ..errors import ConfigurationError
from ..settings import Filter
from .errors import say, show_log, told_in_one_sentence
from .interruption import Interrupted, Interruption
from .options import Seconds, check_is_queue, default_wid


class WorkCommand(click.Command):
    """Everything after the first ``--`` is the command, word for word."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args:
            return super().parse_args(ctx, args)  # click shows what is missing
        if "--" in args:
            at = args.index("--")
            ctx.meta["command"] = args[at + 1 :]
            args = args[:at]
        rest = super().parse_args(ctx, args)
        if not ctx.resilient_parsing and not ctx.meta.get("command"):
            raise click.UsageError(
                "the command to run is missing: write it after --, such as"
                " `dirjobs work jobs/ -- python simulate.py {}`",
                ctx,
            )
        return rest

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return ["JOBS", "[OPTIONS]", "--", "COMMAND", "{}"]


def like(pattern: str) -> Filter:
    """A filter for jobs whose names are like a shell pattern."""
    return lambda _, name: fnmatch.fnmatchcase(name, pattern)


@click.command(cls=WorkCommand)
@click.argument("jobs")
@click.option("--wid", help="This worker's id, unique in the queue.  [default: host-process]")
@click.option(
    "--mode",
    type=click.Choice(["trust", "verify", "sync"]),
    help="How to make sure of a job.  [default: what the folder's file system or server warrants]",
)
@click.option(
    "--sync-time",
    type=Seconds(),
    help="Mode sync (which this option chooses): how long changes take to be seen"
    " everywhere.  [default: 70]",
)
@click.option("--ext", default="", metavar="EXT", help="Take only files that end with EXT.")
@click.option("--filter", "pattern", metavar="GLOB", help="Take only files like 'run*_lr0.1*'.")
@click.option(
    "--order",
    type=click.Choice(["natural", "oldest", "random"]),
    default="natural",
    help="Natural: job2 before job10.",
)
@click.option(
    "--min-age",
    type=Seconds(),
    default=0.0,
    help="Take only files unchanged for S seconds; for files copied in by hand.",
)
@click.option("-v", "--verbose", count=True, help="Say more; -vv: every call to the store.")
@click.pass_context
@told_in_one_sentence
def work(
    ctx: click.Context,
    jobs: str,
    wid: str | None,
    mode: str | None,
    sync_time: float | None,
    ext: str,
    pattern: str | None,
    order: str,
    min_age: float,
    verbose: int,
) -> int:
    r"""Run COMMAND for one waiting job after the other, until none is left.

    JOBS is the queue: a folder or a URL.  {} in any argument of COMMAND is the path of
    the claimed job's file (on a URL: of a copy fetched for it); without {} the command
    learns nothing of the job.  No shell is involved: for pipes write
    `-- bash -c 'sort "$1" | uniq -c' - {}`.

    If the command ends with exit code 0 the job goes to 02_done, otherwise to 99_failed.
    Ctrl-C and SIGTERM end the running command and give its job back.

    \b
    Exit codes:  0    every job taken ended in 02_done
                 1    some failed
                 2    something is not right with the command line or the folder
                 130  Ctrl-C (143: SIGTERM); the job was given back
    """
    show_log(verbose)
    if sync_time is not None and mode is None:
        mode = "sync"
    elif sync_time is not None and mode != "sync":
        raise ConfigurationError(
            f"--sync-time means nothing with --mode {mode}: leave one of them out."
        )
    command: Sequence[str] = ctx.meta["command"]
    interruption = Interruption()
    try:
        with interruption:
            from ..layers import Logged
            from ..queue import DirJobs
            from ..registry import open_store
            from .program import Program
            from .shift import Shift

            program = Program(command, interruption)
            store = open_store(jobs)
            check_is_queue(store)
            dj = DirJobs(
                Logged(store) if verbose > 1 else store,
                wid=default_wid() if wid is None else wid,
                job_ext=ext,
                job_filter=None if pattern is None else like(pattern),
                mode=mode,
                sync_time=sync_time,
                order=order,
                min_age=min_age,
            )
            return Shift(dj, program, interruption).work()
    except Interrupted as interrupted:
        say(f"stopped by {interrupted}.")
        return interrupted.exit_code
