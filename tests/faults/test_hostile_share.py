"""Everything odd in every folder, beside workers and all commands: nobody ends, nothing is hurt."""

from __future__ import annotations

import random
import sys
import threading
import time

import pytest
from click.testing import CliRunner

from dirjobs import DirJobs, StoreError
from dirjobs.cli import main
from tests.amounts import PATIENCE, amount
from tests.cli.conftest import the_log_stays_as_it_was  # noqa: F401 - for all tests here
from tests.faults.hostile_share import Hostile, kinds, make_victim, seen

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="needs links, FIFOs and names of any bytes"
)
STEPS = amount(300, 2000)
WORKERS = ("w1", "w2", "w3", "w4")
COMMANDS = (
    *(["status"], ["status", "-vv"], ["status", "--json"], ["list"], ["list", "--names"]),
    *(["list", "--json"], ["show", "honest1.txt"], ["show", "odd~2.txt"], ["show", "x", "--json"]),
    *(["logs", "odd.txt"], ["logs", "JOB"], ["results"], ["results", "--csv"], ["results", "-v"]),
    *(["retry", "odd*"], ["requeue", "odd*"], ["requeue", "--dead"], ["cancel", "odd*"]),
    *(["pause"], ["resume"], ["resume"], ["drain", "nobody"], ["wait", "--timeout", "0"]),
    *(["deliver", "--list"], ["init", "--no-check"], ["add", "--param", "odd=1"]),
)
OBEYED = ("\x1b", "\x07", "\x9b", "\r", "\u202e", "\u2066", "\u200b", "\n   done: all")


class Crew:
    """Four workers in threads, and what they did."""

    def __init__(self, url):
        self.started, self.troubles, self.stop = [], [], threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(url, wid)) for wid in WORKERS]
        for thread in self._threads:
            thread.start()

    def _work(self, url, wid):
        try:
            with DirJobs(url, wid=wid, job_ext="") as queue:
                while not self.stop.is_set():
                    if (job := queue.next_and_lock()) is None:
                        self.stop.wait(0.05)
                    elif job.name().startswith("honest"):
                        self.started.append(job.name())
                        assert job.read_text() == "honest"
                        job.done()
                    else:
                        self._odd(job)
        except BaseException as error:  # whatever it is, it ends a worker
            self.troubles.append(f"{wid} ended: {error!r}")
            raise

    def _odd(self, job):
        """A program that takes no care, and one that does: the job may be taken any moment."""
        try:
            with job:
                job.path()
        except StoreError:
            pass

    def end(self):
        self.stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in self._threads)


def told(url, command, *args):
    """What is wrong with a command's end and what it prints."""
    began = time.monotonic()
    result = CliRunner().invoke(main, [command, url, *args])
    text = result.stdout + result.stderr
    line = " ".join((command, *args))
    if not isinstance(result.exception, SystemExit | None):
        yield f"{line}: {result.exception!r}"
    if result.exit_code not in ((0, 1, 2, 3) if command == "wait" else (0, 1, 2)):
        yield f"{line}: code {result.exit_code}"
    if "Traceback" in text:
        yield f"{line}: a traceback"
    shown = result.stderr if command == "logs" else text  # a log is given to a file as it is
    if found := [what for what in OBEYED if what in shown]:
        yield f"{line}: raw {found}"
    if time.monotonic() - began > PATIENCE:
        yield f"{line}: does not end"


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_everything_odd_beside_workers_and_commands(seed, tmp_path, figures):
    chance, began = random.Random(seed), time.monotonic()
    jobs, victim = tmp_path / "jobs", tmp_path / "victim"
    make_victim(victim)
    before = seen(victim)
    assert kinds(victim) >= 60
    DirJobs(jobs, wid="w0").close()
    hostile, crew, honest, commands, wrong = Hostile(jobs, victim, chance), Crew(jobs), 0, 0, []
    try:
        for step in range(STEPS):
            if step % 250 == 249:  # it takes seconds
                commands += 1
                wrong += told(str(jobs), "check", "--rounds", "2")
            draw = chance.random()
            if draw < 0.35:
                hostile.put()
            elif draw < 0.5:
                hostile.take()
            elif draw < 0.75:
                commands += 1
                wrong += told(str(jobs), *chance.choice(COMMANDS))
            else:
                honest += 1
                new = tmp_path / f"honest{honest}.txt"
                new.write_text("honest")
                commands += 1
                wrong += told(str(jobs), "add", str(new))
        wrong += told(str(jobs), "resume")
        names = {f"honest{number}.txt" for number in range(1, honest + 1)}
        until = time.monotonic() + PATIENCE
        while not all((jobs / "02_done" / name).exists() for name in names):
            assert time.monotonic() < until, (wrong, crew.troubles)
            assert not crew.troubles, crew.troubles
            crew.stop.wait(0.05)
    finally:
        crew.end()
    figures(
        f"seed {seed}: {len(hostile.kinds)} kinds, {STEPS} steps, {honest} jobs, "
        f"{commands} commands, {time.monotonic() - began:.0f} s"
    )
    assert (wrong, crew.troubles) == ([], [])
    assert sorted(crew.started) == sorted(names)
    assert seen(victim) == before
