"""``dirjobs retry``, ``requeue``, ``cancel``: in every mode, with answers lost."""

import json

import pytest

from dirjobs import ClaimLost, DirJobs
from dirjobs.protocol.attempts import deaths, tries


@pytest.fixture(params=["trust", "verify"])
def mode(request):
    return request.param


@pytest.fixture
def worker(queue, mode):
    with DirJobs(queue.store, "w1", mode=mode, job_ext="") as worker:
        yield worker


def notes(queue, job):
    return json.loads(queue.store.read(f"_queue/attempts/{job}.json"))["attempts"]


def failed(queue, worker, *names):
    queue.put("00_waiting", *names)
    for _ in names:
        worker.next_and_lock().failed("exit code 3")


def test_retry_one(queue, worker):
    failed(queue, worker, "a.txt", "b.txt")
    assert queue.run("retry", "a.txt") == "a.txt is waiting again.\n"
    assert queue.jobs() == {"00_waiting": ["a.txt"], "99_failed": ["b.txt"]}
    assert queue.store.read("00_waiting/a.txt") == b"data"
    assert [note["reason"] for note in notes(queue, "a.txt")] == ["exit code 3", "retried by hand"]
    job = worker.next_and_lock()
    assert job.name() == "a.txt"
    job.done()


def test_retry_all(queue, worker):
    failed(queue, worker, *(f"j{number}" for number in range(12)))
    found = queue.json("retry", "--failed")
    assert len(found["retried"]) == 12
    assert found["left"] == []
    assert len(queue.names("00_waiting")) == 12
    assert queue.run("retry", "--failed") == "No job was retried.\n"


def test_retry_those_like_a_pattern(queue, worker):
    failed(queue, worker, "lr0.1_a", "lr0.1_b", "lr0.2_a")
    assert queue.run("retry", "lr0.1*") == "2 jobs are waiting again.\n"
    assert queue.names("99_failed") == ["lr0.2_a"]


def test_retry_never_writes_over_a_waiting_job(queue, worker):
    failed(queue, worker, "a.txt")
    queue.put("00_waiting", "a.txt", data=b"new")
    assert queue.json("retry", "a.txt") == {"retried": [], "left": ["a.txt"]}
    assert queue.store.read("00_waiting/a.txt") == b"new"
    assert queue.names("99_failed") == ["a.txt"]


@pytest.mark.parametrize("named", ["a.txt", "w9.a.txt"])
def test_a_parked_copy_comes_back_under_another_name(queue, worker, named):
    queue.put("02_done", "a~2.txt")
    queue.put("_queue/parked", "w9.a.txt", data=b"copy")
    assert queue.json("retry", named)["retried"] == ["a~3.txt"]
    assert queue.store.read("00_waiting/a~3.txt") == b"copy"
    assert queue.names("_queue/parked") == []


def test_a_parked_copy_does_not_come_along_with_the_failed_job(queue, worker):
    failed(queue, worker, "a.txt")
    queue.put("_queue/parked", "w9.a.txt")
    assert queue.json("retry", "a.txt")["retried"] == ["a.txt"]
    assert queue.names("_queue/parked") == ["w9.a.txt"]


def test_nothing_is_retried_if_one_name_is_wrong(queue, worker):
    failed(queue, worker, "a.txt")
    queue.put("02_done", "b.txt")
    told = queue.refused("retry", "a.txt", "b.txt")
    assert "job 'b.txt' is not failed: it is done (" in told
    assert "no job of that name" in queue.refused("retry", "c.txt")
    assert "no job of that name" in queue.refused("retry", "../a.txt")
    assert "no failed job is like 'x*'" in queue.refused("retry", "x*")
    assert queue.names("99_failed") == ["a.txt"]


def test_one_must_say_which(local):
    assert "--failed" in local.refused("retry")
    assert "--failed" in local.refused("retry", "a", "--failed")
    assert "--dead" in local.refused("requeue")
    assert "JOB" in local.refused("cancel")


# -- jobs that are done ------------------------------------------------------------------------


def done(queue, worker, *names):
    queue.put("00_waiting", *names)
    for _ in names:
        worker.next_and_lock().done()


def test_repeat_what_is_done(queue, worker):
    done(queue, worker, "lr0.1_a", "lr0.1_b", "lr0.2_a")
    assert queue.run("retry", "--done", "lr0.1*") == "2 jobs are waiting again.\n"
    assert queue.jobs() == {"00_waiting": ["lr0.1_a", "lr0.1_b"], "02_done": ["lr0.2_a"]}
    assert queue.store.read("00_waiting/lr0.1_a") == b"data"
    assert worker.next_and_lock().name() == "lr0.1_a"


def test_a_job_is_repeated_and_its_last_attempt_counts(queue):
    queue.put("00_waiting", "a.txt")
    queue.run("work", "--", "true")
    assert queue.json("retry", "--done", "a.txt") == {"retried": ["a.txt"], "left": []}
    assert queue.json("results") == []
    queue.run("work", "--", "false", code=1)
    assert queue.jobs() == {"99_failed": ["a.txt"]}
    attempts = queue.json("show", "a.txt")["attempts"]
    assert [(one["end"], one["counts"]) for one in attempts] == [("done", False), ("failed", True)]


def test_all_that_is_done_is_repeated_only_on_request(queue, worker):
    done(queue, worker, "a.txt", "b.txt")
    failed(queue, worker, "c.txt")
    assert "name jobs, or write --all" in queue.refused("retry", "--done")
    assert "name jobs, or write --all" in queue.refused("retry", "--done", "--all", "a.txt")
    assert "--all is for --done" in queue.refused("retry", "--all")
    assert "--all is for --done" in queue.refused("retry", "--failed", "--all")
    assert "either --failed or --done" in queue.refused("retry", "--failed", "--done")
    assert queue.json("retry", "--done", "--all")["retried"] == ["a.txt", "b.txt"]
    assert queue.jobs() == {"00_waiting": ["a.txt", "b.txt"], "99_failed": ["c.txt"]}


def test_what_is_not_done_is_not_repeated(queue, worker):
    done(queue, worker, "a.txt")
    failed(queue, worker, "b.txt")
    told = queue.refused("retry", "--done", "a.txt", "b.txt")
    assert "job 'b.txt' is not done: it is failed; nothing was changed" in told
    assert "no done job is like 'x*'" in queue.refused("retry", "--done", "x*")
    assert "job 'a.txt' is not failed: it is done" in queue.refused("retry", "a.txt")


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("00_waiting", "a.txt"),
        ("01_running", "w9.a.txt"),
        ("00_waiting", "~w9~k3x9q2.a.txt"),
        ("01_running", "~w8~k3x9q2.w9.a.txt"),
    ],
)
@pytest.mark.parametrize(("ended", "option"), [("02_done", ["--done"]), ("99_failed", [])])
def test_a_job_that_somebody_has_is_not_repeated(queue, worker, folder, name, ended, option):
    """Two of one name would run at once; and others see by the one that is done that a late copy
    of it must not run."""
    queue.put(ended, "a.txt", "b.txt")
    queue.put(folder, name, data=b"new")
    told = queue.run("retry", *option, "a.txt", "b.txt")
    assert "b.txt is waiting again." in told
    assert "Left alone, since they are gone, still change, wait or run already: a.txt." in told
    assert queue.store.read(f"{folder}/{name}") == b"new"
    assert queue.names(ended) == ["a.txt"]


def test_retry_says_first_which_jobs_it_would_be(queue):
    queue.put("02_done", "a2.txt", "a10.txt", "b.txt")
    queue.put("99_failed", "c.txt")
    assert queue.run("retry", "--done", "a*", "--dry-run") == "a2.txt\na10.txt\n"
    assert queue.json("retry", "--failed", "--dry-run") == {"would_be_retried": ["c.txt"]}
    assert queue.jobs() == {"02_done": ["a10.txt", "a2.txt", "b.txt"], "99_failed": ["c.txt"]}


@pytest.mark.parametrize(
    ("number", "options", "answer", "asked", "left"),
    [
        (11, ["--all"], "n\n", True, 11),
        (11, ["a*"], "y\n", True, 0),
        (11, ["a*"], "", True, 11),
        (11, ["--all", "--yes"], "", False, 0),
        (10, ["--all"], "", False, 0),
    ],
)
def test_it_asks_before_it_repeats_many(local, monkeypatch, number, options, answer, asked, left):
    monkeypatch.setattr("dirjobs.cli.intervene._is_person", lambda: True)
    local.put("02_done", *(f"a\u200b{at}.txt" for at in range(number)))
    code = 130 if left else 0
    printed = local.run("retry", "--done", *options, input=answer, code=code)
    assert ("Repeat 11 jobs, such as a\\u200b0.txt, a\\u200b1.txt, " in printed) is asked
    assert len(local.names("02_done")) == left


def test_a_done_job_left_half_way_is_found(queue, worker):
    """By somebody who was killed while he repeated it."""
    queue.put("02_done", "~retry-1~k3x9q2.a.txt")
    assert "is done" in queue.refused("retry", "a.txt")
    assert queue.run("list") == "done       a.txt\n"
    assert queue.json("retry", "--done", "a.txt")["retried"] == ["a.txt"]
    assert queue.jobs() == {"00_waiting": ["a.txt"]}


def test_deaths_before_a_retry_do_not_count():
    died = {"died": True}
    assert deaths([died, died, {"retried": True}, died, {"died": False}]) == 1
    assert tries([died, died, {"retried": True}, died, {"died": False}]) == 4


def test_cancel_waiting_and_running(queue, worker):
    queue.put("00_waiting", "a.txt", "b.txt", "c.txt")
    job = worker.next_and_lock()
    assert queue.run("cancel", "a.txt", "b*") == (
        "Cancelled a.txt, b.txt; the command of a.txt ends within half a minute.\n"
    )
    assert queue.jobs() == {"00_waiting": ["c.txt"], "99_failed": ["a.txt", "b.txt"]}
    assert [note["reason"] for note in notes(queue, "a.txt")] == ["cancelled"]
    assert notes(queue, "a.txt")[0]["worker"] == "w1"
    with pytest.raises(ClaimLost):
        job.done()
    assert "it is cancelled already" in queue.refused("cancel", "a.txt")
    assert queue.json("retry", "a.txt")["retried"] == ["a.txt"]


def test_cancel_never_writes_over_a_failed_job(queue, worker):
    queue.put("99_failed", "a.txt", data=b"old")
    queue.put("00_waiting", "a.txt", data=b"new")
    assert queue.json("cancel", "a.txt")["cancelled"] == ["a.txt"]
    assert queue.names("99_failed") == ["a.txt", "a~2.txt"]
    assert queue.store.read("99_failed/a.txt") == b"old"


def test_cancel_what_is_claimed_meanwhile(queue, worker, monkeypatch):
    from dirjobs.admin import visit

    queue.put("00_waiting", "a.txt")
    temporary_member = visit.temporary_member

    def claimed_first(share, purpose):
        if not queue.names("01_running"):
            worker.next_and_lock()
        return temporary_member(share, purpose)

    monkeypatch.setattr(visit, "temporary_member", claimed_first)
    assert queue.json("cancel", "a.txt") == {"cancelled": ["a.txt"], "left": []}
    assert queue.jobs() == {"99_failed": ["a.txt"]}


def test_requeue_by_name(queue, worker):
    queue.put("00_waiting", "a.txt")
    job = worker.next_and_lock()
    assert queue.run("requeue", "a*") == "a.txt is waiting again.\n"
    assert queue.jobs() == {"00_waiting": ["a.txt"]}
    with pytest.raises(ClaimLost):
        job.done()
    assert "it is waiting" in queue.refused("requeue", "a.txt")


def test_requeue_what_the_dead_left(queue):
    with DirJobs(queue.store, "w7") as ended:
        ended._begun()
    queue.put("01_running", "w7.a.txt")
    assert queue.json("requeue", "--dead") == {"requeued": ["a.txt"], "left": []}
    assert queue.jobs() == {"00_waiting": ["a.txt"]}
    assert queue.run("requeue", "--dead") == "No job was given back.\n"


def test_cancel_says_first_which_jobs_it_would_be(queue):
    queue.put("00_waiting", "a2.txt", "a10.txt", "b.txt")
    assert queue.run("cancel", "a*", "--dry-run") == "a2.txt\na10.txt\n"
    assert queue.json("cancel", "a*", "--dry-run") == {"would_be_cancelled": ["a2.txt", "a10.txt"]}
    assert queue.jobs() == {"00_waiting": ["a10.txt", "a2.txt", "b.txt"]}


@pytest.mark.parametrize(
    ("number", "options", "answer", "asked", "left"),
    [
        (11, [], "n\n", True, 11),
        (11, [], "y\n", True, 0),
        (11, [], "", True, 11),
        (11, ["--yes"], "", False, 0),
        (10, [], "", False, 0),
    ],
)
def test_cancel_asks_before_many_on_a_terminal(
    local, monkeypatch, number, options, answer, asked, left
):
    monkeypatch.setattr("dirjobs.cli.intervene._is_person", lambda: True)
    local.put("00_waiting", *(f"a\u200b{at}.txt" for at in range(number)))
    printed = local.run("cancel", "a*", *options, input=answer, code=130 if left else 0)
    assert ("Cancel 11 jobs, such as a\\u200b0.txt, a\\u200b1.txt, " in printed) is asked
    assert len(local.names("00_waiting")) == left
