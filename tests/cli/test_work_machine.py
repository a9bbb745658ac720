"""What `dirjobs work` gives each slot of its machine, and takes from jobs that want more."""

import os
import shlex
import sys

import pytest

from dirjobs.runner import machine
from dirjobs.runner.shutdown import Shutdown
from tests.cli.test_work import log_of

SHELL = pytest.mark.skipif(sys.platform == "win32", reason="a job written for a POSIX shell")

TELL = ["sh", "-c", 'echo "$@" $DIRJOBS_SLOT $CUDA_VISIBLE_DEVICES $OMP_NUM_THREADS', "sh"]


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    monkeypatch.setattr(machine, "cores", lambda: 8)
    for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)


def printed(local, job):
    return log_of(local, job).splitlines()


@SHELL
def test_each_slot_has_a_number_a_gpu_and_its_cores(local):
    local.put("00_waiting", "a", "b", "c")
    local.run("work", "--gpus", "4,5", "--", *TELL, "{slot}")
    for job in "abc":
        (line,) = [one for one in printed(local, job) if one.endswith(" 4") and one[0] in "12"]
        slot, same, gpu, cores = line.split()
        assert (same, gpu, cores) == (slot, str(3 + int(slot)), "4")


@SHELL
def test_slots_auto(local):
    local.put("00_waiting", "a")
    local.run("work", "--slots", "auto", "--", *TELL)
    assert any(line.split()[1:] == ["1"] for line in printed(local, "a"))


@SHELL
def test_threads_that_are_set_stay_as_they_are(local, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    local.put("00_waiting", "a")
    local.run("work", "--slots", 8, "--", *TELL)
    assert any(line.split()[1:] == ["3"] for line in printed(local, "a"))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--slots", "many"], "'many' is not a valid integer"),
        (["--slots", "0"], "0 is not in the range"),
        (["--slots", "3", "--gpus", "0,1"], "--slots 3 is more than the 2 of --gpus"),
        (["--gpus", "0,0"], "names a GPU twice"),
        (["--memory", "lots"], "'lots' is no size of memory"),
        (["--nice", "20"], "20 is not in the range"),
        (["--retry-delay", "1"], "--retry-delay means nothing without --retries"),
        (["--backoff", "2"], "--backoff means nothing without --retries"),
        (["--retries", "1", "--backoff", "nan"], "--backoff nan is no factor from 1 to 10"),
    ],
)
def test_mistakes(local, options, problem):
    local.put("00_waiting", "a")
    local.run("work", *options, "--", "true", code=2)
    assert problem in local.stderr
    assert "Traceback" not in local.stderr
    assert local.jobs() == {"00_waiting": ["a"]}


@SHELL
def test_a_script_reads_the_slot_from_its_environment(local):
    local.put("00_waiting", "a")
    told = local.refused("work", "--", "sh", "-c", "echo {slot}")
    assert '"$DIRJOBS_SLOT"' in told


@SHELL
def test_a_job_that_takes_too_much_memory_fails_and_the_others_go_on(local, monkeypatch):
    monkeypatch.setattr("dirjobs.runner.machine._PAUSE_WITH_LIMIT", 0.02)
    local.put("00_waiting", "a", "b")
    program = "import time; x = bytearray(90 << 20); time.sleep(600)"
    hungry = f"{shlex.quote(sys.executable)} -c {shlex.quote(program)}"
    script = f'if [ "$1" = a ]; then {hungry} & wait; fi'
    local.run("work", "--memory", "60M", "--", "sh", "-c", script, "sh", "{name}", code=1)
    assert local.jobs() == {"02_done": ["b"], "99_failed": ["a"]}
    assert "used " in log_of(local, "a")
    assert " MiB of memory, and may use 60 MiB" in log_of(local, "a")


@SHELL
def test_commands_are_nicer_than_their_worker(local):
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    local.put("00_waiting", "a")
    script = f"while [ $(ps -o ni= -p $$) -ne {min(19, ours + 7)} ]; do :; done"
    local.run("work", "--nice", 7, "--timeout", 120, "--", "sh", "-c", script)
    assert local.jobs() == {"02_done": ["a"]}
    assert os.getpriority(os.PRIO_PROCESS, 0) == ours


def test_a_command_that_fails_is_run_again_after_growing_pauses(local, monkeypatch):
    pauses, wait_for = [], Shutdown.wait_for

    def noted(shutdown, predicate, seconds=None):
        if seconds is None or seconds < 100:
            return wait_for(shutdown, predicate, seconds)
        pauses.append(seconds)
        return predicate()

    monkeypatch.setattr(Shutdown, "wait_for", noted)
    local.put("00_waiting", "a")
    options = ["--retries", 3, "--retry-delay", 1000, "--backoff", 3]
    local.run("work", *options, "--", "false", code=1)
    assert pauses == [1000.0, 3000.0, 9000.0]
    assert "exit code 1; running it again in" in log_of(local, "a")
