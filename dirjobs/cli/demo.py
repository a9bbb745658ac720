"""``dirjobs demo``: a parameter sweep on this machine, from the jobs to a table."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import click

from ..errors import ConfigurationError
from ..names import DONE, FAILED, WAITING
from .errors import say, show_log, told_in_one_sentence
from .interruption import Interrupted, Interruption
from .output import duration, on_terminal, progress, show

if TYPE_CHECKING:
    from ..queue import DirJobs

Process: TypeAlias = "subprocess.Popen[bytes]"

SCRIPT = "logistic_map.py"
WORKERS = 3
_LOOK = 0.05


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
    """Work through a small parameter sweep with three workers, in a few seconds.

    Makes a queue in a temporary folder, starts three workers as you would
    (`dirjobs work ...`), shows them at work, and prints what they found out.
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
        self.folder = folder
        self.jobs = folder / "jobs"
        self.results = folder / "results"
        self._interruption = interruption

    def run(self, number: int) -> int:
        """Add `number` jobs, work through them, print what came of it.

        Returns:
            the exit code: 0 if all jobs are done.
        """
        from ..queue import DirJobs

        with DirJobs(self.jobs, job_ext="") as dj:
            self.add_jobs(dj, number)
            command = shlex.join(["dirjobs", "work", str(self.jobs), "--", *self.command])
            show(f"{number} jobs in {self.jobs}{os.sep}{WAITING}: a job is a file.")
            show(f"{WORKERS} workers, each started by\n  {command}\n")
            began = time.monotonic()
            with self.workers() as workers:
                done = self.watch(dj, number, workers)
            took = duration(time.monotonic() - began)
        if done < number:
            say(
                f"only {done} of {number} jobs are done; what the workers said is in"
                f" {str(self.folder)!r}, worker1.log and so on."
            )
            return 1
        show(f"\n{number} jobs done by {WORKERS} workers in {took}.\n")
        self.show_results()
        self.show_what_is_next()
        return 0

    @property
    def command(self) -> list[str]:
        return ["python", str(self.folder / SCRIPT), "{}"]

    def add_jobs(self, dj: DirJobs, number: int) -> None:
        """One job for each r between order (2.8) and chaos (4.0)."""
        shutil.copyfile(Path(__file__).with_name("demo_job.py"), self.folder / SCRIPT)
        for index in range(number):
            r = round(2.8 + 1.2 * index / max(1, number - 1), 3)
            r = min(r, 3.999)  # at 4.0 rounding leads the map to 0, where it stays
            job = json.dumps({"r": r, "x": 0.4, "steps": 800_000})
            dj.add(f"r_{index + 1:0{len(str(number))}}_{r:.3f}.json", job)

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
        work = [sys.executable, "-m", "dirjobs", "work", str(self.jobs), "--wid", wid]
        command = [sys.executable, *self.command[1:]]
        with log.open("wb") as file:
            return subprocess.Popen(
                [*work, "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment(),
                start_new_session=True,  # Ctrl-C is for us to pass on (POSIX)
            )

    def watch(self, dj: DirJobs, number: int, workers: list[Process]) -> int:
        """Show the jobs as they end, until no worker is left.

        Returns:
            how many are done.
        """
        ended: set[str] = set()
        with progress(number) as advance:
            working = True
            while working and len(ended) < number:
                working = any(worker.poll() is None for worker in workers)
                for folder, how in ((DONE, "done"), (FAILED, "failed")):
                    for name in sorted({entry.name for entry in dj.store.list(folder)} - ended):
                        ended.add(name)
                        advance(name, how)
                time.sleep(_LOOK)
        return dj.status().done

    def show_results(self) -> None:
        """The table that the sweep was made for."""
        rows = [json.loads(file.read_text("utf-8")) for file in sorted(self.results.iterdir())]
        cells = [
            (f"{row['r']:.3f}", f"{row['exponent']:+.3f}", verdict(row["exponent"])) for row in rows
        ]
        if len(cells) > 20:
            cells = [*cells[:10], ("...", "...", "..."), *cells[-10:]]
        heads = ("r", "Lyapunov exponent", "behaviour")
        if not on_terminal():
            for one, two, three in (heads, *cells):
                show(f"{one:>7}  {two:>17}  {three}")
            return
        from rich.console import Console
        from rich.table import Table

        table = Table(*heads)
        for column in table.columns[:2]:
            column.justify = "right"
        for row in cells:
            table.add_row(*row, style="magenta" if row[2] == "chaos" else "")
        Console().print(table)

    def show_what_is_next(self) -> None:
        """Where everything is, and how to do the same with one's own work."""
        script = shlex.quote(str(self.folder / SCRIPT))
        show(f"\nResults  {self.results}")
        show(f"Jobs     {self.jobs}{os.sep}{DONE}")
        show(f"Script   {script}, which knows nothing of dirjobs")
        show("\nYour own work, on as many machines as share the folder:\n")
        show("  mkdir -p jobs/00_waiting")
        show("  cp parameters/*.json jobs/00_waiting/")
        show("  dirjobs work jobs/ -- python simulate.py {}")


def verdict(exponent: float) -> str:
    """What a Lyapunov exponent means."""
    return "chaos" if exponent > 0.005 else "order" if exponent < -0.005 else "between the two"


def environment() -> dict[str, str]:
    """Lets a child import this dirjobs, also where it is not installed."""
    ours = str(Path(__file__).parents[2])
    if ours in sysconfig.get_paths().values():
        return dict(os.environ)
    paths = filter(None, [ours, os.environ.get("PYTHONPATH")])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
