"""Signals give the job back and leave nothing behind."""

import signal
import sys

import pytest

from dirjobs import DirJobs, open_store
from dirjobs.protocol.folders import make_folders
from dirjobs.protocol.share import Share
from tests.amounts import PATIENCE
from tests.command_line import (
    heartbeats,
    is_alive,
    make_queue,
    starting,
    wait_until,
    where_jobs_are,
)
from tests.fake_webdav.faults import Fault

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX processes and signals")


@pytest.fixture
def start(tmp_path):
    with starting(tmp_path) as start:
        yield start


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
@pytest.mark.parametrize("stubborn", [False, True], ids=["ends_when_asked", "has_to_be_killed"])
def test_a_signal_gives_the_job_back(tmp_path, start, name, code, stubborn):
    number = signal.Signals[name]
    queue = make_queue(tmp_path / "jobs", "a.txt", "b.txt")
    script = "sleep 1000 & echo $$ $! > pids.new; mv pids.new pids; wait; wait"
    if stubborn:
        script = f"trap '' TERM INT HUP; {script}"
    worker = start("work", "jobs", "--", "sh", "-c", script)
    pids = tmp_path / "pids"
    wait_until(pids.exists)
    worker.send_signal(number)
    if stubborn:
        worker.send_signal(number)  # an impatient person
    out, err = worker.communicate(timeout=PATIENCE)
    assert worker.returncode == code
    assert err == f"dirjobs: stopped by {name}.\n"
    assert "a.txt ... given back" in out
    assert where_jobs_are(queue) == {
        "00_waiting": ["a.txt", "b.txt"],
        "01_running": [],
        "02_done": [],
        "99_failed": [],
    }
    assert [beat["ended"] for beat in heartbeats(queue)] == [True]
    assert [pid for pid in map(int, pids.read_text().split()) if is_alive(pid)] == []


HASTY = """
from dirjobs.cli import main
from dirjobs.runner import process
process.GRACE = 0.5
main(prog_name="dirjobs")
"""


def test_what_ignores_being_asked_is_killed_in_the_end(tmp_path, start):
    make_queue(tmp_path / "jobs", "a.txt")
    script = "trap '' TERM; echo $$ > pids.new; mv pids.new pids; while :; do sleep 1; done"
    worker = start("work", "jobs", "--", "sh", "-c", script, program=(sys.executable, "-c", HASTY))
    wait_until((tmp_path / "pids").exists)
    worker.terminate()
    worker.communicate(timeout=PATIENCE)
    assert worker.returncode == 143
    assert not is_alive(int((tmp_path / "pids").read_text()))


CLOCK_THAT_STOPS = """
import os
from dirjobs import clock
running, stopped = clock.monotonic, []

def monotonic():
    if not stopped and os.path.exists("jobs/01_running/w1.a.txt"):
        stopped.append(running())
    return stopped[0] if stopped else running()

clock.monotonic = monotonic
from dirjobs.cli import main
main(prog_name="dirjobs")
"""


def test_an_interrupted_wait_in_mode_sync(tmp_path, start):
    """Between asking for a job and having it, nothing is lost either.  The wait never ends by
    itself, for from the claim on no time passes."""
    queue = make_queue(tmp_path / "jobs", "a.txt")
    options = ("--wid", "w1", "--sync-time", "0.2")
    program = (sys.executable, "-c", CLOCK_THAT_STOPS)
    worker = start("work", "jobs", *options, "--", "touch", "started", program=program)
    wait_until((queue / "01_running" / "w1.a.txt").exists)
    worker.send_signal(signal.SIGINT)
    _, err = worker.communicate(timeout=PATIENCE)
    assert (worker.returncode, err) == (130, "dirjobs: stopped by SIGINT.\n")
    assert where_jobs_are(queue)["00_waiting"] == ["a.txt"]
    assert not (tmp_path / "started").exists()


def test_an_interrupted_start(tmp_path, start):
    """The worker has announced itself and waits whether somebody else has its id."""
    queue = make_queue(tmp_path / "jobs", "a.txt")
    worker = start("work", "jobs", "--sync-time", "85", "--", "true")
    wait_until(lambda: (queue / "_queue" / "workers").is_dir() and heartbeats(queue))
    worker.terminate()
    worker.communicate(timeout=PATIENCE)
    assert worker.returncode == 143
    assert [beat["ended"] for beat in heartbeats(queue)] == [True]


def test_the_heartbeat_names_the_process_group_of_the_program(tmp_path):
    make_queue(tmp_path / "jobs", "a.txt")
    with DirJobs(tmp_path / "jobs", heartbeat=0.05, create=True) as dj:
        dj.next_and_lock().release()
        with dj.runs_group(12345):
            wait_until(lambda: heartbeats(tmp_path / "jobs")[0]["groups"] == [12345])
        wait_until(lambda: heartbeats(tmp_path / "jobs")[0]["groups"] == [])


# -- while results are handed in -------------------------------------------------------------

HAND_IN = 'echo said; echo 1 > "$DIRJOBS_OUT/a.txt"'


@pytest.fixture
def stalled(tmp_path, serve_fake):
    """A server that lets no result in, and a queue on it with one job."""
    server = serve_fake()
    fault = Fault("status", method="PUT", path="jobs/results/*", status=503, times=None)
    server.faults.add(fault)
    url = f"{server.url}/jobs"
    store = open_store(url)
    make_folders(Share(store))
    store.write("00_waiting/a.txt", b"")
    yield server, fault, url
    store.close()


def kept(scratch):
    """The folder in which results are kept, once the command has ended."""
    found = []

    def is_there():
        found[:] = [note.parent for note in scratch.glob("*/note.json") if '"ended":"2' in
                    note.read_text()]  # fmt: skip
        return found

    wait_until(is_there)
    return found[0]


@pytest.mark.parametrize("ending", ["signals", "kill -9"])
def test_results_on_their_way_outlive_the_worker(tmp_path, start, stalled, ending):
    server, fault, url = stalled
    scratch = tmp_path / "scratch"
    options = ("--wid", "w1", "--scratch", scratch, "--mode", "trust")
    worker = start("work", url, *options, "--", "sh", "-c", HAND_IN)
    folder = kept(scratch)
    wait_until(lambda: fault.fired)
    if ending == "signals":
        # Two that come at once may be one; the last may meet the interpreter's end.
        wait_until(lambda: worker.poll() is not None or worker.send_signal(signal.SIGINT))
    else:
        worker.kill()
    out, err = worker.communicate(timeout=PATIENCE)
    if ending == "signals":
        assert worker.returncode in (130, -signal.SIGINT)
        assert f"results and its log are kept in '{folder}'" in err
        assert "given back" not in out
    assert (folder / "results" / "a.txt").read_text() == "1\n"
    assert "said" in (folder / "log").read_text()
    server.faults.clear()
    if ending == "kill -9":  # else the worker gave the job back when it ended
        deliver = start("deliver", url, "--scratch", scratch)
        out, err = deliver.communicate(timeout=PATIENCE)
        assert (deliver.returncode, err) == (0, ""), out
        assert out == "job 'a.txt' is done; its results are stored.\n"
        assert list(scratch.iterdir()) == []


def test_a_signal_ends_the_wait_for_a_share_that_is_away(tmp_path, start, stalled):
    """The first one does, and no error is made of it."""
    _, fault, url = stalled
    scratch = tmp_path / "scratch"
    options = ("--scratch", scratch, "--mode", "trust")
    worker = start("work", url, *options, "--", "sh", "-c", HAND_IN)
    folder = kept(scratch)
    wait_until(lambda: fault.fired)
    fired = fault.fired
    fault.status, fault.path, fault.method = 403, None, None  # everything is refused
    wait_until(lambda: fault.fired > fired)
    worker.send_signal(signal.SIGTERM)
    out, err = worker.communicate(timeout=PATIENCE)
    assert worker.returncode == 143
    assert f"results and its log are kept in '{folder}'" in err
    assert "a.txt ... not ended" in out


def test_whatever_a_program_says_when_it_is_asked_to_end(tmp_path, start):
    queue = make_queue(tmp_path / "jobs", "a.txt")
    script = "trap 'echo bye; exit 3' TERM; touch begun; while :; do sleep 0.05; done"
    worker = start("work", "jobs", "--", "sh", "-c", script)
    wait_until((tmp_path / "begun").exists)
    worker.terminate()
    out, _ = worker.communicate(timeout=PATIENCE)
    assert "a.txt ... given back" in out
    assert where_jobs_are(queue)["00_waiting"] == ["a.txt"]


PATIENT = f"""
from dirjobs.cli import main
from dirjobs.runner import execution
execution._UNTIL_TOLD = {PATIENCE}
main(prog_name="dirjobs")
"""


@pytest.mark.parametrize("drain", [[], ["--drain"]], ids=["", "drain"])
@pytest.mark.parametrize("end", ["kill -{} $$", "exit $((128 + {}))"], ids=["killed", "by_a_shell"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_program_that_ends_before_its_worker_is_told(tmp_path, start, number, end, drain):
    """As by scancel and systemd, which tell all processes at once: it did not fail."""
    queue = make_queue(tmp_path / "jobs", "a.txt")
    script = f"touch ending; {end.format(int(number))}"
    program = (sys.executable, "-c", PATIENT)
    worker = start("work", "jobs", *drain, "--", "sh", "-c", script, program=program)
    wait_until((tmp_path / "ending").exists)
    worker.send_signal(number)
    out, _ = worker.communicate(timeout=PATIENCE)
    assert worker.returncode == (1 if drain else 128 + number)
    assert "a.txt ... given back" in out
    assert where_jobs_are(queue)["00_waiting"] == ["a.txt"]
