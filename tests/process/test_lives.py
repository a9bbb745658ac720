"""How workers end, how they are taken for dead, and what becomes of their jobs."""

from __future__ import annotations

import signal
import subprocess
from dataclasses import replace

from msgspec import structs

from dirjobs.layout import RUNNING, WAITING
from dirjobs.recovery.heartbeat import Heartbeat
from tests.amounts import PATIENCE
from tests.command_line import DIRJOBS, environment
from tests.process.crew import LEASE, until


def test_stopped_for_too_long_means_claim_lost(place, crew):
    place.options |= {"lease": LEASE}
    place.fill(1)
    gate = crew.folder / "gate"
    stopped = crew.start("w1", until=str(gate))
    until(lambda: crew.journal(stopped))
    crew.signal(stopped, signal.SIGSTOP)
    other = crew.start("w2")
    assert crew.wait(other) == 0, crew.errors(other)
    gate.touch()
    crew.signal(stopped, signal.SIGCONT)
    assert crew.wait(stopped) == 0, crew.errors(stopped)
    events = [(event["event"], event["tag"]) for event in crew.journal()]
    assert [event for event, _ in events] == ["start", "start", "done", "lost"]
    assert events[2][1] == other
    assert events[3][1] == stopped
    place.assert_each_done_once(1)
    assert place.deaths() == {"job0.txt": 1}


def test_killed_and_started_again_with_the_same_id(place, crew):
    place.fill(1)
    first = crew.start("w1", until=str(crew.folder / "never"))
    until(lambda: crew.journal(first))
    crew.kill(first)
    assert place.files(RUNNING) == ["w1.job0.txt"]
    second = crew.start("w1")
    assert crew.wait(second) == 0, crew.errors(second)
    place.assert_each_done_once(1)
    (start,) = [e for e in crew.journal(second) if e["event"] == "start"]
    assert start["claim"].startswith("w1~")
    assert crew.told("no heartbeat") == 0  # it was proved, at once


def test_the_id_of_another_host_is_refused(place, crew):
    place.fill(1)
    first = crew.start("w1", until=str(crew.folder / "never"))
    until(lambda: crew.journal(first))
    crew.signal(first, signal.SIGSTOP)
    (path,) = (place.root / "_queue/workers").glob("w1.*.json")
    beat = Heartbeat.from_bytes(path.read_bytes())
    elsewhere = replace(beat.process, machine="another", host="pc-7")
    path.write_bytes(structs.replace(beat, process=elsewhere).to_bytes())
    second = crew.start("w1")
    assert crew.wait(second) != 0
    (told,) = [line for line in crew.errors(second).splitlines() if "WorkerIdInUse: " in line]
    assert f"process {beat.process.pid} on host 'pc-7'" in told
    assert " s ago)" in told
    assert place.files(RUNNING) == ["w1.job0.txt"]


def test_ctrl_c_gives_the_job_back(place, tmp_path):
    place.fill(1)
    started = tmp_path / "started"
    worker = subprocess.Popen(
        [*DIRJOBS, "work", place.url, "--", "sh", "-c", f"touch {started}; exec sleep 1000"],
        env=environment(**place.login),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: started.exists() or worker.poll() is not None)
        worker.send_signal(signal.SIGINT)
        _, told = worker.communicate(timeout=PATIENCE)
    finally:
        worker.terminate()  # which ends what it runs, too
        worker.wait(PATIENCE)
    assert (worker.returncode, told) == (130, "dirjobs: stopped by SIGINT.\n")
    assert place.files(WAITING) == ["job0.txt"]
    assert place.files(RUNNING) == []
    (beat,) = (beat for beat in place.beats().values() if beat.worker != "adder")
    assert beat.ended
