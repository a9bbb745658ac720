"""The journal: who writes what when, and what whoever reads it believes."""

from __future__ import annotations

import json
import threading

import pytest

from dirjobs import Denied, Entry, Guarantees, NoSpace
from dirjobs.admin import history
from dirjobs.admin.history import History, files_of
from dirjobs.backends.memory import MemoryStore
from dirjobs.backends.posix.store import PosixStore
from dirjobs.layers import Layer
from dirjobs.layout import DONE, FAILED, JOURNAL, JobFile
from dirjobs.policy import Policy
from dirjobs.protocol.folders import make_folders
from dirjobs.protocol.journal import (
    GIVEN_BACK,
    LARGEST_OBJECT,
    RECORDS_IN_FILE,
    Details,
    Git,
    Journal,
    Record,
    as_json,
    from_json,
)
from dirjobs.protocol.me import Me
from dirjobs.protocol.share import Share
from dirjobs.store import MAX_READ
from dirjobs.typed import Number
from tests.amounts import PATIENCE


@pytest.fixture
def share():
    share = Share(MemoryStore())
    make_folders(share)
    return share


def journal(worker="w1"):
    return Journal(Me(worker, Policy(), Guarantees()))


def record(job="a", **facts):
    return Record(**{"job": job, "worker": "w1", "end": "done", **facts})


def files(share):
    return sorted(entry.name for entry in share.list(JOURNAL))


def lines(share, name):
    return [json.loads(line) for line in share.read(f"{JOURNAL}/{name}").splitlines()]


def everything(share):
    found = [history.read(share, entry) for entry in history.journals(share)]
    assert [one.problem for one in found] == [""] * len(found)
    return [record for one in found for record in one.records]


# -- writing -----------------------------------------------------------------------------------


def test_a_record_is_one_line_and_comes_back(share):
    made = Record.of(
        Details(2, ["sh", "-c", "x\ny"], {"lr": Number("0.10")}, 1.5, 0, "", 123, {"loss": 0.5},
                "logs/a.w1.log", "results/a/w1", Git("abc", dirty=True)),
        "",
        job="a", worker="w1", end="done", started="s", ended="e",
    )  # fmt: skip
    journal().note(share, "01_running/w1.a", made)
    text = share.read(f"{JOURNAL}/w1.1.jsonl")
    assert text.count(b"\n") == 1
    assert b'"lr": 0.10' in text  # as typed
    assert b'"exit_code": 0' in text
    (found,) = everything(share)
    assert (found.command, found.params, found.exit_code) == (["sh", "-c", "x\ny"], {"lr": 0.1}, 0)
    assert (found.git, found.memory, found.attempt) == (Git("abc", dirty=True), 123, 2)


def test_one_request_for_a_record_and_one_file_for_a_hundred(share):
    requests = []

    class Counting(Layer):
        def call(self, verb, paths, action):
            requests.append(verb)
            return action()

    counted = Share(Counting(share.store))
    mine = journal()
    for number in range(2 * RECORDS_IN_FILE + 1):
        mine.note(counted, f"c{number}", record(f"j{number}"))
        mine.forget(f"c{number}")
    assert files(share) == ["w1.1.jsonl", "w1.2.jsonl", "w1.3.jsonl"]
    assert [len(lines(share, name)) for name in files(share)] == [100, 100, 1]
    assert requests == ["list", *["write"] * 201]
    assert [one.job for one in everything(share)] == [f"j{number}" for number in range(201)]


def test_a_file_is_never_larger_than_what_is_read_at_once(share):
    mine = journal()
    large = {"x": "y" * 8000}
    for number in range(99):
        made = Record.of(Details(params=large, result=large, command=["z" * 7000]), "r" * 4000,
                         job=f"j{number}")  # fmt: skip
        mine.note(share, f"c{number}", made)
    assert len(files(share)) == 3
    assert all(len(share.read(f"{JOURNAL}/{name}")) <= MAX_READ for name in files(share))
    assert len(everything(share)) == 99


def test_an_earlier_process_of_the_same_name_keeps_what_it_wrote(share):
    journal().note(share, "c", record("a"))
    journal("W1").note(share, "c", record("b"))  # one to a file system that knows no capitals
    journal().note(share, "c", record("c"))
    journal("w1~abcd").note(share, "c", record("d"))
    assert files(share) == ["W1.2.jsonl", "w1.1.jsonl", "w1.3.jsonl", "w1~abcd.1.jsonl"]


def test_a_record_that_changes_is_replaced_where_it_stands(share):
    mine = journal()
    mine.note(share, "c1", record("a"))
    for number in range(RECORDS_IN_FILE):
        mine.note(share, f"d{number}", record(f"j{number}"))
    mine.note(share, "c1", record("a", lost=True))
    assert lines(share, "w1.1.jsonl")[0] == {
        "job": "a", "worker": "w1", "end": "done", "lost": True
    }  # fmt: skip
    assert mine.record_of("c1").lost
    mine.forget("c1")
    assert mine.record_of("c1") is None


def test_what_was_refused_is_written_with_the_next(share):
    class Refusing(Layer):
        refuses = True

        def write(self, path, data):
            if self.refuses:
                raise Denied(path)
            super().write(path, data)

    store = Refusing(share.store)
    mine, refused = journal(), Share(store)
    mine.note(refused, "c1", record("a"))
    assert files(share) == []
    store.refuses = False
    mine.note(refused, "c2", record("b"))
    assert [one.job for one in everything(share)] == ["a", "b"]


def test_threads_that_end_jobs_at_once_share_a_request(share):
    begun, go, writes = threading.Event(), threading.Event(), []

    class Slow(Layer):
        def write(self, path, data):
            writes.append(data.count(b"\n"))
            begun.set()
            assert go.wait(PATIENCE)
            super().write(path, data)

    slow, mine = Share(Slow(share.store)), journal()

    def note(number):
        mine.note(slow, f"c{number}", record(f"j{number}"))

    threads = [threading.Thread(target=note, args=(number,)) for number in range(9)]
    threads[0].start()
    assert begun.wait(PATIENCE)
    for thread in threads[1:]:
        thread.start()
    while len(mine._file.lines) < 9:
        pass
    go.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert writes == [1, 9]
    assert len(everything(share)) == 9


@pytest.mark.parametrize(
    "value",
    [
        {"x": "y" * LARGEST_OBJECT},
        {"x": Number("1" * 400)},
        {"x": json.loads("[" * 60 + "]" * 60)},
    ],
)
def test_what_is_too_large_stays_in_its_own_file(value):
    made = Record.of(Details(params=value, result=value), "", job="a")
    assert (made.params, made.result) == (None, None)


def test_a_long_command_is_cut(share):
    made = Record.of(Details(command=["python", "-c", "x" * 9000, "y"]), "r" * 9000, job="a")
    assert made.command == ["python", "-c", "[...]"]
    journal().note(share, "c", made)
    assert len(everything(share)) == 1


def test_a_name_that_is_no_unicode_comes_back(share):
    journal().note(share, "c", record("a\udcff"))
    assert [one.job for one in everything(share)] == ["a\udcff"]


def test_details_survive_in_a_note_of_this_machine():
    details = Details(1, ["a"], {"lr": Number("0.10")}, 2.0, None, "SIGKILL", git=Git("abc"))
    found = from_json(json.loads(json.dumps(as_json(details))))
    assert found.params == {"lr": 0.1}
    assert (found.command, found.signal, found.git) == (["a"], "SIGKILL", Git("abc"))


# -- the store's time -----------------------------------------------------------------------------


@pytest.mark.parametrize(("ahead", "told"), [(0.5, 0.0), (3600, 3600), (-90, -90)])
def test_the_time_is_the_store_s_if_the_clocks_differ(monkeypatch, ahead, told):
    monkeypatch.setattr("dirjobs.clock.wall", lambda: 1000.0)
    me = Me("w1", Policy(), Guarantees())
    me.compare_clocks(5.0, 50.0)  # nothing was written yet
    assert me.store_time() == 1000
    me.last_beat = 40.0
    me.compare_clocks(1000 - 10 + ahead, 50.0)
    assert me.store_time() == 1000 + told


# -- whose attempt is the job's --------------------------------------------------------------------


def place(folder=DONE, name="a"):
    return JobFile(folder, name, Entry(name))


def at(second, **facts):
    return record(ended=f"2026-01-01T00:00:{second:02}.000+00:00", **facts)


@pytest.mark.parametrize(
    ("records", "folder", "worker"),
    [
        ([], DONE, None),
        ([at(1, worker="w1"), at(2, worker="w2")], DONE, "w2"),
        ([at(2, worker="w2"), at(1, worker="w1")], DONE, "w2"),
        ([at(1, worker="w1"), at(2, worker="w2", lost=True)], DONE, "w1"),
        ([at(1, worker="w1"), at(2, worker="w2", end="failed")], DONE, "w1"),
        ([at(1, worker="w1"), at(2, worker="w2", end="failed")], FAILED, "w2"),
        ([at(1, worker="w1", end="failed")], DONE, None),  # a person moved it
        ([at(1, worker="w1", end=GIVEN_BACK)], DONE, None),
        ([at(1, worker="w1", end=GIVEN_BACK)], FAILED, None),
        ([at(1, worker="w1", ended_as="a~2")], DONE, None),
        ([record(ended="yesterday"), at(1, worker="w1")], DONE, "w1"),
    ],
)
def test_the_latest_that_was_not_lost_and_ended_so(records, folder, worker):
    found = History(records).decisive(place(folder))
    assert (found and found.worker) == worker


def test_a_job_that_got_another_name_at_its_end():
    found = History([at(1, worker="w1", job="a.txt", ended_as="a~2.txt")])
    assert found.decisive(place(name="a~2.txt")).worker == "w1"
    assert found.decisive(place(name="a.txt")) is None


@pytest.mark.parametrize(
    ("files", "kept"),
    [
        ("results/a/w1", True),
        ("results/a/w1~2", True),
        ("", False),
        ("results/b/w1", False),
        ("results/a", False),
        ("results/a/", False),
        ("results/a/..", False),
        ("results/a/w1/x", False),
        ("results/a/../../victim", False),
        ("/etc", False),
        ("02_done", False),
    ],
)
def test_files_are_in_a_folder_of_the_job(files, kept):
    assert files_of(record(files=files)) == (files if kept else "")


# -- journals of strangers ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"{}",
        b'{"job": ""}',
        b'{"job": 1}',
        b'{"job": "a", "seconds": -1}',
        b'{"job": "a", "seconds": NaN, "end": []}',
        b'{"job": "a", "params": [1]}',
        b'{"job": "a", "memory": %s}' % (b"9" * 4000),
        b'{"job": "a", "result": {"x": %s}}' % (b"[" * 100_000),
        b'{"job": "a", "command": "rm"}',
        b'{"job": "%s"}' % (b"a" * 301),
        b'{"job": "a", "git": {}}',
        b"\xff\xfe",
        b'{"job": "a", ',
    ],
)
def test_a_line_that_makes_no_sense_is_left_out(share, line):
    good = record("a").to_line()
    share.write(f"{JOURNAL}/w1.1.jsonl", good + line + b"\n" + good)
    (entry,) = history.journals(share)
    found = history.read(share, entry)
    assert [one.job for one in found.records] == ["a", "a"]
    assert ("a line of _queue/journal/w1.1.jsonl makes no sense" in found.problem) == bool(line)


def test_a_journal_without_end_is_left_out(share, monkeypatch):
    monkeypatch.setattr(history, "LARGEST_JOURNAL", 1000)
    share.write(f"{JOURNAL}/w1.1.jsonl", record("a").to_line() * 50)
    (entry,) = history.journals(share)
    found = history.read(share, entry)
    assert found.records == []
    assert "more than 1,000 bytes" in found.problem


def test_other_files_are_none(share):
    for name in ("w1.jsonl", "w1.x.jsonl", "w1.1.json", ".~abc", "~abc.part", "w1.b.1.jsonl"):
        share.write(f"{JOURNAL}/{name}", b"x")
    share.mkdir(f"{JOURNAL}/w2.1.jsonl")
    assert history.journals(share) == []


# -- where a file can be added to -----------------------------------------------------------------


class Adding(Layer):
    """Notes what is written whole, and what is added."""

    def __init__(self, store):
        super().__init__(store)
        self.made = []
        self.fails = False

    def write(self, path, data):
        self.made.append(("write", data.count(b"\n")))
        super().write(path, data)

    def append(self, path, data):
        self.made.append(("append", data.count(b"\n")))
        if self.fails:
            super().append(path, data[:10])
            raise NoSpace(path)
        super().append(path, data)


@pytest.fixture
def disk(tmp_path):
    store = Adding(PosixStore(tmp_path / "jobs"))
    make_folders(Share(store))
    store.made.clear()
    return Share(store)


def test_a_disk_s_file_grows(disk):
    mine = Journal(Me("w1", Policy(), Guarantees()), appends=True)
    for number in range(RECORDS_IN_FILE + 2):
        mine.note(disk, f"c{number}", record(f"j{number}"))
    one = ("append", 1)
    assert disk.store.made == [("write", 1), *[one] * 99, ("write", 1), one]
    assert [found.job for found in everything(disk)] == [f"j{n}" for n in range(102)]


def test_a_record_that_changes_is_written_whole(disk):
    mine = Journal(Me("w1", Policy(), Guarantees()), appends=True)
    for number in range(3):
        mine.note(disk, f"c{number}", record(f"j{number}"))
    mine.note(disk, "c1", record("j1", lost=True))
    mine.note(disk, "c1", record("j1", lost=True))
    mine.note(disk, "c3", record("j3"))
    assert [made for made, _ in disk.store.made][3:] == ["write", "append", "append"]
    assert [found.lost for found in everything(disk)] == [False, True, False, False]


def test_after_a_record_that_was_torn_all_are_written(disk):
    mine = Journal(Me("w1", Policy(), Guarantees()), appends=True)
    mine.note(disk, "c0", record("j0"))
    disk.store.fails = True
    mine.note(disk, "c1", record("j1"))
    (entry,) = history.journals(disk)
    found = history.read(disk, entry)
    assert [one.job for one in found.records] == ["j0"]
    assert "makes no sense" in found.problem
    disk.store.fails = False
    mine.note(disk, "c2", record("j2"))
    assert [one.job for one in everything(disk)] == ["j0", "j1", "j2"]


def test_a_file_that_somebody_has_removed_is_written_again(disk):
    mine = Journal(Me("w1", Policy(), Guarantees()), appends=True)
    mine.note(disk, "c0", record("j0"))
    disk.store.remove(f"{JOURNAL}/w1.1.jsonl")
    mine.note(disk, "c1", record("j1"))
    assert [one.job for one in everything(disk)] == ["j0", "j1"]
