"""``dirjobs logs``."""

import io
import sys
import tracemalloc

import pytest
from click.testing import CliRunner

from dirjobs import DirJobs
from dirjobs.admin.logs import last_line
from dirjobs.cli import main
from dirjobs.cli.commands import logs
from dirjobs.cli.commands.logs import Shown, copy_new_part
from dirjobs.protocol.share import Share


@pytest.fixture
def printed(queue):
    queue.put("02_done", "a.txt", "a")
    queue.store.mkdir("logs")
    queue.put("logs", "a.txt.w1.log", data=b"first\n")
    return queue


def test_the_latest_attempt(printed):
    assert printed.run("logs", "a.txt") == "first\n"
    printed.put("logs", "a.txt.w2~ab2c.log", data=b"second \xff\n")
    result = CliRunner().invoke(main, ["logs", printed.url, "a.txt", "--worker", "w2"])
    assert result.stdout_bytes == b"second \xff\n"
    assert printed.run("logs", "a.txt", "--worker", "w1") == "first\n"
    found = printed.json("logs", "a.txt", "--worker", "w2")
    assert (found["path"], found["text"]) == ("logs/a.txt.w2~ab2c.log", "second \ufffd\n")


def test_a_job_whose_name_begins_like_that_of_another(printed):
    assert "job 'a' is done and has no log" in printed.refused("logs", "a")
    assert "no log of worker 'w9'" in printed.refused("logs", "a.txt", "--worker", "w9")


def test_no_log_yet(local):
    local.put("00_waiting", "a.txt")
    local.put("01_running", "w1.b.txt")
    assert "it was not started yet" in local.refused("logs", "a.txt")
    assert "within half a minute" in local.refused("logs", "b.txt")
    assert "-f and --json" in local.refused("logs", "b.txt", "-f", "--json")


def test_follow(queue, monkeypatch):
    """As `dirjobs work` does it: the log grows, is complete, then the job ends."""
    queue.put("00_waiting", "a.txt")
    queue.store.mkdir("logs")
    with DirJobs(queue.store, "w1") as worker:
        job = worker.next_and_lock()
        scenes = iter(
            [
                lambda: queue.put("logs", "a.txt.w1.log", data=b"one\n"),
                lambda: queue.put("logs", "a.txt.w1.log", data=b"one\ntwo\n"),
                lambda: None,
                lambda: (queue.put("logs", "a.txt.w1.log", data=b"one\ntwo\nend\n"), job.done()),
            ]
        )
        look = logs.Follower._look

        def looking(follower):
            look(follower)
            next(scenes)()

        monkeypatch.setattr(logs.Follower, "_look", looking)
        monkeypatch.setattr(logs, "_INTERVAL", 0.0)
        scenes = iter([*scenes, lambda: None])
        assert queue.run("logs", "-f", "a.txt") == "one\ntwo\nend\n"
        assert list(scenes) == []


def test_follow_what_is_over(printed):
    assert printed.run("logs", "-f", "a.txt") == "first\n"
    assert "no log" in printed.refused("logs", "-f", "a")
    assert "no job 'none'" in printed.refused("logs", "-f", "none")


def new_part(shown, content):
    output = io.BytesIO()
    copy_new_part(Shown.of(io.BytesIO(shown)), io.BytesIO(content), output)
    return output.getvalue()


@pytest.mark.parametrize("piece", [1 << 16, 4096, 5000])
def test_what_is_new_in_a_log(monkeypatch, piece):
    monkeypatch.setattr(logs, "_PIECE", piece)
    assert new_part(b"", b"abc") == b"abc"
    assert new_part(b"abc", b"abc") == b""
    assert new_part(b"abc", b"abcdef") == b"def"
    head, tail = b"h" * 5000, b"".join(b"line %d\n" % n for n in range(2000))
    cut = head + b"[left out]\n" + tail[-9000:]
    assert new_part(head + tail, cut + b"more") == b"more"
    assert new_part(b"x" * 5000, b"y" * 9000) == b"\n[...]\n" + b"y" * 4096


def test_a_long_log_as_json(local):
    local.store.mkdir("logs")
    local.put("02_done", "a.txt")
    local.put("logs", "a.txt.w1.log", data=b"x" * 3_000_000)
    assert len(local.json("logs", "a.txt")["text"]) == 3_000_000
    assert len(local.run("logs", "a.txt")) == 3_000_000


@pytest.mark.parametrize("options", [(), ("-f",), ("--json",)])
def test_no_log_is_held_in_memory(local, monkeypatch, options):
    """Somebody may have put a very large one there; here 8 MB, of zeros."""
    local.put("02_done", "a.txt")
    local.store.mkdir("logs")
    with open(local.store.full_path("logs/a.txt.w1.log"), "wb") as file:
        file.truncate(8 << 20)
    written = []

    class Output(io.RawIOBase):
        def writable(self):
            return True

        def write(self, data):
            written.append(len(data))
            return len(data)

    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BufferedWriter(Output()), "utf-8"))
    tracemalloc.start()
    try:
        logs.logs.callback(local.url, "a.txt", "-f" in options, None, False, "--json" in options, 0)
        sys.stdout.flush()
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert sum(written) >= 8 << 20


@pytest.mark.parametrize(
    ("log", "line"),
    [
        (b"one\ntwo\n\n# a note of ours\n", "two"),
        (b"10 %\r20 %\r30 %", "30 %"),
        (b"# a note of ours\n", ""),
        (b"", ""),
        (b"x" * (2 << 20), ""),
        (b"\xff\n", "\ufffd"),
        (None, ""),
    ],
)
def test_the_last_line_of_a_log(queue, log, line):
    queue.store.mkdir("logs")
    if log is not None:
        queue.put("logs", "a.w1.log", data=log)
    assert last_line(Share(queue.store), "a", "w1") == line
