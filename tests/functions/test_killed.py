"""Workers and programs that are killed in the middle of a map: no call is lost, and none whose
value is stored is run again."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from dirjobs import Executor
from tests.amounts import PATIENCE
from tests.command_line import DIRJOBS, environment
from tests.servers.child import die_with_parent

from . import calls

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="killed by a POSIX signal")

PROGRAM = """
import sys
from dirjobs import Executor
from tests.functions.calls import takes_a_moment

if __name__ == "__main__":
    with Executor(sys.argv[1], name="sweep", create=True) as executor:
        print(sum(executor.map(takes_a_moment, [sys.argv[2]] * 40, range(40))))
"""


def worker(queue):
    command = [*DIRJOBS, "work", str(queue), "--functions", "--wait", "--poll", "0.05"]
    return subprocess.Popen(
        command,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=die_with_parent,
    )


def until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def ran(path):
    return path.read_text().split() if path.exists() else []


def test_a_worker_is_killed_in_the_middle_of_a_map(tmp_path):
    queue, path = tmp_path / "queue", tmp_path / "ran"
    with Executor(queue, create=True) as executor:
        workers = [worker(queue), worker(queue)]
        try:
            values = executor.map(calls.takes_a_moment, [str(path)] * 40, range(40))
            for number in (5, 15):
                until(lambda number=number: len(ran(path)) > number)
                victim = workers.pop(0)
                victim.send_signal(signal.SIGKILL)
                victim.wait()
                workers.append(worker(queue))
            assert list(values) == list(range(40))
        finally:
            for process in workers:
                process.terminate()
                process.wait()
    twice = [one for one, times in Counter(ran(path)).items() if times > 1]
    assert set(ran(path)) == set(map(str, range(40)))
    assert len(twice) <= 2, "each death costs at most the call that was running"
    assert len(os.listdir(queue / "02_done")) == 40


def test_the_program_is_killed_and_started_again(tmp_path):
    queue, path, program = tmp_path / "queue", tmp_path / "ran", tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), str(queue), str(path)]
    options = {"env": environment(), "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, preexec_fn=die_with_parent, **options) as first:
        until(lambda: (queue / "00_waiting").exists())
        one = worker(queue)
        until(lambda: len(ran(path)) > 5)
        first.kill()
    try:
        again = subprocess.run(command, check=True, timeout=PATIENCE, **options)
        assert again.stdout.split() == [str(sum(range(40)))]
        third = subprocess.run(command, check=True, timeout=PATIENCE, **options)
        assert third.stdout == again.stdout
    finally:
        one.terminate()
        one.wait()
    assert sorted(ran(path), key=int) == list(map(str, range(40)))


def test_workers_of_an_executor_end_with_a_program_that_is_killed(tmp_path):
    code = (
        "import sys, time; from dirjobs import Executor\n"
        "executor = Executor(sys.argv[1], max_workers=1, create=True)\n"
        "print(executor._workers._process.pid, flush=True)\n"
        "time.sleep(3600)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "queue")]
    program = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
    pid = int(program.stdout.readline())
    assert os.path.exists(f"/proc/{pid}") or sys.platform != "linux"
    program.kill()
    program.communicate()

    def is_gone():
        status = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True)
        return status.stdout.strip()[:1] in (b"", b"Z")

    until(is_gone)
