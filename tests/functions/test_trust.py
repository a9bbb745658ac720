"""Whose code runs: a pickle is loaded only where somebody has said so."""

import base64
import json
import os
import pickle
import time

import pytest

from dirjobs import CallFailed, DirJobs, Executor
from dirjobs.functions.arguments import digest_of
from dirjobs.functions.calls import CALL_MAGIC, VALUE_MAGIC, pack, this_python
from dirjobs.signing import make_key
from tests.amounts import PATIENCE
from tests.command_line import run

from . import calls

NAME = "innocent-0123456789abcdef.call"


class Canary:
    """Leaves a file wherever it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.fixture
def queue(tmp_path):
    with DirJobs(tmp_path / "queue", create=True) as dj:
        assert dj.next_and_lock() is None  # the first worker gives the queue its id
    return tmp_path / "queue"


@pytest.fixture
def canary(tmp_path):
    return tmp_path / "canary"


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "key"
    make_key(str(path))
    return path


def put_call(queue, canary, **header):
    header = {"function": "f", "shown": "f()", "python": this_python(), **header}
    payload = pickle.dumps(Canary(str(canary)))
    content = CALL_MAGIC + json.dumps(header).encode() + b"\n" + payload
    (queue / "00_waiting" / NAME).write_bytes(content)


@pytest.mark.parametrize(
    "how",
    [
        ("--", "true"),
        ("--", "cat", "{}"),
        (),
    ],
    ids=["command", "placeholder", "brought along"],
)
def test_a_call_is_left_alone_without_functions(queue, canary, how):
    put_call(queue, canary)
    done = run("work", queue, *how, cwd=queue)
    assert done.returncode == 0, done.stderr
    assert os.listdir(queue / "00_waiting") == [NAME]
    for look in ("status", "list", "results", "show"):
        run(look, queue, *([NAME] if look == "show" else []), cwd=queue)
    assert not canary.exists()


def test_with_functions_it_is_loaded(queue, canary):
    """Else the other tests would prove nothing."""
    put_call(queue, canary)
    run("work", queue, "--functions", "--max-attempts", "1", cwd=queue)
    assert canary.exists()


def test_with_a_key_what_is_not_signed_is_not_loaded(queue, canary, key_file):
    put_call(queue, canary)
    done = run("work", queue, "--functions", "--signed-only", "--key-file", key_file, cwd=queue)
    assert done.returncode == 1
    assert os.listdir(queue / "99_failed") == [NAME]
    assert not canary.exists()


def test_with_a_key_calls_are_signed_and_values_are(queue, key_file):
    with Executor(queue, max_workers=1, key_file=str(key_file), create=True) as executor:
        assert executor.submit(calls.double, 4).result(PATIENCE) == 8
        assert len(executor.submit(calls.of_size, 100_000).result(PATIENCE)) == 100_000


def test_an_argument_that_somebody_exchanged_is_not_loaded(queue, canary, key_file):
    data = os.urandom(200_000)
    executor = Executor(queue, key_file=str(key_file), create=True)
    future = executor.submit(calls.length, data)
    until = time.monotonic() + PATIENCE
    while not os.path.exists(queue / "00_waiting" / future.job):
        assert time.monotonic() < until
        time.sleep(0.01)
    (stored,) = os.listdir(queue / "_queue/arguments")
    assert stored == digest_of(pickle.dumps(data, 5))
    (queue / "_queue/arguments" / stored).write_bytes(pickle.dumps(Canary(str(canary))))
    run("work", queue, "--functions", "--signed-only", "--key-file", key_file, cwd=queue)
    assert "not what its name says" in str(future.exception(PATIENCE))
    assert not canary.exists()
    executor.shutdown()


@pytest.mark.parametrize("place", ["journal", "file"])
def test_a_value_that_is_not_signed_is_not_loaded(queue, canary, key_file, place):
    executor = Executor(queue, key_file=str(key_file), create=True)
    future = executor.submit(calls.double, 1)
    waiting = queue / "00_waiting" / future.job
    until = time.monotonic() + PATIENCE
    while not waiting.exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    forged = VALUE_MAGIC + b"a" * 64 + b"\n" + pickle.dumps(Canary(str(canary)))
    record = {"job": future.job, "worker": "w9", "end": "done", "ended": "2030-01-01T00:00:00Z"}
    if place == "journal":
        record["value"] = base64.b64encode(forged).decode()
    else:
        record["files"] = f"results/{future.job}/w9"
        (queue / record["files"]).mkdir(parents=True)
        (queue / record["files"] / "value.pickle").write_bytes(forged)
    os.rename(waiting, queue / "02_done" / future.job)
    (queue / "_queue/journal/w9.1.jsonl").write_text(json.dumps(record) + "\n")
    error = future.exception(PATIENCE)
    assert isinstance(error, CallFailed)
    assert "not signed" in str(error)
    assert not canary.exists()
    executor.shutdown()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"dirjobs call 1\n",
        CALL_MAGIC + b"{}\n",
        CALL_MAGIC + b"[" * 100_000,
        CALL_MAGIC + b'{"function": "f", "shown": "f()", "python": "3.11", "stored": ["../x"]}\n',
        os.urandom(1000),
    ],
    ids=["empty", "cut", "no header", "deep", "odd digest", "noise"],
)
def test_what_is_no_call_fails_alone(queue, content):
    (queue / "00_waiting" / NAME).write_bytes(content)
    executor = Executor(queue, create=True)
    future = executor.submit(calls.double, 3)
    until = time.monotonic() + PATIENCE
    while len(os.listdir(queue / "00_waiting")) < 2:
        assert time.monotonic() < until
        time.sleep(0.01)
    done = run("work", queue, "--functions", cwd=queue)
    assert "Traceback" not in done.stderr
    assert os.listdir(queue / "99_failed") == [NAME]
    assert future.result(PATIENCE) == 6
    executor.shutdown()


def test_a_call_of_another_python_is_left_to_others_and_then_given_up(queue, tmp_path):
    header = {"function": "f", "shown": "f()", "python": "2.7"}
    content = CALL_MAGIC + json.dumps(header).encode() + b"\n"
    (queue / "00_waiting" / NAME).write_bytes(content)
    for attempt in (1, 2):
        done = run("work", queue, "--functions", "--max-attempts", "2", cwd=queue)
        told = f"it was made by Python 2.7, and this worker, on {os.uname().nodename}, has Python"
        assert told in done.stderr + done.stdout
        assert os.listdir(queue / ("00_waiting" if attempt == 1 else "99_failed")) == [NAME]
    shown = run("list", queue, "--failed", "--reason", cwd=queue).stdout
    assert "2 workers could not run it" in shown


def test_a_package_that_is_missing_is_named_with_its_version(queue):
    packed = pack(calls.double, (1,), {}, digest_of)
    header = packed.header
    header.packages = {"no_such_package": "1.2.3"}
    payload = packed.payload.replace(b"tests.functions.calls", b"no_such_package.calls")
    payload = packed._replace(payload=payload).to_bytes()
    (queue / "00_waiting" / NAME).write_bytes(payload)
    done = run("work", queue, "--functions", "--max-attempts", "1", cwd=queue)
    shown = run("list", queue, "--failed", "--reason", cwd=queue).stdout
    assert "it needs no_such_package 1.2.3 (not installed here)" in shown, done.stderr
