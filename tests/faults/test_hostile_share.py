"""Everything odd in every folder, beside workers and all commands: nobody ends, nothing is hurt."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
import threading
import time

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

from dirjobs import DirJobs, StoreError
from dirjobs.cli import main
from dirjobs.cli.commands.watch import Looks, Screen, in_lines
from dirjobs.cli.options import opened
from dirjobs.console.errors import told_in_one_sentence
from tests.amounts import PATIENCE, amount
from tests.cli.conftest import no_queue_is_named  # noqa: F401 - for all tests here
from tests.command_line import AS_NOBODY, environment
from tests.faults.hostile_share import NOBODY, SECRET, Hostile, kinds, make_victim, seen

if sys.platform != "win32":
    import resource

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="needs links, FIFOs and names of any bytes"
)
STEPS = amount(300, 2000)
WORKERS = ("w1", "w2", "w3", "w4")
PROGRAMS = {
    "real": ["--filter", "[ro]*", "--ext", ".txt"],
    "signed": ["--filter", "[so]*", "--signed-only"],
}
"""Workers of the command line, each with jobs of its own, and odd ones."""
EARLY = """
import dirjobs.signing, dirjobs.admin.signatures, os
os.umask(0)
"""
"""What a process imports while it may: Python may be where nobody can read."""
ROOM = 3 << 30
"""Bytes that a process may have: who reads all of a huge file gets no further."""
SCRIPT = """
echo 1 > "$DIRJOBS_OUT/result.json"
echo 1 > "$DIRJOBS_KEEP/state"
case "$DIRJOBS_NAME" in odd*) exit 1;; esac
"""
"""Keeps something for another attempt where there may be one."""
RESULT = ("sh", "-c", SCRIPT)
COMMANDS = (
    *(["status"], ["status", "-vv"], ["status", "--json"], ["list"], ["list", "--names"]),
    *(["list", "--json"], ["show", "honest1.txt"], ["show", "odd~2.txt"], ["show", "x", "--json"]),
    *(["logs", "odd.txt"], ["logs", "JOB"], ["results"], ["results", "--csv"], ["results", "-v"]),
    *(["retry", "odd*"], ["requeue", "odd*"], ["requeue", "--dead"], ["cancel", "odd*"]),
    *(["retry", "--done", "odd*"], ["remove", "odd*", "--state", "failed"], ["remove", "odd.txt"]),
    *(
        ["clean", "--older-than", "1d"],
        ["clean", "--older-than", "0d"],
        ["clean", "--older-than=1s"],
    ),
    *(["pause"], ["resume"], ["resume"], ["drain", "nobody"], ["wait", "--timeout", "0"]),
    *(
        ["deliver", "--list"],
        ["init", "--no-check"],
        ["add", "--param", "odd=1", "--skip-existing"],
        ["watch"],
    ),
    # The queue may be paused, or jobs be held by somebody whose lease is waited for.
    ["work", "--filter", "odd*", "--max-jobs=2", "--max-hours=2e-3", "--keep-going", "--", *RESULT],
)
LOOKING = ("status", "list", "results", "wait", "watch", "add", "resume")
"""Commands that nothing odd may keep from their work."""
OBEYED = ("\x1b", "\x07", "\x9b", "\r", "\u202e", "\u2066", "\u200b", "\n   done: all")


@click.command()
@click.argument("jobs")
@told_in_one_sentence
def one_frame(jobs):
    """What `dirjobs watch` shows, in both ways, at one moment."""
    with opened(jobs) as share:
        looks = Looks(share, 0.1, until_done=False, going=lambda: False)
        screen = Screen(looks)
        screen.found, screen.at = in_lines(looks), time.time()
        console = Console(width=120, height=50, force_terminal=False)
        with console.capture() as drawn:
            console.print(screen)
        click.echo(drawn.get())


class Programs:
    """`dirjobs work` in processes of its own, of a user who may not read everything."""

    def __init__(self, url, folder):
        self._processes, self._folder = {}, folder
        key = folder / "key"
        key.touch(mode=0o600)
        key.write_text("ab" * 32)
        (folder / "scratch").mkdir(mode=0o700)
        for path in (key, folder / "scratch"):
            os.chown(path, *NOBODY)
        more = {"DIRJOBS_KEY_FILE": str(key), "DIRJOBS_SCRATCH": str(folder / "scratch")}
        more |= {"HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        for wid, options in PROGRAMS.items():
            line = ["work", url, "--wid", wid, "--wait", "--poll", "0.2", "--keep-going", *options]
            with (folder / f"{wid}.out").open("w") as said:
                self._processes[wid] = subprocess.Popen(
                    [sys.executable, "-c", EARLY + AS_NOBODY, *line, "--", *RESULT],
                    env=environment(**more),
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                )

    def ended(self):
        """Which are no longer at work."""
        return [wid for wid, process in self._processes.items() if process.poll() is not None]

    def end(self):
        """What is wrong with their ends and what they said."""
        for wid, process in self._processes.items():
            process.terminate()
            code = process.wait(PATIENCE)
            text = (self._folder / f"{wid}.out").read_text()
            if code != 143:
                yield f"{wid}: code {code}: {text[-2000:]}"
            yield from what_is_wrong(wid, text)


def what_is_wrong(who, text):
    if "Traceback" in text:
        yield f"{who}: a traceback: {text[-2000:]}"
    if found := [what for what in (*OBEYED, SECRET) if what in text]:
        yield f"{who}: raw {found}"


class Crew:
    """Four workers in threads, and what they did."""

    def __init__(self, url):
        self.started, self.troubles, self.stop = [], [], threading.Event()
        self._queues = []
        self.begun = threading.Semaphore(0)
        self._threads = [threading.Thread(target=self._work, args=(url, wid)) for wid in WORKERS]
        for thread in self._threads:
            thread.start()

    def _work(self, url, wid):
        try:
            with DirJobs(url, wid=wid, job_ext="", job_filter=is_for_crew, create=True) as queue:
                self._queues.append(queue)
                self.begun.release()
                while not self.stop.is_set():
                    if (job := queue.next_and_lock()) is None:
                        assert self.stop.is_set() or not queue.draining, "nobody drained it"
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
                path = job.path()
                if os.path.islink(path):
                    self.troubles.append(f"{job.full_name()} is a link")
        except StoreError as error:
            self.troubles += what_is_wrong(job.full_name(), str(error))

    def end(self):
        self.stop.set()
        for queue in self._queues:  # one that is paused waits
            queue.drain()
        for thread in self._threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in self._threads)


def is_for_crew(_, name):
    return not name.startswith(("r", "s"))


def told(url, command, *args):
    """What is wrong with a command's end and what it prints."""
    began = time.monotonic()
    program, line = (one_frame, [url]) if command == "watch" else (main, None)
    result = CliRunner().invoke(program, line or [command, url, *args])
    text = result.stdout + result.stderr
    line = " ".join((command, *args))
    if not isinstance(result.exception, SystemExit | None):
        yield f"{line}: {result.exception!r}"
    codes = (0, 1) if command in LOOKING else (0, 1, 2)
    if result.exit_code not in ((0, 1, 3) if command == "wait" else codes):
        yield f"{line}: code {result.exit_code}: {text[-500:]}"
    # A log is given to a file as it is.
    yield from what_is_wrong(line, result.stderr if command == "logs" else text)
    if time.monotonic() - began > PATIENCE:
        yield f"{line}: does not end"


def kept_logs(monkeypatch, texts):
    """Keep what the library says to whoever listens, all of it."""
    make = logging.getLogRecordFactory()

    def keep(*args, **more):
        record = make(*args, **more)
        if record.name.startswith("dirjobs"):
            texts.append(record.getMessage())
        return record

    monkeypatch.setattr(logging, "_logRecordFactory", keep)
    monkeypatch.setattr(logging.getLogger("dirjobs"), "isEnabledFor", lambda level: True)


@pytest.fixture
def little_room():
    """Others may write to what is made here, and nobody has memory without end."""
    before, limits = os.umask(0), resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (ROOM, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)
    os.umask(before)


@pytest.mark.parametrize("seed", [1, 2][: amount(1, 2)])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_everything_odd_beside_workers_and_commands(
    seed, open_folder, figures, little_room, monkeypatch
):
    monkeypatch.setenv("DIRJOBS_SCRATCH", str(open_folder / "scratch of root"))
    chance, began = random.Random(seed), time.monotonic()
    jobs, victim, aside = (open_folder / name for name in ("jobs", "victim", "aside"))
    make_victim(victim)
    before = seen(victim)
    assert kinds(victim) >= 60
    # Whoever obeys an odd order does so soon; nobody dies, however busy the machine is.
    with DirJobs(jobs, wid="w0", heartbeat=1, create=True) as queue:
        assert queue.next_and_lock() is None  # the first worker's terms are those of all
    aside.mkdir()
    kept_logs(monkeypatch, (logged := []))
    hostile, crew, wrong = Hostile(jobs, victim, chance), Crew(jobs), []
    programs = Programs(str(jobs), aside)
    names = {kind: [] for kind in ("honest", *PROGRAMS)}
    step = commands = 0

    def add(kind):
        new = aside / f"{kind}{len(names[kind])}.txt"
        new.write_text("honest")
        names[kind].append(new.name)
        do("add", str(new), *(["--key-file", str(aside / "key")] * (kind == "signed")))

    def all_to_be_done():
        until = time.monotonic() + PATIENCE
        while not all((jobs / "02_done" / name).exists() for kind in names for name in names[kind]):
            still_right()
            assert time.monotonic() < until, sorted(os.listdir(jobs / "99_failed"))
            crew.stop.wait(0.05)

    def still_right():
        assert (wrong, crew.troubles) == ([], []), f"after {step} steps"
        assert not programs.ended(), f"after {step} steps: {[*programs.end()]}"

    def do(command, *args):
        nonlocal commands
        commands += 1
        wrong.extend(told(str(jobs), command, *args))
        still_right()

    try:
        # Who meets a heartbeat of its own id at its start waits for a lease.
        assert all(crew.begun.acquire(timeout=PATIENCE) for _ in WORKERS)
        for kind in names:
            add(kind)
        all_to_be_done()
        for step in range(STEPS):
            if step % 250 == 249:  # it takes seconds
                do("check", "--rounds", "2")
            draw = chance.random()
            if draw < 0.35:
                hostile.put()
            elif draw < 0.5:
                hostile.take()
            elif draw < 0.75:
                do(*chance.choice(COMMANDS))
            else:
                add(chance.choice(["honest", "honest", *PROGRAMS]))
        do("resume")
        all_to_be_done()
    finally:
        crew.end()
        ends = [*programs.end()]
    assert not crew.troubles
    assert ends == []
    figures(
        f"seed {seed}: {len(hostile.kinds)} kinds, {STEPS} steps, {sum(map(len, names.values()))}"
        f" jobs, {commands} commands, {time.monotonic() - began:.0f} s"
    )
    assert sorted(crew.started) == sorted(names["honest"])
    for name in names["real"] + names["signed"]:
        assert len(list((jobs / "logs").glob(f"{name}.*.log"))) == 1
    assert seen(victim) == before
    assert logged
    assert [text for text in logged if any(raw in text for raw in (*OBEYED, SECRET))] == []
