"""``dirjobs watch``: a queue at work, as it happens."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

import click
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from dirjobs.admin.audience import out_of_reach
from dirjobs.admin.inspect import Inspector
from dirjobs.admin.logs import last_line
from dirjobs.admin.report import Overview, State
from dirjobs.cli.options import QueueCommand, Seconds, jobs_argument, opened, verbose_option
from dirjobs.clock import monotonic
from dirjobs.console.dashboard import Board
from dirjobs.console.errors import say, sentence, show_log, told_in_one_sentence
from dirjobs.console.text import clock_time, json_text, on_terminal, show
from dirjobs.console.words import counted
from dirjobs.errors import TRANSIENT_ERRORS
from dirjobs.policy import DEFAULT_HEARTBEAT
from dirjobs.protocol.share import Share
from dirjobs.recovery.process import this_process
from dirjobs.runner.signals import Interrupted, Interruption

_LOCAL, _REMOTE = 2.0, 10.0
_REST = 5.0
"""After a look, at least so many times as long as the look took nothing is asked: a queue of
100,000 jobs is listed less often."""
_LATE = 5.0


@click.command(cls=QueueCommand)
@jobs_argument
@click.option(
    "--interval", type=Seconds(), help="Seconds between looks.  [default: 2; on a URL 10]"
)
@click.option("--until-done", is_flag=True, help="End when no job is waiting or running.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document on a line instead.")
@verbose_option
@told_in_one_sentence
def watch(jobs: str, interval: float | None, until_done: bool, as_json: bool, verbose: int) -> int:
    """Show a queue at work, live.  Ctrl-C ends the view only.

    On a terminal the picture is drawn anew with every look, with the last line that each running
    job has printed; elsewhere there is a line for each change.  A look costs seven or eight
    requests, and one for each worker and failure that has news, however many jobs there are; long
    looks are followed by longer pauses.  While the share can't be reached this waits.

    \b
    Exit codes:  0  Ctrl-C; with --until-done: all jobs ended in 02_done
                 1  with --until-done: some are in 99_failed
    """  # noqa: D301 - click wants the very character
    try:
        with Interruption(), opened(jobs, verbose) as share:
            if interval is None:
                interval = _LOCAL if share.store.local_path("") is not None else _REMOTE
            looks = Looks(share, max(0.1, interval), until_done=until_done)
            found = shown(looks, verbose, as_json=as_json)
    except Interrupted as interrupted:
        return 0 if interrupted.number == signal.SIGINT else interrupted.exit_code
    return 1 if found.failed else 0


def shown(looks: Looks, verbose: int = 0, *, as_json: bool = False) -> Overview:
    """Show what `looks` find, in the way that suits standard output, until they end.

    Returns:
        what was found last.
    """
    if on_terminal() and not as_json:
        return on_screen(looks, verbose)
    return in_lines(looks, as_json=as_json)


class Looks:
    """Looks at a queue again and again.

    Args:
        share: of the queue.
        interval: seconds between looks.
        until_done: end when nothing is left to do.
        going: end, after one more look, when this says no.
    """

    def __init__(
        self,
        share: Share,
        interval: float,
        *,
        until_done: bool,
        going: Callable[[], bool] = lambda: True,
    ) -> None:
        self.url = share.store.url
        self.asked: float | None = None
        """Since when an answer is awaited; None while none is."""
        self.trouble = ""
        """Why the latest look failed; empty if it didn't."""
        self._share = share
        self._interval = interval
        self._until_done = until_done
        self._going = going
        self._inspector = Inspector(this_process())
        self.last_lines = LastLines(share)
        """What running jobs have printed."""

    def __iter__(self) -> Iterator[Overview | None]:
        """What was found, at once and then at every look; None if the store is away.

        Raises:
            StoreError: the store refuses.
        """
        quiet = False
        while True:
            began = self.asked = monotonic()
            going, found = self._going(), None
            try:
                found = self._inspector.look(self._share)
            except TRANSIENT_ERRORS as error:
                self.trouble = sentence(out_of_reach(error))
            else:
                self.trouble = ""
            self.asked = None
            took = monotonic() - began
            over = found is not None and not found.waiting and not found.running
            yield found
            if not going and found is not None:
                return
            if over and quiet and self._until_done:
                return  # seen twice: a job may be on its way back between two listings
            quiet = over
            pause = max(self._interval, _REST * took)
            self._share.sleep(min(pause, 0.2) if over and self._until_done else pause)


def on_screen(looks: Looks, verbose: int) -> Overview:
    """Draw what `looks` find, until they end; what was found last stays on the terminal."""
    screen, console = Screen(looks), Console()
    try:
        picture = Live(screen, console=console, screen=True, refresh_per_second=1)
        with picture as live, logged_above(verbose):
            for found in looks:
                if found is not None:
                    screen.lines = looks.last_lines.of(found)
                    screen.found, screen.at = found, time.time()
                live.refresh()
    finally:
        screen.is_over = True
        console.print(screen)
    assert screen.found is not None  # they end when all is done
    return screen.found


@contextmanager
def logged_above(verbose: int) -> Iterator[None]:
    """Log above the live picture instead of into it."""
    show_log(verbose)
    try:
        yield
    finally:
        show_log(verbose)


class LastLines:
    """The last lines that running jobs have printed: those of a few jobs, and by URL as seldom as
    workers write logs.

    Args:
        share: of the queue.
    """

    def __init__(self, share: Share) -> None:
        self._share = share
        is_local = share.store.local_path("") is not None
        self._pause, self._most = (0.0, 20) if is_local else (DEFAULT_HEARTBEAT, 5)
        self._look_at = 0.0
        self._lines: dict[str, str] = {}

    def of(self, found: Overview) -> Mapping[str, str]:
        """What they are, by job; those of before, if it is too soon or the store is away."""
        if monotonic() >= self._look_at:
            self._look_at = monotonic() + self._pause
            jobs = [job for worker in found.workers for job in worker.jobs][: self._most]
            with suppress(*TRANSIENT_ERRORS):  # the next look tells of it
                self._lines = {job.job: last_line(self._share, job.job, job.worker) for job in jobs}
        return self._lines


class Screen:
    """The latest picture, and what keeps a newer one away."""

    def __init__(self, looks: Looks) -> None:
        self.found: Overview | None = None
        self.lines: Mapping[str, str] = {}
        self.at: float | None = None
        self.is_over = False
        self._looks = looks

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        asked, trouble = self._looks.asked, self._looks.trouble
        if not trouble and asked is not None and monotonic() - asked > _LATE:
            trouble = f"No answer for {monotonic() - asked:.0f} s."
        if self.found is not None:
            hint = "" if self.is_over else "Ctrl-C ends this view; the workers go on."
            height = console.size.height - 1
            yield Board(self.found, self._looks.url, self.at, height, trouble, hint, self.lines)
        elif trouble:
            yield Text(trouble, "bold red")


def in_lines(looks: Looks, *, as_json: bool = False) -> Overview:
    """Print a line for everything that has changed since the look before, or a JSON document
    on one line for each look that found something changed."""
    before: Overview | None = None
    away = False
    for found in looks:
        if found is None:
            if not away:
                say(looks.trouble)
            away = True
            continue
        away = False
        news = changes(before, found)
        if as_json and news:
            show(json_text({"queue": looks.url, **found.as_json()}))
        elif not as_json:
            for line in news:
                show(f"{clock_time(time.time())}  {line}")
        before = found
    assert before is not None  # they end when all is done
    return before


def changes(before: Overview | None, found: Overview) -> list[str]:
    """A line for everything that is not as it was `before`; all of it after None."""
    old = before or Overview()
    lines = []
    if before is None or counted(found) != counted(old):
        lines.append(counted(found))
    if found.paused != old.paused:
        lines.append("paused" if found.paused else "resumed")
    states = _states(old)
    for worker, state in _states(found).items():
        if states.get(worker) is not state and (state is State.DEAD or worker not in states):
            lines.append(f"worker {worker} is {state}")
    known = {(failure.job, failure.at) for failure in old.failures}
    for failure in reversed(found.failures):
        if (failure.job, failure.at) not in known:
            reason = " ".join(failure.reason.split())
            lines.append(f"failed: {failure.job}{': ' if reason else ''}{reason}")
    return lines


def _states(found: Overview) -> dict[str, State]:
    return {worker.id: worker.state for worker in found.workers}
