"""Several processes drain one local folder: every job exactly once, whole."""

import contextlib
import errno
import hashlib
import os
import subprocess
import sys

import pytest

from tests.amounts import PATIENCE, amount

WORKER = """
import hashlib, json, os, sys
from dirjobs import DirJobs
folder, wid, log, options, until = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
queue = DirJobs(folder, wid=wid, create=True, **json.loads(options))
first = True
with open(log, "w", buffering=1) as started, queue:
    while True:
        stop = until == "" or os.path.exists(until)
        for job in queue:
            with job:
                digest = hashlib.sha256(job.read_bytes()).hexdigest()
                started.write(f"{job.name()} {digest}\\n")
                if first:
                    first = False
                    print("working", flush=True)
                    sys.stdin.readline()
        if stop:
            break
"""

PRODUCER = """
import hashlib, random, sys
from dirjobs import DirJobs
folder, log, until, count = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
rng = random.Random(1)
with open(log, "w") as added, DirJobs(folder, create=True) as queue:
    for number in range(int(count)):
        content = rng.randbytes(rng.randrange(200_000))
        name = queue.add(f"job{number}.txt", content)
        added.write(f"{name} {hashlib.sha256(content).hexdigest()}\\n")
open(until, "x").close()
"""


@contextlib.contextmanager
def may_have_ended():
    """Nobody reads any more what is written to a program that has ended."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EINVAL):  # the latter on Windows
            raise


class Programs:
    """Processes that are stopped at the end, whatever happens."""

    def __init__(self):
        self.running = []

    def start(self, code, *arguments):
        program = subprocess.Popen(
            [sys.executable, "-c", code, *map(os.fspath, arguments)],
            env={**os.environ, "PYTHONPATH": os.getcwd()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.running.append(program)

    def run(self):
        """Let all go at once, again when each has its first job (or is done with adding some),
        and wait for their end."""
        for said in (("ready\n",), ("working\n", "")):
            for program in self.running:
                assert program.stdout.readline() in said, program.stderr.read()
            for program in self.running:
                self._tell(program)
        for program in self.running:
            _, errors = program.communicate(timeout=PATIENCE)
            assert program.returncode == 0, errors
            assert errors == ""

    def _tell(self, program):
        with may_have_ended():
            program.stdin.write("\n")
            program.stdin.flush()

    def kill(self):
        for program in self.running:
            program.kill()
            program.wait()
            for pipe in (program.stdin, program.stdout, program.stderr):
                with may_have_ended():
                    pipe.close()


@pytest.fixture
def programs():
    programs = Programs()
    yield programs
    programs.kill()


def hashes(folder):
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in os.listdir(folder)
    }


def started(*logs):
    """What was started, by job; nothing may be there twice."""
    lines = [line.split() for log in logs for line in log.read_text().splitlines()]
    assert len(lines) == len(dict(lines)), "a job was started twice"
    return dict(lines)


@pytest.mark.parametrize(
    ("workers", "jobs", "options"),
    [
        pytest.param(8, amount(1000, 5000), "{}", id="trust"),
        pytest.param(4, amount(200, 400), '{"mode": "verify"}', id="verify"),
        pytest.param(4, 12, '{"worker_sync": true, "sync_time": 0.2}', id="sync"),
    ],
)
def test_every_job_is_started_exactly_once(tmp_path, programs, workers, jobs, options):
    queue = tmp_path / "jobs"
    (queue / "00_waiting").mkdir(parents=True)
    for number in range(jobs):
        (queue / "00_waiting" / f"job{number}.txt").write_bytes(b"%d" % number)
    expected = hashes(queue / "00_waiting")
    logs = [tmp_path / f"log{number}" for number in range(workers)]
    for number, log in enumerate(logs):
        programs.start(WORKER, queue, f"w{number}", log, options, "")
    programs.run()
    assert started(*logs) == expected
    assert hashes(queue / "02_done") == expected
    for folder in ("00_waiting", "01_running", "99_failed", "_queue/parked"):
        assert os.listdir(queue / folder) == []
    assert all(log.stat().st_size for log in logs)


def test_jobs_that_are_added_meanwhile_are_started_once_and_whole(tmp_path, programs):
    queue, until = tmp_path / "jobs", tmp_path / "all-added"
    logs = [tmp_path / f"log{number}" for number in range(4)]
    for number, log in enumerate(logs):
        programs.start(WORKER, queue, f"w{number}", log, "{}", until)
    programs.start(PRODUCER, queue, tmp_path / "added", until, "300")
    programs.run()
    added = started(tmp_path / "added")
    assert len(added) == 300
    assert started(*logs) == added
    assert hashes(queue / "02_done") == added
    for folder in ("00_waiting", "01_running", "99_failed", "_queue/parked"):
        assert os.listdir(queue / folder) == []
