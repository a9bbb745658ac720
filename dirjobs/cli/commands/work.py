"""``dirjobs work``: one worker that runs a command for each job."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Collection, Sequence
from typing import Any

import click

from dirjobs.cli.options import (
    Seconds,
    TrailingCommand,
    check_is_queue,
    default_wid,
    jobs_argument,
    key_file_option,
    scratch_option,
    verbose_option,
)
from dirjobs.console.errors import say, show_log, told_in_one_sentence
from dirjobs.errors import ConfigurationError
from dirjobs.layout import is_call
from dirjobs.policy import DEFAULT_MAX_ATTEMPTS, DEFAULT_PATIENCE, Filter
from dirjobs.protocol.share import Share
from dirjobs.runner.signals import Interrupted, Interruption, interrupt_at_the_end_of


def slot_count(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """How many slots: a number, ``auto``, or nothing."""
    if value not in ("", "auto"):
        click.IntRange(1, 1000).convert(value, param, ctx)  # type: ignore[arg-type]
    return value


def wanted(
    pattern: str | None, *, takes_calls: bool, takes_others: bool, unfit: Collection[str]
) -> Filter:
    """A filter for the jobs that a worker can run.

    Args:
        pattern: of a shell, that their names are like; None: they may be any.
        takes_calls, takes_others: whether it runs calls of functions, and other jobs.
        unfit: names of calls that it can't run, as it finds out.
    """

    def takes(_path: str, name: str) -> bool:
        if not (takes_calls if is_call(name) else takes_others) or name in unfit:
            return False
        return pattern is None or fnmatch.fnmatchcase(name, pattern)

    return takes


@click.command(cls=TrailingCommand, may_be_missing=True)
@jobs_argument
@click.option(
    "--slots",
    metavar="N",
    default="",
    show_default=False,
    callback=slot_count,
    help="Run N jobs at once; auto: as many as there are cores.  [default: 1, or one for each GPU]",
)
@click.option(
    "--gpus",
    metavar="0,1,...",
    help="Give each slot one of these GPUs, as CUDA_VISIBLE_DEVICES.",
)
@click.option(
    "--memory",
    metavar="SIZE",
    help="End a command whose processes use more than SIZE, such as 2G: its job failed.",
)
@click.option(
    "--nice",
    type=click.IntRange(0, 19),
    default=0,
    metavar="N",
    help="Run commands with a priority that is lower by N.",
)
@click.option("--wid", help="This worker's id, unique in the queue.  [default: host-process-...]")
@click.option("--filter", "pattern", metavar="GLOB", help="Take only files like 'run*_lr0.1*'.")
@click.option("--ext", default="", metavar="EXT", help="Take only files that end with EXT.")
@click.option(
    "--order",
    type=click.Choice(["natural", "oldest", "random"]),
    default="natural",
    help="Natural: job2 before job10.",
)
@click.option("--wait", is_flag=True, help="When nothing is waiting, go on looking for new jobs.")
@click.option(
    "--poll",
    type=Seconds(least=0.01),
    default=10.0,
    help="Look for new jobs every S seconds.  [default: 10]",
)
@click.option(
    "--max-jobs", type=click.IntRange(1), metavar="N", help="End when N jobs have been taken."
)
@click.option(
    "--max-hours",
    type=Seconds(unit="h"),
    metavar="H",
    help="Take no other job after H hours; what runs may end.",
)
@click.option(
    "--timeout",
    type=Seconds(least=0.001),
    help="End a command after S seconds, or 90m, 2h: its job failed.",
)
@click.option(
    "--retries",
    type=click.IntRange(0, 1000),
    default=0,
    metavar="N",
    help="Run a command that fails up to N times more.",
)
@click.option(
    "--retry-delay",
    type=Seconds(),
    help="Wait S seconds before each of the --retries.  [default: 0]",
)
@click.option(
    "--backoff",
    type=float,
    metavar="F",
    help="Make each of these pauses F times as long as the one before.  [default: 1]",
)
@click.option(
    "--tee", is_flag=True, help="Print what jobs print, too, each line with its job before it."
)
@click.option(
    "--max-attempts",
    type=click.IntRange(1),
    default=DEFAULT_MAX_ATTEMPTS,
    metavar="N",
    help="Give up a job at which N workers were killed or lost.  [default: 3]",
)
@click.option(
    "--checkpoint-every",
    type=Seconds(least=0.1),
    default=60.0,
    help="Bring what is new in $DIRJOBS_KEEP to the share every S seconds.  [default: 60]",
)
@click.option(
    "--drain", is_flag=True, help="On Ctrl-C and SIGTERM, let the jobs that run end first."
)
@click.option(
    "--keep-going", is_flag=True, help="Don't stop when 5 jobs in a row fail within a second each."
)
@click.option(
    "--patience",
    type=Seconds(),
    default=DEFAULT_PATIENCE,
    help="Wait S seconds for a queue that is away: an empty place, or all is refused."
    "  [default: 3600]",
)
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
@click.option(
    "--min-age",
    type=Seconds(),
    default=0.0,
    help="Take only files unchanged for S seconds; for files copied in by hand.",
)
@click.option(
    "--keep-env",
    is_flag=True,
    help="Let COMMAND inherit FSSPEC_* and a DIRJOBS_URL with a login, too.",
)
@click.option(
    "--functions",
    is_flag=True,
    help="Run calls of dirjobs.Executor too; without COMMAND nothing else.",
)
@click.option("--with-parent", is_flag=True, hidden=True, help="End when standard input does.")
@click.option(
    "--signed-only", is_flag=True, help="Run only jobs that were signed by `dirjobs add --sign`."
)
@key_file_option
@scratch_option
@verbose_option
@told_in_one_sentence
def work(
    jobs: str,
    wid: str | None,
    pattern: str | None,
    ext: str,
    order: str,
    mode: str | None,
    sync_time: float | None,
    min_age: float,
    signed_only: bool,
    key_file: str | None,
    scratch: str | None,
    patience: float,
    max_attempts: int,
    keep_env: bool,
    functions: bool,
    with_parent: bool,
    verbose: int,
    slots: str,
    gpus: str | None,
    memory: str | None,
    nice: int,
    retry_delay: float | None,
    backoff: float | None,
    **how: Any,
) -> int:
    """Run COMMAND for each waiting job, until none is left.

    JOBS is the queue: a folder or a URL.  Without COMMAND each job runs the command that it
    brings along, see `dirjobs submit`: whoever can write to JOBS decides what runs here.  So it is
    with --functions: it runs the calls that programs submit by dirjobs.Executor.  In any argument
    of COMMAND

    \b
      {}              is the path of the job's file (on a URL: of a copy fetched for it)
      {name}, {stem}  its name, and its name without the extension
      {slot}          a number from 1 to --slots, which no two jobs have at once
      {lr}            a parameter of the job, if its file is a JSON object ({param:lr}: the
                      same, whatever the parameter is called; {{lr}}: the text {lr})

    and in its environment DIRJOBS_JOB (the path), DIRJOBS_NAME, DIRJOBS_STEM, DIRJOBS_WID,
    DIRJOBS_ATTEMPT, DIRJOBS_SLOT, DIRJOBS_OUT, DIRJOBS_KEEP and, for each parameter,
    DIRJOBS_PARAM_LR.
    OMP_NUM_THREADS and its like say how many of the cores are a slot's, unless they are set.
    No shell is involved: for pipes write `-- bash -c 'sort "$DIRJOBS_JOB" | uniq -c'`.
    Placeholders in such a script are refused: names and parameters would be run as code.
    Logins of the share (FSSPEC_*, a DIRJOBS_URL with a user in it) are not in the
    environment, unless you say --keep-env.

    If COMMAND ends with exit code 0 the job goes to 02_done, otherwise to 99_failed.  What
    it prints goes to logs/ on the share (`dirjobs logs`), files that it writes into the
    folder $DIRJOBS_OUT to results/JOB/WORKER/ (`dirjobs results`).  What is in the folder
    $DIRJOBS_KEEP is there again when the job is run once more, by any worker; it goes when the
    job is done.  What COMMAND leaves running in its process group is ended with it.

    Ctrl-C and SIGTERM end the running commands (SIGTERM, after 5 s SIGKILL) and give their
    jobs back; a second one does so at once.  With --drain the first one lets them end.

    \b
    Exit codes:  0    every job taken ended in 02_done, or was cancelled
                 1    some failed
                 2    something is not right with the command line or the folder
                 130  Ctrl-C (143: SIGTERM); the jobs that ran were given back
    """  # noqa: D301 - click wants the very character
    show_log(verbose)
    if sync_time is not None and mode is None:
        mode = "sync"
    elif sync_time is not None and mode != "sync":
        raise ConfigurationError(
            f"--sync-time means nothing with --mode {mode}: leave one of them out."
        )
    for name, value in (("--retry-delay", retry_delay), ("--backoff", backoff)):
        if value is not None and not how["retries"]:
            raise ConfigurationError(f"{name} means nothing without --retries: add --retries N.")
    if backoff is not None and not 1 <= backoff <= 10:
        raise ConfigurationError(f"--backoff {backoff:g} is no factor from 1 to 10.")
    how |= {"retry_delay": retry_delay or 0.0, "backoff": backoff or 1.0}
    command: Sequence[str] = click.get_current_context().meta.get("command", ())
    interruption = Interruption()
    try:
        with interruption:
            from dirjobs.files.workspace import prepared, scratch_folder
            from dirjobs.layers import Logged, with_retries
            from dirjobs.policy import DEFAULT_TIMEOUT
            from dirjobs.queue import DirJobs
            from dirjobs.registry import open_store
            from dirjobs.runner import machine
            from dirjobs.runner.calls import Functions
            from dirjobs.runner.deliver import what_is_kept
            from dirjobs.runner.process import Program
            from dirjobs.runner.run import Rules, Runner
            from dirjobs.signing import this_machines_key

            if with_parent:
                interrupt_at_the_end_of(0)
            key = this_machines_key(key_file) if signed_only or key_file else None
            program = Program(command, keep_env=keep_env, nice=nice)
            how["gpus"] = machine.devices(gpus) if gpus is not None else ()
            how["slots"] = machine.slots(slots, how["gpus"])
            how["memory"] = None if memory is None else machine.size(memory)
            with open_store(jobs, timeout=DEFAULT_TIMEOUT) as store:
                check_is_queue(store)
                folder = prepared(os.path.abspath(scratch) if scratch else scratch_folder())
                unfit: set[str] = set()
                calls = None
                if functions:
                    calls = Functions(folder, keep_env=keep_env, nice=nice)
                    if key is None:
                        say(
                            "calls that programs submit are run: whoever can write to"
                            f" {store.url} decides what runs here."
                        )
                elif not command:
                    say(
                        "each job runs the command that it brings along: whoever can write to"
                        f" {store.url} decides what runs here."
                    )
                if told := what_is_kept(folder, Share(with_retries(store))):
                    say(told)
                dj = DirJobs(
                    Logged(store) if verbose > 1 else store,
                    wid=default_wid() if wid is None else wid,
                    job_ext=ext,
                    job_filter=wanted(
                        pattern,
                        takes_calls=functions,
                        takes_others=bool(command) or not functions,
                        unfit=unfit,
                    ),
                    mode=mode,
                    sync_time=sync_time,
                    order=order,
                    min_age=min_age,
                    patience=patience,
                    max_attempts=max_attempts,
                )
                rules = Rules(**how, max_attempts=max_attempts)
                return Runner(dj, program, rules, interruption, folder, key, calls, unfit).work()
    except Interrupted as interrupted:
        say(f"stopped by {interrupted}.")
        return interrupted.exit_code
