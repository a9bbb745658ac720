"""The commands on object storage: what people see is what they see on a disk."""

from __future__ import annotations

import json
import sys

import pytest
from click.testing import CliRunner

pytest.importorskip("obstore")

from dirjobs.cli import main
from tests.servers import heedless

URL = "s3://lab/team/jobs"


@pytest.fixture
def server(monkeypatch):
    with heedless.running(heeds=True) as server:
        login(server, monkeypatch)
        yield server


def login(server, monkeypatch):
    for name, value in server.options.items():
        monkeypatch.setenv(f"FSSPEC_S3_{name.upper()}", str(value))
    import fsspec.config

    conf = {"s3": dict(server.options)}
    monkeypatch.setattr(fsspec.config, "conf", conf)


def run(command, *args, code=0, **options):
    result = CliRunner().invoke(main, [command, URL, *map(str, args)], **options)
    assert result.exit_code == code, (result.output, result.exception)
    assert "s3cret" not in result.output
    return result.stderr if code == 2 else result.stdout


@pytest.fixture
def queue(server, tmp_path):
    run("init")
    for number in (1, 2, 3):
        (tmp_path / f"job{number}.txt").write_text(f"content {number}")
    run("add", *sorted(tmp_path.glob("job*.txt")))
    return server


def test_init_and_add_and_list(queue):
    assert run("list") == "waiting    job1.txt\nwaiting    job2.txt\nwaiting    job3.txt\n"
    assert queue.objects["lab/team/jobs/00_waiting/job1.txt"][0] == b"content 1"


def test_work_and_what_is_told_of_it(queue):
    program = (
        "import os, sys; text = open(os.environ['DIRJOBS_JOB']).read(); print('saw', text);"
        " open(os.path.join(os.environ['DIRJOBS_OUT'], 'a.txt'), 'w').write(text);"
        " sys.exit('2' in text)"
    )
    run("work", "--", sys.executable, "-c", program, code=1)
    told = json.loads(run("status", "--json"))
    assert {name: told[name] for name in ("waiting", "running", "done", "failed")} == {
        "waiting": 0,
        "running": 0,
        "done": 2,
        "failed": 1,
    }
    assert "saw content 1" in run("logs", "job1.txt")
    assert "job1.txt: done" in run("show", "job1.txt")
    states = {row["job"]: row["state"] for row in json.loads(run("results", "--json"))}
    assert states == {"job1.txt": "done", "job2.txt": "failed", "job3.txt": "done"}
    assert any(data == b"content 1" for path, (data, _) in queue.objects.items() if "a.txt" in path)
    assert not [path for path in queue.objects if "jobs/01_running/job" in path], "a marker is left"


def test_retry_and_cancel_and_remove(queue):
    run("work", "--", sys.executable, "-c", "raise SystemExit(1)", code=1)
    assert "job2.txt is waiting again" in run("retry", "job2.txt")
    assert run("retry", "--failed") == "2 jobs are waiting again.\n"
    assert run("cancel", "job1.txt") == "Cancelled job1.txt.\n"
    run("work", "--", sys.executable, "-c", "")
    assert run("list").split("\n")[:3] == [
        "done       job2.txt",
        "done       job3.txt",
        "cancelled  job1.txt",
    ]
    run("remove", "job1.txt")
    run("clean", "--older-than", "0d")
    assert "job1" not in run("list")
    assert not [path for path in queue.objects if "jobs/00_waiting/job" in path]


def test_a_name_in_use_is_refused(queue, tmp_path):
    assert "exists already in 00_waiting" in run("add", tmp_path / "job1.txt", code=2)


def test_check(queue):
    assert "a queue can be here, in mode trust" in run("check", "--rounds", "5")


def test_other_modes(server):
    assert "means nothing on object storage" in run("init", "--mode", "verify", code=2)


def test_a_server_that_ignores_conditions_gets_no_queue(monkeypatch):
    with heedless.running() as server:
        login(server, monkeypatch)
        assert "ignores the condition" in run("init", code=2)
        assert not [path for path in server.objects if "00_waiting" in path]
        assert "ignores the condition" in run("check", code=2)


def test_there_is_no_queue(server):
    assert "is not a queue" in run("list", code=2)
