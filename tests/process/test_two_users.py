"""A second user, who may write to the queue, exchanges its folders for links beside a worker."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from dirjobs import DirJobs
from tests.amounts import PATIENCE, amount
from tests.command_line import AS_NOBODY, environment
from tests.faults.hostile_share import seen

pytestmark = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be two other users"
)
NOBODY, COLLEAGUE = 65534, 65533
SECRET = "precious"
FOLDERS = (
    *("00_waiting", "01_running", "02_done", "99_failed", "logs", "results", "_queue"),
    *("_queue/workers", "_queue/attempts", "_queue/journal"),
)
JOBS, ROUNDS = amount(40, 400), amount(1, 30)
EARLY = """
import importlib, os, pkgutil, rich.console, rich.table, rich.markup, dirjobs
for module in pkgutil.walk_packages(dirjobs.__path__, "dirjobs."):
    if not module.name.endswith(("__main__", "windows_job")):
        importlib.import_module(module.name)
os.umask(0o007)
"""
COMMAND = 'echo "ran $1"; echo 1 > "$DIRJOBS_OUT/result.json"'


@pytest.fixture
def colleague(open_folder):
    """Runs functions as another user, until the end of the test."""
    children = []

    def as_colleague(function):
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setgid(COLLEAGUE)
                os.setuid(COLLEAGUE)
                function()
            finally:
                os._exit(1)
        children.append(child)
        return end

    def end():
        while children:
            os.kill(children[-1], signal.SIGKILL)
            os.waitpid(children.pop(), 0)

    yield as_colleague
    end()


def exchange(paths, victim, seed):
    """What is there becomes a link to somebody's files, and again what it was."""
    chance = random.Random(seed)
    while True:
        time.sleep(chance.random() / 50)
        with suppress(OSError):
            path = paths(chance)
            aside = f"{os.path.dirname(path)}/.aside{seed}"
            os.rename(path, aside)
            try:
                os.symlink(victim if os.path.isdir(aside) else f"{victim}/job1.txt", path)
                time.sleep(chance.random() / 200)
                os.unlink(path)
            finally:
                os.rename(aside, path)


def one_of_its_folders(queue):
    return lambda chance: f"{queue}/{chance.choice(FOLDERS)}"


def something_in_them(queue):
    def choose(chance):
        folder = f"{queue}/{chance.choice(FOLDERS)}"
        return f"{folder}/{chance.choice(os.listdir(folder) or ['.'])}"

    return choose


@pytest.mark.parametrize("chosen", [one_of_its_folders, something_in_them])
def test_links_lead_nobody_to_files_outside(open_folder, colleague, figures, chosen):
    queue, victim, home = (open_folder / name for name in ("jobs", "victim", "home"))
    with DirJobs(queue, create=True) as made:
        assert made.next_and_lock() is None
    names = [f"job{number}.txt" for number in range(JOBS)]
    for name in names:
        (queue / "00_waiting" / name).write_text("honest")
    for name in FOLDERS:
        (queue / name).mkdir(exist_ok=True)
    for path in (queue, *queue.rglob("*")):
        os.chown(path, NOBODY, COLLEAGUE)
        path.chmod(0o2770 if path.is_dir() else 0o660)
    victim.mkdir()
    home.mkdir()
    (victim / "w1").mkdir()
    claims = [f"w1.{name}" for name in names]
    for name in (*names, *claims, *(f"{name}.json" for name in names), "queue.json", "~pause"):
        (victim / name).write_text(SECRET)
    for path in (home, victim, *victim.iterdir()):
        os.chown(path, NOBODY, NOBODY)
        path.chmod(0o700 if path.is_dir() else 0o600)
    before = seen(victim)
    end = colleague(lambda: exchange(chosen(str(queue)), str(victim), 1))
    said = open_folder / "said"

    def as_nobody(*line):
        with said.open("a") as output:
            subprocess.run(
                [sys.executable, "-c", EARLY + AS_NOBODY, *line],
                cwd=open_folder,
                env=environment(
                    DIRJOBS_SCRATCH=str(home), HOME=str(home), PYTHONDONTWRITEBYTECODE="1"
                ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=PATIENCE,
            )

    work = ["work", "jobs", "--patience", "5", "--keep-going", "--max-hours", "0.002", "--"]
    for number in range(ROUNDS):
        as_nobody(*work[:2], "--wid", f"w{number}", *work[2:], "sh", "-c", COMMAND, "sh", "{}")
        for command in ("results", "retry --failed", "requeue --dead", "pause", "resume"):
            as_nobody(*command.split(), "-q", "jobs")
    end()
    text = said.read_text()
    done, met = text.count(" ... done in "), text.count("symbolic link")
    figures(f"{chosen.__name__}: {done} jobs done, {met} links met")
    assert "Traceback" not in text
    assert SECRET not in text
    assert seen(victim) == before
    for path in queue.rglob("*"):
        assert path.is_symlink() or path.is_dir() or SECRET not in path.read_text(errors="replace")
