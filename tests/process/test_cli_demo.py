"""The demo, as a newcomer meets it."""

import json
import signal
import subprocess
import sys

import pytest

from dirjobs.cli.commands.demo import sweep
from dirjobs.sweep.parameters import parse_param
from tests.amounts import PATIENCE
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
from tests.test_readme import command_folder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX processes and signals")


@pytest.fixture
def start(tmp_path):
    with starting(tmp_path) as start:
        yield start


def results(folder):
    files = sorted((folder / "jobs" / "results").glob("*/*/result.json"))
    return [json.loads(file.read_text()) for file in files]


def test_demo(tmp_path):
    done = run("demo", "--folder", "shown", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "12 jobs done by 3 workers" in done.stdout
    assert "12 done, 0 failed (12 of 12 ended)" in done.stdout
    assert "\x1b" not in done.stdout
    assert len(where_jobs_are(tmp_path / "shown" / "jobs")["02_done"]) == 12
    found = results(tmp_path / "shown")
    assert len(found) == 12
    assert found[0]["exponent"] < 0  # r = 2.8: one fixed point
    assert found[-1]["exponent"] > 0.4  # r = 3.9: chaos
    assert done.stdout.count("  chaos") >= 3
    beats = heartbeats(tmp_path / "shown" / "jobs")
    assert {beat["ended"] for beat in beats} == {True}


def test_its_commands_can_be_typed(tmp_path):
    """They are shown word for word: run again, without the demo, they do the same."""
    done = run("demo", "--folder", "shown", "--jobs", "2", cwd=tmp_path)
    typed = [line[2:] for line in done.stdout.splitlines() if line.startswith("$ ")]
    assert [line.split()[1] for line in typed[1:]] == ["init", "add", "work", "watch", "results"]
    script = tmp_path / "shown" / "logistic_map.py"
    (tmp_path / script.name).write_bytes(script.read_bytes())
    env = environment(PATH=command_folder(tmp_path))
    again = subprocess.run(
        ["bash", "-euc", "\n".join(typed[1:])],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert again.returncode == 0, again.stderr
    assert results(tmp_path) == results(tmp_path / "shown")


def test_demo_in_a_temporary_folder_and_of_another_size(tmp_path):
    env = environment(TMPDIR=str(tmp_path))
    done = subprocess.run(
        [*DIRJOBS, "demo", "--jobs", "1"], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.glob("dirjobs-demo-*")
    assert f"all of it is in\n  {folder}\n" in done.stdout
    assert len(results(folder)) == 1


def test_an_interrupted_demo_leaves_no_worker(tmp_path, start):
    demo = start("demo", "--folder", "shown", "--jobs", "500")
    workers = tmp_path / "shown" / "jobs" / "_queue" / "workers"
    wait_until(lambda: workers.is_dir() and len(list(workers.iterdir())) >= 3)
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=PATIENCE)
    assert demo.returncode == 130
    beats = heartbeats(tmp_path / "shown" / "jobs")
    assert all(beat["ended"] and not is_alive(beat["process"]["pid"]) for beat in beats)
    assert where_jobs_are(tmp_path / "shown" / "jobs")["01_running"] == []


def test_a_demo_whose_jobs_fail_says_so(tmp_path):
    demo = (
        "from dirjobs.cli import main\n"
        "from dirjobs.cli.commands.demo import Demo\n"
        "def write_script(self): (self.folder / 'logistic_map.py').write_text('raise OSError')\n"
        "Demo.write_script = write_script\n"
        "main(['demo', '--folder', 'shown', '--jobs', '3'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", demo],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("dirjobs: only 0 of 3 jobs are done")
    assert "3 failed (3 of 3 ended)" in done.stdout
    assert "failed: r2.8.json: exit code 1" in done.stdout


@pytest.mark.parametrize("number", [1, 2, 3, 7, 12, 100, 999, 1000])
def test_a_sweep_of_any_size(number):
    _, values = parse_param(f"r={sweep(number)}")
    assert len(values) == len(set(values)) == number
    assert min(map(float, values)) == 2.8
    assert max(map(float, values)) < 4  # beyond, the map leaves 0 to 1
