"""`Executor`, with workers on this machine: what a call gives comes back, whatever it is."""

import concurrent.futures
import contextlib
import os
import sys
import threading
import time

import psutil
import pytest

from dirjobs import CallFailed, ConfigurationError, Executor
from dirjobs.functions.future import Future
from dirjobs.recovery.process import is_zombie
from tests.amounts import PATIENCE
from tests.command_line import run

from . import calls

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="killed by a POSIX signal")


def value_of(future):
    return future.result(PATIENCE)


def until_there(path):
    until = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.01)


def failure_of(future):
    error = future.exception(PATIENCE)
    assert error is not None
    return error


def test_a_value_comes_back_and_the_folders_look_as_ever(executor, queue):
    future = executor.submit(calls.double, 21)
    assert value_of(future) == 42
    assert (queue / "02_done" / future.job).is_file()
    assert future.job.startswith("double-")
    assert future.host
    assert future.seconds >= 0
    assert "doubling 21" in future.log()
    assert "done" in repr(future)


def test_lambdas_closures_and_classes_of_main_go_along(executor):
    factor = 3

    class Point:
        def __init__(self, x):
            self.x = x

        def scaled(self):
            return Point(self.x * factor)

    Point.__module__ = "__main__"
    assert value_of(executor.submit(lambda x: x + factor, 4)) == 7
    assert value_of(executor.submit(Point(2).scaled)).x == 6


def test_an_exception_comes_back_with_its_traceback(executor, queue):
    error = failure_of(executor.submit(calls.raises, "no such thing"))
    assert isinstance(error, ValueError)
    assert error.args == ("no such thing",)
    told = str(error.__cause__)
    assert "calls.py" in told
    assert "raise ValueError(text)" in told
    assert "log: " in told
    shown = run("list", queue, "--failed", "--reason", cwd=queue)
    assert "ValueError: no such thing" in shown.stdout


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (calls.raises_what_does_not_load, "Picky: onetwo"),
        (calls.interrupted, "KeyboardInterrupt"),
        (calls.leaves, "SystemExit: 3"),
        pytest.param(calls.is_killed, "killed by signal 9", marks=POSIX, id="is_killed"),
        (calls.exits_at_once, "its process ended before it had a value"),
        (calls.generator, "the value of generator, a generator, can't be pickled"),
        (calls.loads_badly, "its value can't be loaded here: RuntimeError: not here"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_what_can_not_be_handed_on_is_one_clear_error(executor, function, told):
    future = executor.submit(function)
    error = failure_of(future)
    assert isinstance(error, CallFailed)
    assert told in str(error)
    assert error.job == future.job
    assert value_of(executor.submit(calls.double, 1)) == 2


def test_endless_recursion_is_an_exception(executor):
    assert isinstance(failure_of(executor.submit(calls.deep, 0)), RecursionError)


def test_an_argument_that_can_not_be_pickled(executor):
    error = failure_of(executor.submit(calls.double, (one for one in "ab")))
    assert isinstance(error, CallFailed)
    assert "a call of double can't be pickled" in str(error)


def test_what_a_call_imports_stays_and_what_it_changes_does_not(executor):
    pids = {value_of(executor.submit(calls.pid)) for _ in range(6)}
    assert len(pids) <= 2
    assert os.getpid() not in pids
    name = "DIRJOBS_TEST_VARIABLE"
    assert {value_of(executor.submit(calls.environment_of, name)) for _ in range(4)} == {None}


def test_what_a_call_leaves_running_is_ended(executor):
    child = value_of(executor.submit(calls.leaves_a_child))
    assert not psutil.pid_exists(child) or is_zombie(child)  # whom nobody has buried
    assert value_of(executor.submit(calls.double, 1)) == 2


def test_a_large_argument_is_stored_once(executor, queue):
    data = os.urandom(200_000)
    many = [str(number) for number in range(150_000)]
    arguments = queue / "_queue" / "arguments"
    before = set(os.listdir(arguments)) if arguments.exists() else set()
    futures = [executor.submit(calls.length, one) for one in (data, many) for _ in range(5)]
    assert [value_of(future) for future in futures] == [200_000] * 5 + [150_000] * 5
    assert len(set(os.listdir(arguments)) - before) == 2
    for future in futures:
        assert (queue / "02_done" / future.job).stat().st_size < 10_000


def test_a_large_value_is_a_file_among_the_results(executor, queue):
    future = executor.submit(calls.of_size, 1_000_000)
    assert len(value_of(future)) == 1_000_000
    (place,) = (queue / "results" / future.job).iterdir()
    assert (place / "value.pickle").stat().st_size > 1_000_000


def test_files_and_numbers_are_in_the_table_of_results(executor, queue):
    future = executor.submit(calls.writes_a_file, "plot.txt")
    assert value_of(future) == {"loss": 0.25, "name": "plot.txt"}
    (place,) = (queue / "results" / future.job).iterdir()
    assert (place / "plot.txt").read_text() == "plot.txt"
    table = run("results", queue, "--where", 'name=="plot.txt"', "--csv", cwd=queue).stdout
    assert "writes_a_file('plot.txt')" in table
    assert "0.25" in table


def test_map_in_chunks_is_one_job_each(executor, queue):
    before = len(os.listdir(queue / "02_done"))
    assert list(executor.map(calls.double, range(20), chunksize=7)) == list(range(0, 40, 2))
    assert len(os.listdir(queue / "02_done")) == before + 3
    assert "7 calls of double" in run("results", queue, "--csv", cwd=queue).stdout
    with pytest.raises(ValueError, match="no"):
        list(executor.map(calls.raises, ["no", "never"], chunksize=2))


def test_wait_and_as_completed(executor):
    futures = [executor.submit(calls.double, number) for number in range(5)]
    done = concurrent.futures.wait(futures, PATIENCE).done
    assert done == set(futures)
    assert {one.result() for one in concurrent.futures.as_completed(futures)} == {0, 2, 4, 6, 8}


def test_a_call_that_waits_can_be_cancelled_and_one_that_runs_can_not(executor, tmp_path, queue):
    path = str(tmp_path / "ran")
    busy = [executor.submit(calls.counts_and_waits, path, number) for number in range(2)]
    until = time.monotonic() + PATIENCE
    while not all(future.running() for future in busy):
        assert time.monotonic() < until
        time.sleep(0.01)
    waits = executor.submit(calls.count_in, path, "never")
    until_there(queue / "00_waiting" / waits.job)
    assert waits.cancel()
    assert waits.cancelled()
    assert not busy[0].cancel()
    open(f"{path}.go", "w").close()
    assert [value_of(future) for future in busy] == [0, 1]
    assert sorted(os.listdir(tmp_path)) == ["ran.0", "ran.1", "ran.go"]
    assert [(tmp_path / f"ran.{number}").read_text() for number in range(2)] == ["0\n", "1\n"]
    assert waits.job in run("list", queue, "--state", "cancelled", cwd=queue).stdout


def test_by_name_a_later_run_finds_what_an_earlier_one_has_stored(tmp_path):
    path = str(tmp_path / "ran")
    queue = tmp_path / "queue"
    for stored in (False, True):
        with Executor(queue, max_workers=1, name="sweep1", create=True) as executor:
            futures = [executor.submit(calls.count_in, path, number) for number in (1, 2, 1)]
            assert [value_of(future) for future in futures] == [1, 2, 1]
            assert [future.stored for future in futures] == [stored] * 3
            assert futures[0].job.startswith("sweep1.count_in-")
            assert value_of(executor.submit(calls.count_in, path, 2)) == 2  # it has ended before
    assert sorted((tmp_path / "ran").read_text().split()) == ["1", "2"]
    with Executor(queue, max_workers=1, name="sweep2", create=True) as executor:
        assert value_of(executor.submit(calls.count_in, path, 1)) == 1
    assert sorted((tmp_path / "ran").read_text().split()) == ["1", "1", "2"]


def test_by_name_a_call_that_failed_is_tried_again(tmp_path):
    path, queue = tmp_path / "there", tmp_path / "queue"
    for seen in (FileNotFoundError, None):
        with Executor(queue, max_workers=1, name="again", create=True) as executor:
            error = executor.submit(os.stat, str(path)).exception(PATIENCE)
        assert error is None if seen is None else isinstance(error, seen)
        path.touch()


def test_calls_stay_in_the_queue_when_the_program_goes(tmp_path):
    executor = Executor(tmp_path / "queue", name="later", create=True)
    future = executor.submit(calls.double, 4)
    executor.shutdown(wait=False)
    until_there(tmp_path / "queue" / "00_waiting" / future.job)
    done = run("work", tmp_path / "queue", "--functions", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert value_of(future) == 8


def test_a_job_that_somebody_removes_is_told_of(tmp_path):
    executor = Executor(tmp_path / "queue", create=True)
    future = executor.submit(calls.double, 4)
    waiting = tmp_path / "queue" / "00_waiting" / future.job
    until_there(waiting)
    os.remove(waiting)
    assert "somebody has removed it" in str(failure_of(future))
    executor.shutdown()


def test_a_worker_that_can_not_start_is_told_of(tmp_path, monkeypatch):
    monkeypatch.setenv("DIRJOBS_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(Exception, match="none"):
        Executor(tmp_path / "queue", max_workers=1, signed=True, create=True)


def test_submit_after_shutdown(tmp_path):
    executor = Executor(tmp_path / "queue", create=True)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(calls.double, 1)


def test_ctrl_c_in_a_with_block_cancels_what_nobody_can_ask_for_any_more(tmp_path):
    queue, path = tmp_path / "queue", str(tmp_path / "ran")
    before = set(threading.enumerate())
    with (
        contextlib.suppress(KeyboardInterrupt),
        Executor(queue, max_workers=1, create=True) as executor,
    ):
        futures = [executor.submit(calls.counts_and_waits, path, number) for number in range(3)]
        until_there(tmp_path / "ran.0")
        raise KeyboardInterrupt
    assert all(future.cancelled() for future in futures)
    assert os.listdir(queue / "00_waiting") == os.listdir(queue / "01_running") == []
    assert sorted(os.listdir(queue / "99_failed")) == sorted(future.job for future in futures)
    assert set(threading.enumerate()) <= before


def test_ctrl_c_leaves_the_calls_of_an_executor_with_a_name(tmp_path):
    queue = tmp_path / "queue"
    with (
        contextlib.suppress(KeyboardInterrupt),
        Executor(queue, name="later", create=True) as executor,
    ):
        future = executor.submit(calls.double, 1)
        until_there(queue / "00_waiting" / future.job)
        raise KeyboardInterrupt
    assert os.listdir(queue / "00_waiting") == [future.job]


def test_checkpoints_of_a_call_that_asks_for_them(tmp_path):
    for seen in ("only 1", "only 2", 3):
        with Executor(
            tmp_path / "queue", max_workers=1, name="k", keep=True, create=True
        ) as executor:
            future = executor.submit(calls.counts_on)
            error = future.exception(PATIENCE)
            assert str(error) == seen if error else future.result() == seen


def test_a_call_that_prints_nothing_has_no_log(executor, queue):
    future = executor.submit(calls.pid)
    value_of(future)
    assert future.log() == ""
    assert not any(future.job in path.name for path in queue.glob("logs/*"))


def test_who_takes_no_calls_is_told_of_them(tmp_path):
    executor = Executor(tmp_path / "queue", name="later", create=True)
    future = executor.submit(calls.double, 1)
    until_there(tmp_path / "queue" / "00_waiting" / future.job)
    done = run("work", tmp_path / "queue", "--", "true", cwd=tmp_path)
    assert "No job is waiting" in done.stdout
    assert ", but 1 call waits for workers with --functions." in done.stdout
    told = run("status", tmp_path / "queue", cwd=tmp_path).stdout
    assert "1 call waits, and no worker takes any: start `dirjobs work --functions`." in told
    assert "Nobody works" not in told
    run("work", tmp_path / "queue", "--functions", cwd=tmp_path)
    assert "call waits" not in run("status", tmp_path / "queue", cwd=tmp_path).stdout
    executor.shutdown()


def test_calls_run_in_the_order_in_which_they_were_submitted(tmp_path):
    path = tmp_path / "ran"
    executor = Executor(tmp_path / "queue", create=True)
    futures = [executor.submit(calls.count_in, str(path), number) for number in range(12)]
    until_there(tmp_path / "queue" / "00_waiting" / futures[-1].job)
    run("work", tmp_path / "queue", "--functions", cwd=tmp_path)
    executor.shutdown()
    assert path.read_text().split() == [str(number) for number in range(12)]


def test_that_a_call_printed_nothing_is_why_it_has_no_log(executor, queue):
    future = executor.submit(calls.pid)
    value_of(future)
    assert "it has printed nothing" in run("logs", queue, future.job, cwd=queue).stderr


@pytest.mark.parametrize("name", ["", "later"])
def test_whoever_asks_map_for_no_more_cancels_what_nobody_else_can_ask_for(tmp_path, name):
    executor = Executor(tmp_path / "queue", name=name, create=True)
    futures = []
    submit = executor.submit
    executor.submit = lambda *call: futures.append(submit(*call)) or futures[-1]
    values = executor.map(calls.double, range(3), timeout=0)
    until_there(tmp_path / "queue" / "00_waiting" / futures[-1].job)
    with pytest.raises(TimeoutError):
        next(values)
    # The first one is asked for, and its time is over; the others are not asked for any more.
    assert [future.cancelled() for future in futures[1:]] == [not name] * 2
    executor.stop()


def test_a_call_is_cancelled_by_whoever_comes_first():
    """Who cancels it and the thread that finds it cancelled may do so at once."""
    future = Future(owner=None, shown="double(1)")
    assert future.be_cancelled()
    assert future.be_cancelled()
    assert future.cancelled()
    assert concurrent.futures.wait([future], timeout=0).done == {future}


def test_a_typo_makes_no_queue(tmp_path):
    with pytest.raises(ConfigurationError, match="create=True"):
        Executor(tmp_path / "typo")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("options", [{"max_workers": 0}, {"name": "a/b"}])
def test_wrong_arguments(tmp_path, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Executor(tmp_path / "queue", **options, create=True)
