"""50,000 jobs: a bounded number of requests, flat memory, a bar that moves."""

import io
import tracemalloc
from collections import Counter

import pytest
from click.testing import CliRunner

from dirjobs.backends.memory import MemoryStore
from dirjobs.cli import main, options
from dirjobs.console import text
from dirjobs.layout import DONE, WAITING
from dirjobs.protocol.folders import make_folders
from dirjobs.protocol.share import Share
from dirjobs.store import Entry

MANY = 50_000
ADDED = 10_000
FEWER = 5_000
"""Where memory is measured, which takes time."""
FOR_EACH = 1000
"""Bytes for each job of the longest listing; measured: 400 to 600."""


class Crowd(MemoryStore):
    """Says that there are so many jobs waiting, and as many done; counts the requests."""

    def __init__(self, size=0):
        super().__init__()
        self.size, self.calls = 0, Counter()
        make_folders(Share(self))
        self.size, self.calls = size, Counter()

    def list(self, folder):
        self.calls["list"] += 1
        if self.size and folder in (WAITING, DONE):
            for number in range(self.size):
                yield Entry(f"{folder[3:]}{number}.json", 1e9, 42)
        else:
            yield from super().list(folder)

    def exists(self, path):
        self.calls["exists"] += 1
        return super().exists(path)

    def upload(self, path, source):
        self.calls["upload"] += 1
        super().upload(path, source)

    def rename(self, src, dst):
        self.calls["rename"] += 1
        super().rename(src, dst)


@pytest.fixture
def crowd(monkeypatch):
    """Makes the queue that all commands are about."""

    def make(size=0):
        store = Crowd(size)
        monkeypatch.setattr(options, "open_store", lambda *args, **options: store)
        return store

    return make


def run(*args, code=0):
    result = CliRunner().invoke(main, [str(arg) for arg in args])
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout


def peak_of(*args, code=0):
    """The most memory that a command takes, in bytes; what it prints not counted."""
    run(*args, code=code)  # what is imported stays
    tracemalloc.start()
    try:
        printed = run(*args, code=code)
        return tracemalloc.get_traced_memory()[1] - 8 * len(printed)
    finally:
        tracemalloc.stop()


def test_status(crowd):
    store = crowd(MANY)
    out = run("status", "jobs")
    assert "50,000 waiting, 0 running, 50,000 done, 0 failed (50,000 of 100,000 ended)" in out
    assert store.calls == {"exists": 1, "list": 6}


def test_list(crowd):
    store = crowd(MANY)
    out = run("list", "jobs", "--names")
    assert out.count("\n") == 2 * MANY
    assert out.startswith("waiting0.json\nwaiting1.json\nwaiting2.json\n")
    assert store.calls == {"exists": 1, "list": 5}


def test_wait(crowd):
    store = crowd(MANY)
    assert run("wait", "jobs", "--timeout", "0.1", "--interval", "0.05", code=3) == ""
    assert store.calls.keys() == {"exists", "list"}
    assert store.calls["list"] % 2 == 0  # two for each look, and two for the counts at the end


@pytest.mark.parametrize(
    ("code", "args"),
    [(0, ["status"]), (0, ["list"]), (0, ["list", "--json"]), (3, ["wait", "--timeout", "0"])],
)
def test_the_memory_of_looking(crowd, code, args):
    """That of one listing at a time."""
    crowd(FEWER)
    assert peak_of(args[0], "jobs", *args[1:], code=code) < FEWER * FOR_EACH


@pytest.fixture
def table(tmp_path):
    def write(size):
        path = tmp_path / f"{size}.csv"
        rows = (f"{number / 1000},{number},adam\n" for number in range(size))
        path.write_text("lr,seed,optimiser\n" + "".join(rows))
        return path

    return write


def test_add(crowd, table):
    store = crowd()
    out = run("add", "jobs", "--from-csv", table(ADDED))
    assert out == "Added 10,000 jobs to memory://.\n".replace("memory://", store.url)
    assert store.calls == {"exists": 1, "list": 4, "upload": ADDED, "rename": ADDED}
    assert store.read(f"{WAITING}/lr0.041_seed41_optimiser-adam.json") == (
        b'{"lr": 0.041, "seed": 41, "optimiser": "adam"}\n'
    )


def test_the_memory_of_adding(crowd, table):
    """The names; no contents."""
    crowd()
    assert peak_of("add", "jobs", "--from-csv", table(FEWER), "--dry-run") < FEWER * FOR_EACH


# -- the bar -----------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown_by(stream, monkeypatch, patience=0.0, total=1000):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with monkeypatch.context() as patch:
        patch.setattr("sys.stderr", stream)
        patch.setattr(text.Bar, "PATIENCE", patience)
        patch.setattr(text.Bar, "_PAUSE", 0.0)
        with text.Bar("adding", total) as bar:
            for number in range(1, total + 1):
                bar.show(number)
    return stream.getvalue()


def test_a_bar_moves_on_a_terminal(monkeypatch):
    shown = shown_by(Terminal(), monkeypatch)
    assert "adding" in shown
    assert "1000/1000" in shown


def test_what_is_over_in_a_second_shows_no_bar(monkeypatch):
    assert shown_by(Terminal(), monkeypatch, patience=3600.0) == ""


def test_a_bar_is_for_terminals_only(monkeypatch):
    assert shown_by(io.StringIO(), monkeypatch) == ""
