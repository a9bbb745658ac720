"""Real worker processes, killed and stopped at random moments, on real stores."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter, defaultdict
from itertools import pairwise

from dirjobs.layout import DONE, RUNNING, parse_claim
from tests.amounts import PATIENCE, THOROUGH, amount
from tests.process.crew import LEASE, UNIT, H, until

JOBS, WORKERS, STRIKES = amount(160, 400), amount(6, 8), amount(12, 1000)


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
        self.struck = []
        self.watching = []

    def start_one(self):
        self.started += 1
        tag = self.crew.start(f"w{self.started}", work=0.25 * UNIT, options={"job_ext": ".txt"})
        return tag, f"w{self.started}"

    def strike(self, workers):
        """Hit a worker that has a job at hand."""
        while workers:
            tag, wid = workers.pop(self.random.randrange(len(workers)))
            if not self.crew.stop(tag):
                continue  # it had nothing more to do
            if self._claims(wid):
                break
            self.crew.signal(tag, signal.SIGCONT)
            workers.append((tag, wid))
        else:
            return
        self.struck.append((tag, time.monotonic()))
        if self.kills and self.random.random() < 0.4:
            self.stops += 1
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
        watching = threading.Thread(target=self._see, args=(wid, time.monotonic(), proven))
        watching.daemon = True
        watching.start()
        self.watching.append(watching)
        workers.append(self.start_one())

    def _claims(self, wid):
        names = filter(None, map(parse_claim, self.crew.place.files(RUNNING)))
        return [c for c in names if c.worker == wid or c.worker.startswith(f"{wid}~")]

    def _see(self, wid, since, proven):
        until(lambda: not self._claims(wid), 600)
        self.recoveries.append((proven, time.monotonic() - since))


def unreported(journal, deaths, struck):
    """How many second starts are in no note.

    A job is given back first and noted then; who is killed in between notes nothing.  Even
    so there is no second start but after a strike.
    """
    starts = defaultdict(list)
    for event in journal:
        if event["event"] == "start":
            starts[event["job"]].append(event)
    count = 0
    for job, events in starts.items():
        missing = len(events) - 1 - deaths.get(job, 0)
        if missing > 0:
            count += missing
            for one, other in pairwise(events):
                tags = {one["tag"], other["tag"]}
                assert any(tag in tags and at < other["at"] for tag, at in struck), events
    return count


def killed_before_the_start(journal, deaths):
    """The jobs that were given back although nobody had begun with them."""
    starts = Counter(event["job"] for event in journal if event["event"] == "start")
    before = {job for job in deaths if starts[job] == 1}
    for job in before:
        first, last = (event for event in journal if event["job"] == job)
        assert (first["event"], last["event"]) == ("start", "done")
        assert first["tag"] == last["tag"]
    return before


def test_nemesis(place, crew, figures):
    """Every job is done once; started twice are only those that were reported."""
    place.options |= {"lease": LEASE, "max_attempts": 1000}  # a busy machine fails no job
    place.fill(JOBS)
    nemesis = Nemesis(crew, seed=7)
    workers = [nemesis.start_one() for _ in range(WORKERS)]
    until(lambda: len(place.files(DONE)) > 10)
    while len(place.files(DONE)) < JOBS - 2 * WORKERS:
        time.sleep(nemesis.random.uniform(0.3, 0.9) * UNIT)
        if len(nemesis.struck) < STRIKES:
            nemesis.strike(workers)
    for tag, _ in workers:
        assert crew.wait(tag) == 0, crew.errors(tag)
    for watching in nemesis.watching:
        watching.join(PATIENCE)
    place.assert_each_done_once(JOBS)

    journal = crew.journal()
    dones = Counter(event["job"] for event in journal if event["event"] == "done")
    assert max(dones.values()) == 1
    deaths = place.deaths()
    recovered = sum(deaths.values())
    assert recovered > 0
    starts = Counter(event["job"] for event in journal if event["event"] == "start")
    twice = sum(count > 1 for count in starts.values())
    before = killed_before_the_start(journal, deaths)
    missing = unreported(journal, deaths, nemesis.struck)
    assert missing <= max(1, nemesis.kills // 4)
    waited = sorted(seconds for proven, seconds in nemesis.recoveries if not proven)
    proven = sorted(seconds for proven, seconds in nemesis.recoveries if proven)
    told = {
        "jobs": JOBS,
        "kills": nemesis.kills,
        "stops": nemesis.stops,
        "recovered": recovered,
        "started twice": twice,
        "not reported": missing,
        "killed before the start": len(before),
        "lost": sum(event["event"] == "lost" for event in journal),
        "recovery by lease": [round(s, 2) for s in waited],
        "recovery by proof": [round(s, 2) for s in proven],
        "T + 2H": LEASE + 2 * H,
    }
    figures(str(told))
    if THOROUGH:  # otherwise the machine may be too busy to keep any time
        # The middle one: single ones wait for observers that were stopped or had no processor.
        assert waited[len(waited) // 2] < LEASE + 2 * H
        assert proven[len(proven) // 2] < LEASE
