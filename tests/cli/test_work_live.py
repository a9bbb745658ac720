"""What `dirjobs work` shows while jobs run, and how soon others see what they print."""

import os
import re
import threading

from dirjobs import DirJobs
from dirjobs.cli.commands import logs
from dirjobs.runner.tee import Tee
from tests.command_line import a_job, until_there, wait_until


def test_a_line_when_a_job_starts_and_one_when_it_ends(queue):
    queue.put("00_waiting", "a", "b", "c")
    out = queue.run("work", "--", *a_job("sys.exit(os.environ['DIRJOBS_NAME'] == 'b')"), code=1)
    lines = [re.sub(r"\d+\.\d s", "T", line) for line in out.splitlines()]
    assert lines[:6] == [
        "[1, 2 wait] a ...",
        "[1] a ... done in T",
        "[2, 1 waits] b ...",
        "[2] b ... failed in T: exit code 1",
        "[3, 0 wait] c ...",
        "[3] c ... done in T",
    ]


def test_jobs_that_come_meanwhile_are_counted(local):
    local.put("00_waiting", "a", "b")
    new = os.path.join(local.url, "00_waiting", "c")
    add = a_job(f"os.environ['DIRJOBS_NAME'] == 'c' or Path({new!r}).touch()")
    out = local.run("work", "--", *add)
    assert "[3, 0 wait] c ..." in out


def test_tee(queue):
    queue.put("00_waiting", "a", "b")
    command = a_job(r"sys.stdout.buffer.write(b'one\ntwo \033[2J\n10%\r100%\r\nlast')")
    out = queue.run("work", "--tee", "--", *command)
    for job in "ab":
        told = [line for line in out.splitlines() if line.startswith(f"{job} | ")]
        assert told == [f"{job} | {text}" for text in ("one", r"two \x1b[2J", "100%", "last")]
    assert "last" in queue.run("logs", "a")


def test_tee_of_a_line_without_end(capsys):
    tee = Tee("a")
    for _ in range(5):
        tee.write(b"x" * 50_000)
    tee.close()
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 120_000
    assert sum(map(len, lines)) == 5 * 50_000 + len(lines) * len("a | ")


def test_tee_when_nobody_reads_any_more(monkeypatch):
    def broken(line):
        calls.append(line)
        raise BrokenPipeError

    calls = []
    monkeypatch.setattr("dirjobs.runner.tee.show", broken)
    tee = Tee("a")
    tee.write(b"one\ntwo\n")
    tee.close()
    assert calls == ["a | one"]


def test_on_a_disk_the_log_of_a_running_job_grows_at_once(local, tmp_path):
    local.put("00_waiting", "a")
    go = tmp_path / "go"
    seen = []

    def look():
        wait_until(lambda: "hello" in log())
        seen.append(local.names("01_running"))
        go.touch()

    def log():
        found = [name for name in local.names("logs") if name.startswith("a.w1")]
        return local.store.read(f"logs/{found[0]}").decode() if found else ""

    local.store.mkdir("logs")
    other = threading.Thread(target=look)
    other.start()
    command = a_job(f"print('hello', flush=True)\n{until_there(go)}")
    local.run("work", "--wid", "w1", "--", *command)
    other.join()
    assert seen == [["w1.a"]]


def test_who_follows_from_afar_is_told_how_late_it_is(queue, monkeypatch):
    monkeypatch.setattr(logs, "_INTERVAL", 0.01)
    queue.put("01_running", "w1.a")
    queue.store.mkdir("logs")
    queue.put("logs", "a.w1.log", data=b"hello\n")
    end = threading.Timer(0.3, lambda: queue.store.rename("01_running/w1.a", "02_done/a"))
    end.start()
    assert queue.run("logs", "-f", "a") == "hello\n"
    end.join()
    is_far = queue.store.local_path("") is None
    assert queue.stderr.count("every half minute") == is_far


def test_the_summary_has_one_order(local):
    local.put("00_waiting", "a", "b", "c")
    out = local.run("work", "--", *a_job("sys.exit(os.environ['DIRJOBS_NAME'] == 'a')"), code=1)
    assert "\n2 done, 1 failed in " in out
    assert out.endswith("See `dirjobs list --failed --reason` and `dirjobs logs JOB`.\n")


def test_no_job_is_waiting_and_others_run_some(local):
    local.put("00_waiting", "a.txt", "b.txt")
    assert local.run("work", "--filter", "x", "--", "true").endswith("00_waiting.\n")
    with DirJobs(local.store, "far") as other:
        other.next_and_lock()
        other.next_and_lock()
        out = local.run("work", "--", "true")
    assert re.search(
        r"No job is waiting in \S+[/\\]00_waiting; 2 jobs run at far \(last heartbeat \d+ s ago\):"
        " --wait stays, and takes over what dead workers leave.\n$",
        out,
    )
