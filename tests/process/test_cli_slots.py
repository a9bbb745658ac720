"""Workers with two slots that are interrupted or killed: no job is lost, no program is left."""

import os
import re
import signal
import subprocess
import sys

import pytest

from tests.amounts import PATIENCE
from tests.command_line import (
    heartbeats,
    is_alive,
    make_queue,
    run,
    starting,
    wait_until,
    where_jobs_are,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX processes and signals")

# A program with a child in its group.  It ends well when there is a file `go`.
JOB = """
sh -c 'while :; do sleep 0.05; done' & echo $$ $! > $DIRJOBS_NAME.new
mv $DIRJOBS_NAME.new $DIRJOBS_NAME.pids
until [ -e go ]; do sleep 0.02; done
"""
TWO = ("--slots", "2", "--wid", "w1")


@pytest.fixture
def start(tmp_path):
    with starting(tmp_path) as start:
        yield start
    for pid in processes(tmp_path):  # of a test that failed
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def queue(tmp_path):
    return make_queue(tmp_path / "jobs", "a", "b", "c")


def processes(folder):
    return [int(pid) for file in folder.glob("*.pids") for pid in file.read_text().split()]


@pytest.fixture
def worker(tmp_path, start, queue):
    """Starts a worker, and waits until both of its slots have a program."""

    def worker(*options, job=JOB):
        process = start("work", "jobs", *TWO, *options, "--", "sh", "-c", job)
        wait_until(lambda: len(processes(tmp_path)) == 4)
        return process

    return worker


def ended(process):
    out, err = process.communicate(timeout=PATIENCE)
    return out, err, process.returncode


WAITING = {"00_waiting": ["a", "b", "c"], "01_running": [], "02_done": [], "99_failed": []}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_gives_both_jobs_back(tmp_path, queue, worker, number, code):
    process = worker()
    process.send_signal(number)
    out, err, returned = ended(process)
    assert (err, returned) == (f"dirjobs: stopped by {number.name}.\n", code)
    lines = sorted(re.sub(r"^\[.*?\] ", "", line) for line in out.splitlines())
    assert lines[1:] == ["a ...", "a ... given back", "b ...", "b ... given back"]
    assert out.splitlines()[-1].startswith("2 given back in")
    assert where_jobs_are(queue) == WAITING
    assert not any(map(is_alive, processes(tmp_path)))
    assert [beat["ended"] for beat in heartbeats(queue)] == [True]
    logs = [log.read_text().splitlines()[-1] for log in (queue / "logs").iterdir()]
    assert len(logs) == 2
    assert all("given back" in line for line in logs)


def test_a_second_signal_waits_for_nobody(tmp_path, queue, worker):
    process = worker(job=f"trap 'touch $DIRJOBS_NAME.asked' TERM; {JOB}")
    process.terminate()
    wait_until(lambda: len(list(tmp_path.glob("*.asked"))) == 2)
    assert all(is_alive(parent) for parent, _ in pairs(tmp_path))
    process.terminate()
    _, err, returned = ended(process)
    assert (err, returned) == ("dirjobs: stopped by SIGTERM.\n", 143)
    assert where_jobs_are(queue) == WAITING
    assert not any(map(is_alive, processes(tmp_path)))


def pairs(folder):
    pids = processes(folder)
    return list(zip(pids[::2], pids[1::2], strict=True))


def test_a_signal_to_drain_lets_both_jobs_end(tmp_path, queue, worker):
    process = worker("--drain")
    process.terminate()
    assert "ending when the 2 running jobs have ended" in process.stderr.readline()
    assert all(map(is_alive, processes(tmp_path)))
    (tmp_path / "go").touch()
    _, err, returned = ended(process)
    assert (err, returned) == ("", 0)
    assert where_jobs_are(queue) == {**WAITING, "00_waiting": ["c"], "02_done": ["a", "b"]}
    assert not any(map(is_alive, processes(tmp_path)))


def test_a_second_signal_ends_the_patience_of_draining(tmp_path, queue, worker):
    process = worker("--drain")
    process.terminate()
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err, returned = ended(process)
    assert (err, returned) == ("dirjobs: stopped by SIGTERM.\n", 143)
    assert where_jobs_are(queue) == WAITING
    assert not any(map(is_alive, processes(tmp_path)))


def test_jobs_that_run_at_once_have_slots_of_their_own(tmp_path, queue, start):
    script = 'touch "$0/$DIRJOBS_SLOT"; until [ -e "$0/1" ] && [ -e "$0/2" ]; do sleep 0.02; done'
    (tmp_path / "seen").mkdir()
    process = start("work", "jobs", *TWO, "--", "sh", "-c", script, str(tmp_path / "seen"))
    assert ended(process)[2] == 0
    assert sorted(os.listdir(tmp_path / "seen")) == ["1", "2"]


def test_an_idle_worker_ends_at_once(tmp_path, queue, start):
    process = start("work", "jobs", *TWO, "--wait", "--poll", "1000", "--", "true")
    wait_until(lambda: len(list(queue.glob("02_done/*"))) == 3)
    process.terminate()
    assert ended(process)[2] == 143


def test_a_killed_worker_leaves_no_program_and_its_jobs_come_back(tmp_path, queue, worker):
    process = worker()
    groups = sorted(parent for parent, _ in pairs(tmp_path))
    wait_until(lambda: sorted(heartbeats(queue)[0]["groups"]) == groups)
    process.kill()
    process.wait()
    wait_until(lambda: not any(map(is_alive, processes(tmp_path))))
    assert where_jobs_are(queue)["01_running"] == ["a", "b"]
    script = 'echo "$DIRJOBS_ATTEMPT"'
    done = run("work", "jobs", "--wid", "w2", "--", "sh", "-c", script, cwd=tmp_path)
    assert done.returncode == 0
    assert where_jobs_are(queue)["02_done"] == ["a", "b", "c"]
    second = (queue / "logs" / "a.w2.log").read_text().splitlines()
    assert "2" in second


def test_a_killed_watchdog_is_replaced(tmp_path, queue, start):
    """Whoever kills it: the next program is guarded again."""
    job = f"if [ $DIRJOBS_NAME = a ]; then until [ -e killed ]; do sleep 0.02; done; else {JOB} fi"
    process = start("work", "jobs", "--wid", "w1", "--", "sh", "-c", job)
    wait_until((queue / "01_running" / "w1.a").exists)
    wait_until(lambda: watchdogs_of(process.pid))
    (watchdog,) = watchdogs_of(process.pid)
    os.kill(watchdog, signal.SIGKILL)
    wait_until(lambda: not is_alive(watchdog))
    (tmp_path / "killed").touch()
    wait_until(lambda: len(processes(tmp_path)) == 2)
    # The watchdog knows of a program when the heartbeat names it.
    groups = [parent for parent, _ in pairs(tmp_path)]
    wait_until(lambda: heartbeats(queue)[0]["groups"] == groups)
    process.kill()
    process.wait()
    wait_until(lambda: not any(map(is_alive, processes(tmp_path))))


def watchdogs_of(worker):
    found = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(worker)], capture_output=True, text=True
    )
    return [
        int(line.split()[0]) for line in found.stdout.splitlines() if "dirjobs-watchdog" in line
    ]


def test_nothing_of_a_worker_is_left(tmp_path, queue, start):
    process = start("work", "jobs", *TWO, "--", "true")
    wait_until(lambda: watchdogs_of(process.pid) or process.poll() is not None)
    watchdogs = watchdogs_of(process.pid)
    assert ended(process)[2] == 0
    assert not any(map(is_alive, watchdogs))
