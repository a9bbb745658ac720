"""What proves that a process is gone, and that nothing else does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import fields, replace

import pytest

from dirjobs import process
from dirjobs.policy import Terms
from dirjobs.process import Process, group_is_gone, is_same, is_surely_gone, this_process
from dirjobs.recovery.heartbeat import Beat
from dirjobs.recovery.peers import is_provably_dead
from tests.command_line import is_alive, wait_until

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def me():
    return Process("host", "machine", "boot", "namespace", os.getpid(), "1")


@pytest.fixture
def gone():
    """A process number that nobody has."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@linux
def test_this_process_is_identified_and_not_gone():
    one = this_process()
    assert one.is_identified
    assert is_same(one, this_process())
    assert not is_surely_gone(one, one)
    assert one.machine not in ("", process._read("/etc/machine-id"))


def test_gone_is_proved_by_the_number_alone(me, gone):
    assert is_surely_gone(replace(me, pid=gone), me)


def test_a_number_used_again_is_another_process(me):
    other = replace(me, pid=os.getppid(), started="then")
    assert is_surely_gone(other, me, lambda pid: "now")
    assert not is_surely_gone(other, me, lambda pid: "then")
    assert not is_surely_gone(other, me, lambda pid: None)


@pytest.mark.parametrize("place", ["machine", "boot", "namespace"])
def test_elsewhere_nothing_is_proved(me, gone, place):
    assert not is_surely_gone(replace(me, pid=gone, **{place: "another"}), me)


@pytest.mark.parametrize("unknown", [f.name for f in fields(Process) if f.name != "host"])
def test_what_cannot_be_read_proves_nothing(me, gone, unknown):
    blank = {unknown: 0 if unknown == "pid" else ""}
    other = replace(me, pid=gone)
    assert not is_surely_gone(replace(other, **blank), me)
    assert not is_surely_gone(other, replace(me, **blank))
    assert not is_same(replace(me, **blank), replace(me, **blank))


def test_a_refused_look_proves_nothing(me, gone, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    monkeypatch.setattr(os, "killpg", refuse)
    assert not is_surely_gone(replace(me, pid=gone), me)
    assert not group_is_gone(gone)


@linux
def test_a_dead_worker_whose_program_runs_on_is_not_dead(me, gone):
    program = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    )
    beat = Beat("w1", 1, Terms(), replace(me, pid=gone), groups=(program.pid,))
    try:
        assert not is_provably_dead(beat, me)
    finally:
        program.communicate(b"\n")
    assert is_provably_dead(beat, me)


@linux
def test_a_group_of_which_nobody_is_left_but_to_bury_is_gone():
    """As in a container whose first process is no init."""
    script = "sleep 60 & echo $!"
    leader = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, process_group=0)
    child = int(leader.stdout.readline())
    wait_until(lambda: not is_alive(leader.pid))
    assert not group_is_gone(leader.pid)
    os.kill(child, signal.SIGKILL)
    wait_until(lambda: not is_alive(child))
    assert group_is_gone(leader.pid)
    leader.communicate()


@linux
def test_names_of_programs_do_not_confuse_the_start_time(tmp_path):
    """The second field of /proc/<pid>/stat may hold blanks and brackets."""
    copy = tmp_path / "a) b ("
    copy.symlink_to("/bin/sleep")
    child = subprocess.Popen([str(copy), "60"])
    try:
        started = process.start_time(child.pid)
        assert started is not None
        assert started.isdigit()
        assert started == process.start_time(child.pid)
    finally:
        child.kill()
        child.wait()
    assert process.start_time(child.pid) is None
