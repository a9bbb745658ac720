"""``dirjobs wait``: until all jobs are done or failed."""

from __future__ import annotations

import os
import subprocess  # nosec B404 - for what the user has typed

import click

from dirjobs.admin import wait as waiting
from dirjobs.admin.inspect import Ends, count_ends, left_to_do
from dirjobs.cli.options import (
    QueueCommand,
    Seconds,
    jobs_argument,
    json_option,
    opened,
    verbose_option,
)
from dirjobs.console.errors import say, told_in_one_sentence
from dirjobs.console.terminal import TERMINAL
from dirjobs.console.text import show, show_json

TIMED_OUT = 3


@click.command(cls=QueueCommand)
@jobs_argument
@click.option(
    "--timeout", type=Seconds(), help="Give up after S seconds, or 90m.  [default: never]"
)
@click.option(
    "--interval", type=Seconds(), default=5.0, show_default=True, help="Seconds between looks."
)
@click.option(
    "--then",
    metavar="CMD",
    help="Run CMD by the shell when all have ended: $DIRJOBS_DONE, $DIRJOBS_FAILED of them.",
)
@json_option
@verbose_option
@told_in_one_sentence
def wait(
    jobs: str,
    timeout: float | None,
    interval: float,
    then: str | None,
    as_json: bool,
    verbose: int,
) -> int:
    """Wait until no job is waiting or running.

    While the share can't be reached this waits, too.  Two requests for each look, however
    many jobs there are, and once a minute some more to say so if nobody works.

    \b
    Exit codes:  0  all jobs ended in 02_done
                 1  some are in 99_failed
                 3  the time is over (--timeout)
                 the exit code of CMD (--then) if that is not 0

    
      dirjobs wait jobs/ --then 'mail -s "$DIRJOBS_FAILED runs failed" me@lab.org < /dev/null'
    """  # noqa: D301 - click wants the very character
    with opened(jobs, verbose) as share:
        over = waiting.wait(share, timeout, max(0.05, interval), TERMINAL)
        ends = count_ends(share)
        left = 0 if over else left_to_do(share)
    if as_json:
        show_json({"done": ends.done, "failed": ends.failed, "left": left, "timed_out": not over})
    elif over:
        show(f"{ends.done:,} done, {ends.failed:,} failed.")
    else:
        what = "job is" if left == 1 else "jobs are"
        say(f"the time is over: {left:,} {what} still waiting or running.")
    if not over:
        return TIMED_OUT
    code = 0 if then is None else _run(then, ends)
    return code or (1 if ends.failed else 0)


def _run(command: str, ends: Ends) -> int:
    """The exit code of a command that the user of `wait` has typed."""
    told = {"DIRJOBS_DONE": str(ends.done), "DIRJOBS_FAILED": str(ends.failed)}
    code = subprocess.run(  # noqa: S602 - their own shell  # nosec B602
        command,
        shell=True,
        env={**os.environ, **told},
        check=False,
    ).returncode
    return code if code >= 0 else 128 - code
