"""What could not be stored at the end of a job is kept, told, and handed in later."""

import json
import os
import sys
from pathlib import Path
from threading import Thread

import pytest

from dirjobs import Denied, NoSpace
from dirjobs.files import workspace
from dirjobs.files.workspace import opened
from dirjobs.runner.signals import Interruption
from tests.cli.test_work import log_of, reasons
from tests.cli.test_work_delivery import kept, refusing
from tests.command_line import a_job, python, until_there, wait_until

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="a signal or a home of POSIX")

RESULT = a_job("""
print("said")
(out / "a.txt").write_bytes(b"1\\n")
(out / "b").mkdir()
(out / "b" / "c.txt").write_bytes(b"2\\n")
""")


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr("dirjobs.files.upload.PATIENCE", 0.0)


def notes(scratch):
    return [json.loads((folder / "note.json").read_text()) for folder in scratch.iterdir()]


def refused_at_its_end(local, monkeypatch, command=RESULT):
    """A worker ends while everything about its claim is refused; its job stays claimed.

    Returns what it said."""
    kind, ended = type(local.store), []
    originals = {verb: getattr(kind, verb) for verb in ("exists", "rename")}
    command_ended = workspace.Workspace.command_ended

    def refusing(verb):
        def call(store, path, *args):
            if ended and path.startswith("01_running/"):
                raise Denied(f"{path!r}: no")
            return originals[verb](store, path, *args)

        return call

    def note_end(self, *args):
        command_ended(self, *args)
        ended.append(self)

    local.put("00_waiting", "a")
    with monkeypatch.context() as patch:
        for verb in originals:
            patch.setattr(kind, verb, refusing(verb))
        patch.setattr(workspace.Workspace, "command_ended", note_end)
        local.run("work", "--wid", "w1", "--", *command, code=2)
    return local.stderr


def is_delivered(queue, scratch, job="a", folder="02_done"):
    assert queue.jobs() == {folder: [job]}
    assert queue.store.read(f"{queue.files(job)}/a.txt") == b"1\n"
    assert queue.store.read(f"{queue.files(job)}/b/c.txt") == b"2\n"
    assert "said" in log_of(queue, job)
    assert list(scratch.iterdir()) == []


def test_results_are_kept_when_the_end_is_refused(local, monkeypatch, scratch):
    told = refused_at_its_end(local, monkeypatch)
    (folder,) = scratch.iterdir()
    assert f"are kept in {str(folder)!r}" in told
    assert "`dirjobs deliver` hands them in" in told
    assert (folder / "results" / "a.txt").read_text() == "1\n"
    assert "said" in (folder / "log").read_text()
    (note,) = notes(scratch)
    assert note["queue"] == os.path.abspath(local.url)
    assert (note["job"], note["claim"], note["problem"]) == ("a", "w1.a", "")
    assert local.jobs() == {"01_running": ["w1.a"]}


def test_the_summary_says_what_became_of_it(local, monkeypatch):
    local.put("00_waiting", "a")
    with monkeypatch.context() as patch:
        original = type(local.store).rename

        def rename(store, src, dst):
            if src.startswith("01_running/"):
                raise Denied(f"{src!r}: no")
            original(store, src, dst)

        patch.setattr(type(local.store), "rename", rename)
        out = local.run("work", "--wid", "w1", "--", "true", code=2)
    assert "1 not ended in" in out
    assert "given back" not in out
    assert local.jobs() == {"01_running": ["w1.a"]}


@POSIX
def test_a_job_that_went_elsewhere_was_not_given_back(local, monkeypatch):
    """Its claim is gone when the worker wants to return it."""
    local.put("00_waiting", "a")
    with monkeypatch.context() as patch:
        patch.setattr("dirjobs.runner.process.GRACE", 0.2)
        script = f"rm {local.url}/01_running/w1.a; kill -TERM $PPID; sleep 60"
        with Interruption():  # the signal is meant for the worker in this very process
            out = local.run("work", "--wid", "w1", "--", "sh", "-c", script, code=143)
    assert "could not be given back: its claim was gone" in local.stderr
    assert "given back" not in out
    assert "1 lost in" in out


@pytest.mark.parametrize("code", [0, 3])
def test_what_is_kept_is_handed_in(local, monkeypatch, scratch, code):
    refused_at_its_end(local, monkeypatch, python(f"{RESULT[2]}sys.exit({code})"))
    told = local.run("deliver")
    how = "is failed (exit code 3" if code else "is done"
    assert told.startswith(f"job 'a' {how}")
    is_delivered(local, scratch, folder="99_failed" if code else "02_done")
    if code:
        assert reasons(local, "a") == ["exit code 3: said"]
    assert "Nothing is kept" in local.run("deliver")


def test_without_a_queue_each_finds_its_own(local, monkeypatch, scratch, tmp_path):
    from click.testing import CliRunner

    from dirjobs.cli import main

    refused_at_its_end(local, monkeypatch)
    listed = CliRunner().invoke(main, ["deliver", "--list"])
    (folder,) = scratch.iterdir()
    assert str(folder) in listed.output
    assert "ended well" in listed.output
    result = CliRunner().invoke(main, ["deliver"])
    assert result.exit_code == 0, result.output
    is_delivered(local, scratch)
    assert "Nothing is kept" in CliRunner().invoke(main, ["deliver", "--list"]).output


def test_one_folder_alone(local, monkeypatch, scratch):
    refused_at_its_end(local, monkeypatch)
    (folder,) = scratch.iterdir()
    monkeypatch.setenv("DIRJOBS_SCRATCH", str(scratch / "elsewhere"))
    local.run("deliver", folder)
    is_delivered(local, scratch)
    assert "has no note.json" in local.refused("deliver", folder)


def test_it_goes_on_where_it_was_interrupted(local, monkeypatch, scratch):
    refused_at_its_end(local, monkeypatch)
    with monkeypatch.context() as patch:
        refusing(local, patch, NoSpace, times=1)
        assert "'results/a/w1/a.txt': 'results/a/w1/a.txt': no" in local.run("deliver", code=1)
    assert local.jobs() == {"01_running": ["w1.a"]}
    assert len(list(scratch.iterdir())) == 1
    with monkeypatch.context() as patch:
        patch.setattr(type(local.store), "rename", denied)
        assert "no" in local.refused("deliver")
    local.run("deliver")
    is_delivered(local, scratch)


def denied(*args):
    raise Denied("no")


def test_a_folder_that_was_stored_and_not_removed(local, monkeypatch, scratch):
    """As after a kill -9 right after the job was done."""
    monkeypatch.setattr(workspace.Workspace, "remove", workspace.Workspace.close)
    local.put("00_waiting", "a")
    local.run("work", "--", *RESULT)
    monkeypatch.undo()
    monkeypatch.setenv("DIRJOBS_SCRATCH", str(scratch))
    assert "were stored before" in local.run("deliver")
    is_delivered(local, scratch)


@pytest.mark.parametrize(
    ("folder", "name", "told"),
    [
        ("00_waiting", "a", "it is waiting without these results"),
        ("02_done", "a", "it is done without these results"),
        ("01_running", "w2.a", "it is claimed by 'w2' now"),
        ("99_failed", "a", "it is failed without these results"),
        ("02_done", "b", "the queue has no job of that name any more"),
    ],
)
def test_of_a_job_that_is_elsewhere_nothing_is_handed_in(
    local, monkeypatch, scratch, folder, name, told
):
    refused_at_its_end(local, monkeypatch)
    local.store.rename("01_running/w1.a", f"{folder}/{name}")
    (kept_in,) = scratch.iterdir()
    for _ in range(2):
        (line,) = local.run("deliver", code=1).splitlines()
        assert told in line
        assert f"stays in {str(kept_in)!r}" in line
    assert local.jobs() == {folder: [name]}
    assert not local.store.exists("results/a")
    assert (kept_in / "results" / "a.txt").read_text() == "1\n"
    assert "said" in log_of(local, "a")  # which is this attempt's, whoever has the job


def test_a_job_that_was_replaced(local, monkeypatch, scratch):
    refused_at_its_end(local, monkeypatch)
    local.put("01_running", "w1.a", data=b"quite another one")
    assert "another file goes by its name now" in local.run("deliver", code=1)
    assert local.jobs() == {"01_running": ["w1.a"]}


def test_a_claim_whose_holder_may_be_alive(local, monkeypatch, scratch):
    """Somebody else took the id over, and the job."""
    refused_at_its_end(local, monkeypatch)
    (heartbeat,) = (Path(local.url) / "_queue" / "workers").glob("w1.*.json")
    content = json.loads(heartbeat.read_text())
    content["ended"] = False
    content["process"] = {**content["process"], "machine": "another", "host": "far"}
    heartbeat.write_text(json.dumps(content))
    assert "may be alive (process" in local.run("deliver", code=1)
    assert local.jobs() == {"01_running": ["w1.a"]}


def test_another_queue_in_its_place(local, monkeypatch, scratch):
    identity = local.store.read("_queue/queue.json") if local.store.exists(
        "_queue/queue.json"
    ) else b'{"mode": "trust"}'  # fmt: skip
    content = json.loads(identity)
    local.store.write("_queue/queue.json", json.dumps({**content, "id": "first"}).encode())
    refused_at_its_end(local, monkeypatch)
    assert notes(scratch)[0]["queue_id"] == "first"
    local.store.write("_queue/queue.json", json.dumps({**content, "id": "second"}).encode())
    assert "is not the queue for which" in local.refused("deliver")
    assert local.jobs() == {"01_running": ["w1.a"]}
    local.store.write("_queue/queue.json", json.dumps({**content, "id": "first"}).encode())
    os.rename(local.url, f"{local.url}-moved")
    moved = type(local)(f"{local.url}-moved")
    moved.run("deliver")
    is_delivered(moved, scratch)
    moved.store.close()


def test_what_is_kept_for_another_queue_is_left_alone(local, monkeypatch, scratch, tmp_path):
    refused_at_its_end(local, monkeypatch)
    other = type(local)(tmp_path / "other")
    assert "Nothing is kept on this machine for" in other.run("deliver")
    other.put("00_waiting", "x")
    other.run("work", "--", "true")
    assert other.stderr == ""
    other.store.close()


def test_results_that_were_refused_are_no_failure_any_more(local, monkeypatch, scratch):
    local.put("00_waiting", "a")
    with monkeypatch.context() as patch:
        refusing(local, patch, NoSpace)
        local.run("work", "--wid", "w1", "--", *RESULT, code=1)
    assert local.jobs() == {"99_failed": ["a"]}
    (reason,) = reasons(local, "a")
    assert kept(reason).parent == scratch
    assert "it is done as 'a'" in local.run("deliver")
    is_delivered(local, scratch)


def test_a_job_that_was_retried_meanwhile_is_another_attempt(local, monkeypatch, scratch):
    local.put("00_waiting", "a")
    with monkeypatch.context() as patch:
        refusing(local, patch, NoSpace)
        local.run("work", "--wid", "w1", "--", *RESULT, code=1)
    local.run("retry", "a")
    local.run("work", "--wid", "w2", "--", *python("raise SystemExit(3)"), code=1)
    assert "it is failed without these results" in local.run("deliver", code=1)
    assert local.jobs() == {"99_failed": ["a"]}
    assert not local.store.exists("results/a")


def test_a_log_that_was_refused_is_handed_in(local, monkeypatch, scratch):
    local.put("00_waiting", "a")
    with monkeypatch.context() as patch:
        refusing(local, patch, NoSpace, folder="logs")
        local.run("work", "--wid", "w1", "--", *RESULT)
    assert "the log of job 'a' is not on the share" in local.stderr
    assert local.jobs() == {"02_done": ["a"]}
    local.run("deliver")
    is_delivered(local, scratch)


def test_the_results_of_a_lost_claim_are_kept(local, scratch):
    """They may be the only ones."""
    local.put("00_waiting", "a")
    claim = os.path.join(local.url, "01_running", "w1.a")
    local.run("work", "--wid", "w1", "--", *python(f"{RESULT[2]}os.remove({claim!r})"), code=1)
    (folder,) = scratch.iterdir()
    (line,) = local.stderr.splitlines()
    assert "its command had ended, its results are not stored" in line
    assert f"kept in {str(folder)!r}" in line
    assert (folder / "results" / "a.txt").read_text() == "1\n"


def test_a_worker_says_what_is_kept(local, monkeypatch, scratch):
    refused_at_its_end(local, monkeypatch)
    local.put("00_waiting", "b")
    local.run("work", "--wid", "w2", "--", "true")
    line, *_ = local.stderr.splitlines()
    assert "results or logs of job 'a' are kept on this machine" in line
    assert f"`dirjobs deliver {local.url}` hands them in" in line


def test_nobody_hands_in_what_is_worked_at(local, scratch, tmp_path):
    local.put("00_waiting", "a")
    told = []

    def look():
        wait_until((tmp_path / "begun").exists)
        told.append(type(local)(local.url).run("deliver"))
        (folder,) = scratch.iterdir()
        told.append(opened(str(folder)))
        (tmp_path / "go").touch()

    looking = Thread(target=look)
    looking.start()
    wait = f"Path({str(tmp_path / 'begun')!r}).touch()\n{until_there(tmp_path / 'go')}"
    local.run("work", "--", *python(RESULT[2] + wait))
    looking.join()
    assert told == [f"Nothing is kept on this machine for {os.path.abspath(local.url)}.\n", None]
    is_delivered(local, scratch)


def test_what_an_interrupted_command_left_is_no_result(local, scratch):
    local.put("00_waiting", "a")
    for has_results in (False, True):
        note = workspace.new_note(
            queue=os.path.abspath(local.url), queue_id="", job="a", claim="w1.a", worker="w1",
            began="2026-01-01",
        )  # fmt: skip
        left = workspace.make(str(scratch), note)
        Path(left.empty_results(), "x").touch() if has_results else left.empty_results()
        left.close()  # as when the process is killed
    local.run("work", "--max-jobs", 1, "--", "true")
    assert local.stderr == ""
    (folder,) = scratch.iterdir()
    assert "its command was interrupted" in local.run("deliver", code=1)
    assert "interrupted" in local.run("deliver", "--list")
    assert (folder / "results" / "x").exists()


@POSIX
def test_no_place_to_keep_results_in(local, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    local.put("00_waiting", "a")
    assert "name another one in DIRJOBS_SCRATCH" in local.refused(
        "work", "--scratch", tmp_path / "file" / "x", "--", "true"
    )
    for name in ("DIRJOBS_SCRATCH", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    assert "this user has no home" in local.refused("work", "--", "true")
    assert local.jobs() == {"00_waiting": ["a"]}


@POSIX
def test_where_results_are_kept(monkeypatch):
    monkeypatch.delenv("DIRJOBS_SCRATCH")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert workspace.scratch_folder() == "/state/dirjobs"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert workspace.scratch_folder() == "/home/me/.local/state/dirjobs"


# -- the job's own folder ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("then", "told"),
    [("", "was removed"), ("; out.touch()", "is no folder any more")],
)
def test_a_folder_for_results_that_was_removed_fails_the_job(local, scratch, then, told):
    local.put("00_waiting", "a")
    local.run("work", "--", *a_job(f"shutil.rmtree(out){then}"), code=1)
    assert local.jobs() == {"99_failed": ["a"]}
    (reason,) = reasons(local, "a")
    assert reason.startswith(f"$DIRJOBS_OUT {told}")


def test_a_tidy_soul_removes_everything_between_two_jobs(local, scratch, tmp_path):
    local.put("00_waiting", "a")

    def tidy():
        wait_until(lambda: local.names("02_done") == ["a"])
        wait_until(lambda: list(scratch.iterdir()) == [])
        scratch.rmdir()
        local.put("00_waiting", "b")

    tidying = Thread(target=tidy)
    tidying.start()
    local.run("work", "--wait", "--poll", 0.05, "--max-jobs", 2, "--", *RESULT)
    tidying.join()
    assert local.jobs() == {"02_done": ["a", "b"]}
    assert local.names(local.files("b")) == ["a.txt", "b"]


def test_a_tidy_soul_removes_everything_while_a_job_runs(local, scratch):
    local.put("00_waiting", "a", "b")
    tidy = f"shutil.rmtree({str(scratch)!r}, ignore_errors=True)"  # Windows keeps what is open
    write = "(out / 'x').touch()"
    each = a_job(f"{write} if os.environ['DIRJOBS_NAME'] == 'b' else {tidy}")
    local.run("work", "--", *each, code=1)
    assert local.jobs() == {"02_done": ["b"], "99_failed": ["a"]}
    assert reasons(local, "a")[0].startswith("$DIRJOBS_OUT was removed")
    assert local.names(local.files("b")) == ["x"]
