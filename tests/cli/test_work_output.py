"""What programs print, whatever it is, and what they leave behind."""

import os
import signal
import sys
from pathlib import Path
from threading import Thread

import pytest

from dirjobs.files.output_buffer import OutputBuffer
from dirjobs.runner.shutdown import Shutdown
from tests.cli.test_work import log_of, reasons, said
from tests.command_line import a_job, is_alive, python, until_there, wait_until

SHELL = pytest.mark.skipif(sys.platform == "win32", reason="a job written for a POSIX shell")


@pytest.fixture
def capture(tmp_path):
    capture = OutputBuffer(str(tmp_path), head=100, tail=200)
    yield capture
    capture.close()


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 299, 300])
@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_what_fits_is_kept_as_it_is(capture, size, piece):
    data = os.urandom(size)
    for at in range(0, size, piece):
        capture.write(data[at : at + piece])
    assert capture.content() == data


@pytest.mark.parametrize("size", [301, 400, 499, 500, 501, 5000])
@pytest.mark.parametrize("piece", [1, 7, 150, 10_000])
def test_of_more_the_beginning_and_the_end_are_kept(capture, size, piece):
    data = bytes(1 + at % 9 for at in range(size))
    for at in range(0, size, piece):
        capture.write(data[at : at + piece])
    head, told, tail = capture.content().split(b"\n")
    assert (head, tail) == (data[:100], data[-200:])
    assert told == f"# ... {size - 300:,} bytes are left out here ...".encode()


@pytest.mark.parametrize("size", [0, 90, 95, 100, 290, 300, 5000])
def test_the_last_line(capture, size):
    capture.write(b"-" * size + b"\nit said why\n\n")
    assert capture.last_line() == "it said why"
    capture.note("attempt 2")
    assert capture.last_line() == ""
    capture.write(b"\xff\n")
    assert capture.last_line() == "\N{REPLACEMENT CHARACTER}"


def test_of_a_last_line_that_is_too_long_nothing_is_told(capture):
    capture.write(b"short\n" + b"https://me:secret@" * 50)
    assert capture.last_line() == ""


def test_where_lines_are_short_only_whole_ones_are_kept(capture):
    lines = [f"line {number}" for number in range(1000)]
    text = "".join(f"{line}\n" for line in lines)
    capture.write(text.encode())
    head, _, tail = capture.content().decode().partition("# ... ")
    left_out, _, tail = tail.partition(" bytes are left out here ...\n")
    head, tail = head.splitlines(), tail.splitlines()
    assert head == lines[: len(head)]
    assert tail == lines[-len(tail) :]
    middle = "".join(f"{line}\n" for line in lines[len(head) : -len(tail)])
    assert int(left_out.replace(",", "")) == len(middle)


def test_a_full_local_disk_costs_output_and_no_job(capture):
    capture.write(b"first\n")

    class Full:
        def __init__(self, file):
            self.file = file

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, data):
            raise OSError(28, "No space left on device")

    capture._file = Full(capture._file)
    capture.write(b"second\n")
    assert b"# No space left on device: some output could not be kept" in capture.content()


def test_nothing_is_taken_in_after_the_end(capture):
    capture.close()
    capture.write(b"late")
    capture.note("late")


# -- programs ------------------------------------------------------------------------------


@SHELL
def test_a_program_that_prints_a_lot(local):
    """Memory stays flat, the log bounded."""
    resource = pytest.importorskip("resource")
    local.put("00_waiting", "a")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    script = "echo first; head -c 200000000 /dev/zero | tr '\\0' x; echo; echo last"
    local.run("work", "--", "sh", "-c", script)
    assert local.jobs() == {"02_done": ["a"]}
    lines = said(local, "a")
    assert (lines[0], lines[-1]) == ("first", "last")
    assert 5 << 20 <= len(log_of(local, "a")) < (5 << 20) + 10_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


@SHELL
def test_a_program_that_prints_bytes(queue):
    data = bytes(range(256)) * 100
    queue.put("00_waiting", "a", data=data)
    queue.run("work", "--wid", "w1", "--", "cat", "{}")
    assert data in queue.store.read("logs/a.w1.log")


def test_both_outputs_in_their_order(local):
    local.put("00_waiting", "a")
    local.run(
        "work",
        "--",
        *a_job("print(1, flush=True)\nprint(2, file=sys.stderr, flush=True)\nprint(3)"),
    )
    assert said(local, "a") == ["1", "2", "3"]


@SHELL
def test_a_daemon_that_keeps_the_output_open_is_not_waited_for(local, tmp_path):
    local.put("00_waiting", "a")
    daemon = f"echo $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; exec sleep 1000"
    script = f"setsid sh -c '{daemon}' & until [ -e {tmp_path}/pid ]; do sleep 0.01; done; echo on"
    local.run("work", "--", "sh", "-c", script)
    pid = int((tmp_path / "pid").read_text())
    try:
        assert is_alive(pid)  # it asked for a session of its own
        assert said(local, "a") == ["on"]
        assert local.jobs() == {"02_done": ["a"]}
    finally:
        os.kill(pid, signal.SIGKILL)


@SHELL
@pytest.mark.parametrize("stubborn", ["", 'trap "" TERM;'])
def test_what_a_program_leaves_running_is_ended(local, tmp_path, stubborn, monkeypatch):
    monkeypatch.setattr("dirjobs.runner.process.GRACE", 0.2)
    local.put("00_waiting", "a")
    child = f"{stubborn} echo $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid"
    child += "; while :; do sleep 0.1; done"
    script = f"sh -c '{child}' & until [ -e {tmp_path}/pid ]; do sleep 0.01; done"
    local.run("work", "--", "sh", "-c", script)
    assert not is_alive(int((tmp_path / "pid").read_text()))
    assert "what it left running was ended" in log_of(local, "a")
    assert local.jobs() == {"02_done": ["a"]}


@SHELL
def test_a_program_that_never_ends_and_ignores_being_asked(local, tmp_path, monkeypatch):
    monkeypatch.setattr("dirjobs.runner.process.GRACE", 0.2)
    local.put("00_waiting", "a")
    script = f"trap '' TERM; echo $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid"
    script += "; while :; do sleep 0.1; done"

    def wait_for(shutdown, over, seconds=None, original=Shutdown.wait_for):
        if seconds is not None:  # its time begins when it ignores what it is asked
            wait_until((tmp_path / "pid").exists)
        return original(shutdown, over, seconds)

    monkeypatch.setattr(Shutdown, "wait_for", wait_for)
    local.run("work", "--timeout", 0.5, "--", "sh", "-c", script, code=1)
    assert reasons(local, "a") == ["timeout after 0.5 s"]
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_a_job_whose_file_goes_away_while_it_runs(queue, monkeypatch):
    """It is noticed at the next look, long before the program would end."""
    monkeypatch.setattr("dirjobs.runner.slots.LOOK", 0.1)
    queue.put("00_waiting", "a", "b")
    stay = a_job("if os.environ['DIRJOBS_NAME'] == 'a': (out / 'x').touch(); time.sleep(1000)")

    def take_away():
        wait_until(lambda: "w1.a" in queue.names("01_running"))
        wait_until(lambda: queue.store.exists("logs/a.w1.log"))  # it runs
        queue.store.remove("01_running/w1.a")

    thread = Thread(target=take_away)
    thread.start()
    queue.run("work", "--wid", "w1", "--", *stay, code=1)
    thread.join()
    assert queue.jobs() == {"02_done": ["b"]}
    assert "'a' is no longer claimed" in queue.stderr
    assert "the claim was lost" in log_of(queue, "a")
    assert not queue.store.exists("results/a")


def test_the_log_of_a_running_job_is_on_the_share(queue, monkeypatch, tmp_path):
    monkeypatch.setattr("dirjobs.runner.slots.LOOK", 0.1)
    queue.put("00_waiting", "a")
    wait = until_there(tmp_path / "go")
    command = a_job(f"print('halfway', flush=True)\n{wait}print('over')")

    def look():
        wait_until(lambda: queue.store.exists("logs/a.w1.log"))
        wait_until(lambda: b"halfway" in queue.store.read("logs/a.w1.log"))
        assert queue.names("01_running") == ["w1.a"]
        (tmp_path / "go").touch()

    thread = Thread(target=look)
    thread.start()
    queue.run("work", "--wid", "w1", "--", *command)
    thread.join()
    assert said(queue, "a") == ["halfway", "over"]


@SHELL
def test_no_temporary_file_is_left(local, tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    local.put("00_waiting", "a", "b")
    script = 'mkdir "$DIRJOBS_OUT/x" && touch "$DIRJOBS_OUT/x/y" && chmod 500 "$DIRJOBS_OUT/x"'
    local.run("work", "--", "sh", "-c", script)
    assert list(Path(tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["true"], True),
        (["true", "{{seed}}"], True),
        (["true", "{seed}"], False),
        (["true", "{}"], False),
        (python("'DIRJOBS_PARAM_SEED'"), False),
    ],
)
def test_a_command_that_is_the_same_for_all_parameters_is_told_of_once(local, command, told):
    local.run("add", "--param", "seed\x1b=1,2", "--param", "seed=1")
    local.run("work", "--", *command)
    hint = (
        "dirjobs: the command names no parameter, such as {seed\\x1b}, and no {}: it is the same"
        " for all jobs, unless it reads DIRJOBS_PARAM_SEED_ and the like.\n"
    )
    assert local.stderr == (hint if told else "")
    local.put("00_waiting", "no parameters")
    local.run("work", "--", "true")
    assert local.stderr == ""
