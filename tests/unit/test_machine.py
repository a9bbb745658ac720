"""What each slot gets of a machine."""

import os
import subprocess
import sys

import pytest

from dirjobs.errors import ConfigurationError
from dirjobs.recovery.process import memory_of
from dirjobs.runner import machine
from dirjobs.runner.machine import Allotment
from dirjobs.sizes import told

MIB = 1 << 20


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1M", MIB),
        ("500m", 500 * MIB),
        ("2G", 2048 * MIB),
        (" 1.5 GiB ", 1536 * MIB),
        ("2GB", 2048 * MIB),
        ("1T", 1 << 40),
        ("3145728", 3 * MIB),
    ],
)
def test_size(text, number):
    assert machine.size(text) == number


@pytest.mark.parametrize("text", ["", "G", "2X", "-1G", "0", "1000", "1e9", "2 G i", "inf", "nan"])
def test_what_is_no_size(text):
    with pytest.raises(
        ConfigurationError, match=r"is no size of memory: write one such as 500M or 2G"
    ):
        machine.size(text)


@pytest.mark.parametrize(
    ("number", "text"), [(512, "512 B"), (2048, "2 KiB"), (1.5 * (1 << 30), "1.5 GiB")]
)
def test_told(number, text):
    assert told(number) == text


def test_devices():
    assert machine.devices("0, 1,GPU-5c89") == ("0", "1", "GPU-5c89")
    for text, problem in [("", "names no GPU"), ("0,,1", "names no GPU"), ("0,0", "twice")]:
        with pytest.raises(ConfigurationError, match=problem):
            machine.devices(text)


def test_slots(monkeypatch):
    monkeypatch.setattr(machine, "cores", lambda: 6)
    assert machine.slots("", ()) == 1
    assert machine.slots("3", ()) == 3
    assert machine.slots("auto", ()) == 6
    assert machine.slots("", ("0", "1")) == machine.slots("auto", ("0", "1")) == 2
    assert machine.slots("1", ("0", "1")) == 1
    with pytest.raises(ConfigurationError, match=r"^--slots 3 is more than the 2 of --gpus"):
        machine.slots("3", ("0", "1"))


def test_cores_are_those_that_this_process_may_use():
    assert 1 <= machine.cores() <= os.cpu_count()


def test_the_cores_are_shared_out_unless_somebody_has_said_how(monkeypatch):
    monkeypatch.setattr(machine, "cores", lambda: 6)
    told = Allotment(slots=4, gpus=("7", "8", "9", "1")).variables(3, {"MKL_NUM_THREADS": "6"})
    assert told["OMP_NUM_THREADS"] == told["OPENBLAS_NUM_THREADS"] == "1"
    assert "MKL_NUM_THREADS" not in told
    assert told["CUDA_VISIBLE_DEVICES"] == "9"
    assert Allotment(slots=2).variables(1, {})["OMP_NUM_THREADS"] == "3"
    assert "CUDA_VISIBLE_DEVICES" not in Allotment().variables(1, {})


HUNGRY = """
import os, sys
data = bytearray(40 << 20)
if len(sys.argv) > 1 and os.fork():
    os.wait()
else:
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX's")
@pytest.mark.parametrize("forks", [[], ["forks"]])
def test_memory_of_a_group_counts_what_is_shared_once(forks):
    program = subprocess.Popen(
        [sys.executable, "-c", HUNGRY, *forks],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        process_group=0,
    )
    with program:
        assert program.stdout.readline() == b"ready\n"
        used = memory_of(program.pid)
        assert Allotment(memory=20 * MIB).meter(program.pid).look().startswith("used ")
        assert Allotment(memory=1 << 40).meter(program.pid).look() == ""
        meter = Allotment().meter(program.pid)
        assert meter.look() == ""
        assert meter.peak > 40 * MIB
        program.stdin.close()
    assert used > 40 * MIB
    if sys.platform == "linux":
        assert used < 79 * MIB
    assert memory_of(program.pid) == 0
