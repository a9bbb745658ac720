"""``dirjobs list``, ``show``, ``wait``, ``results``, ``completion``."""

import csv
import io
import json
import re
import sys
import threading

import pytest

from dirjobs import DirJobs, Unavailable
from dirjobs.admin import wait
from tests.unit.lives import World

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="no file has such a name there")


@pytest.fixture
def full(queue):
    queue.put("00_waiting", "j10", "j2", ".hidden")
    queue.put("01_running", "w1.r1")
    queue.put("02_done", "d1", data=b"12345")
    queue.put("99_failed", "f1")
    queue.put("_queue/parked", "w3.p1")
    return queue


# -- list --------------------------------------------------------------------------------------


def test_list(full):
    assert full.run("list").splitlines() == [
        "waiting    j2",
        "waiting    j10",
        "running    r1  w1",
        "done       d1",
        "failed     f1",
    ]


def test_list_some(full):
    assert full.run("list", "--state", "parked", "--state", "failed").splitlines() == [
        "failed     f1",
        "parked     p1  w3",
    ]
    assert full.run("list", "--names", "--filter", "*1*") == "j10\nr1\nd1\nf1\n"
    assert full.run("list", "--state", "done", "--filter", "x") == ""


def test_list_as_json(full):
    found = full.json("list")
    assert [job["job"] for job in found] == ["j2", "j10", "r1", "d1", "f1"]
    assert found[2]["worker"] == "w1"
    assert (found[3]["state"], found[3]["size"], found[3]["worker"]) == ("done", 5, None)
    assert found[3]["modified"].endswith("+00:00")
    assert full.json("list", "--filter", "none") == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        pytest.param("a\x1b[31mred", "a\\x1b[31mred", marks=POSIX),
        ("b\u202egpj.exe", "b\\u202egpj.exe"),
    ],
)
def test_a_name_that_a_terminal_would_obey(local, name, shown):
    local.put("00_waiting", name)
    assert local.run("list", "--names") == f"{shown}\n"
    assert [job["job"] for job in local.json("list")] == [name]


# -- show --------------------------------------------------------------------------------------


def test_show_a_waiting_and_a_done_job(full):
    assert full.run("show", "j2") == "j2: waiting (00_waiting/j2, 4 bytes)\n"
    assert full.run("show", "d1") == "d1: done (02_done/d1, 5 bytes)\n"


def test_show_a_running_job_with_a_history(queue):
    queue.put("00_waiting", "a.txt")
    queue.store.mkdir("logs")
    queue.put("logs", "a.txt.w1.log", "a.txt.b.w1.log")
    with DirJobs(queue.store, "w1") as worker:
        worker.next_and_lock().failed("exit\ncode 3")
        queue.run("retry", "a.txt")
    with DirJobs(queue.store, "w2") as worker:
        worker.next_and_lock()
        worker._membership.beat()
        text = queue.run("show", "a.txt")
        found = queue.json("show", "a.txt")
    assert text.startswith("a.txt: running (01_running/w2.a.txt, 4 bytes)\n  claimed by w2 on ")
    assert "that worker is working; last heartbeat" in text
    assert re.search(r"  1  failed after [0-9.]+ s by w1 on .*\n     why +exit code 3\n", text)
    assert "retried by hand" in text
    assert text.count("exit code 3") == 1
    assert text.endswith("Log: logs/a.txt.w1.log\n")
    (place,) = found["places"]
    assert (place["worker"], place["worker_state"], place["seconds"] < 60) == (
        "w2",
        "working",
        True,
    )
    assert [log["worker"] for log in found["logs"]] == ["w1"]


def test_show_what_nobody_knows_the_owner_of(full):
    assert "claimed by w1, which never had a heartbeat" in full.run("show", "r1")
    assert full.json("show", "p1")["places"][0]["parked_by"] == "w3"


def test_show_a_job_that_is_in_two_places(full):
    full.put("02_done", "j2")
    assert [place["state"] for place in full.json("show", "j2")["places"]] == ["waiting", "done"]


@pytest.mark.parametrize("name", ["none", "../x", "a/b", "", "x" * 300])
@pytest.mark.parametrize("command", ["show", "logs"])
def test_a_job_that_is_none(local, command, name):
    told = local.refused(command, name)
    assert "can't be the name of a job" in told or "this queue has no job 'none'" in told


# -- wait --------------------------------------------------------------------------------------


def test_wait_when_all_is_over(queue):
    assert queue.run("wait") == "0 done, 0 failed.\n"
    queue.put("02_done", "a")
    assert queue.json("wait") == {"done": 1, "failed": 0, "left": 0, "timed_out": False}
    queue.put("99_failed", "b")
    assert queue.run("wait", code=1) == "1 done, 1 failed.\n"


def test_wait_for_the_last_job(queue):
    queue.put("00_waiting", "a.txt", "b.txt")
    worker = DirJobs(queue.store, "w1")
    running = worker.next_and_lock()

    def finish():
        running.done()
        worker.next_and_lock().failed()

    timer = threading.Timer(0.2, finish)
    timer.start()
    assert queue.run("wait", "--interval", "0.05", code=1) == "1 done, 1 failed.\n"
    timer.join()
    worker.close()


@pytest.mark.skipif(sys.platform == "win32", reason="a command of a POSIX shell")
def test_what_is_to_be_done_then(queue, tmp_path):
    queue.put("02_done", "a", "b")
    queue.put("99_failed", "c")
    then = f'echo "$DIRJOBS_DONE $DIRJOBS_FAILED" > "{tmp_path}/then"'
    queue.run("wait", "--then", then, code=1)
    assert (tmp_path / "then").read_text() == "2 1\n"
    queue.run("wait", "--then", "exit 7", code=7)
    queue.put("00_waiting", "d")
    queue.run("wait", "--timeout", "0", "--then", f"rm {tmp_path}/then", code=3)
    assert (tmp_path / "then").exists()


def test_wait_no_longer_than_that(queue):
    queue.put("00_waiting", "a.txt")
    assert queue.run("wait", "--timeout", "0.1", code=3) == ""
    assert "dirjobs: the time is over: 1 job is still waiting or running" in queue.stderr
    found = json.loads(queue.run("wait", "--timeout", "0", "--json", code=3))
    assert found == {"done": 0, "failed": 0, "left": 1, "timed_out": True}


def test_a_job_on_its_way_is_waited_for(local):
    local.put("00_waiting", "~w1~abc.a.txt")
    local.run("wait", "--timeout", "0", code=3)
    local.store.rename("00_waiting/~w1~abc.a.txt", "01_running/~w1~abc.w1.a.txt")
    local.run("wait", "--timeout", "0", code=3)


def test_a_job_that_moves_back_between_two_listings(local, monkeypatch):
    """Neither listing shows it: one look is not enough."""
    looks = iter([0, 1, 1, 0, 0])

    def left(share):
        return next(looks)

    monkeypatch.setattr(wait, "left_to_do", left)
    local.run("wait", "--interval", "0.05")
    assert list(looks) == []


def test_an_outage_is_waited_for(local, monkeypatch):
    outcomes = iter([Unavailable("gone"), Unavailable("gone"), 0, Unavailable("gone"), 0, 0])

    def left(share):
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(wait, "left_to_do", left)
    local.run("wait", "--interval", "0.05")
    assert local.stderr.count("can't be reached (gone)") == 2
    assert list(outcomes) == []


# -- results -----------------------------------------------------------------------------------


@pytest.fixture
def swept(queue):
    def job(folder, name, params, result=None):
        queue.put(folder, name, data=params)
        if result is not None:
            queue.store.mkdir(f"results/{name}")
            queue.put(f"results/{name}", "result.json", data=result)

    queue.store.mkdir("results")
    job("02_done", "lr10.json", b'{"lr": 10, "name": "a,b"}', b'{"loss": 0.5, "lr": 9}')
    job("02_done", "lr2.json", b'{"lr": 2, "state": "x"}', b'{"loss": 0.25, "deep": [1, {}]}')
    job("99_failed", "bad.json", b'{"lr": 3}')
    job("02_done", "note.txt", b"\xff no JSON", b"nor this")
    queue.store.mkdir("results/elsewhere")
    queue.put("00_waiting", "later.json", data=b"{}")
    return queue


def test_results_as_csv(swept):
    rows = list(csv.DictReader(io.StringIO(swept.run("results", "--csv"))))
    assert [row["job"] for row in rows] == ["bad.json", "lr2.json", "lr10.json", "note.txt"]
    assert rows[2] == {
        "job": "lr10.json",
        "state": "done",
        "lr": "10",
        "name": "a,b",
        "param.state": "",
        "loss": "0.5",
        "result.lr": "9",
        "deep": "",
    }
    assert (rows[1]["param.state"], rows[1]["deep"], rows[1]["state"]) == ("x", "[1, {}]", "done")
    assert (rows[0]["state"], rows[0]["loss"]) == ("failed", "")


def test_a_result_that_is_no_json_is_told_of(swept):
    swept.run("results", "--csv")
    assert (
        "result.json of 1 job is no JSON object of at most 1 MiB, such as that of 'note.txt'"
        in swept.stderr
    )


def test_numbers_that_json_does_not_know_are_null(swept):
    swept.store.mkdir("results/bad.json")
    swept.put("results/bad.json", "result.json", data=b'{"loss": NaN, "x": [Infinity, 1e400]}')
    text = swept.run("results", "--state", "failed", "--json")
    (found,) = json.loads(text, parse_constant=pytest.fail)
    assert (found["loss"], found["x"]) == (None, [None, None])


def test_results_as_json_and_as_a_table(swept):
    found = swept.json("results", "--state", "done")
    assert found[0] == {
        "job": "lr2.json",
        "state": "done",
        "lr": 2,
        "param.state": "x",
        "loss": 0.25,
        "deep": [1, {}],
    }
    assert len(found) == 3
    table = swept.run("results").splitlines()
    assert table[0].split()[:3] == ["job", "state", "lr"]
    assert len(table) == 5


def test_no_results(local):
    assert local.run("results") == "No job has ended yet.\n"
    assert local.run("results", "--csv") == "job,state\n"
    assert local.json("results") == []
    assert "give one of --csv" in local.refused("results", "--csv", "--json")


def test_a_result_that_is_too_large_ends_no_table(local):
    local.put("02_done", "a.json", "b.json", data=b"{}")
    for folder in ("results", "results/a.json"):
        local.store.mkdir(folder)
    local.put("results/a.json", "result.json", data=b"[" + b" " * (1 << 20) + b"]")
    assert [row["job"] for row in local.json("results")] == ["a.json", "b.json"]
    assert "result.json of 1 job is no JSON object" in local.stderr


def test_a_large_job_is_not_read_for_its_parameters(local, monkeypatch):
    monkeypatch.setattr("dirjobs.admin.results.LARGEST", 3)
    local.put("02_done", "a.json", data=b'{"x": 1}')
    assert local.json("results") == [{"job": "a.json", "state": "done"}]


# -- completion --------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(local, shell, monkeypatch):
    monkeypatch.setenv("SHELL", f"/bin/{shell}")
    local.url = shell
    text = local.run("completion")
    assert "_DIRJOBS_COMPLETE" in text
    World(local.store)


def test_completion_for_a_shell_that_has_none(local, monkeypatch):
    from click.testing import CliRunner

    from dirjobs.cli import main

    monkeypatch.setenv("SHELL", "/bin/ksh")
    result = CliRunner().invoke(main, ["completion"])
    assert result.exit_code == 2
    assert "'ksh' is none of bash, fish, zsh" in result.stderr


def completed(*words):
    from click.shell_completion import ShellComplete

    from dirjobs.cli import main

    complete = ShellComplete(main, {}, "dirjobs", "_DIRJOBS_COMPLETE")
    return [item.value for item in complete.get_completions(list(words[:-1]), words[-1])]


def test_what_is_completed(local):
    local.put("99_failed", "lr0.1_a", "lr0.2_b")
    local.put("01_running", "w1.lr0.1_c")
    assert "status" in completed("st")
    assert completed("retry", local.url, "lr0.1") == ["lr0.1_a", "lr0.1_c"]
    assert completed("retry", "https://nowhere.example/jobs", "lr") == []
    assert "--json" in completed("status", local.url, "--j")


def test_wait_says_when_nobody_works(queue):
    queue.put("00_waiting", "a")
    queue.run("wait", "--timeout", "0.2", "--interval", "0.05", code=3)
    assert queue.stderr.count("nobody works: start `dirjobs work`.") == 1
    with DirJobs(queue.url, wid="w1") as worker:
        worker.next_and_lock()
        queue.run("wait", "--timeout", "0", code=3)
        assert "nobody works" not in queue.stderr
