"""Workers on one store in memory, with a clock that only the test moves."""

from __future__ import annotations

from dataclasses import replace

from dirjobs.protocol.effects import Driver

from dirjobs.backends.memory import MemoryStore
from dirjobs.layout import RUNNING, WAITING
from dirjobs.policy import Terms
from dirjobs.process import Process
from dirjobs.protocol.candidates import Waiting
from dirjobs.protocol.claim import Claims
from dirjobs.protocol.folders import make_folders
from dirjobs.recovery.heartbeat import Beat, beat_path
from dirjobs.recovery.membership import Presence
from dirjobs.store import Entry
from dirjobs.worker import Worker

TERMS = Terms(heartbeat=10, lease=100, timeout=10, max_pause=20)


class Life:
    """One worker, its heartbeat driven by hand."""

    def __init__(self, world, wid, process, terms, **options):
        self.world = world
        self.claims = Claims(wid, terms, world.store.guarantees, clock=lambda: world.now)
        self.presence = Presence(self.claims, process, **options)
        self.worker = Worker(self.claims, Waiting(job_ext=""), self.presence)
        self.driver = Driver(world.store, world.pass_time)

    def start(self):
        self.driver.run(self.presence.start())
        return self

    def beat(self):
        self.driver.run(self.presence.beat())

    def next(self):
        return self.driver.run(self.worker.next())

    def end(self):
        self.driver.run(self.presence.end())

    def done(self, held):
        return self.driver.run(self.worker.finish(held, "02_done"))


class World:
    def __init__(self, store=None):
        self.now = 1000.0
        self.store = store or MemoryStore(lambda: self.now)
        Driver(self.store, self.pass_time).run(make_folders())
        self.pids = 100

    def pass_time(self, seconds):
        self.now += seconds

    def process(self, host="here", pid=None):
        self.pids += 1
        return Process(host, f"machine of {host}", "boot", "namespace", pid or self.pids, "start")

    def life(self, wid, host=None, pid=None, terms=TERMS, **options):
        """A worker on a machine of its own, unless `host` says otherwise."""
        host = host or f"pc {self.pids}"
        return Life(self, wid, self.process(host, pid), terms, **options)

    def job(self, name="job.txt", data=b"data"):
        self.store.write(f"{WAITING}/{name}", data)

    def claim_of(self, worker, job="job.txt", data=b"data"):
        """What a worker left that nobody has ever seen."""
        self.store.write(f"{RUNNING}/{worker}.{job}", data)

    def heartbeat_of(self, worker, tag="aaaaaa", process=None, **fields):
        beat = Beat(worker, 7, fields.pop("terms", TERMS), process or self.process("far"))
        beat = replace(beat, **fields)
        self.store.write(beat_path(worker, tag), beat.to_bytes())
        return beat

    def names(self, folder):
        return sorted(entry.name for entry in self.store.list(folder))

    def watched_for(self, observer, seconds):
        """Let `observer` beat through some seconds."""
        end = self.now + seconds
        while self.now < end:
            self.now += TERMS.heartbeat
            observer.beat()


def entry(name, mtime=1.0, size=1):
    return Entry(name, mtime, size)
