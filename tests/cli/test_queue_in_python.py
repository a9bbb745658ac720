"""What a program in Python does to a queue: the same as the commands."""

import logging
import re
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from dirjobs import ConfigurationError, DirJobs, JobExists, Table
from dirjobs.admin import wait as waiting
from tests.fake_webdav import Fault


@pytest.fixture
def dj(queue):
    """The queue in Python."""
    with DirJobs(queue.url, job_ext="") as dj:
        yield dj


def contents(queue):
    return {name: queue.store.read(f"00_waiting/{name}") for name in queue.names("00_waiting")}


# -- sweeps -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "options"),
    [
        ({"lr": [0.1, 0.01], "seed": range(3)}, ["lr=0.1,0.01", "seed=0..2"]),
        ({"x": 1e-5, "opt": "adam"}, ["x=1e-05", "opt=adam"]),
        ({"big": 1e22, "flag": [True, False]}, ["big=1e+22", "flag=true,false"]),
        ({"path": "a b/ü", "v": (1, "x")}, ["path=a b/ü", "v=1,x"]),
        ({"x": 1e5}, ["x=100000.0"]),
        ({"x": Fraction(1, 4), "deep": [Path("a/b")]}, ["x=0.25", f"deep={Path('a/b')}"]),
    ],
)
def test_a_sweep_is_that_of_the_command_line(local, tmp_path, params, options):
    local.run("add", *(part for option in options for part in ("--param", option)))
    with DirJobs(tmp_path / "other", job_ext="", create=True) as dj:
        added = dj.add_sweep(**params)
        assert sorted(added) == local.names("00_waiting")
        assert {name: dj.store.read(f"00_waiting/{name}") for name in added} == contents(local)


def test_a_larger_sweep_adds_what_is_new(queue, dj):
    assert dj.add_sweep(seed=range(2)) == ["seed0.json", "seed1.json"]
    with pytest.raises(JobExists, match="skip_existing=True"):
        dj.add_sweep(seed=range(3))
    assert dj.add_sweep({"seed": range(3)}, skip_existing=True) == ["seed2.json"]
    with dj.next_and_lock() as job:
        assert job.params == {"seed": 0}


def test_texts_stay_texts(queue, dj):
    dj.add_sweep({"a": "0.10", "skip_existing": [1.50]})
    assert list(contents(queue).values()) == [b'{"a": "0.10", "skip_existing": 1.5}\n']


def test_numbers_of_numpy_are_numbers(queue, dj):
    numpy = pytest.importorskip("numpy")
    arrays = {"a": numpy.array([0.1]), "b": numpy.arange(1), "c": numpy.float32(0.1)}
    assert dj.add_sweep(arrays, d=numpy.bool_(True)) == ["a0.1_b0_c0.1_d-true.json"]


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({}, "there are no parameters"),
        ({"lr": []}, "'lr' has no value"),
        ({"lr": float("nan")}, "JSON does not know"),
        ({"lr": [float("inf")]}, "JSON does not know"),
        ({"lr": object()}, "type object"),
        ({"lr": b"x"}, "type bytes"),
        ({"lr": "\ud800"}, "not Unicode text"),
        ({"a": 1, "A": 2}, "rename one of them"),
        ({"a": range(10_000_000)}, "more than 1,000,000 jobs"),
        ({"a": range(2000), "b": range(2000)}, "more than 1,000,000 jobs"),
        ({1: 2}, "no name of a parameter"),
        ({"lr": 10**5000}, "more than 300 digits"),
        ({"lr": Fraction(10**400)}, "too large"),
    ],
)
def test_what_is_no_sweep(local, params, sentence):
    with (
        DirJobs(local.url, job_ext="") as dj,
        pytest.raises(ConfigurationError, match=sentence) as caught,
    ):
        dj.add_sweep(params)
    assert "\n" not in str(caught.value)
    assert contents(local) == {}


def test_a_parameter_that_is_given_twice(local):
    with DirJobs(local.url) as dj, pytest.raises(ConfigurationError, match="given twice"):
        dj.add_sweep({"a": 1}, a=2)


def test_who_would_not_take_the_jobs_is_told(local, caplog):
    with DirJobs(local.url) as dj:
        dj.add_sweep(a=1)
    assert "job_ext" in caplog.text


# -- results ----------------------------------------------------------------------------------


@pytest.fixture
def swept(queue, dj):
    """A queue with a sweep that has ended."""
    dj.add_sweep(lr=[0.5, 0.25, 2], opt=["a", "b"])
    for job in dj:
        with job:
            if job.params["lr"] == 2:
                job.failed("too large")
            else:
                job.result({"loss": job.params["lr"] ** 2})
    return queue


def test_the_rows_are_those_of_the_command_line(swept, dj):
    table = dj.results()
    assert [*table] == swept.json("results")
    assert len(table) == 6
    assert table.columns == ["job", "state", "lr", "opt", "loss", "seconds", "host", "ended"]
    assert table[0]["loss"] == 0.0625


def test_rows_are_chosen(swept, dj):
    table = dj.results(where="lr < 1 and opt == 'a'", sort="-loss", columns=["job", "loss"])
    assert [*table] == [
        {"job": "lr0.5_opt-a.json", "loss": 0.25},
        {"job": "lr0.25_opt-a.json", "loss": 0.0625},
    ]
    assert len(dj.results(state="failed")) == 2
    assert [*dj.results(where="lr > 10")] == []
    for mistake in ({"where": "lr <"}, {"sort": "nothing"}, {"columns": ["x"]}, {"state": "lost"}):
        with pytest.raises(ConfigurationError, match=r"where=|no column|no state"):
            dj.results(**mistake)


def test_a_table_of_arrow(swept, dj):
    pytest.importorskip("pyarrow")
    table = dj.results().to_arrow()
    assert table.column("lr").to_pylist()[:2] == [0.25, 0.25]
    assert str(table.schema.field("loss").type) == "double"
    assert dj.results(columns="opt").to_arrow().column_names == ["opt"]


def test_a_data_frame(swept, dj):
    pytest.importorskip("pandas")
    frame = dj.results().to_pandas()
    assert list(frame.columns) == dj.results().columns
    assert frame["loss"].dropna().max() == 0.25


@pytest.mark.parametrize(("module", "method"), [("pandas", "to_pandas"), ("pyarrow", "to_arrow")])
def test_what_is_not_installed_is_told(monkeypatch, module, method):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=f"pip install {module}"):
        getattr(Table(["a"], [{"a": 1}]), method)()


def test_a_table_in_a_notebook_is_nothing_but_text():
    rows = [{"<b>": "<script>alert(1)</script>", "x": number} for number in range(100)]
    html = Table(["<b>", "x", "none"], rows)._repr_html_()
    assert "<script" not in html
    assert "<b>" not in html
    assert "&lt;script&gt;" in html
    assert "40 more" in html
    assert html.count("<tr>") == 62


# -- retry and cancel -------------------------------------------------------------------------


def test_jobs_are_retried(queue, dj):
    queue.put("99_failed", "a2.txt", "a10.txt", "b.txt")
    queue.put("02_done", "c.txt")
    assert dj.retry("a*") == ["a2.txt", "a10.txt"]
    assert dj.retry("c.txt", done=True) == ["c.txt"]
    assert dj.retry(failed=True) == ["b.txt"]
    assert len(queue.names("00_waiting")) == 4


def test_jobs_are_cancelled(queue, dj):
    queue.put("00_waiting", "a2.txt", "a10.txt", "b.txt")
    job = dj.next_and_lock()
    assert dj.cancel("a*") == ["a2.txt", "a10.txt"]
    assert not job.still_mine()
    assert queue.json("status")["cancelled"] == 2
    assert dj.retry(failed=True) == []


def test_what_a_job_is_that_was_not_meant_is_told(queue, dj):
    queue.put("00_waiting", "a.txt")
    queue.put("02_done", "b.txt")
    dj.cancel("a.txt")
    for told, call, names in (
        ("it is cancelled already", dj.cancel, ["a.txt"]),
        ("did you mean 'a.txt'", dj.cancel, ["a"]),
        ("it is done (`dirjobs retry --done b.txt` runs it once more)", dj.retry, ["b.txt"]),
    ):
        with pytest.raises(ConfigurationError, match=re.escape(told)):
            call(*names)


@pytest.mark.parametrize(
    ("call", "names", "options"),
    [
        ("retry", (), {}),
        ("retry", ("a",), {"failed": True}),
        ("retry", (), {"failed": True, "done": True}),
        ("retry", (), {"done": True}),
        ("retry", ("nothing",), {}),
        ("retry", (["a"],), {}),
        ("cancel", (), {}),
        ("cancel", ("nothing*",), {}),
        ("cancel", (1,), {}),
    ],
)
def test_what_is_no_job_is_told(local, call, names, options):
    with DirJobs(local.url) as dj, pytest.raises(ConfigurationError) as caught:
        getattr(dj, call)(*names, **options)
    assert "\n" not in str(caught.value)


# -- waiting ----------------------------------------------------------------------------------


def test_waiting_ends_when_nothing_is_left(queue, dj, monkeypatch):
    queue.put("00_waiting", "a.txt", "b.txt")
    left = waiting.left_to_do

    def one_less(share):
        number = left(share)
        if number:
            dj.next_and_lock().done()
        return number

    monkeypatch.setattr(waiting, "left_to_do", one_less)
    assert dj.wait(interval=0).done == 2


def test_waiting_has_an_end(queue, dj, caplog):
    queue.put("00_waiting", "a.txt")
    with caplog.at_level(logging.WARNING), pytest.raises(TimeoutError, match="1 jobs are still"):
        dj.wait(timeout=0.1, progress=False, interval=0.05)
    assert [record.getMessage() for record in caplog.records] == [
        "nobody works: start `dirjobs work`."
    ]


def test_the_bar_is_that_of_tqdm_if_there_is_one(local, monkeypatch):
    class Shown:
        def __init__(self, **how):
            self.total, self.n, self.seen = how["total"], 0, seen
            assert (how["desc"], how["leave"], how["disable"]) == ("waiting", False, None)

        def refresh(self):
            self.seen.append((self.n, self.total))

        def close(self):
            self.seen.append("closed")

    seen = []
    monkeypatch.setitem(sys.modules, "tqdm", type(sys)("tqdm"))
    auto = type(sys)("tqdm.auto")
    auto.tqdm = Shown
    monkeypatch.setitem(sys.modules, "tqdm.auto", auto)
    local.put("00_waiting", "a.txt")
    with DirJobs(local.url) as dj, pytest.raises(TimeoutError):
        dj.wait(timeout=0)
    assert seen == [(0, 1), "closed"]


# -- in a notebook ----------------------------------------------------------------------------


def test_a_queue_in_a_notebook(queue, dj):
    evil = "<img src=x>"
    queue.put("00_waiting", "a.txt", "b&lt.txt")  # Windows has no file with a < in its name
    dj.next_and_lock().failed(f"{evil} \x1b[31m")
    job = dj.next_and_lock()
    html = dj._repr_html_()
    assert job.name() == "b&lt.txt"
    assert "<img" not in html
    assert html.count("&lt;img src=x&gt;") == 1
    assert "b&amp;lt.txt" in html
    assert "\x1b" not in html
    for told in ("0 waiting", "1 running", "1 failed", "w1", "last sign of life"):
        assert told in html


def test_a_queue_that_is_away_in_a_notebook(far, server):
    with DirJobs(far.url) as dj:
        server.faults.add(Fault("status", status=503, times=None))
        assert "can&#x27;t be looked at now" in dj._repr_html_()
        server.faults.clear()


def test_an_empty_queue_in_a_notebook(queue, dj):
    assert "no jobs" in dj._repr_html_()
