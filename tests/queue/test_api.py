"""The queue as its user sees it, on a store in memory and in a local folder."""

import io
import os
import posixpath
import subprocess
import sys

import pytest

from dirjobs import ClaimLost, DirJobs, JobClosed


def test_the_quick_start_prints_exactly_what_the_readme_says(tmp_path):
    (tmp_path / "jobs" / "00_waiting").mkdir(parents=True)
    for name in ("job1.txt", "job2.txt"):
        (tmp_path / "jobs" / "00_waiting" / name).touch()
    script = """
from dirjobs import DirJobs

dj = DirJobs("jobs/")
while True:
    job = dj.next_and_lock()
    if job is None:
        print("No more jobs!")
        break
    print("Processing:", job.path())
    job.done()
"""
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == (
        "Processing: jobs/01_running/w1.job1.txt\n"
        "Processing: jobs/01_running/w1.job2.txt\n"
        "No more jobs!\n"
    )
    assert run.stderr == ""
    assert sorted(os.listdir(tmp_path / "jobs" / "02_done")) == ["job1.txt", "job2.txt"]


# -- a job ----------------------------------------------------------------------------------


def test_a_job_knows_its_names(place):
    place.put("job1.tar.txt", data=b"h\xc3\xa4")
    job = place.open().next_and_lock()
    assert job.name() == "job1.tar.txt"
    assert job.name_woext() == "job1.tar"
    assert job.full_name() == "w1.job1.tar.txt"
    assert job.path() == place.store.full_path("01_running/w1.job1.tar.txt")
    assert job.path() in str(job)
    assert "job1.tar.txt" in repr(job)
    assert job.size() == 3
    assert job.read_text() == "hä"
    target = io.BytesIO()
    job.download(target)
    assert target.getvalue() == job.read_bytes() == b"h\xc3\xa4"


@pytest.mark.parametrize("spelling", ["jobs", "jobs/", "./jobs", "../{}/jobs"])
def test_a_path_is_spelled_as_the_user_spelled_the_queue(tmp_path, monkeypatch, spelling):
    monkeypatch.chdir(tmp_path)
    spelling = spelling.format(tmp_path.name)
    with DirJobs(spelling, create=True) as queue:
        queue.add("job1.txt", b"data")
        path = queue.next_and_lock().path()
        assert path.replace(os.sep, "/") == posixpath.join(spelling, "01_running/w1.job1.txt")
        assert os.path.isfile(path)


@pytest.mark.parametrize(
    ("end", "folder"), [("done", "02_done"), ("failed", "99_failed"), ("release", "00_waiting")]
)
def test_a_job_ends_in_its_folder(place, end, folder):
    place.put("job1.txt")
    job = place.open().next_and_lock()
    assert place.jobs() == {"01_running": ["w1.job1.txt"]}
    getattr(job, end)()
    assert place.jobs() == {folder: ["job1.txt"]}
    assert place.store.read(f"{folder}/job1.txt") == b"data"


@pytest.mark.parametrize("first", ["done", "failed", "release"])
@pytest.mark.parametrize("second", ["done", "failed", "release"])
def test_a_job_ends_only_once(place, first, second):
    place.put("job1.txt")
    job = place.open().next_and_lock()
    getattr(job, first)()
    before = place.jobs()
    with pytest.raises(JobClosed, match=r"^job 'job1\.txt' was \w+( \w+)? already: call .*once\.$"):
        getattr(job, second)()
    assert place.jobs() == before


@pytest.mark.parametrize("end", ["done", "failed"])
def test_a_claim_that_was_moved_by_hand_is_lost(place, end):
    place.put("job1.txt")
    job = place.open().next_and_lock()
    place.store.rename("01_running/w1.job1.txt", "00_waiting/job1.txt")
    with pytest.raises(ClaimLost, match=r"^job 'job1\.txt' is no longer .* discard this result\.$"):
        getattr(job, end)()
    assert place.jobs() == {"00_waiting": ["job1.txt"]}
    with pytest.raises(JobClosed):
        job.done()


def test_releasing_a_claim_that_was_moved_by_hand_is_no_error(place):
    place.put("job1.txt")
    job = place.open().next_and_lock()
    place.store.rename("01_running/w1.job1.txt", "02_done/job1.txt")
    job.release()
    assert place.jobs() == {"02_done": ["job1.txt"]}


def test_why_a_job_failed_is_noted(place):
    place.put("job1.txt")
    place.open().next_and_lock().failed("no such file: input.dat")
    assert b"no such file: input.dat" in place.store.read("_queue/attempts/job1.txt.json")


def test_the_names_of_the_original_still_work(place):
    place.put("job1.txt", "job2.txt")
    queue = place.open()
    queue.on_job_success(queue.next_and_lock())
    queue.on_job_failed(queue.next_and_lock())
    assert place.jobs() == {"02_done": ["job1.txt"], "99_failed": ["job2.txt"]}


# -- with and for ---------------------------------------------------------------------------


def test_a_with_block_ends_its_job(place):
    place.put("job1.txt", "job2.txt", "job3.txt", "job4.txt")
    queue = place.open()
    with queue.next_and_lock():
        pass
    with pytest.raises(ZeroDivisionError), queue.next_and_lock():
        1 / 0  # noqa: B018
    with queue.next_and_lock() as job:
        job.failed("by hand")
    with pytest.raises(ZeroDivisionError), queue.next_and_lock() as job:
        job.done()
        1 / 0  # noqa: B018
    assert place.jobs() == {
        "02_done": ["job1.txt", "job4.txt"],
        "99_failed": ["job2.txt", "job3.txt"],
    }
    assert b"ZeroDivisionError" in place.store.read("_queue/attempts/job2.txt.json")


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_a_job_that_is_interrupted_is_given_back(place, signal):
    place.put("job1.txt")
    queue = place.open()
    with pytest.raises(signal), queue.next_and_lock():
        raise signal
    assert place.jobs() == {"00_waiting": ["job1.txt"]}


def test_a_queue_is_iterated_until_it_is_empty(place):
    place.put("job1.txt", "job2.txt")
    queue, seen = place.open(), []
    for job in queue:
        with job:
            seen.append(job.name())
            if job.name() == "job2.txt":
                queue.add("job3.txt")
    assert seen == ["job1.txt", "job2.txt", "job3.txt"]


def test_leaving_the_loop_keeps_the_job_until_the_queue_is_closed(place):
    place.put("job1.txt")
    with place.open() as queue:
        for _ in queue:
            break
        assert place.jobs() == {"01_running": ["w1.job1.txt"]}
    assert place.jobs() == {"00_waiting": ["job1.txt"]}


# -- the same name again --------------------------------------------------------------------


@pytest.mark.parametrize(("end", "folder"), [("done", "02_done"), ("failed", "99_failed")])
def test_a_newcomer_of_a_known_name_is_numbered(place, end, folder):
    queue = place.open()
    for data in (b"1", b"2", b"3"):
        place.put("job1.txt", data=data)
        getattr(queue.next_and_lock(), end)()
    assert place.names(folder) == ["job1.txt", "job1~2.txt", "job1~3.txt"]
    assert [place.store.read(f"{folder}/{name}") for name in place.names(folder)] == [
        b"1",
        b"2",
        b"3",
    ]


def test_a_retry_by_hand_is_claimed_under_a_name_never_used_before(place):
    place.put("job1.txt")
    queue = place.open()
    names = set()
    for _ in range(3):
        job = queue.next_and_lock()
        names.add(job.full_name())
        job.failed()
        place.store.rename("99_failed/job1.txt", "00_waiting/job1.txt")
    assert len(names) == 3
    assert "w1.job1.txt" in names
    assert all(name.startswith(("w1.", "w1~")) for name in names)
