"""Real worker processes, killed and stopped at random moments, on real stores."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from collections import Counter
from dataclasses import replace

import pytest

from dirjobs.beat import Beat
from dirjobs.names import DONE, FAILED, PARKED, RUNNING, WAITING, parse_claim
from tests.process.crew import LEASE, Crew, H, Place, until
from tests.servers import apache

JOBS, WORKERS = 400, 8


def on_posix(folder):
    yield Place(str(folder / "jobs"), folder / "jobs"), None


def on_apache(folder):
    with apache.running() as server:
        options = {"username": server.user, "password": server.password, "timeout": 5.0}
        yield Place(f"{server.url}/jobs", server.root / "jobs", options), server


BACKENDS = {"posix": on_posix, "apache": on_apache}
"""One more store is one more generator here: it yields a place, and its server if any."""


@pytest.fixture(params=BACKENDS)
def backend(request, tmp_path):
    yield from BACKENDS[request.param](tmp_path)


@pytest.fixture
def place(backend):
    return backend[0]


@pytest.fixture
def server(backend):
    if backend[1] is None:
        pytest.skip("this store has no server that could be away")
    return backend[1]


@pytest.fixture
def crew(place, tmp_path):
    folder = tmp_path / "journals"
    folder.mkdir()
    crew = Crew(place, folder)
    yield crew
    crew.end()


def assert_each_done_once(place, jobs):
    assert place.files(WAITING) == []
    assert place.files(RUNNING) == []
    assert place.files(FAILED) == []
    assert place.files(PARKED) == []
    assert place.files(DONE) == sorted(f"job{n}.txt" for n in range(jobs))
    for n in range(jobs):
        assert (place.root / DONE / f"job{n}.txt").read_text() == f"content of {n}"


class Nemesis:
    """Kills or stops a worker every now and then, and sees how long its job stays taken.

    Half of the killed are left as zombies: their number is still in use, so nobody can
    prove that they are gone, and the lease must do.
    """

    def __init__(self, crew, seed):
        self.crew, self.random = crew, random.Random(seed)
        self.started = 0
        self.recoveries = []
        self.kills = self.stops = 0
        self._watched = []

    def start_one(self):
        self.started += 1
        tag = self.crew.start(f"w{self.started}", work=0.25, options={"job_ext": ".txt"})
        return tag, f"w{self.started}"

    def strike(self, workers):
        tag, wid = workers.pop(self.random.randrange(len(workers)))
        if self.crew.processes[tag].poll() is not None:
            return
        if self.random.random() < 0.4:
            self.stops += 1
            self.crew.signal(tag, signal.SIGSTOP)
            pause = self.random.uniform(0.1, 1.6) * LEASE
            timer = threading.Timer(pause, self.crew.signal, (tag, signal.SIGCONT))
            timer.daemon = True
            timer.start()
            workers.append((tag, wid))
            return
        self.kills += 1
        proven = self.random.random() < 0.5
        if proven:
            self.crew.kill(tag)
        else:
            self.crew.signal(tag, signal.SIGKILL)
        threading.Thread(
            target=self._see, args=(wid, time.monotonic(), proven), daemon=True
        ).start()
        workers.append(self.start_one())

    def _see(self, wid, since, proven):
        lives = (wid, f"{wid}~")
        time.sleep(0.01)  # the kernel closes what was open

        def left():
            names = filter(None, map(parse_claim, self.crew.place.files(RUNNING)))
            return [c for c in names if c.worker == wid or c.worker.startswith(lives[1])]

        if left():
            until(lambda: not left())
            self.recoveries.append((proven, time.monotonic() - since))


def test_nemesis(place, crew, record_property):
    """Every job is done once; started twice are only those that were reported."""
    place.fill(JOBS)
    nemesis = Nemesis(crew, seed=7)
    workers = [nemesis.start_one() for _ in range(WORKERS)]
    until(lambda: len(place.files(DONE)) > 10)
    while len(place.files(DONE)) < JOBS - 2 * WORKERS:
        time.sleep(nemesis.random.uniform(0.3, 0.9))
        nemesis.strike(workers)
    for tag, _ in workers:
        assert crew.wait(tag) == 0, crew.errors(tag)
    assert_each_done_once(place, JOBS)

    journal = crew.journal()
    starts = Counter(event["job"] for event in journal if event["event"] == "start")
    dones = Counter(event["job"] for event in journal if event["event"] == "done")
    deaths = place.deaths()
    twice = {job for job, count in starts.items() if count > 1}
    assert twice <= deaths.keys()
    assert all(starts[job] <= 1 + deaths.get(job, 0) for job in starts)
    assert max(dones.values()) == 1
    recovered = sum(deaths.values())
    assert recovered > 0
    waited = sorted(seconds for proven, seconds in nemesis.recoveries if not proven)
    proven = sorted(seconds for proven, seconds in nemesis.recoveries if proven)
    figures = {
        "kills": nemesis.kills,
        "stops": nemesis.stops,
        "recovered": recovered,
        "started twice": len(twice),
        "lost": sum(event["event"] == "lost" for event in journal),
        "recovery by lease": [round(s, 2) for s in waited],
        "recovery by proof": [round(s, 2) for s in proven],
        "T + 2H": LEASE + 2 * H,
    }
    record_property("figures", json.dumps(figures))
    print(figures)
    # The middle one: single ones wait for observers that were stopped or had no processor.
    if waited:
        assert waited[len(waited) // 2] < LEASE + 2 * H
    if proven:
        assert proven[len(proven) // 2] < LEASE


def test_stopped_for_too_long_means_claim_lost(place, crew):
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
    assert_each_done_once(place, 1)
    assert place.deaths() == {"job0.txt": 1}


def test_killed_and_started_again_with_the_same_id(place, crew):
    place.fill(1)
    first = crew.start("w1", until=str(crew.folder / "never"))
    until(lambda: crew.journal(first))
    crew.kill(first)
    assert place.files(RUNNING) == ["w1.job0.txt"]
    second = crew.start("w1")
    assert crew.wait(second) == 0, crew.errors(second)
    assert_each_done_once(place, 1)
    (start,) = [e for e in crew.journal(second) if e["event"] == "start"]
    assert start["claim"].startswith("w1~")
    assert crew.told("no heartbeat") == 0  # it was proved, at once


def test_the_id_of_another_host_is_refused(place, crew):
    place.fill(1)
    first = crew.start("w1", until=str(crew.folder / "never"))
    until(lambda: crew.journal(first))
    crew.signal(first, signal.SIGSTOP)
    (path,) = (place.root / "_queue/workers").glob("w1.*.json")
    beat = Beat.from_bytes(path.read_bytes())
    elsewhere = replace(beat.process, machine="another", host="pc-7")
    path.write_bytes(replace(beat, process=elsewhere).to_bytes())
    second = crew.start("w1")
    assert crew.wait(second) != 0
    (told,) = [line for line in crew.errors(second).splitlines() if "WorkerIdInUse: " in line]
    assert f"process {beat.process.pid} on host 'pc-7'" in told
    assert " s ago)" in told
    assert place.files(RUNNING) == ["w1.job0.txt"]


@pytest.mark.parametrize("again", range(5))
def test_two_with_one_id_at_the_same_moment(place, again):
    """Never two jobs under one claim name, and never one job for two."""
    place.fill(8)
    ready, taken, refused = threading.Barrier(2), [], []

    def work(host):
        with place.queue("w1") as queue:
            queue._presence.process = replace(queue._presence.process, machine=host)
            ready.wait(30)
            try:
                while (job := queue.next_and_lock()) is not None:
                    taken.append((job.name(), job.full_name(), job.read_text()))
                    job.done()
            except ValueError as error:
                refused.append(type(error).__name__)

    threads = [threading.Thread(target=work, args=(host,)) for host in ("pc-1", "pc-2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert refused.count("WorkerIdInUse") == len(refused)
    if len(refused) == 2:
        assert taken == []
        assert len(place.files(WAITING)) == 8
    else:
        assert_each_done_once(place, 8)
    assert len({claim for _, claim, _ in taken}) == len(taken)
    assert all(content == f"content of {name[3:-4]}" for name, _, content in taken)


def test_the_server_is_away_for_two_leases(place, server, crew):
    """Workers wait and say so once, nobody is declared dead, all jobs are done."""
    place.fill(60)
    workers = [crew.start(f"w{n}", work=0.3) for n in range(4)]
    until(lambda: len(place.files(DONE)) > 5)
    server.stop()
    time.sleep(2 * LEASE)
    server.start()
    for tag in workers:
        assert crew.wait(tag) == 0, crew.errors(tag)
    assert_each_done_once(place, 60)
    assert place.deaths() == {}
    for tag in workers:
        assert crew.told("waiting until it can", tag) <= 1
        assert crew.told("no heartbeat could be written", tag) <= 1
    assert crew.told("waiting until it can") >= 1
    starts = Counter(e["job"] for e in crew.journal() if e["event"] == "start")
    assert max(starts.values()) == 1
