"""Folders that can't be used, and workers that don't go together."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.amounts import PATIENCE
from tests.command_line import (
    AS_NOBODY,
    environment,
    make_queue,
    refusal,
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


@pytest.mark.parametrize("prepared", ["nothing", "folders", "heartbeats"])
def test_a_folder_without_the_right_to_write(open_folder, prepared):
    queue = make_queue(open_folder / "jobs", "a.txt")
    if prepared != "nothing":
        run("work", "jobs", "--filter", "none", "--", "true", cwd=open_folder)
    if prepared == "heartbeats":
        for folder in (queue / "_queue", queue / "_queue" / "workers"):
            folder.chmod(0o777)
    locked = [queue / "00_waiting", queue / "01_running", queue / "02_done", queue]
    if prepared == "folders":
        locked += [queue / "_queue" / "workers", queue / "_queue"]
    for folder in locked:
        if folder.exists():
            folder.chmod(0o555)
    scratch = open_folder / "scratch"
    scratch.mkdir()
    scratch.chmod(0o1777)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, "work", "jobs", "--", "true"],
        cwd=open_folder,
        env=environment(DIRJOBS_SCRATCH=str(scratch)),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    told = refusal(done)
    assert "Permission denied; you need the right to read and write there." in told
    assert os.listdir(queue / "00_waiting") == ["a.txt"]


@pytest.fixture
def other_file_system(tmp_path):
    """A folder that is not on the file system of `tmp_path`."""
    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system in /dev/shm")
    folder = shm / f"dirjobs-{os.getpid()}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def test_running_on_another_file_system(tmp_path, other_file_system):
    queue = make_queue(tmp_path / "jobs", "a.txt")
    (queue / "01_running").symlink_to(other_file_system)
    assert run("init", "jobs", "--follow-links", "--no-check", cwd=tmp_path).returncode == 0
    told = refusal(run("work", "jobs", "--", "true", cwd=tmp_path))
    assert "different file systems" in told
    assert where_jobs_are(queue)["00_waiting"] == ["a.txt"]


def test_two_modes_on_one_queue(tmp_path, start):
    queue = make_queue(tmp_path / "jobs", "a.txt", "b.txt")
    script = "touch started; while [ ! -e go ]; do sleep 0.05; done"
    start("work", "jobs", "--sync-time", "0.1", "--", "sh", "-c", script)
    wait_until((tmp_path / "started").exists)
    told = refusal(run("work", "jobs", "--mode", "trust", "--", "true", cwd=tmp_path))
    assert "mode 'sync'" in told
    assert "'trust'" in told
    (tmp_path / "go").touch()
    wait_until(lambda: where_jobs_are(queue)["02_done"] == ["a.txt", "b.txt"])


def test_an_id_that_is_in_use(tmp_path, start):
    make_queue(tmp_path / "jobs", "a.txt", "b.txt")
    start("work", "jobs", "--wid", "w1", "--", "sh", "-c", "touch started; exec sleep 1000")
    wait_until((tmp_path / "started").exists)
    told = refusal(run("work", "jobs", "--wid", "w1", "--", "true", cwd=tmp_path))
    assert "wid='w1' is in use by process" in told


def test_no_code_comes_from_the_queue(tmp_path):
    """Who works in a queue's folder is among files of others."""
    queue = make_queue(tmp_path / "jobs", "a.txt")
    for name in ("pickle", "json", "psutil", "dirjobs"):
        (queue / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    for line in ("check . --rounds 2", "status .", "work . -- true"):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "dirjobs", *line.split()],
            cwd=queue,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert not (tmp_path / "ran").exists(), line
        assert done.returncode == 0, done.stderr
