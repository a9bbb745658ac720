"""What `dirjobs work` records of each attempt, and what is made of it: tables, `show`, files."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from dirjobs.layout import JOURNAL
from dirjobs.runner.machine import MemoryMeter
from tests.command_line import a_job, python, until_there

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals or links")

RESULT = a_job(
    "loss = float(os.environ['DIRJOBS_PARAM_LR'])\n"
    "(out / 'result.json').write_text(json.dumps(dict(loss=loss)))\n"
)


def records(queue):
    return [
        json.loads(line)
        for name in queue.names(JOURNAL)
        for line in queue.store.read(f"{JOURNAL}/{name}").splitlines()
    ]


def test_an_attempt_from_its_parameters_to_its_memory(queue, tmp_path, monkeypatch):
    queue.put("00_waiting", "a.json", data=b'{"lr": 0.10, "opt": "adam"}')
    seen = tmp_path / "seen"
    look = MemoryMeter.look

    def look_and_tell(meter):
        why = look(meter)
        if meter.peak > 50 << 20:
            seen.touch()
        return why

    monkeypatch.setattr(MemoryMeter, "look", look_and_tell)
    hungry = f"import os, time; x = b'x' * (60 << 20)\n{until_there(seen)}"
    queue.run("work", "--wid", "w1", "--", sys.executable, "-c", hungry)
    (found,) = records(queue)
    assert found["memory"] > 50 << 20
    assert found["seconds"] > 0
    assert found["started"] < found["ended"]
    del found["memory"], found["seconds"], found["started"], found["ended"], found["host"]
    found.pop("git", None)  # wherever the tests are run from
    assert found == {
        "job": "a.json",
        "worker": "w1",
        "end": "done",
        "attempt": 1,
        "command": [sys.executable, "-c", hungry],
        "params": {"lr": 0.1, "opt": "adam"},
        "exit_code": 0,
        "result": {},
        "log": "logs/a.json.w1.log",
        "dirjobs": found["dirjobs"],
    }
    data = queue.store.read(f"{JOURNAL}/w1.1.jsonl")
    assert b'"lr": 0.10' in data  # as it was typed


@POSIX
@pytest.mark.parametrize(
    ("script", "code", "signal", "reason"),
    [
        ("echo why >&2; exit 3", 3, None, "exit code 3: why"),
        ("kill -9 $$", None, "SIGKILL", "killed by signal 9 (SIGKILL)"),
        ("sleep 60", None, "SIGTERM", "timeout after 0.3 s"),
    ],
)
def test_how_it_failed(local, script, code, signal, reason):
    local.put("00_waiting", "a")
    local.run("work", "--timeout", "0.3", "--retries", "1", "--", "sh", "-c", script, code=1)
    (found,) = records(local)
    told = (found.get("exit_code"), found.get("signal"), found["reason"], found["end"])
    assert told == (code, signal, reason, "failed")
    assert found["attempt"] == 2


@pytest.mark.skipif(shutil.which("git") is None, reason="no git here")
def test_which_commit_it_was(local, tmp_path, monkeypatch):
    code = tmp_path / "code"
    code.mkdir()
    monkeypatch.chdir(code)
    git = ("git", "-c", "user.name=x", "-c", "user.email=x@example.org")
    (code / "a.py").write_text("1")
    for arguments in (["init", "-q"], ["add", "a.py"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *arguments], check=True)
    local.put("00_waiting", "a", "b")
    local.run("work", "--max-jobs", "1", "--wid", "w1", "--", "true")
    (code / "a.py").write_text("2")
    local.run("work", "--wid", "w2", "--", "true")
    (first, second) = [found["git"] for found in records(local)]
    told = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    assert (first["commit"], first.get("dirty")) == (told.stdout.strip(), False)
    assert (second["commit"], second["dirty"]) == (told.stdout.strip(), True)
    assert f"code    {second['commit']}, changed" in local.run("show", "b")


def test_a_failed_attempt_s_result_is_not_a_done_job_s(queue):
    """The same worker id, twice: the files of the two attempts are apart."""
    queue.put("00_waiting", "a.json", data=b'{"lr": 1}')
    queue.run("work", "--wid", "w1", "--", *python(f"{RESULT[2]}sys.exit(1)"), code=1)
    assert queue.json("results")[0]["loss"] == 1
    queue.run("retry", "a.json")
    queue.run("work", "--wid", "w1", "--", *a_job("(out / 'other.txt').touch()"))
    assert queue.names("results/a.json") == ["w1", "w1~2"]
    assert queue.names("results/a.json/w1~2") == ["other.txt"]
    (row,) = queue.json("results")
    assert row["state"] == "done"
    assert "loss" not in row
    shown = queue.json("show", "a.json")
    assert [attempt["counts"] for attempt in shown["attempts"]] == [False, True]


def test_a_large_result_is_read_from_its_file(queue):
    queue.put("00_waiting", "a")
    large = a_job("(out / 'result.json').write_text(json.dumps(dict(x=9000 * '0')))")
    queue.run("work", "--", *large)
    assert "result" not in records(queue)[0]
    (row,) = queue.json("results")
    assert len(row["x"]) == 9000


def test_a_table_of_jobs_with_records_asks_for_no_job(far, server):
    far.put("00_waiting", *(f"{n}.json" for n in range(30)), data=b'{"lr": 1}')
    far.run("work", "--slots", "4", "--", *RESULT)
    server.reset_log()
    rows = far.json("results")
    assert len(rows) == 30
    assert all((row["lr"], row["loss"]) == (1, 1) for row in rows)
    assert all(row["seconds"] > 0 and row["host"] and row["ended"] for row in rows)
    assert len(server.log) <= 8


def test_jobs_without_a_record_show_what_is_in_their_files(queue):
    """As an older dirjobs left them."""
    for folder in ("results", "results/a.json"):
        queue.store.mkdir(folder)
    queue.put("02_done", "a.json", data=b'{"lr": 1}')
    queue.put("results/a.json", "result.json", data=b'{"loss": 2}')
    assert queue.json("results") == [{"job": "a.json", "state": "done", "lr": 1, "loss": 2}]


def test_what_is_no_number_any_more_is_told(local):
    local.put("00_waiting", "a")
    no_number = a_job("(out / 'result.json').write_text(json.dumps(dict(x=float('nan'))))")
    local.run("work", "--", *no_number)
    assert local.json("results")[0]["x"] == "NaN"


# -- download ----------------------------------------------------------------------------------


@pytest.fixture
def ran(queue):
    queue.put("00_waiting", "a.json", "b.json", "c.json", data=b'{"lr": 1}')
    two_files = a_job("""
name = os.environ["DIRJOBS_NAME"]
(out / "deep").mkdir()
(out / "deep" / "model.pt").write_bytes(name.encode() + b"\\n")
(out / "x").write_bytes(b"x\\n")
sys.exit(name == "c.json")
""")
    queue.run("work", "--wid", "w1", "--", *two_files, code=1)
    return queue


def tree(folder):
    return {
        os.path.relpath(os.path.join(above, name), folder).replace(os.sep, "/")
        for above, _, names in os.walk(folder)
        for name in names
    }


def test_files_come_home_once(ran, tmp_path):
    home = tmp_path / "home"
    assert "Fetched 6 files" in ran.run("download", "-o", home)
    assert tree(home) == {f"{job}.json/{file}" for job in "abc" for file in ("deep/model.pt", "x")}
    assert (home / "b.json" / "deep" / "model.pt").read_text() == "b.json\n"
    again = ran.json("download", "-o", home)
    assert (again["fetched"], again["there"]) == (0, 6)
    (home / "a.json" / "x").write_text("longer than it was")
    assert ran.json("download", "-o", home)["fetched"] == 1
    assert (home / "a.json" / "x").read_text() == "x\n"


def test_of_which_jobs(ran, tmp_path):
    home = tmp_path / "home"
    ran.run("download", "[ab]*", "--state", "done", "-o", home)
    assert {name.partition("/")[0] for name in tree(home)} == {"a.json", "b.json"}
    assert "is not done: it is failed" in ran.refused("download", "c.json", "--state", "done")
    assert "no job of that name" in ran.refused("download", "z.json")


def test_what_was_interrupted_leaves_nothing_under_its_name(ran, tmp_path, monkeypatch):
    home, kind = tmp_path / "home", type(ran.store)
    download = kind.download

    def broken(store, path, target):
        if path.endswith("/x"):
            target.write(b"x")
            raise OSError("cable pulled")
        download(store, path, target)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "download", broken)
        ran.run("download", "-o", home, code=2)
    assert not any(name.endswith(("/x", ".part")) for name in tree(home))
    ran.run("download", "-o", home)
    assert len(tree(home)) == 6


@POSIX
def test_names_that_lead_elsewhere_are_left_out(local, tmp_path):
    local.put("02_done", "a")
    for folder in ("results", "results/a", "results/a/w1"):
        local.store.mkdir(folder)
    local.put("results/a/w1", "fine")
    line = {"job": "a", "end": "done", "files": "results/a/w1"}
    local.put(JOURNAL, "w1.1.jsonl", data=json.dumps(line).encode())
    bad = "x\x1b[2J"
    with open(local.store.full_path(f"results/a/w1/{bad}"), "w"):
        pass
    os.symlink("/etc/passwd", local.store.full_path("results/a/w1/link"))
    local.run("download", "-o", tmp_path / "home")
    assert tree(tmp_path / "home") == {"a/fine"}
    assert "left out" in local.stderr
    assert "\x1b" not in local.stderr


def test_a_folder_that_can_not_be_written_to(local, tmp_path):
    (tmp_path / "home").write_text("a file")
    local.put("00_waiting", "a")
    local.run("work", "--", *a_job("(out / 'x').touch()"))
    assert "can't be written" in local.refused("download", "-o", tmp_path / "home")
