"""What comes of a job of a program in Python: as that of a command, for whoever looks."""

import errno
import json
import os
import subprocess
import sys
from contextlib import suppress

import pytest

from dirjobs import ClaimLost, ConfigurationError, Denied, DirJobs, FilesRefused, JobClosed
from dirjobs.files import attempt
from dirjobs.layers import Layer
from tests.command_line import environment


@pytest.fixture
def opened(queue):
    """Opens the queue in Python."""
    found = []

    def opened(wid="w1", place=queue.url, **options):
        found.append(DirJobs(place, wid=wid, job_ext="", **options))
        return found[-1]

    yield opened
    for dj in found:
        dj.close()


def left(scratch):
    return os.listdir(scratch) if scratch.is_dir() else []


def names(queue, folder):
    return queue.names(folder) if queue.store.exists(folder) else []


def record(queue, job):
    """What the journals say of the latest attempt."""
    lines = [
        json.loads(line)
        for name in queue.names("_queue/journal")
        for line in queue.store.read(f"_queue/journal/{name}").splitlines()
    ]
    return max((line for line in lines if line["job"] == job), key=lambda line: line["ended"])


def test_files_are_on_the_share_before_the_job_is_done(queue, opened, scratch):
    queue.put("00_waiting", "a.json", data=b'{"lr": 1e-5}')
    job = opened().next_and_lock()
    assert job.out == job.out
    (job.out / "deep").mkdir()
    (job.out / "deep" / "x.csv").write_bytes(b"1\n")
    job.result({"loss": 0.5})
    job.result({"loss": 0.25, "bad": float("nan")})
    assert names(queue, "results") == []
    job.done()
    assert queue.files("a.json") == "results/a.json/w1"
    assert queue.store.read("results/a.json/w1/deep/x.csv") == b"1\n"
    assert queue.store.read("results/a.json/w1/result.json") == b'{"loss": 0.25, "bad": NaN}\n'
    told = record(queue, "a.json")
    assert (told["files"], told["result"]) == (
        "results/a.json/w1",
        {"loss": 0.25, "bad": "NaN"},
    )
    (row,) = queue.json("results")
    assert (row["job"], row["lr"], row["loss"]) == ("a.json", 1e-5, 0.25)
    assert left(scratch) == []


def test_nothing_costs_anything_before_it_is_used(local, scratch):
    local.put("00_waiting", "a.txt")
    with DirJobs(local.url) as dj, dj.next_and_lock():
        pass
    assert left(scratch) == []
    assert names(local, "logs") == names(local, "results") == []


def test_the_log_of_a_job(queue, opened, monkeypatch):
    queue.put("00_waiting", "a.txt")
    job = opened().next_and_lock()
    job.log("one")
    assert names(queue, "logs") == []
    monkeypatch.setattr(attempt, "DEFAULT_HEARTBEAT", 0.0)
    job._files._log_again = 0.0
    job.progress(0.401)
    job.progress(0.409)
    assert queue.run("logs", "a.txt").splitlines()[1:] == ["one", "40 %"]
    job.log("two\nthree\n")
    job.failed("no idea")
    lines = queue.run("logs", "a.txt").splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["one", "40 %", "two", "three"]
    assert lines[0].startswith("# ")
    assert lines[-1].endswith("no idea")
    assert record(queue, "a.txt")["log"] == "logs/a.txt.w1.log"


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan"), "much", None])
def test_what_is_no_progress(local, fraction):
    local.put("00_waiting", "a.txt")
    with DirJobs(local.url) as dj, pytest.raises(ConfigurationError, match="from 0 to 1"):
        dj.next_and_lock().progress(fraction)


@pytest.mark.parametrize(
    "values", [1, [1], {1: 2}, {"a": object()}, {"a": {1, 2}}, {"a": "\ud800"}]
)
def test_what_is_no_result(local, values):
    local.put("00_waiting", "a.txt")
    with DirJobs(local.url) as dj, pytest.raises(ConfigurationError, match=r"give|JSON"):
        dj.next_and_lock().result(values)


def test_numbers_of_other_libraries_are_results(local):
    class Float32:
        def item(self):
            return 0.5

    local.put("00_waiting", "a.txt")
    with DirJobs(local.url) as dj, dj.next_and_lock() as job:
        job.result({"loss": Float32()})
    assert local.json("results")[0]["loss"] == 0.5


def test_a_failed_job_has_its_files_as_well(queue, opened, scratch):
    queue.put("00_waiting", "a.txt")
    with suppress(ZeroDivisionError), opened().next_and_lock() as job:
        (job.out / "x").write_text("half")
        1 / 0  # noqa: B018 - for its error
    assert queue.store.read(f"{queue.files('a.txt')}/x") == b"half"
    assert queue.jobs() == {"99_failed": ["a.txt"]}
    assert record(queue, "a.txt")["reason"] == "ZeroDivisionError: division by zero"
    assert left(scratch) == []


def test_an_attempt_with_the_same_name_has_a_folder_of_its_own(queue, opened):
    queue.put("00_waiting", "a.txt")
    dj = opened()
    for number in range(2):
        with dj.next_and_lock() as job:
            (job.out / "x").write_text(str(number))
        if not number:
            queue.run("retry", "--done", "a.txt", "--yes")
    first, second = queue.names("results/a.txt")
    assert first == "w1"
    (journal, *_) = queue.names("_queue/journal")
    assert f"results/a.txt/{second}".encode() in queue.store.read(f"_queue/journal/{journal}")
    assert queue.store.read(f"results/a.txt/{second}/x") == b"1"


# -- checkpoints ------------------------------------------------------------------------------


def test_what_is_kept_follows_the_job(queue, opened, scratch):
    queue.put("00_waiting", "a.txt")
    job = opened().next_and_lock()
    (job.keep / "state").write_text("1")
    job.failed("too hot")
    queue.run("retry", "a.txt")
    other = opened("w2")
    job = other.next_and_lock()
    assert (job.keep / "state").read_text() == "1"
    (job.keep / "state").write_text("22")
    job.release()
    job = other.next_and_lock()
    assert (job.keep / "state").read_text() == "22"
    job.done()
    assert names(queue, "_queue/keep") == []
    assert left(scratch) == []


def test_a_checkpoint_is_there_at_once(queue, opened):
    queue.put("00_waiting", "a.txt")
    job = opened().next_and_lock()
    job.checkpoint()
    (job.keep / "state").write_text("1")
    job.checkpoint()
    assert len(queue.names("_queue/keep/a.txt")) == 1
    queue.run("requeue", "a.txt")
    with opened("w2").next_and_lock() as again:
        assert (again.keep / "state").read_text() == "1"


# -- jobs that are lost, and files that are refused -------------------------------------------


def test_a_lost_job_stores_nothing_and_keeps_what_was_finished(queue, opened, scratch):
    queue.put("00_waiting", "a.txt")
    job = opened().next_and_lock()
    (job.out / "x").write_text("mine")
    queue.run("cancel", "a.txt")
    with pytest.raises(ClaimLost, match="kept in") as caught:
        job.done()
    assert names(queue, "results") == []
    (name,) = left(scratch)
    assert (scratch / name / "results" / "x").read_text() == "mine"
    assert repr(str(scratch / name)) in str(caught.value)
    with pytest.raises(JobClosed):
        job.log("more")
    with pytest.raises(JobClosed):
        job.done()


def test_a_lost_job_that_failed_leaves_nothing_here(queue, opened, scratch):
    queue.put("00_waiting", "a.txt")
    job = opened().next_and_lock()
    (job.out / "x").write_text("mine")
    queue.run("cancel", "a.txt")
    with pytest.raises(ClaimLost):
        job.failed()
    assert left(scratch) == []


class TakesNoResults(Layer):
    def call(self, verb, paths, native):
        if verb == "upload" and paths[0].startswith("results/"):
            raise Denied("not here")
        return super().call(verb, paths, native)


def test_files_that_can_not_be_stored_are_delivered_later(queue, opened, scratch):
    queue.put("00_waiting", "a.txt")
    dj = opened(place=TakesNoResults(queue.store))
    job = dj.next_and_lock()
    (job.out / "x").write_text("mine")
    with pytest.raises(FilesRefused, match="dirjobs deliver"):
        job.done()
    assert queue.jobs() == {"99_failed": ["a.txt"]}
    dj.close()
    assert "done as 'a.txt'" in queue.run("deliver")
    assert queue.jobs() == {"02_done": ["a.txt"]}
    assert queue.store.read(f"{queue.files('a.txt')}/x") == b"mine"
    assert left(scratch) == []


def test_a_full_disk_of_this_machine_keeps_no_job_from_its_end(local, scratch, monkeypatch, caplog):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    local.put("00_waiting", "a.txt")
    with DirJobs(local.url) as dj:
        job = dj.next_and_lock()
        (job.out / "x").write_text("mine")
        monkeypatch.setattr("dirjobs.files.workspace._replace", full)
        job.done()
    assert local.store.read(f"{local.files('a.txt')}/x") == b"mine"
    assert "can't be written to" in caplog.text


# -- folders of this machine ------------------------------------------------------------------


def test_closing_the_queue_removes_them(queue, opened, scratch):
    queue.put("00_waiting", "a.txt")
    dj = opened()
    job = dj.next_and_lock()
    (job.out / "x").write_text("mine")
    assert left(scratch)
    dj.close()
    with pytest.raises(ClaimLost):
        job.failed()
    assert left(scratch) == []


PROGRAM = """
import os, sys
from dirjobs import DirJobs
dj = DirJobs(sys.argv[1], job_ext="")
job = dj.next_and_lock()
(job.out / "x").write_text("mine")
(job.keep / "y").write_text("mine")
job.log("here")
{}
"""


@pytest.mark.parametrize("end", ["", "del job; del dj", "sys.exit(3)", "1 / 0"])
def test_the_end_of_the_program_removes_them(local, scratch, end):
    local.put("00_waiting", "a.txt")
    subprocess.run(
        [sys.executable, "-c", PROGRAM.format(end), local.url],
        env=environment(DIRJOBS_SCRATCH=str(scratch)),
        capture_output=True,
        timeout=60,
    )
    assert left(scratch) == []
    assert local.jobs() == {"00_waiting": ["a.txt"]}


FORKS = """
with job:
    pid = os.fork()
    if pid == 0:
        for use in (lambda: job.out, lambda: job.log("a"), job.done, job.failed, job.release):
            try:
                use()
            except Exception as error:
                assert type(error).__name__ == "JobClosed", error
            else:
                sys.exit(1)
        sys.exit(0)
    _, status = os.waitpid(pid, 0)
    assert status == 0
    assert (job.out / "x").read_text() == "mine"
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_leaves_them_alone(local, scratch):
    local.put("00_waiting", "a.txt")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(FORKS), local.url],
        env=environment(DIRJOBS_SCRATCH=str(scratch)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert local.store.read(f"{local.files('a.txt')}/x") == b"mine"
    assert left(scratch) == []


# -- parameters -------------------------------------------------------------------------------


def test_parameters_are_numbers_here_and_as_typed_in_the_record(queue, opened):
    data = b'{"lr": 1.0e5, "seed": 3, "deep": {"a": [0.10, true, null]}}'
    queue.put("00_waiting", "a.json", data=data)
    with opened().next_and_lock() as job:
        assert job.params == {
            "lr": 1e5,
            "seed": 3,
            "deep": {"a": [0.1, True, None]},
        }
        assert [type(job.params[name]) for name in ("lr", "seed")] == [float, int]
    assert json.loads(data) == record(queue, "a.json")["params"]


@pytest.mark.parametrize("data", [b"", b"text", b"[1]", b'{"a": 1', b'{"a": "' + b"x" * (1 << 20)])
def test_a_job_without_parameters(local, data):
    local.put("00_waiting", "a.txt", data=data)
    with DirJobs(local.url) as dj, pytest.raises(ConfigurationError, match="no parameters"):
        dj.next_and_lock().params  # noqa: B018 - for its error


def test_show_rounds_neither_parameters_nor_results(local):
    local.put("00_waiting", "a.json", data=b'{"lr": 1e-5}')
    with DirJobs(local.url, job_ext="") as dj, dj.next_and_lock() as job:
        job.result({"loss": job.params["lr"] ** 2})
    (shown,) = local.json("show", "a.json")["attempts"]
    assert (shown["params"], shown["result"]) == ({"lr": 1e-5}, {"loss": 1e-5**2})
