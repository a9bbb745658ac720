"""What proves that a process is gone, and that nothing else does."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import signal
import subprocess
import sys
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from dirjobs.policy import Policy
from dirjobs.recovery import process
from dirjobs.recovery.heartbeat import Heartbeat
from dirjobs.recovery.peers import is_provably_dead
from dirjobs.recovery.process import Process, group_is_gone, is_same, is_surely_gone, this_process
from tests.command_line import is_alive, wait_until

first_process = process._first_process
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
    monkeypatch.setattr(os, "killpg", refuse, raising=False)
    monkeypatch.setattr(psutil, "pid_exists", refuse)
    assert not is_surely_gone(replace(me, pid=gone), me)
    assert not group_is_gone(gone)


@linux
def test_a_dead_worker_whose_program_runs_on_is_not_dead(me, gone):
    program = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    )
    beat = Heartbeat("w1", 1, Policy(), replace(me, pid=gone), groups=(program.pid,))
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


@linux
def test_older_versions_are_understood():
    """What the first version wrote, on this machine, names the same process."""
    stat = Path("/proc/self/stat").read_text()
    machine = process._read("/etc/machine-id") or platform.node()
    before = {
        "host": platform.node(),
        "machine": hashlib.sha256(f"dirjobs {machine}".encode()).hexdigest()[:16],
        "boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        "namespace": os.readlink("/proc/self/ns/pid"),
        "pid": os.getpid(),
        "started": stat.rpartition(")")[2].split()[19],
    }
    assert Process(**before) == this_process()
    assert asdict(this_process()) == json.loads(json.dumps(before))


@linux
def test_who_is_only_not_buried_yet_is_gone():
    """As a worker that was killed in a container whose first process is no init."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    other = replace(this_process(), pid=child.pid, started=process.start_time(child.pid))
    assert not is_surely_gone(other, this_process())
    child.kill()
    wait_until(lambda: not is_alive(child.pid))
    assert process.start_time(child.pid) == other.started
    assert is_surely_gone(other, this_process())
    child.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX's")
def test_processes_that_cannot_be_listed_are_not_gone(monkeypatch):
    def refuse():
        raise FileNotFoundError("/proc")

    monkeypatch.setattr(psutil, "pids", refuse)
    assert not process.only_zombies(os.getpgid(0))


SYS_EXIT = {"x86_64": 60, "aarch64": 93}


@linux
@pytest.mark.skipif(platform.machine() not in SYS_EXIT, reason="the number of exit(2)")
def test_a_process_whose_first_thread_has_ended_is_alive():
    script = f"""if True:
        import ctypes, threading, time
        threading.Thread(target=time.sleep, args=(60,)).start()
        print(flush=True)
        ctypes.CDLL(None).syscall({SYS_EXIT[platform.machine()]}, 0)
    """
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, process_group=0
    )
    child.stdout.readline()
    try:
        wait_until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
        assert not process.is_zombie(child.pid)
        assert not group_is_gone(child.pid)
    finally:
        child.kill()
        child.communicate()


# -- systems without /proc --------------------------------------------------------------------


@pytest.fixture
def elsewhere(monkeypatch):
    """A system that has no /proc, but a machine id of its own, as macOS."""
    monkeypatch.setattr(process, "_LINUX", False)
    monkeypatch.setattr(process, "_machine_id", lambda: "machine")
    process._machine.cache_clear()
    yield
    process._machine.cache_clear()


def test_death_is_proved_without_proc(elsewhere):
    me = this_process()
    assert me.is_identified
    assert is_same(me, this_process())
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    other = replace(me, pid=child.pid, started=process.start_time(child.pid))
    assert not is_surely_gone(other, me)
    child.communicate(b"\n")
    assert is_surely_gone(other, me)


def test_killed_and_started_again_without_proc(tmp_path):
    """The new worker need not wait for a lease to have the id, and the job."""
    script = """if True:
        import sys
        from dirjobs import DirJobs
        from dirjobs.recovery import process
        process._LINUX = False
        process._machine_id = lambda: "machine"
        queue = DirJobs(sys.argv[1], wid="w1", create=True)
        job = queue.next_and_lock()
        print(job.name(), flush=True)
        input()
        job.done()
        queue.close()
    """
    (tmp_path / "00_waiting").mkdir()
    (tmp_path / "00_waiting" / "job1.txt").touch()

    def started():
        command = [sys.executable, "-c", script, str(tmp_path)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        worker = subprocess.Popen(command, **pipes)
        assert worker.stdout.readline().rstrip() == b"job1.txt"
        return worker

    first = started()
    first.kill()
    first.communicate()
    started().communicate(b"\n")
    assert (tmp_path / "02_done" / "job1.txt").exists()


@pytest.fixture
def starts(monkeypatch, elsewhere):
    """When processes started: as psutil tells it, moving with the clock."""
    times = {1: 1_700_000_000.123456, os.getpid(): 1_700_000_500.5}
    monkeypatch.setattr(process, "_create_time", times.get)
    monkeypatch.setattr(process, "_first_process", lambda: 1)
    return times


@pytest.mark.parametrize("step", [-86400.0, -0.3, 0.3, 86400.0])
def test_a_clock_that_is_set_proves_no_death(starts, step):
    before = this_process()
    for pid in starts:
        starts[pid] += step
    after = this_process()
    assert not is_surely_gone(before, before)
    assert not is_surely_gone(before, after)
    assert not is_surely_gone(after, before)


def test_a_clock_that_is_set_at_this_very_moment_proves_nothing(starts, monkeypatch):
    me = this_process()
    first = iter([starts[1], starts[1] + 60])
    moving = {**starts, os.getpid(): starts[os.getpid()] + 60}
    monkeypatch.setattr(process, "_create_time", lambda p: next(first) if p == 1 else moving[p])
    assert process.start_time(os.getpid()) is None
    monkeypatch.setattr(process, "start_time", lambda pid: None)
    assert not is_surely_gone(me, me)


def test_a_number_used_again_is_another_process_without_proc(starts):
    me = this_process()
    starts[os.getpid()] += 1.5
    assert is_surely_gone(me, me)
    starts[os.getpid()] -= 1.0
    assert not is_surely_gone(me, me)  # psutil may be less exact than that


@pytest.mark.parametrize("told", [None, 0.0])
def test_a_first_process_that_is_not_seen_proves_nothing(elsewhere, monkeypatch, gone, told):
    """In a jail; and psutil says 0 of processes of Windows that it knows nothing of."""

    class Hidden:
        def __init__(self, pid):
            if told is None:
                raise psutil.NoSuchProcess(pid)

        def create_time(self):
            return told

    monkeypatch.setattr(psutil, "Process", Hidden)
    me = this_process()
    assert not me.is_identified
    assert not is_surely_gone(replace(me, pid=gone), me)


def test_another_boot_proves_nothing(starts, gone):
    before = this_process()
    starts[1] += 0.01  # machines with copies of one disk, switched on together
    assert not is_surely_gone(replace(before, pid=gone), this_process())


def test_what_older_versions_knew_without_proc_proves_nothing(starts, gone):
    me = this_process()
    other = Process(me.host, me.machine, pid=gone)
    assert not is_surely_gone(other, me)
    assert not is_surely_gone(me, other)


def test_no_signal_is_sent_on_windows(me, gone, monkeypatch):
    """There os.kill(pid, 0) is Ctrl-C."""
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.delattr(os, "kill")
    monkeypatch.setattr(psutil, "pid_exists", lambda pid: pid == os.getpid())
    assert is_surely_gone(replace(me, pid=gone), me)
    assert not is_surely_gone(me, me, lambda pid: me.started)

    def refuse(pid):
        raise psutil.AccessDenied(pid)

    monkeypatch.setattr(psutil, "pid_exists", refuse)
    assert not is_surely_gone(replace(me, pid=gone), me)


def test_a_boot_of_windows_is_known_by_its_first_program(starts, monkeypatch):
    def listed():
        names = {4: None, 600: "wininit.exe", 700: "python.exe", 800: "WININIT.EXE"}
        return [SimpleNamespace(pid=pid, name=partial(named, name)) for pid, name in names.items()]

    def named(name):
        if name is None:
            raise OSError(22, "Invalid parameter")
        return name

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(psutil, "process_iter", listed)
    monkeypatch.setattr(process, "_first_process", first_process)
    first_process.cache_clear()
    starts.update({600: 1_700_000_001.5, 800: 1_700_000_100.5})
    try:
        me = this_process()
    finally:
        first_process.cache_clear()
    assert (me.boot, me.namespace, me.started) == ("1700000001.500000", "win32", "499.000000")


IOREG = b"""\
+-o Mac14,2  <class IOPlatformExpertDevice, id 0x100000246, registered, matched, active>
    {
      "manufacturer" = <"Apple Inc.">
      "IOPlatformUUID" = "0A1B2C3D-0000-1111-2222-333344445555"
      "IOBusyInterest" = "IOCommand is not serializable"
    }
"""


def test_machines_are_told_apart(monkeypatch, tmp_path):
    tool = tmp_path / "ioreg"
    prints = "import sys; print(open(sys.argv[1]).read())"
    monkeypatch.setattr(process, "_IOREG", [sys.executable, "-c", prints, str(tool)])
    monkeypatch.setattr(sys, "platform", "darwin")
    assert process._machine_id() == ""  # rather than the name, which comes from the network
    tool.write_bytes(IOREG)
    assert process._machine_id() == "0A1B2C3D-0000-1111-2222-333344445555"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(process, "_windows_guid", lambda: "")
    assert process._machine_id() == ""
    monkeypatch.setattr(process, "_windows_guid", lambda: "guid")
    monkeypatch.setattr(platform, "node", lambda: "pc-7")
    assert process._machine_id() == "guid pc-7"


def test_psutil_is_loaded_when_it_is_needed():
    """It would make `import dirjobs` a tenth longer."""
    asked = "import sys; from dirjobs.recovery.process import this_process"
    asked += "; this_process(); print('psutil' in sys.modules)"
    told = subprocess.check_output([sys.executable, "-c", asked], text=True).strip()
    assert told == str(sys.platform != "linux")
