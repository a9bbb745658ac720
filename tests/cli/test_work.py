"""What `dirjobs work` does with its jobs."""

import io
import json
import re
import sys
from threading import Thread

import pytest

from dirjobs import DirJobs
from tests.amounts import PATIENCE
from tests.command_line import a_job, python, wait_until

SHELL = pytest.mark.skipif(sys.platform == "win32", reason="a job written for a POSIX shell")


def log_of(queue, job):
    (name,) = [name for name in queue.names("logs") if name.startswith(f"{job}.")]
    content = io.BytesIO()
    queue.store.download(f"logs/{name}", content)
    return content.getvalue().decode()


def said(queue, job):
    """What the job's programs printed."""
    return [line for line in log_of(queue, job).splitlines() if not line.startswith("# ")]


def reasons(queue, job):
    notes = json.loads(queue.store.read(f"_queue/attempts/{job}.json"))
    return [attempt["reason"] for attempt in notes["attempts"]]


SHOW = python("import sys; print(*sys.argv[1:])")
"""A command that prints its arguments."""


def together(tmp_path, number):
    """A command that ends when `number` jobs run at the same time."""
    return a_job(f"""
here = Path({str(tmp_path)!r})
(here / os.environ["DIRJOBS_NAME"]).with_suffix(".up").touch()
while len([*here.glob("*.up")]) < {number}: time.sleep(0.01)
""")


def test_as_many_jobs_at_once_as_there_are_slots(queue, tmp_path):
    queue.put("00_waiting", "a", "b", "c")
    queue.run("work", "--slots", 3, "--timeout", PATIENCE, "--", *together(tmp_path, 3))
    assert queue.jobs() == {"02_done": ["a", "b", "c"]}


def test_a_slot_that_finds_nothing_takes_what_is_added_while_others_work(local, tmp_path):
    local.put("00_waiting", "a")
    command = together(tmp_path, 2)

    def add():
        wait_until((tmp_path / "a.up").exists)
        local.put("00_waiting", "b")

    adding = Thread(target=add)
    adding.start()
    local.run("work", "--slots", 2, "--poll", 0.05, "--timeout", PATIENCE, "--", *command)
    adding.join()
    assert local.jobs() == {"02_done": ["a", "b"]}


def test_a_worker_that_waits_looks_again(local):
    def add():
        for number in range(3):
            local.put("00_waiting", f"job{number}")
            wait_until(lambda number=number: f"job{number}" in local.names("02_done"))

    adding = Thread(target=add)
    adding.start()
    local.run("work", "--wait", "--poll", 0.05, "--max-jobs", 3, "--", "true")
    adding.join()
    assert local.jobs() == {"02_done": ["job0", "job1", "job2"]}


@pytest.mark.parametrize("options", [[], ["--tee"]], ids=["logs", "tee"])
def test_nothing_of_a_job_stays_on_this_machine(queue, scratch, options):
    """Windows removes no folder with an open file in it."""
    queue.put("00_waiting", "a", "b")
    queue.run("work", *options, "--", *python("print(1)"))
    assert queue.jobs() == {"02_done": ["a", "b"]}
    assert list(scratch.iterdir()) == []


def test_no_more_jobs_than_allowed_by_all_slots_together(local):
    local.put("00_waiting", *"abcde")
    out = local.run("work", "--slots", 3, "--max-jobs", 4, "--", "true")
    assert "4 done in" in out
    assert local.jobs() == {"00_waiting": ["e"], "02_done": ["a", "b", "c", "d"]}


def test_no_other_job_after_so_many_hours(local):
    local.put("00_waiting", "a", "b")
    assert "0 hours are over" in local.run("work", "--max-hours", 0, "--", "true")
    assert local.jobs() == {"00_waiting": ["a", "b"]}
    local.run(
        "work", "--max-hours", 0.2 / 3600, "--wait", "--", *python("import time; time.sleep(0.5)")
    )
    assert "b" in local.names("00_waiting")  # a may have been taken, and is done then
    assert local.names("01_running") == []


@SHELL
def test_a_command_that_takes_too_long_is_ended_with_all_that_it_started(local, tmp_path):
    local.put("00_waiting", "a")
    script = f"sleep 1000 & echo $$ $! > {tmp_path}/pids; wait"
    local.run("work", "--timeout", 0.3, "--", "sh", "-c", script, code=1)
    assert reasons(local, "a") == ["timeout after 0.3 s"]
    assert "timeout after 0.3 s" in log_of(local, "a").splitlines()[-1]


def test_a_command_that_fails_is_run_again(queue):
    queue.put("00_waiting", "a", "b")
    third_time = a_job("""
attempt = os.environ["DIRJOBS_ATTEMPT"]
print(attempt, *os.listdir(out))
(out / attempt).touch()
sys.exit(os.environ["DIRJOBS_NAME"] + attempt != "a3")
""")
    queue.run("work", "--wid", "w1", "--retries", 2, "--", *third_time, code=1)
    assert queue.jobs() == {"02_done": ["a"], "99_failed": ["b"]}
    assert said(queue, "a") == said(queue, "b") == ["1", "2", "3"]
    # With what it printed last.
    assert reasons(queue, "a") == ["exit code 1: 1", "exit code 1: 2"]
    assert reasons(queue, "b") == ["exit code 1: 1", "exit code 1: 2", "exit code 1: 3"]
    assert queue.names(queue.files("a")) == ["3"]  # each begins with an empty folder
    queue.run("retry", "b")
    queue.run("work", "--wid", "w2", "--", "true")
    assert queue.jobs() == {"02_done": ["a", "b"]}
    assert "attempt 4 by w2" in queue.store.read("logs/b.w2.log").decode()


@SHELL
def test_results_are_there_before_the_job_is_done(queue):
    queue.put("00_waiting", "a", "b")
    script = (
        'cd "$DIRJOBS_OUT" && mkdir -p deep/er empty && echo 1 > result.json'
        ' && head -c 3000000 /dev/zero > deep/er/big && ln -s result.json "a link"'
        " && ln -s nowhere broken && mkfifo pipe; [ $DIRJOBS_NAME = a ]"
    )
    seen = []
    queue_rename = type(queue.store).rename

    def rename(store, src, dst):
        if dst.startswith(("02_done", "99_failed")):
            (files,) = store.list(f"results/{dst[-1]}")
            inside = store.list(f"results/{dst[-1]}/{files.name}")
            seen.append(sorted(entry.name for entry in inside))
        return queue_rename(store, src, dst)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(queue.store), "rename", rename)
        queue.run("work", "--", "sh", "-c", script, code=1)
    assert seen == [["a link", "deep", "result.json"]] * 2
    assert queue.store.read(f"{queue.files('b')}/a link") == b"1\n"
    big = io.BytesIO()
    queue.store.download(f"{queue.files('a')}/deep/er/big", big)
    assert big.getvalue() == bytes(3_000_000)


@SHELL
def test_the_log_tells_when_where_what_and_how_it_ended(queue):
    queue.put("00_waiting", "a")
    queue.run("work", "--wid", "w1", "--", "printf", "no newline")
    first, output, last = queue.store.read("logs/a.w1.log").decode().splitlines()
    assert "attempt 1 by w1 on " in first
    assert first.endswith(": printf 'no newline'")
    assert output == "no newline"
    assert re.search(r"after [0-9.]+ s: exit code 0$", last)


def test_no_password_gets_into_a_log(local):
    local.put("00_waiting", "a")
    local.run("work", "--", "true", "https://me:c4n4ry@host/x")
    assert "c4n4ry" not in log_of(local, "a")
    assert "https://me:***@host/x" in log_of(local, "a")


# -- what a command learns of its job ------------------------------------------------------


def test_parameters_in_arguments_and_in_the_environment(queue):
    parameters = {"lr": 0.1, "name": "x y", "deep er": {"a": [1]}, "on": True, "n": None}
    queue.put("00_waiting", "a.json", data=json.dumps(parameters).encode())
    tell = a_job("""
known = os.environ
print(*sys.argv[1:], sep="\\n")
print(known["DIRJOBS_PARAM_LR"], known["DIRJOBS_PARAM_DEEP_ER"])
if Path(known["DIRJOBS_JOB"]).read_bytes() == Path(sys.argv[1]).read_bytes():
    print(known["DIRJOBS_NAME"], known["DIRJOBS_WID"], known["DIRJOBS_ATTEMPT"])
""")
    arguments = [
        *("{}", "{name}-{stem}", "{param:name}", "--lr={lr}", "{param:deep er}", "{on}{n}"),
        *("{ print $1 }", "{print $1}", "x{3}", "{a,b}", "{}}{", "${lr}"),
    ]
    queue.run("work", "--wid", "w1", "--", *tell, *arguments)
    path, *lines = said(queue, "a.json")
    assert lines == [
        *("a.json-a", "x y", "--lr=0.1", '{"a": [1]}', "truenull"),
        *("{ print $1 }", "{print $1}", "x{3}", "{a,b}", path + "}{", "${lr}"),
        '0.1 {"a": [1]}',
        "a.json w1 1",
    ]


def test_a_parameter_that_no_job_has_is_a_mistake(queue):
    queue.put("00_waiting", "a.json", data=b'{"lr": 1}')
    sentence = refused_after_claim(queue, "--", "true", "{rl}")
    assert "{rl} in the command is no parameter of job 'a.json'" in sentence
    assert "are: lr; write { rl } with spaces" in sentence
    queue.put("00_waiting", "a", data=b"lr=1")
    assert "is no JSON object" in refused_after_claim(queue, "--", "true", "{param:lr}")
    assert queue.jobs() == {"00_waiting": ["a", "a.json"]}


def refused_after_claim(queue, *args):
    queue.run("work", *args, code=2)
    (line,) = queue.stderr.splitlines()
    return line


def test_a_parameter_that_only_some_jobs_have_fails_the_others(local):
    local.put("00_waiting", "a", "c", data=b'{"lr": 1}')
    local.put("00_waiting", "b", data=b"{}")
    local.run("work", "--", "true", "{lr}", code=1)
    assert local.jobs() == {"02_done": ["a", "c"], "99_failed": ["b"]}
    assert "whose parameters are: none" in reasons(local, "b")[0]


@pytest.mark.parametrize("content", [b'{"a": 1', b"[1]", b"", b"\xff{}", b"{" * 100_000])
def test_a_file_that_is_no_json_object_has_no_parameters(local, content):
    local.put("00_waiting", "a", data=content)
    local.run("work", "--", *SHOW, "{a}")
    assert said(local, "a") == ["{a}"]


@pytest.mark.parametrize("content", [b'{"a": 1', b"[1]", b'{"a": "%s"}' % (b"x" * (1 << 20))])
def test_a_file_that_is_called_json_and_is_none_is_not_run_without_its_parameters(local, content):
    local.put("00_waiting", "a.JSON", data=content)
    local.put("00_waiting", "b.json", data=b'{"a": 1}')
    local.run("work", "--", "true", "{a}", code=1)
    assert local.jobs() == {"02_done": ["b.json"], "99_failed": ["a.JSON"]}
    assert "'a.JSON' is no JSON object of at most 1 MiB; write { a }" in reasons(local, "a.JSON")[0]
    local.run("retry", "a.JSON")
    assert "a.JSON ... done" in local.run("work", "--", "true", "{ a }")


def test_what_no_argument_can_carry_fails_the_job_alone(local):
    local.put("00_waiting", "a", data=b'{"x": "\\u0000"}')
    local.put("00_waiting", "b", data=json.dumps({"x": "y" * 200_000}).encode())
    local.put("00_waiting", "c", data=b'{"x": "fine"}')
    local.run("work", "--", "true", "{x}", code=1)
    assert local.jobs() == {"02_done": ["c"], "99_failed": ["a", "b"]}
    assert "can't be passed" in reasons(local, "a")[0]


def test_parameters_too_large_for_an_environment_stay_out_of_it(local):
    record = {"large": "y" * 200_000, "small": 1}
    local.put("00_waiting", "a", data=json.dumps(record).encode())
    get = "os.environ.get('DIRJOBS_PARAM_SMALL'), os.environ.get('DIRJOBS_PARAM_LARGE', 'unset')"
    local.run("work", "--", *a_job(f"print({get})"))
    assert said(local, "a") == ["1 unset"]


# -- black holes ---------------------------------------------------------------------------


@SHELL
def test_a_host_where_everything_fails_at_once_stops(queue):
    queue.put("00_waiting", *"abcdefg")
    queue.run("work", "--", "sh", "-c", "exit 127", code=1)
    assert queue.jobs() == {"00_waiting": ["f", "g"], "99_failed": [*"abcde"]}
    assert "the last 5 jobs failed within a second each, 'e' with 'exit code 127'" in queue.stderr


@SHELL
def test_a_host_where_something_works_goes_on(local):
    local.put("00_waiting", *"abcdefghi")
    local.run("work", "--", "sh", "-c", "[ $DIRJOBS_NAME = c ]", code=1)
    assert local.jobs() == {"00_waiting": ["i"], "02_done": ["c"], "99_failed": [*"abdefgh"]}


def test_going_on_whatever_fails(local):
    local.put("00_waiting", *"abcdefg")
    local.run("work", "--keep-going", "--", "false", code=1)
    assert local.jobs() == {"99_failed": [*"abcdefg"]}


# -- mistakes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("--slots", value) for value in ("0", "-1", "many", "1.5", "9999999")),
        *((option, value) for option in ("--poll", "--timeout") for value in ("0", "-1", "nan")),
        *(("--max-jobs", value) for value in ("0", "x")),
        *(("--max-hours", value) for value in ("-1", "inf")),
        *(("--retries", value) for value in ("-1", "x")),
    ],
)
def test_a_number_that_makes_no_sense(local, option, value):
    local.put("00_waiting", "a")
    assert option in local.refused("work", option, value, "--", "true")
    assert local.jobs() == {"00_waiting": ["a"]}


def test_the_queue_may_come_from_the_environment(local, monkeypatch):
    from click.testing import CliRunner

    from dirjobs.cli import main

    local.put("00_waiting", "a")
    monkeypatch.setenv("DIRJOBS_URL", local.url)
    result = CliRunner().invoke(main, ["work", "--slots", "2", "--", "true"])
    assert result.exit_code == 0
    assert local.jobs() == {"02_done": ["a"]}


@SHELL
def test_an_error_at_one_slot_lets_the_jobs_of_others_end(local, tmp_path):
    """The second job is not executable; the first one ends when that is known."""
    script = f"#!/bin/sh\ntouch {tmp_path}/begun\nuntil [ -e {tmp_path}/go ]; do sleep 0.01; done\n"
    local.put("00_waiting", "a", data=script.encode())
    (tmp_path / "jobs" / "00_waiting" / "a").chmod(0o755)
    (tmp_path / "jobs" / "00_waiting" / "a").replace(tmp_path / "first.sh")
    (tmp_path / "second.sh").write_bytes(b"\x7fELF broken")
    (tmp_path / "second.sh").chmod(0o755)
    local.put("00_waiting", "first", "second")

    def go():
        wait_until((tmp_path / "begun").exists)
        wait_until(lambda: local.names("01_running") == ["w1.first"])
        (tmp_path / "go").touch()

    going = Thread(target=go)
    going.start()
    command = [f"{tmp_path}/{{name}}.sh"]
    local.run("work", "--wid", "w1", "--slots", 2, "--", *command, code=2)
    going.join()
    assert local.jobs() == {"00_waiting": ["second"], "02_done": ["first"]}
    assert "second.sh' can't be started" in local.stderr


def test_a_drained_worker_takes_no_other_job(local):
    """As by an order that came with a heartbeat."""
    local.put("00_waiting", "a", "b")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DirJobs, "draining", property(lambda self: bool(local.names("02_done"))))
        local.run("work", "--wait", "--poll", 0.05, "--", "true")
    assert local.jobs() == {"00_waiting": ["b"], "02_done": ["a"]}
