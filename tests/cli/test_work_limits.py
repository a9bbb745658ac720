"""Machines without room for another thread, process or open file, and servers without room
for a large log."""

import errno
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from threading import Thread

import pytest

from dirjobs.files.output_buffer import shortened
from dirjobs.runner import children
from tests.cli.test_work import log_of
from tests.command_line import environment
from tests.fake_webdav.faults import Fault

SHELL = pytest.mark.skipif(sys.platform == "win32", reason="a job written for a POSIX shell")


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr("dirjobs.runner.execution._PAUSE", 0.01)


@pytest.fixture
def no_room(monkeypatch):
    """A function: no room for threads of this name, so many times."""
    original, left = Thread.start, {}

    def start(thread):
        if left.get(thread.name, 0) > 0:
            left[thread.name] -= 1
            raise RuntimeError("can't start new thread")
        original(thread)

    monkeypatch.setattr(Thread, "start", start)

    def no_room(name, times=10**9):
        left[name] = times

    return no_room


@pytest.fixture
def counting(tmp_path):
    """A command that tells how often it was started."""
    return ["sh", "-c", f"echo $DIRJOBS_NAME >> {tmp_path}/started"]


def started(tmp_path):
    file = tmp_path / "started"
    return sorted(file.read_text().split()) if file.exists() else []


@SHELL
@pytest.mark.parametrize("name", ["dirjobs-output", "dirjobs-wait"])
def test_room_for_a_thread_is_waited_for(local, no_room, counting, tmp_path, name):
    local.put("00_waiting", "a", "b")
    no_room(name, 3)
    local.run("work", "--", *counting)
    assert local.jobs() == {"02_done": ["a", "b"]}
    assert started(tmp_path) == ["a", "b"]
    (line,) = local.stderr.splitlines()
    assert "has no room for another thread" in line


@SHELL
@pytest.mark.parametrize("name", ["output", "wait", "heartbeat", "monitor", "slot-1"])
def test_where_there_is_never_room_nothing_is_started(local, no_room, counting, tmp_path, name):
    """What runs nobody would wait for, and its job would be started once more."""
    local.put("00_waiting", "a")
    no_room(f"dirjobs-{name}")
    local.run("work", "--", *counting, code=2)
    assert local.jobs() == {"00_waiting": ["a"]}
    assert started(tmp_path) == []
    assert "has no room for another thread" in local.stderr.splitlines()[-1]


@SHELL
def test_without_memory_the_job_goes_back(local, monkeypatch, counting, tmp_path):
    def full(path):
        raise MemoryError

    monkeypatch.setattr("dirjobs.runner.template.object_in", full)
    local.put("00_waiting", "a")
    local.run("work", "--", *counting, code=2)
    assert local.jobs() == {"00_waiting": ["a"]}
    assert started(tmp_path) == []
    assert "has no memory left" in local.stderr.splitlines()[-1]


@SHELL
def test_fewer_slots_than_asked_for(local, no_room, counting, tmp_path):
    local.put("00_waiting", "a", "b", "c")
    no_room("dirjobs-slot-2")
    local.run("work", "--slots", 3, "--", *counting)
    assert local.jobs() == {"02_done": ["a", "b", "c"]}
    assert "1 of 3 slots work" in local.stderr


@SHELL
@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_room_for_a_process_is_waited_for(local, monkeypatch, counting, tmp_path, number):
    left = [2]

    def spawn(command, original=children.spawn, **options):
        if command[0] == "sh" and left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number))
        return original(command, **options)

    monkeypatch.setattr(children, "spawn", spawn)
    local.put("00_waiting", "a")
    local.run("work", "--", *counting)
    assert local.jobs() == {"02_done": ["a"]}
    assert started(tmp_path) == ["a"]
    (line,) = local.stderr.splitlines()
    assert f"'sh' can't be started: {os.strerror(number)}; trying again" in line


def test_commands_by_many_threads_get_by_with_fewer(queue, no_room):
    queue.put("99_failed", *(f"job{number}" for number in range(10)))
    no_room("dirjobs-1")
    queue.run("retry", "--failed")
    assert len(queue.names("00_waiting")) == 10


# -- what Python programs print ------------------------------------------------------------

PRINTS = "print('loss 0.3'); import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


def test_what_a_killed_python_program_printed(local, monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    local.put("00_waiting", "a")
    local.run("work", "--", sys.executable, "-c", PRINTS, code=1)
    assert "loss 0.3" in log_of(local, "a")


@SHELL
def test_buffering_that_somebody_asked_for(local, monkeypatch):
    monkeypatch.setenv("PYTHONUNBUFFERED", "")
    local.put("00_waiting", "a")
    local.run("work", "--", sys.executable, "-c", PRINTS, code=1)
    assert "loss 0.3" not in log_of(local, "a").splitlines()


# -- logs that are too large ---------------------------------------------------------------


@SHELL
@pytest.mark.parametrize("limit", [1 << 20, 150_000, 1000])
def test_a_log_that_is_too_large_is_shortened(far, server, monkeypatch, limit):
    sizes = []

    def too_large(fault, request, original=Fault.wants):
        if request.method != "PUT" or not request.name.startswith("jobs/logs/"):
            return False
        sizes.append(int(request.headers["content-length"]))
        return sizes[-1] > limit and original(fault, request)

    monkeypatch.setattr(Fault, "wants", too_large)
    server.faults.add(Fault("status", status=413, times=None))
    far.put("00_waiting", "a", "b")
    script = "echo first; head -c 3000000 /dev/zero | tr '\\0' x | fold; echo; echo last"
    far.run("work", "--", "sh", "-c", script)
    assert far.jobs() == {"02_done": ["a", "b"]}
    if limit < 1 << 17:
        assert "the log of job 'a' is not on the share" in far.stderr
        return
    assert far.stderr == ""
    for job in ("a", "b"):
        lines = log_of(far, job).splitlines()
        assert "first" in lines[:4]
        assert "last" in lines[-4:]
        assert any("bytes are left out here" in line for line in lines)
    # What was learnt from the first log is known at the second one.
    refused = [size for size in sizes if size > limit]
    assert refused == sizes[: len(refused)]
    assert max(Counter(refused).values()) == 2  # each was asked for once more


@pytest.mark.parametrize("size", [1000, 10_000, 100_000])
@pytest.mark.parametrize("most", [1000, 5000, 50_000])
def test_shortened(size, most):
    lines = b"".join(b"line %d\n" % number for number in range(size // 8))
    short = shortened(lines, most)
    assert len(short) <= most
    if len(lines) <= most:
        assert short == lines
        return
    head, rest = short.split(b"\n# ... ")
    told, tail = rest.split(b" bytes are left out here ...\n")
    assert lines.startswith(head)
    assert lines.endswith(tail)
    left_out = int(told.replace(b",", b""))
    assert len(head) + left_out + len(tail) == pytest.approx(len(lines), abs=1)
    again = shortened(short, most // 2)
    told = again.split(b"\n# ... ")[1].split(b" bytes")[0]
    kept = len(again) - len(b"\n# ...  bytes are left out here ...\n") - len(told)
    assert kept + int(told.replace(b",", b"")) == pytest.approx(len(lines), abs=2)


# -- process 1 of a container --------------------------------------------------------------

BURIES = """\
import os, subprocess, sys
from dirjobs.runner import children
ours = children.spawn([sys.executable, "-c", "raise SystemExit(7)"])
strangers = [subprocess.Popen(["true"]) for _ in range(3)]
for process in (*strangers, ours):
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
buried = children.bury_strangers()
children.wait(ours)
assert ours.returncode == 7, ours.returncode
buried += children.bury_strangers()
assert buried == 3, buried
assert children.bury_strangers() == 0
"""


@SHELL
def test_strangers_are_buried_and_ours_are_left_to_those_who_wait():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BURIES],
        capture_output=True, text=True, env=environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@SHELL
def test_process_1_leaves_no_zombies(local, tmp_path):
    """Each job leaves two orphans behind; the last job counts the dead of all others."""
    unshare = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("this user may make no PID namespace")
    local.put("00_waiting", *(f"job{number}" for number in range(4)))
    orphans = "(setsid true &); (sleep 0 &); sleep 0.1"
    count = f"cat /proc/[0-9]*/stat | awk '$3 == \"Z\"' | wc -l > {tmp_path}/zombies"
    script = f"case $DIRJOBS_NAME in job3) {count};; *) {orphans};; esac"
    subprocess.run(
        [*unshare, sys.executable, "-m", "dirjobs", "work", local.url, "--", "sh", "-c", script],
        env=environment(), check=True, capture_output=True,
    )  # fmt: skip
    assert local.names("02_done") == ["job0", "job1", "job2", "job3"]
    assert int(Path(tmp_path, "zombies").read_text()) == 0
