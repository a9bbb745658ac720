"""Running the real command line, in processes of its own."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import dirjobs
from tests.amounts import PATIENCE

DIRJOBS = [sys.executable, "-m", "dirjobs"]


def python(code):
    """A command that runs some Python, on any system."""
    return sys.executable, "-c", code


def a_job(code):
    """The same, for a job that writes files: `out` is the folder for its results."""
    known = "import json, os, shutil, sys, time\nfrom pathlib import Path\n"
    return python(f"{known}out = Path(os.environ['DIRJOBS_OUT'])\n{code}")


def until_there(path):
    """Some Python for a job, which waits until somebody makes a file."""
    return f"while not os.path.exists({str(path)!r}): time.sleep(0.01)\n"


# Root may write everywhere.  Python itself may be where nobody else can read, so that all
# is imported while we still can.
AS_NOBODY = """
import codecs, os, pathlib, sys
import dirjobs.backends.posix, dirjobs.runner.run, dirjobs.cli.commands.work, psutil
import dirjobs.runner.deliver, dirjobs.files.workspace, dirjobs.recovery.silence
import importlib.metadata, tempfile
for name in ("ascii", "idna", "latin-1", "unicode_escape", "utf-8-sig", "utf-16", "utf-16-le",
             "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"):
    codecs.lookup(name)
installed = importlib.metadata.entry_points(group="dirjobs.backends")
importlib.metadata.entry_points = lambda group: installed
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
dirjobs.cli.main(prog_name="dirjobs")
"""


def environment(**more):
    """Children import the very dirjobs that this process tests, and functions of the tests."""
    folders = [Path(dirjobs.__file__).parents[1], Path(__file__).parents[1]]
    where = os.pathsep.join(map(str, dict.fromkeys(folders)))
    kept = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "TTY_COMPATIBLE")}
    return {**kept, "PYTHONPATH": where, **more}


def run(*args, cwd, timeout=PATIENCE, **options):
    """What `dirjobs ARGS` printed, and its exit code."""
    return subprocess.run(
        [*DIRJOBS, *map(str, args)],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        **options,
    )


def make_queue(folder, *names):
    """A queue in `folder` with empty jobs, made as a person makes one."""
    waiting = Path(folder) / "00_waiting"
    waiting.mkdir(parents=True)
    for name in names:
        (waiting / name).touch()
    return Path(folder)


def where_jobs_are(queue):
    """The jobs of a queue by folder; a claim without its worker."""
    return {
        folder: sorted(
            name.partition(".")[2] if folder == "01_running" else name
            for name in os.listdir(Path(queue) / folder)
        )
        for folder in ("00_waiting", "01_running", "02_done", "99_failed")
    }


def refusal(done):
    """The one sentence of a refused command."""
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("dirjobs: ")
    return done.stderr


def log_of(queue, job):
    """What a job printed, by its only log."""
    (log,) = (Path(queue) / "logs").glob(f"{job}.*.log")
    return [line for line in log.read_text().splitlines() if not line.startswith("# ")]


def wait_until(condition, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


def heartbeats(queue):
    files = (queue / "_queue" / "workers").glob("*.json")
    return [json.loads(file.read_text()) for file in files]


def is_alive(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"  # nobody may be there to bury it


@contextmanager
def starting(folder):
    """A function that starts `dirjobs ARGS` in the background; none is left afterwards."""
    started = []

    def start(*args, program=DIRJOBS):
        process = subprocess.Popen(
            [*program, *map(str, args)],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in started:
            process.terminate()
            process.communicate(timeout=PATIENCE)
