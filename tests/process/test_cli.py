"""The command line at work, in processes as people start them."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests.amounts import PATIENCE
from tests.command_line import (
    DIRJOBS,
    environment,
    heartbeats,
    log_of,
    make_queue,
    refusal,
    run,
    where_jobs_are,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX processes and signals")


def test_each_job_is_run_once_and_ends_where_its_exit_code_says(tmp_path):
    queue = make_queue(tmp_path / "jobs", "job1.txt", "job2.csv", "job10", "killed.txt")
    script = 'echo "$1"; case "$1" in *job2*) exit 3;; *killed*) kill -9 $$;; esac'
    done = run("work", "jobs", "--wid", "w1", "--", "sh", "-c", script, "-", "{}", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    lines = [re.sub(r"\d+\.\d s", "T", line) for line in done.stdout.splitlines()]
    assert lines == [
        "[1, 3 wait] job1.txt ...",
        "[1] job1.txt ... done in T",
        "[2, 2 wait] job2.csv ...",
        "[2] job2.csv ... failed in T: exit code 3: jobs/01_running/w1.job2.csv",
        "[3, 1 waits] job10 ...",
        "[3] job10 ... done in T",
        "[4, 0 wait] killed.txt ...",
        "[4] killed.txt ... failed in T: killed by signal 9 (SIGKILL)",
        "2 done, 2 failed in T",
        "See `dirjobs list --failed --reason` and `dirjobs logs JOB`.",
    ]
    for job in ("job1.txt", "job2.csv", "job10", "killed.txt"):
        assert log_of(queue, job) == [f"jobs/01_running/w1.{job}"]
    assert where_jobs_are(queue) == {
        "00_waiting": [],
        "01_running": [],
        "02_done": ["job1.txt", "job10"],
        "99_failed": ["job2.csv", "killed.txt"],
    }
    notes = json.loads((queue / "_queue" / "attempts" / "job2.csv.json").read_text())
    assert [attempt["reason"] for attempt in notes["attempts"]] == [
        "exit code 3: jobs/01_running/w1.job2.csv"
    ]
    assert [beat["ended"] for beat in heartbeats(queue)] == [True]


def test_a_command_without_a_place_for_the_job_gets_nothing(tmp_path):
    queue = make_queue(tmp_path / "jobs", "a.txt")
    done = run("work", "jobs", "--", "echo", "hello", cwd=tmp_path)
    assert done.returncode == 0
    assert log_of(queue, "a.txt") == ["hello"]


def test_the_place_may_be_anywhere_in_an_argument_and_no_shell_reads_it(tmp_path):
    queue = make_queue(tmp_path / "jobs", "a b;$(touch x).txt")
    run("work", "jobs", "--wid", "w", "--", "echo", "--in={}", "{}{}", cwd=tmp_path)
    path = "jobs/01_running/w.a b;$(touch x).txt"
    assert log_of(queue, "a b;$(touch x).txt") == [f"--in={path} {path}{path}"]
    assert not (tmp_path / "x").exists()


def test_options_choose_the_jobs(tmp_path):
    queue = make_queue(tmp_path / "jobs", "a1.txt", "a2.csv", "b1.csv")
    done = run("work", "jobs", "--ext", ".csv", "--filter", "a*", "--", "true", cwd=tmp_path)
    assert done.returncode == 0
    assert where_jobs_are(queue)["02_done"] == ["a2.csv"]


def test_nothing_waiting_is_no_failure(tmp_path):
    make_queue(tmp_path / "jobs")
    done = run("work", "jobs", "--", "true", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "No job is waiting in jobs/00_waiting.\n"


def test_a_job_file_may_be_the_program(tmp_path):
    queue = make_queue(tmp_path / "jobs")
    for name, mode in (("good", 0o755), ("not_executable", 0o644)):
        (queue / "00_waiting" / name).write_text("#!/bin/sh\nexit 0\n")
        (queue / "00_waiting" / name).chmod(mode)
    done = run("work", "jobs", "--", "{}", cwd=tmp_path)
    assert done.returncode == 1
    assert "can't be started: Permission denied" in done.stdout
    assert where_jobs_are(queue)["02_done"] == ["good"]
    assert where_jobs_are(queue)["99_failed"] == ["not_executable"]


def test_a_program_that_the_system_refuses_costs_no_job(tmp_path):
    queue = make_queue(tmp_path / "jobs", "a.txt", "b.txt")
    (tmp_path / "broken").write_bytes(b"\x7fELF nothing")
    (tmp_path / "broken").chmod(0o755)
    assert "can't be started" in refusal(run("work", "jobs", "--", "./broken", cwd=tmp_path))
    assert where_jobs_are(queue)["00_waiting"] == ["a.txt", "b.txt"]


def test_a_job_moved_away_by_hand_is_told_and_the_next_one_is_done(tmp_path):
    queue = make_queue(tmp_path / "jobs", "a.txt", "b.txt")
    script = 'case "$1" in *a.txt) mv "$1" elsewhere;; esac'
    done = run("work", "jobs", "--", "sh", "-c", script, "-", "{}", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "'a.txt' is no longer claimed" in done.stderr
    assert "1 done, 1 lost" in done.stdout
    assert where_jobs_are(queue)["02_done"] == ["b.txt"]


def test_a_store_without_paths_gets_a_copy_of_the_job(tmp_path):
    """The program sees a file of the job's name with the job's bytes, gone afterwards."""
    package = tmp_path / "far"
    (package / "far-1.0.dist-info").mkdir(parents=True)
    (package / "far-1.0.dist-info" / "METADATA").write_text("Name: far\nVersion: 1.0\n")
    (package / "far-1.0.dist-info" / "entry_points.txt").write_text(
        "[dirjobs.backends]\nfar = far:open_store\n"
    )
    (package / "far.py").write_text(
        "from dirjobs.backends.posix.store import PosixStore\n"
        "class Far(PosixStore):\n"
        "    def local_path(self, path):\n"
        "        return None\n"
        "def open_store(url, options):\n"
        "    return Far(url.removeprefix('far://'))\n"
    )
    queue = make_queue(tmp_path / "jobs")
    (queue / "00_waiting" / "a b.txt").write_bytes(b"content\n")
    env = environment()
    env["PYTHONPATH"] += f"{os.pathsep}{package}"
    done = subprocess.run(
        [*DIRJOBS, "work", f"far://{queue}", "--", "sh", "-c", 'echo "$1"; cat "$1"', "-", "{}"],
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    path, content = log_of(queue, "a b.txt")
    assert os.path.basename(path) == "a b.txt"
    assert content == "content"
    assert not os.path.exists(os.path.dirname(path))


def test_names_that_the_terminal_cannot_show(tmp_path):
    make_queue(tmp_path / "jobs", "größe試.txt")
    env = environment(PYTHONIOENCODING="latin-1")
    done = subprocess.run(
        [*DIRJOBS, "work", "jobs", "--", "true"], cwd=tmp_path, env=env, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"gr\xf6\xdfe\\u8a66.txt" in done.stdout


def test_nobody_reads_the_output_any_more(tmp_path):
    queue = make_queue(tmp_path / "jobs", *(f"{n}.txt" for n in range(50)))
    command = [*DIRJOBS, "work", "jobs", "--", "true"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as worker:
        worker.stdout.close()
        assert b"Traceback" not in worker.stderr.read()
    assert where_jobs_are(queue)["01_running"] == []


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_started_without_a_standard_stream(tmp_path, closed):
    queue = make_queue(tmp_path / "jobs", "a.txt")
    for command in (["work", "jobs", "--", "sh", "-c", "echo said"], ["list", "jobs"]):
        done = subprocess.run(
            ["sh", "-c", f'"$@" {closed}', "-", *DIRJOBS, *command],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            timeout=PATIENCE,
        )
        assert (done.returncode, done.stderr) == (0, b"")
    assert log_of(queue, "a.txt") == ["said"]


def test_what_lies_beside_the_installed_script_is_no_module_of_ours(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "smbclient.py").write_text("import no_such_package")
    script = tmp_path / "bin" / "dirjobs"
    script.write_text("from dirjobs.cli import main\nmain()\n")
    done = subprocess.run(
        [sys.executable, str(script), "status", "smb://me@127.0.0.1:1/share/jobs"],
        env=environment(FSSPEC_SMB_PASSWORD="x"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "nothing listens there" in refusal(done)
