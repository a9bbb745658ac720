"""Workers on Windows: all that they start ends with them, and is started as it was meant."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import psutil
import pytest

from tests.amounts import amount
from tests.command_line import DIRJOBS, environment, make_queue, run, starting, wait_until
from tests.command_line import where_jobs_are as jobs

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="processes of Windows")

TREE = """
import os, pathlib, subprocess, sys, time
role = sys.argv[1]
if role == "child":
    subprocess.Popen([sys.executable, __file__, "grandchild"])
new = pathlib.Path(f"{os.environ['DIRJOBS_NAME']}.{role}.new")
new.write_text(str(os.getpid()))
new.rename(new.with_suffix(".pid"))
if "quick" not in sys.argv:
    time.sleep(300)
"""


@pytest.fixture
def here(tmp_path):
    """A folder whose name has blanks and umlauts, with a program that starts another one."""
    folder = tmp_path / "größe und maß"
    folder.mkdir()
    (folder / "tree.py").write_text(TREE)
    return folder


@pytest.fixture
def start(here):
    with starting(here) as start:
        yield start


def pids(here):
    return [int(path.read_text()) for path in here.glob("*.pid")]


def are_gone(pids):
    return not any(map(psutil.pid_exists, pids))


def work(here, *command, code=0, **more):
    done = subprocess.run(
        [*DIRJOBS, "work", "jobs", "--keep-going", "--", *command],
        cwd=here,
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == code, (done.stdout, done.stderr)
    return done


def log(here, job):
    """What a job printed; its log is UTF-8."""
    (path,) = (here / "jobs" / "logs").glob(f"{job}.*.log")
    data = path.read_bytes()
    assert b"\r" not in data
    return [line for line in data.decode().splitlines() if not line.startswith("# ")]


# -- what is started ends ------------------------------------------------------------------

again_and_again = pytest.mark.parametrize("time", range(amount(1, 50)))


@again_and_again
def test_all_that_runs_ends_with_a_worker_that_is_killed(here, start, time):
    queue = make_queue(here / "jobs", "a", "b")
    worker = start("work", "jobs", "--slots", "2", "--", sys.executable, "tree.py", "child")
    wait_until(lambda: len(pids(here)) == 4)
    worker.kill()
    wait_until(lambda: are_gone(pids(here)))
    assert jobs(queue)["01_running"] == ["a", "b"]
    (here / "quick.py").write_text("")
    work(here, sys.executable, "quick.py")  # which proves that the other one is dead
    assert jobs(queue)["02_done"] == ["a", "b"]


@again_and_again
def test_a_timeout_ends_what_the_program_has_started(here, start, time):
    queue = make_queue(here / "jobs", "a")
    worker = start("work", "jobs", "--timeout", "30", "--", sys.executable, "tree.py", "child")
    wait_until(lambda: len(pids(here)) == 2)
    out, _ = worker.communicate()
    assert worker.returncode == 1
    assert "timeout after 30 s" in out
    assert are_gone(pids(here))
    assert jobs(queue)["99_failed"] == ["a"]


def test_what_a_program_leaves_running_is_ended(here):
    queue = make_queue(here / "jobs", "a")
    work(here, sys.executable, "tree.py", "child", "quick")
    assert are_gone(pids(here))
    assert jobs(queue)["02_done"] == ["a"]
    (path,) = (queue / "logs").glob("a.*.log")
    assert "what it left running was ended" in path.read_text("utf-8")


def test_short_programs_in_many_slots(here):
    """A program that ends at once is in a Job object before it begins."""
    names = [f"{number:03}" for number in range(24)]
    queue = make_queue(here / "jobs", *names)
    done = run("work", "jobs", "--slots", "8", "--", sys.executable, "-c", "", cwd=here)
    assert done.returncode == 0, done.stderr
    assert jobs(queue)["02_done"] == names


@again_and_again
def test_the_end_of_a_console_gives_jobs_back(here, time):
    """The handler is called as Windows calls it, in a thread of its own."""
    queue = make_queue(here / "jobs", "a")
    closing = """
import ctypes, pathlib, sys, threading, time
from dirjobs.cli import main
from dirjobs.runner import console_events
begin = console_events.ConsoleEvents.begin
def begin_and_close(events):
    begin(events)
    def close():
        while len([*pathlib.Path().glob("*.pid")]) < 2:
            time.sleep(0.05)
        events._handler(2)
        print("the handler has returned")
    threading.Thread(target=close, daemon=True).start()
console_events.ConsoleEvents.begin = begin_and_close
main(sys.argv[1:], prog_name="dirjobs")
"""
    command = ["work", "jobs", "--drain", "--", sys.executable, "tree.py", "child"]
    done = subprocess.run(
        [sys.executable, "-c", closing, *command],
        cwd=here,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "stopped by CTRL_CLOSE_EVENT" in done.stderr, (done.stdout, done.stderr)
    assert "returned" not in done.stdout
    assert done.returncode == 149
    assert are_gone(pids(here))
    assert jobs(queue)["00_waiting"] == ["a"]


# -- what is started ------------------------------------------------------------------------


def test_a_program_is_the_one_that_the_path_names(here):
    """Windows itself looks beside the running Python first."""
    other = here / "bin"
    other.mkdir()
    (other / "python.cmd").write_text("@echo the other one\r\n")
    make_queue(here / "jobs", "a")
    path = f"{other}{os.pathsep}{os.environ['PATH']}"
    work(here, "python", "tree.py", PATH=path)
    assert log(here, "a") == ["the other one"]


def test_batch_files_get_each_argument_whole(here):
    (here / "show.cmd").write_text("@echo [%1] [%2] [%3]\r\n")
    make_queue(here / "jobs")
    (here / "jobs" / "00_waiting" / "a b.json").write_text('{"lr": "0.1,0.2", "x": 1}')
    work(here, "show.cmd", "{lr}", "x={x}", "{name}")
    assert log(here, "a b.json") == ['["0.1,0.2"] ["x=1"] ["a b.json"]']


@pytest.mark.parametrize("value", ["a&echo ran", "%PATH%", "x|y", 'a"b', "a\nb", "^", "!PATH!"])
def test_a_batch_file_runs_nothing_that_others_wrote(here, value):
    (here / "show.bat").write_text("@echo [%~1]\r\n")
    queue = make_queue(here / "jobs")
    (queue / "00_waiting" / "a.json").write_text(json.dumps({"x": value}))
    work(here, "show.bat", "{x}", code=1)
    assert jobs(queue)["99_failed"] == ["a.json"]
    assert not log(here, "a.json")


def test_a_program_in_python_is_started_by_its_name(here):
    (here / "show me.py").write_text("import sys; print('öffne', sys.argv[1:])", "utf-8")
    make_queue(here / "jobs", "a")
    work(here, "show me.py", "{name}", "x y")
    assert log(here, "a") == ["öffne ['a', 'x y']"]


def test_what_is_no_program_is_refused_at_once(here):
    (here / "data.txt").write_text("no program")
    make_queue(here / "jobs", "a")
    done = work(here, "data.txt", code=2)
    assert "may not be executed" in done.stderr


# -- what is printed --------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "cp850", "cp1252", "utf-16"])
def test_logs_are_utf_8(here, encoding):
    data = "größe: Zürich\r\nÄrger\r\n".encode(encoding)
    (here / "show.py").write_text(f"import sys; sys.stdout.buffer.write({data!r})")
    make_queue(here / "jobs", "a")
    work(here, sys.executable, "show.py")
    assert log(here, "a") == ["größe: Zürich", "Ärger"]


def test_a_program_in_python_prints_what_the_code_page_lacks(here):
    (here / "show.py").write_text("print('日本 → größe')", encoding="utf-8")
    make_queue(here / "jobs", "日本")
    work(here, sys.executable, "show.py")
    assert log(here, "日本") == ["日本 → größe"]


@pytest.mark.parametrize("form", ["--csv", "--json", ""])
def test_tables_in_files_are_utf_8(here, form):
    queue = make_queue(here / "jobs")
    (queue / "00_waiting" / "größe.json").write_text('{"ort": "日本"}', encoding="utf-8")
    work(here, sys.executable, "-c", "")
    done = subprocess.run(
        [*DIRJOBS, "results", "jobs", *filter(None, [form])],
        cwd=here,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )
    text = done.stdout.decode()
    assert "größe.json" in text
    assert "日本" in text
    assert "\r" not in text


# -- what is typed ----------------------------------------------------------------------------


def test_only_files_to_add_are_looked_for_by_pattern(here):
    queue = make_queue(here / "jobs")
    for name in ("run1.dat", "run2.dat", "run[3].dat"):
        (here / name).write_text("x")
    assert run("add", "jobs", "run?.dat", "run[3].dat", cwd=here).returncode == 0
    assert sorted(os.listdir(queue / "00_waiting")) == ["run1.dat", "run2.dat", "run[3].dat"]
    done = run("work", "jobs", "--filter", "run*", "--", sys.executable, "-c", "", cwd=here)
    assert done.returncode == 0, done.stderr
    assert len(jobs(queue)["02_done"]) == 3
