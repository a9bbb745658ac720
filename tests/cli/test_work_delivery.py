"""Shares that are full, away, or refuse: the job's results are never dropped."""

import json
import os
import sys
from pathlib import Path
from threading import Thread

import pytest

from dirjobs import Denied, NoSpace, Unavailable
from dirjobs.layers import Retrying
from tests.cli.test_work import log_of, reasons
from tests.command_line import a_job, python, until_there, wait_until
from tests.fake_webdav.faults import Fault

RESULT = a_job("(out / 'a.txt').write_bytes(b'1\\n')\n(out / 'b.txt').write_bytes(b'2\\n')\n")


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr("dirjobs.files.upload._PAUSE", 0.02)


def refusing(local, monkeypatch, error, *, folder="results", times=10**9):
    """Let the store refuse to put anything into a folder, so many times."""
    left = [times]
    for verb in ("upload", "write"):
        original = getattr(type(local.store), verb)

        def put(store, path, data, original=original):
            if path.startswith(f"{folder}/") and left[0] > 0:
                left[0] -= 1
                raise error(f"{path!r}: no")
            original(store, path, data)

        monkeypatch.setattr(type(local.store), verb, put)


# -- the share is away ---------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_share_is_away_when_results_are_brought(far, server, when):
    """Six times: longer than the requests themselves are repeated."""
    far.put("00_waiting", "a")
    fault = Fault("status", method="PUT", path="jobs/results/*", status=502, when=when, times=6)
    server.faults.add(fault)
    far.run("work", "--", *RESULT)
    assert far.jobs() == {"02_done": ["a"]}
    assert far.names(far.files("a")) == ["a.txt", "b.txt"]
    assert "waiting until it can" in far.stderr
    assert "going on" in far.stderr


def test_the_server_is_gone_when_a_job_ends(far, server, tmp_path):
    """It comes back when the worker has met its absence; the port refuses connections."""
    far.put("00_waiting", "a")
    met = []
    original = Retrying.call

    def repeat(*args):
        try:
            return original(*args)
        except Unavailable as error:
            met.append(error)
            raise

    def gone_for_a_while():
        wait_until((tmp_path / "begun").exists)
        server.stop()
        (tmp_path / "go").touch()
        wait_until(lambda: met)
        server.start()

    thread = Thread(target=gone_for_a_while)
    thread.start()
    wait = f"Path({str(tmp_path / 'begun')!r}).touch()\n{until_there(tmp_path / 'go')}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Retrying, "call", repeat)
        far.run("work", "--", *python(RESULT[2] + wait))
    thread.join()
    assert met
    assert far.jobs() == {"02_done": ["a"]}
    assert far.names(far.files("a")) == ["a.txt", "b.txt"]
    assert "exit code 0" in log_of(far, "a")


def test_the_share_is_away_when_a_job_is_fetched(far, server, monkeypatch):
    monkeypatch.setattr("dirjobs.runner.execution._PAUSE", 0.01)
    far.put("00_waiting", "a", data=b"content")
    fault = Fault("status", method="GET", path="jobs/01_running/*", status=503, times=6)
    server.faults.add(fault)
    show = python("import sys; print(open(sys.argv[1]).read())")
    far.run("work", "--wid", "w1", "--", *show, "{}")
    assert "can't be fetched now" in far.stderr
    assert b"\ncontent\n" in far.store.read("logs/a.w1.log")


# -- the share is full ---------------------------------------------------------------------


def test_a_full_share_is_waited_for(far, server):
    far.put("00_waiting", "a")
    fault = Fault("status", method="PUT", path="jobs/results/*", status=507, times=3)
    server.faults.add(fault)
    far.run("work", "--", *RESULT)
    assert far.jobs() == {"02_done": ["a"]}
    assert far.names(far.files("a")) == ["a.txt", "b.txt"]
    assert ". Waiting for room, at most 600 s.\n" in far.stderr


def kept(reason):
    """The local folder that a reason names."""
    return Path(reason.partition("are kept in ")[2].split("'")[1])


@pytest.mark.parametrize("code", [0, 3])
def test_a_share_that_stays_full_fails_the_job_and_results_are_kept(
    local, monkeypatch, scratch, code
):
    monkeypatch.setattr("dirjobs.files.upload.PATIENCE", 0.1)
    refusing(local, monkeypatch, NoSpace)
    local.put("00_waiting", "a")
    local.run("work", "--wid", "w1", "--", *python(f"{RESULT[2]}sys.exit({code})"), code=1)
    assert local.jobs() == {"99_failed": ["a"]}
    (reason,) = reasons(local, "a")
    begin = "exit code 3" if code else "the command ended well"
    assert reason.startswith(f"{begin}, but its results could not be stored: 'results/a/w1/a.txt'")
    assert "(and 1 more)" in reason
    folder = kept(reason)
    assert folder.parent == scratch
    assert (folder / "results" / "a.txt").read_text() == "1\n"
    assert (folder / "results" / "b.txt").read_text() == "2\n"
    assert os.listdir(scratch) == [folder.name]
    assert "results could not be stored" in log_of(local, "a")


def test_a_share_that_refuses_is_not_waited_for(local, monkeypatch):
    refusing(local, monkeypatch, Denied, times=2)  # what is refused is asked for once more
    local.put("00_waiting", "a", "b")
    local.run("work", "--", *RESULT, code=1)
    assert local.jobs() == {"02_done": ["b"], "99_failed": ["a"]}
    assert local.names(local.files("a")) == ["b.txt"]  # what could be stored was
    assert "Waiting for room" not in local.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="no file has such a name there")
def test_a_result_that_the_share_can_not_name(far):
    far.put("00_waiting", "a")
    far.run("work", "--", *a_job("(out / 'fine').touch(); (out / 'a\\nb').touch()"), code=1)
    assert far.names(far.files("a")) == ["fine"]
    (reason,) = reasons(far, "a")
    assert "can't be called" in reason
    assert len(list((kept(reason) / "results").iterdir())) == 2


def test_a_log_that_can_not_be_stored_costs_no_job(local, monkeypatch):
    refusing(local, monkeypatch, NoSpace, folder="logs")
    local.put("00_waiting", "a", "b")
    local.run("work", "--wid", "w1", "--", "true")
    assert local.jobs() == {"02_done": ["a", "b"]}
    for job in "ab":  # once more for a job that was slow, whose log is to be seen meanwhile
        assert f"'logs/{job}.w1.log' could not be written" in local.stderr


def test_a_full_disk_of_this_machine_gives_the_job_back(local, monkeypatch):
    def full(**options):
        raise OSError(28, "No space left on device", "/tmp")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    local.put("00_waiting", "a")
    local.run("work", "--", "true", code=2)
    assert local.jobs() == {"00_waiting": ["a"]}
    assert "No space left on device; make room there" in local.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /dev/full")
def test_the_file_is_named_that_has_no_room(local, scratch, monkeypatch):
    original = os.mkdir

    def mkdir(path, *args, **options):
        original(path, *args, **options)
        if str(path).startswith(f"{scratch}/") and "trial-" not in str(path):
            os.symlink("/dev/full", f"{path}/note.json.new")

    monkeypatch.setattr(os, "mkdir", mkdir)
    local.put("00_waiting", "a")
    local.run("work", "--", "true", code=2)
    told = local.stderr.splitlines()[-1]
    assert "note.json.new': No space left on device; make room" in told
    assert local.jobs() == {"00_waiting": ["a"]}


# -- what it costs -------------------------------------------------------------------------


def test_requests_for_each_job(far, server):
    """Beside those of its claim: fetch, heartbeat that names the program, log."""
    far.put("00_waiting", "a", "b", "c", data=json.dumps({"lr": 1}).encode())
    far.run("work", "--max-jobs", 2, "--mode", "trust", "--", "true")
    server.reset_log()
    far.run("work", "--max-jobs", 1, "--mode", "trust", "--", "true")
    made = [(each.method, each.path.split("/")[1:2]) for each in server.log]
    since = made[made.index(("GET", ["01_running"])) :]
    about_it = [each for each in since if each[1] in (["01_running"], ["logs"], ["results"])]
    assert about_it == [("GET", ["01_running"]), ("PUT", ["logs"]), ("MOVE", ["01_running"])]
