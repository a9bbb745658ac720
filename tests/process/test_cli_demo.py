"""The demo, as a newcomer meets it."""

import json
import signal
import subprocess
import sys

import pytest

from tests.command_line import (
    DIRJOBS,
    environment,
    heartbeats,
    is_alive,
    run,
    starting,
    wait_until,
    where_jobs_are,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX processes and signals")


@pytest.fixture
def start(tmp_path):
    with starting(tmp_path) as start:
        yield start


def test_demo(tmp_path):
    done = run("demo", "--folder", "shown", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "12 jobs done by 3 workers" in done.stdout
    assert done.stdout.count("  done\n") == 12
    assert "\x1b" not in done.stdout
    assert len(where_jobs_are(tmp_path / "shown" / "jobs")["02_done"]) == 12
    results = sorted((tmp_path / "shown" / "results").glob("*.json"))
    assert len(results) == 12
    assert json.loads(results[0].read_text())["exponent"] < 0  # r = 2.8: one fixed point
    assert json.loads(results[-1].read_text())["exponent"] > 0.5  # r = 4: chaos, ln 2
    assert {beat["ended"] for beat in heartbeats(tmp_path / "shown" / "jobs")} == {True}


def test_demo_in_a_temporary_folder_and_of_another_size(tmp_path):
    env = environment(TMPDIR=str(tmp_path))
    done = subprocess.run(
        [*DIRJOBS, "demo", "--jobs", "1"], env=env, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    (folder,) = tmp_path.glob("dirjobs-demo-*")
    assert f"Results  {folder}/results" in done.stdout


def test_an_interrupted_demo_leaves_no_worker(tmp_path, start):
    demo = start("demo", "--folder", "shown", "--jobs", "500")
    workers = tmp_path / "shown" / "jobs" / "_queue" / "workers"
    wait_until(lambda: workers.is_dir() and len(list(workers.iterdir())) >= 3)
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=60)
    assert demo.returncode == 130
    beats = heartbeats(tmp_path / "shown" / "jobs")
    assert all(beat["ended"] and not is_alive(beat["process"]["pid"]) for beat in beats)
    assert where_jobs_are(tmp_path / "shown" / "jobs")["01_running"] == []


def test_a_demo_whose_jobs_fail_says_so(tmp_path):
    """The results can't be written: a file is where their folder should be."""
    demo = (
        "import sys; from pathlib import Path; from dirjobs.cli import demo, main\n"
        "from dirjobs.cli.demo import Demo; add = Demo.add_jobs\n"
        "def add_jobs(self, dj, number): self.results.touch(); add(self, dj, number)\n"
        "Demo.add_jobs = add_jobs\n"
        "main(['demo', '--folder', 'shown'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", demo],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("dirjobs: only 0 of 12 jobs are done")
    assert done.stdout.count("  failed\n") == 12
    logs = (tmp_path / "shown" / "jobs" / "logs").glob("*.log")
    assert all("FileExistsError" in log.read_text() for log in logs)
