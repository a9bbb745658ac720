"""``dirjobs demo``: a parameter sweep on this machine, from the jobs to a table."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias

import click

import dirjobs
from dirjobs.cli.commands.watch import Looks, shown
from dirjobs.cli.options import opened
from dirjobs.console.errors import say, show_log, told_in_one_sentence
from dirjobs.console.text import duration, show
from dirjobs.errors import ConfigurationError
from dirjobs.runner.signals import Interrupted, Interruption

Process: TypeAlias = "subprocess.Popen[bytes]"

SCRIPT = "logistic_map.py"
JOBS = "jobs"
WORKERS = 3
_INTERVAL = 0.2
WHAT_IS_NEXT = """
The same as a file:  dirjobs results jobs --csv > table.csv
What a job printed:  dirjobs logs jobs r2.8.json
{script} is an ordinary script; all of it is in
  {folder}
Your own sweep goes just like this; `dirjobs --help` tells the rest."""


@click.command()
@click.option(
    "--jobs",
    "number",
    type=click.IntRange(1, 1000),
    default=12,
    show_default=True,
    metavar="N",
    help="How many jobs to make.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Work in this new folder, which is kept.  [default: a temporary one, kept as well]",
)
@told_in_one_sentence
def demo(number: int, folder: Path | None) -> int:
    """Show a sweep with three workers, in a few seconds.

    Makes a queue in a temporary folder, adds a job for each value of a parameter, starts
    three workers, watches them, and prints the table of results: by the commands that you
    would type, each of which is shown.
    """
    show_log(0)
    try:
        with Interruption() as interruption:
            return Demo(new_folder(folder), interruption).run(number)
    except Interrupted as interrupted:
        say(f"stopped by {interrupted}.")
        return interrupted.exit_code


def new_folder(wanted: Path | None) -> Path:
    """An empty folder for the demo.

    Raises:
        ConfigurationError: there is something in it already.
    """
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="dirjobs-demo-"))
    if os.path.lexists(wanted) and not (wanted.is_dir() and not any(wanted.iterdir())):
        raise ConfigurationError(f"--folder {str(wanted)!r} is there already: name a new one.")
    wanted.mkdir(parents=True, exist_ok=True)
    return wanted


class Demo:
    """A sweep over the parameter r of the logistic map.

    Args:
        folder: empty; everything goes in here.
        interruption: ends the workers.
    """

    def __init__(self, folder: Path, interruption: Interruption) -> None:
        self.folder = folder.resolve()
        self._interruption = interruption

    def run(self, number: int) -> int:
        """Add `number` jobs, work through them, print what came of it.

        Returns:
            the exit code: 0 if all jobs are done.
        """
        self.write_script()
        typed(["cd", str(self.folder)])
        with chdir(self.folder):
            run("init", JOBS, "--no-check")  # which would take longer than all the rest
            run("add", JOBS, "--param", f"r={sweep(number)}")
            typed(["dirjobs", "work", JOBS, "--", "python", SCRIPT, "{r}"])
            show(f"  (in {WORKERS} terminals, or on as many machines that share the folder)")
            began = time.monotonic()
            with self.workers() as workers:
                typed(["dirjobs", "watch", JOBS, "--until-done"])
                done = self.watch(workers)
            took = duration(time.monotonic() - began)
            if done < number:
                say(
                    f"only {done} of {number} jobs are done; what the workers said is in"
                    f" {str(self.folder)!r}, worker1.log and so on."
                )
                return 1
            show("")
            show(f"{number} jobs done by {WORKERS} workers in {took}.")
            run("results", JOBS)
        for line in WHAT_IS_NEXT.format(folder=self.folder, script=SCRIPT).split("\n"):
            show(line)
        return 0

    def write_script(self) -> None:
        """The program that the jobs are for."""
        shutil.copyfile(Path(__file__).with_name("demo_job.py"), self.folder / SCRIPT)

    @contextmanager
    def workers(self) -> Iterator[list[Process]]:
        """Three workers, as somebody would start them; ended with the block."""
        running: list[Process] = []
        try:
            for index in range(1, WORKERS + 1):
                with self._interruption.held_back():
                    running.append(self.start(f"w{index}", self.folder / f"worker{index}.log"))
                self._interruption.check()
            yield running
        except BaseException:
            for worker in running:
                worker.terminate()
            raise
        finally:
            with self._interruption.held_back():
                for worker in running:
                    worker.wait()  # it ends by itself when nothing is waiting

    def start(self, wid: str, log: Path) -> Process:
        """Start one worker with this very Python and this very dirjobs."""
        work = [sys.executable, "-m", "dirjobs", "work", JOBS, "--wid", wid]
        with log.open("wb") as file:
            return subprocess.Popen(
                [*work, "--", sys.executable, SCRIPT, "{r}"],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment(),
                start_new_session=True,  # Ctrl-C is for us to pass on (POSIX)
            )

    def watch(self, workers: list[Process]) -> int:
        """Show the queue until all jobs ended or no worker is left.

        Returns:
            how many jobs are done.
        """

        def at_work() -> bool:
            return any(worker.poll() is None for worker in workers)

        with opened(JOBS) as share:
            return shown(Looks(share, _INTERVAL, until_done=True, going=at_work)).done


def sweep(number: int) -> str:
    """So many values between order (2.8) and chaos (3.9), as ``--param`` takes them."""
    first = Decimal("2.8")
    if number == 1:
        return str(first)
    step = (Decimal("1.1") / (number - 1)).quantize(Decimal("0.00001")).normalize()
    return f"{first}..{first + step * (number - 1)}..{step}"


def typed(words: Sequence[str]) -> None:
    """Show a command as somebody types it."""
    show("")
    show("$ " + " ".join(words))


def run(*args: str) -> None:
    """Show and run a command of dirjobs.

    Raises:
        Mistake: it goes wrong.
    """
    from dirjobs.cli import main

    typed(["dirjobs", *args])
    main.main(list(args), prog_name="dirjobs", standalone_mode=False)


def environment() -> dict[str, str]:
    """Lets a child import this dirjobs, also where it is not installed."""
    ours = str(Path(dirjobs.__file__).parents[1])
    if ours in sysconfig.get_paths().values():
        return dict(os.environ)
    paths = filter(None, [ours, os.environ.get("PYTHONPATH")])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
