"""Trust by a record: taken over by workers, and given up when a claim speaks against it."""

import contextlib
import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from dirjobs import ClaimLost, DirJobs
from dirjobs.policy import Mode, Policy
from tests.command_line import wait_until
from tests.fake_webdav import PERSONALITIES
from tests.fake_webdav.fixtures import serve_fake

__all__ = ["serve_fake"]

TIMES = {"heartbeat": 0.2, "timeout": 0.2, "max_pause": 2.0, "lease": 20.0}
TIMES["storage_options"] = {"timeout": 30.0}
COPYING = replace(PERSONALITIES["copying_lenient"], gap=0.005)
CHECKED = {"verdict": "trust", "rounds": 300}
FOLDERS = ("00_waiting", "01_running", "02_done", "99_failed", "_queue/parked")


@pytest.fixture(autouse=True)
def brief_standstill(monkeypatch):
    """Nobody waits for two minutes whether a torn copy grows."""
    monkeypatch.setattr(Policy, "longest_standstill", 0.5)


def set_up(server, jobs=(), **further):
    for folder in (*FOLDERS, "_queue/workers", "_queue/attempts"):
        server.mkdir(folder)
    record = {"format": 1, "mode": "trust", "sync_time": 0.0, "checked": CHECKED, **further}
    server.write("_queue/queue.json", json.dumps(record).encode())
    for name in jobs:
        server.write(f"00_waiting/{name}", content(name))


def content(name):
    return f"payload of {name} | ".encode() * 200


def agreed(server):
    return json.loads(server.tree()["_queue/queue.json"])


def beat(queue):
    queue._membership.beat()


def test_a_recorded_trust_is_used_by_who_names_no_mode(serve_fake):
    server = serve_fake()
    set_up(server, ["job1.txt"])
    with DirJobs(server.url, "w1", **TIMES) as queue:
        server.reset_log()
        job = queue.next_and_lock()
        assert queue.mode == "trust"
        job.done()
    assert agreed(server)["checked"] == CHECKED
    assert server.count("MOVE") == 2


def force_one_overlap(server):
    """Let the first job that is copied wait until two workers are at it, or until the
    queue has fallen back without that."""
    chosen, both = [], threading.Event()

    def meet(request):
        if server._engine.personality is not COPYING or not request.name.startswith("00_waiting/"):
            return
        chosen.append(request.name)
        if len(chosen) > 1 and request.name == chosen[0]:
            both.set()
        elif request.name == chosen[0]:
            wait_until(lambda: both.wait(0.01) or agreed(server)["mode"] == "verify")

    server.before("MOVE:found", meet)


def test_a_server_that_begins_to_copy_during_a_drain(serve_fake, capsys):
    server = serve_fake()
    jobs = [f"job{number}.txt" for number in range(160)]
    set_up(server, jobs)
    started = Counter()
    lock = threading.Lock()

    def work(wid):
        with DirJobs(server.url, wid, **TIMES) as queue:
            for job in queue:
                with lock:
                    started[job.name()] += 1
                    if sum(started.values()) == 30:
                        server._engine.personality = COPYING
                with contextlib.suppress(ClaimLost):  # a torn copy: somebody else has the job
                    job.done()

    force_one_overlap(server)
    with ThreadPoolExecutor(4) as pool:
        for ended in [pool.submit(work, f"w{number}") for number in range(4)]:
            ended.result()

    there = {folder: server.files(folder) for folder in FOLDERS}
    whole = {data for files in there.values() for data in files.values()}
    assert {content(name) for name in jobs} <= whole, "a job is lost"
    assert there["00_waiting"] == there["01_running"] == {}
    assert started.keys() == set(jobs)
    record = agreed(server)
    assert record["mode"] == "verify"
    assert record["checked"] == CHECKED
    assert set(record["refuted"]) == {"why", "by", "at"}
    with capsys.disabled():
        doubles = sum(count - 1 for count in started.values())
        print(f"\n{doubles} of {len(jobs)} jobs were started twice; {record['refuted']['why']}")


@pytest.fixture
def trusting(serve_fake):
    """A server and a worker that trusts it by a record, with one job claimed."""
    server = serve_fake()
    set_up(server, ["job1.txt"])
    with DirJobs(server.url, "w1", **TIMES | {"heartbeat": 60.0, "lease": 300.0}) as queue:
        yield server, queue, queue.next_and_lock()


def claim_of_another(server):
    server.write("01_running/w2.job1.txt", content("job1.txt"))


def torn_claim(server):
    server.write("01_running/w1.job1.txt", b"half")


def vanished_claim(server):
    server.remove("01_running/w1.job1.txt")


def dragged(folder, name="job1.txt"):
    def drag(server):
        server.write(f"{folder}/{name}", server.files("01_running")["w1.job1.txt"])
        server.remove("01_running/w1.job1.txt")

    return drag


ODDITIES = {
    "claim of another": (claim_of_another, "job 'job1.txt' is claimed by w1 and w2"),
    "another size": (torn_claim, "the claim 01_running/w1.job1.txt has another size than its job"),
    "gone": (vanished_claim, "the claim 01_running/w1.job1.txt is gone, and not by its worker"),
    "dragged to failed": (dragged("99_failed"), "the claim 01_running/w1.job1.txt is gone, and"),
    "dragged back": (dragged("00_waiting", "w1.job1.txt"), "the claim 01_running/w1.job1.txt is"),
}


@pytest.mark.parametrize("oddity", ODDITIES)
def test_what_people_can_do_is_no_evidence(trusting, oddity):
    server, queue, _ = trusting
    ODDITIES[oddity][0](server)
    for _ in range(2):
        beat(queue)
    assert queue.mode == agreed(server)["mode"] == "trust"
    assert "refuted" not in agreed(server)
    assert not [name for name in server.files("00_waiting") if name.endswith(".part")]


@pytest.mark.parametrize("oddity", ODDITIES)
def test_a_rename_that_copies_is_evidence_once_something_is_odd(trusting, oddity, caplog):
    server, queue, _ = trusting
    beat(queue)
    assert queue.mode == "trust"
    ODDITIES[oddity][0](server)
    server._engine.personality = COPYING
    for _ in range(2):
        beat(queue)
    assert queue.mode == agreed(server)["mode"] == "verify"
    assert ODDITIES[oddity][1] in agreed(server)["refuted"]["why"]
    assert caplog.text.count("renames are not exclusive here") == 1


@pytest.mark.parametrize(("personality", "mode"), [(None, "trust"), (COPYING, "verify")])
def test_a_job_that_somebody_else_finished_as_well_is_looked_into(serve_fake, personality, mode):
    server = serve_fake()
    set_up(server, ["job1.txt"])
    # Whoever falls back waits for a heartbeat of the others.
    with DirJobs(server.url, "w1", **TIMES) as queue:
        job = queue.next_and_lock()
        server.write("02_done/job1.txt", content("job1.txt"))
        server._engine.personality = personality or server._engine.personality
        job.done()
        server.write("00_waiting/job2.txt", content("job2.txt"))
        queue.next_and_lock().done()
        assert queue.mode == mode


def test_a_claim_that_somebody_saved_anew_is_done(trusting):
    server, queue, job = trusting
    server.write("01_running/w1.job1.txt", b"corrected")
    job.done()
    assert server.files("02_done") == {"job1.txt": b"corrected"}
    assert queue.mode == "trust"


def test_a_job_put_back_by_hand_is_no_evidence(trusting):
    server, queue, job = trusting
    server.remove("01_running/w1.job1.txt")
    server.write("00_waiting/job1.txt", content("job1.txt"))
    beat(queue)
    with pytest.raises(ClaimLost):
        job.done()
    beat(queue)
    assert queue.mode == "trust"
    assert "refuted" not in agreed(server)


def test_others_follow_with_their_next_heartbeat(trusting):
    server, queue, _ = trusting
    server.write("00_waiting/job2.txt", content("job2.txt"))
    with DirJobs(server.url, "w2", **TIMES | {"heartbeat": 60.0, "lease": 300.0}) as other:
        other.next_and_lock()
        assert other.mode == "trust"
        torn_claim(server)
        server._engine.personality = COPYING
        beat(queue)
        beat(other)
        assert other.mode == "verify"


def test_who_insists_on_trust_is_left_alone(serve_fake):
    server = serve_fake()
    set_up(server, ["job1.txt"])
    with DirJobs(
        server.url, "w1", mode="trust", **TIMES | {"heartbeat": 60.0, "lease": 300.0}
    ) as q:
        q.next_and_lock()
        torn_claim(server)
        beat(q)
        assert q.mode == "trust"


def test_files_wait_for_the_recorded_age(serve_fake):
    server = serve_fake()
    set_up(server, ["job1.txt"], min_age=0.3)
    with DirJobs(server.url, "w1", **TIMES) as queue:
        assert queue.next_and_lock() is not None
        assert queue._worker.candidates.min_age == 0.3


def finish(job):
    with pytest.raises(ClaimLost, match="unfinished copy"):
        job.done()


@pytest.mark.parametrize("end", [finish, lambda job: job.release()])
def test_a_torn_claim_made_in_trust_is_parked_also_after_the_fallback(trusting, end):
    """Two copies that go to one name at once may leave the torn one there."""
    server, queue, job = trusting
    torn_claim(server)
    claim_of_another(server)
    server._engine.personality = COPYING
    me = queue._worker.me
    me.adopt(replace(me.policy, mode=Mode.VERIFY))  # as others asked
    end(job)
    assert server.files("_queue/parked") == {"w1.job1.txt": b"half"}
    assert server.files("02_done") == server.files("00_waiting") == {}
