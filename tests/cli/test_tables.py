"""`results` and `list` as tables that people can work with."""

import json
import sys
from datetime import datetime

import pytest

from dirjobs.console import text
from dirjobs.protocol import attempts
from dirjobs.protocol.share import Share

FAILS = [sys.executable, "-c", "print('too hot'); raise SystemExit(3)"]


@pytest.fixture
def sweep(queue):
    for number, loss in enumerate([0.5, 0.25, 0.75], 1):
        job = f"lr0.{number}.json"
        queue.store.write(f"02_done/{job}", json.dumps({"lr": number / 10, "opt": "adam"}).encode())
        queue.store.mkdir("results") if number == 1 else None
        queue.store.mkdir(f"results/{job}")
        queue.store.write(f"results/{job}/result.json", json.dumps({"loss": loss}).encode())
    queue.store.write("99_failed/lr9.json", b'{"lr": 9}')
    notes = {
        "format": 1,
        "attempts": [{"worker": "w1", "reason": "exit code 1:\n  too\x1b[2J hot"}],
    }
    queue.store.write("_queue/attempts/lr9.json.json", json.dumps(notes).encode())
    return queue


def table(printed):
    return [line.split() for line in printed.splitlines()]


def test_rows_are_chosen_sorted_and_cut(sweep):
    printed = sweep.run(
        "results", "--where", "loss < 0.7", "--sort", "-loss", "--columns", "job,loss"
    )
    assert table(printed) == [["job", "loss"], ["lr0.1.json", "0.5"], ["lr0.2.json", "0.25"]]


def test_so_they_are_as_csv_and_json(sweep):
    how = ["--where", "lr > 0.1 and state == 'done'", "--sort", "loss", "--columns", "loss,lr"]
    assert sweep.run("results", *how, "--csv") == "loss,lr\n0.25,0.2\n0.75,0.3\n"
    assert json.loads(sweep.run("results", *how, "--json")) == [
        {"loss": 0.25, "lr": 0.2},
        {"loss": 0.75, "lr": 0.3},
    ]


def test_so_they_are_as_parquet(sweep, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow: pip install pyarrow")
    sweep.store.write("02_done/f.json", b'{"lr": 2, "opt": "=cmd()", "seed": 7, "big": 1e5}')
    path = str(tmp_path / "table.parquet")
    assert sweep.run("results", "--parquet", path) == f"Wrote 5 rows to {path}.\n"
    table = parquet.read_table(path)
    types = {field.name: str(field.type) for field in table.schema}
    texts, numbers = dict.fromkeys(("job", "state", "opt"), "string"), ("lr", "big", "loss")
    assert types == {**texts, **dict.fromkeys(numbers, "double"), "seed": "int64"}
    rows = {row["job"]: row for row in table.to_pylist()}
    assert rows["lr0.1.json"]["loss"] == 0.5
    assert rows["f.json"]["opt"] == "'=cmd()"
    assert (rows["f.json"]["seed"], rows["f.json"]["big"], rows["f.json"]["loss"]) == (7, 1e5, None)
    sweep.run("results", "--parquet", path, "--raw", "--where", "lr == 2", "--columns", "opt")
    assert parquet.read_table(path).to_pylist() == [{"opt": "=cmd()"}]


def test_mistakes_with_parquet(sweep, tmp_path, monkeypatch):
    pytest.importorskip("pyarrow", reason="needs pyarrow: pip install pyarrow")
    told = sweep.refused("results", "--parquet", str(tmp_path / "no/such/folder"))
    assert "can't be written" in told
    assert "give one of" in sweep.refused("results", "--parquet", "x", "--csv")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install pyarrow" in sweep.refused("results", "--parquet", "x")


def test_no_row_is_like_that(sweep):
    assert sweep.run("results", "--where", "lr > 10") == "No job is like that.\n"


@pytest.mark.parametrize("command", ["results", "list"])
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--where", "los < 3"], "there is no column 'los'; there are: job, state"),
        (["--where", "state ="], "--where 'state =' is no condition"),
        (["--sort", "-los"], "there is no column 'los'"),
        (["--columns", "job,los"], "there is no column 'los'"),
    ],
)
def test_mistakes(sweep, command, options, problem):
    assert problem in sweep.refused(command, *options)


def test_columns_that_do_not_fit_are_named_and_no_number_is_cut(sweep, monkeypatch):
    monkeypatch.setattr(text, "on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "28")
    lines = sweep.run("results").splitlines()
    assert lines[-1] == "Not shown, since they don't fit: opt, loss (choose with --columns)."
    assert "…" not in "".join(lines)
    assert [line.split()[-1] for line in lines[:-1]] == ["lr", "0.1", "0.2", "0.3", "9"]


def test_only_the_column_that_does_not_fit_is_left_out(sweep, monkeypatch):
    monkeypatch.setattr(text, "on_terminal", lambda: True)
    # The old console of Windows has one column less.
    monkeypatch.setattr("rich.console.detect_legacy_windows", lambda: False)
    monkeypatch.setenv("COLUMNS", "28")
    columns = ["--columns", "job,lr,state,loss,opt", "--state", "done"]
    lines = sweep.run("results", *columns).splitlines()
    assert lines[-1] == "Not shown, since they don't fit: opt (choose with --columns)."
    monkeypatch.setenv("COLUMNS", "22")
    lines = sweep.run("results", "--columns", "job,state,opt,lr", "--state", "done").splitlines()
    assert lines[0].split() == ["job", "state", "lr"]


def test_a_table_for_a_person(local, monkeypatch):
    """Numbers have six digits, at the right; texts are cut where it is too wide, numbers never."""
    note, big = "x" * 40 + "!", 123456789012345
    params = {"lr": 1 / 3, "note": note, "flag": True, "big": big}
    name = f"{'n' * 40}.json"
    local.put("02_done", name, data=json.dumps(params).encode())
    local.put("02_done", "b.json", data=b'{"lr": 20, "note": 7, "big": 1}')
    plain = local.run("results")
    assert f"{1 / 3!r}" in plain
    assert note in plain
    monkeypatch.setattr(text, "on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    wide = local.run("results").splitlines()
    assert note in wide[2]
    assert [line[wide[0].index("lr") - 6 :][:8] for line in wide[:2]] == ["      lr", "      20"]
    monkeypatch.setenv("COLUMNS", "120")
    header, one, other = local.run("results").splitlines()
    assert other.split() == [name, "done", "0.333333", f"{'x' * 15}…{'x' * 13}!", str(big), "true"]
    assert one.split() == ["b.json", "done", "20", "7", "1"]
    for line in (header, one, other):
        assert len(line.rstrip()) <= 120


def test_times_are_local_on_a_terminal_and_in_utc_elsewhere(queue, monkeypatch):
    queue.put("00_waiting", "a")
    queue.run("work", "--", sys.executable, "-c", "")
    ended = queue.json("results")[0]["ended"]
    (at,) = [row["modified"] for row in queue.json("list")]
    for column, told, command in (("ended", ended, "results"), ("modified", at, "list")):
        assert told.endswith("+00:00")
        assert told in queue.run(command, "--columns", f"job,{column}")
        with monkeypatch.context() as patch:
            patch.setattr(text, "on_terminal", lambda: True)
            shown = queue.run(command, "--columns", f"job,{column}").splitlines()[-1]
        local = datetime.fromisoformat(told).astimezone()
        assert shown.split(maxsplit=1)[1].strip() == local.strftime("%m-%d %H:%M")


def test_only_jobs_like_a_pattern(sweep):
    printed = sweep.run("results", "--filter", "lr0.[12]*", "--columns", "job")
    assert table(printed) == [["job"], ["lr0.1.json"], ["lr0.2.json"]]
    assert sweep.run("results", "--filter", "x*") == "No job is like that.\n"


def test_reasons_stand_below_each_other(local):
    local.run("pause")
    for name in ("a", "long", "x" * 60):
        local.put("99_failed", name)
        attempts.note(Share(local.store), name, "w1", "oh")
    lines = local.run("list", "--failed", "--reason").splitlines()
    assert lines[0] == f"failed     {'a':40}  oh"
    assert lines[1] == f"failed     {'long':40}  oh"
    assert lines[2] == f"failed     {'x' * 60}  oh"
    assert local.run("list", "--failed").splitlines()[0] == "failed     a"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--failed"], "no job has failed."),
        (["--filter", "T9*"], "no job is like 'T9*'."),
        (["--filter", "T\x1b*", "--failed"], r"no failed job is like 'T\x1b*'."),
        (["--state", "running"], "no job is running."),
        (["--where", "size > 9"], "no job is like that."),
        (["--where", "size > 9", "--columns", "job"], "no job is like that."),
    ],
)
def test_an_empty_list_says_so_on_a_terminal(local, monkeypatch, options, told):
    local.put("00_waiting", "a")
    assert local.run("list", "--failed") == local.stderr == ""
    monkeypatch.setattr("dirjobs.cli.commands.list.on_terminal", lambda: True)
    local.run("list", *options)
    assert local.stderr == f"dirjobs: {told}\n"
    assert local.json("list", *options) == []
    assert local.stderr == ""


def test_why_jobs_failed(sweep):
    assert sweep.run("list", "--failed", "--reason") == (
        "failed     lr9.json  exit code 1: too\\x1b[2J hot\n"
    )
    (row,) = json.loads(sweep.run("list", "--failed", "--reason", "--json"))
    assert row["reason"] == "exit code 1: too\x1b[2J hot"
    assert (
        json.loads(sweep.run("list", "--state", "done", "--reason", "--json"))[0]["reason"] is None
    )


def test_why_is_read_in_the_journal(far, server):
    jobs = [f"job{number}" for number in range(20)]
    far.put("00_waiting", *jobs)
    far.run("work", "--wid", "w1", "--keep-going", "--", *FAILS, code=1)
    server.log.clear()
    assert far.run("list", "--failed", "--reason").splitlines() == [
        f"failed     {job:5}  exit code 3: too hot" for job in jobs
    ]
    assert len(server.log) < 10
    note = {"format": 1, "attempts": [{"worker": "w2", "reason": "3 workers died at it"}]}
    path = "jobs/_queue/attempts/job7.json"
    server.write(path, json.dumps(note).encode(), mtime=4e9)
    lines = far.run("list", "--failed", "--reason").splitlines()
    assert lines[7] == "failed     job7   3 workers died at it"
    assert lines[8] == "failed     job8   exit code 3: too hot"


def test_a_list_is_a_table_too(sweep):
    printed = sweep.run("list", "--where", "size < 20", "--columns", "job,size,worker")
    assert table(printed) == [["job", "size", "worker"], ["lr9.json", "9"]]
    assert sweep.run("list", "--sort", "-job", "--names").split() == [
        "lr9.json", "lr0.3.json", "lr0.2.json", "lr0.1.json",
    ]  # fmt: skip
    assert "either --names or --columns" in sweep.refused("list", "--names", "--columns", "job")
