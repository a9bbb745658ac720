"""Workers of one queue: ids, threads, forks, and how they end."""

import gc
import json
import os
import subprocess
import sys
import threading
import time
import weakref

import pytest

from dirjobs import DirJobs, WorkerIdInUse
from dirjobs.policy import Policy
from dirjobs.recovery.heartbeat import Heartbeat
from dirjobs.recovery.process import Process
from dirjobs.runner.shutdown import Shutdown
from dirjobs.runner.slots import Source
from tests.amounts import PATIENCE

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def beats(place):
    """The heartbeats that are there, as records by incarnation."""
    names = [name for name in place.names("_queue/workers") if name.endswith(".json")]
    records = [json.loads(place.store.read(f"_queue/workers/{name}")) for name in names]
    return {record["worker"]: record for record in records}


def script(folder, code):
    """A program that works in `folder`, started with pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", code, folder],
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


HOLD_ONE = """
import sys
from dirjobs import DirJobs
queue = DirJobs(sys.argv[1], wid="w1", create=True)
job = queue.next_and_lock()
print(job.full_name(), flush=True)
sys.stdin.readline()
"""


# -- what others have left --------------------------------------------------------------------


def test_a_new_worker_does_what_a_machine_left_days_ago(local):
    """It finds nothing else: before it ends, it makes sure of the other's death."""
    quick = {"heartbeat": 0.2, "timeout": 0.1, "max_pause": 0.1}
    local.open("setup", lease=1.0, **quick).next_and_lock()
    local.close()
    local.put("w3.job1.txt", folder="01_running")
    process = Process("far", "machine", "boot", "namespace", 7, "1")
    heartbeat = Heartbeat("w3", 7, Policy(lease=1.0, **quick), process)
    local.store.write("_queue/workers/w3.aaaaaa.json", heartbeat.to_bytes())
    old = time.time() - 3 * 86400
    os.utime(f"{local.folder}/_queue/workers/w3.aaaaaa.json", (old, old))
    worker = local.open("w1", lease=1.0, **quick)
    assert Source(worker, Shutdown(), poll=0.05).next().name() == "job1.txt"


# -- the end ----------------------------------------------------------------------------------


def test_close_gives_claims_back_and_says_that_the_worker_ended(place):
    place.put("job1.txt", "job2.txt")
    queue = place.open()
    queue.next_and_lock(), queue.next_and_lock()
    assert not beats(place)["w1"]["ended"]
    queue.close()
    assert place.jobs() == {"00_waiting": ["job1.txt", "job2.txt"]}
    assert beats(place)["w1"]["ended"]
    queue.close()


def test_a_closed_queue_begins_anew(place):
    place.put("job1.txt")
    queue = place.open()
    queue.next_and_lock()
    queue.close()
    job = queue.next_and_lock()
    assert job.name() == "job1.txt"
    job.done()
    assert place.jobs() == {"02_done": ["job1.txt"]}


def test_a_job_from_before_the_close_can_still_be_ended_without_harm(place):
    place.put("job1.txt")
    queue = place.open()
    job = queue.next_and_lock()
    queue.close()
    with pytest.raises(Exception, match="job1"):
        job.done()
    assert place.jobs() == {"00_waiting": ["job1.txt"]}


def test_a_program_that_ends_without_close_gives_its_claim_back(local):
    local.put("job1.txt")
    program = script(local.folder, HOLD_ONE)
    out, err = program.communicate("\n", timeout=PATIENCE)
    assert (out, err, program.returncode) == ("w1.job1.txt\n", "", 0)
    assert local.jobs() == {"00_waiting": ["job1.txt"]}
    assert beats(local)["w1"]["ended"]


def test_a_forgotten_queue_ends(local):
    local.put("job1.txt")
    before = set(threading.enumerate())
    queue = DirJobs(local.store)
    job = queue.next_and_lock()
    (thread,) = set(threading.enumerate()) - before
    gone = weakref.ref(queue)
    del queue, job
    gc.collect()
    assert gone() is None
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert local.jobs() == {"00_waiting": ["job1.txt"]}


def test_opening_and_adding_starts_no_thread(local):
    before = threading.active_count()
    local.open().add("job1.txt")
    assert threading.active_count() == before


# -- ids --------------------------------------------------------------------------------------


def test_two_queues_of_one_id_in_one_process_share_no_claim(place):
    place.put(*(f"job{number}.txt" for number in range(6)))
    one, other = place.open("w1"), place.open("w1")
    names = [queue.next_and_lock().full_name() for queue in (one, other, one, other)]
    assert len({name.partition(".")[2] for name in names}) == 4
    assert {name.partition(".")[0] for name in names[::2]} == {"w1"}
    (second,) = {name.partition(".")[0] for name in names[1::2]}
    assert second.startswith("w1~")


def test_the_id_of_another_live_process_is_refused(local):
    local.put("job1.txt", "job2.txt")
    program = script(local.folder, HOLD_ONE)
    try:
        assert program.stdout.readline() == "w1.job1.txt\n"
        with pytest.raises(
            WorkerIdInUse, match=rf"^wid='w1' is in use by process {program.pid} on host '.*"
        ):
            local.open("w1").next_and_lock()
        with pytest.raises(WorkerIdInUse):
            local.open("W1").next_and_lock()
        assert local.open("w2").next_and_lock().name() == "job2.txt"
        assert set(beats(local)) == {"w1", "w2"}
    finally:
        program.communicate("\n", timeout=PATIENCE)
    assert local.open("w1").next_and_lock().name() == "job1.txt"


def test_the_id_of_a_killed_process_is_taken_over_under_a_new_name(local):
    local.put("job1.txt", "job2.txt")
    program = script(local.folder, HOLD_ONE)
    program.stdout.readline()
    program.kill()
    program.communicate(timeout=PATIENCE)
    assert local.open("w1").next_and_lock().full_name().startswith("w1~")


@pytest.mark.parametrize("mode", ["trust", "verify"])
def test_a_folder_that_a_person_deleted_is_made_again(place, mode):
    place.put("job1.txt", "job2.txt")
    queue = place.open(mode=mode)
    queue.next_and_lock().done()
    place.store.rmdir("01_running")
    for job in queue:
        job.done()
    assert place.jobs() == {"02_done": ["job1.txt", "job2.txt"]}


# -- threads and forks ------------------------------------------------------------------------


def test_threads_share_a_queue_and_no_job(place):
    jobs = [f"job{number}.txt" for number in range(200)]
    place.put(*jobs)
    queue = place.open()
    started, errors = [], []

    def work():
        try:
            for job in queue:
                with job:
                    started.append((job.name(), job.full_name()))
        except BaseException as error:  # noqa: BLE001 - shown below
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(name for name, _ in started) == sorted(jobs)
    assert place.jobs() == {"02_done": sorted(jobs)}
    assert {claim.partition(".")[0] for _, claim in started} == {"w1"}


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_a_worker_of_its_own(local):
    local.put(*(f"job{number}.txt" for number in range(1, 5)))
    queue = local.open()
    mine = queue.next_and_lock()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            job = queue.next_and_lock()
            os.write(writing, job.full_name().encode())
            job.done()
            queue.close()
            status = 0
        except BaseException as error:  # noqa: BLE001 - told to the parent
            os.write(writing, repr(error).encode())
        finally:
            os._exit(status)
    os.close(writing)
    with open(reading, encoding="utf-8") as pipe:
        told = pipe.read()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, told
    assert told.startswith("w1~")
    assert told.endswith(".job2.txt")
    assert local.jobs()["01_running"] == ["w1.job1.txt"]
    mine.done()
    assert queue.next_and_lock().full_name().startswith("w1.job")  # its name is the old one
    assert local.names("02_done") == ["job1.txt", "job2.txt"]
