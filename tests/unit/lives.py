"""Workers on one store in memory, with a clock that only the test moves."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from dirjobs.backends.memory import MemoryStore
from dirjobs.layers import Layer
from dirjobs.layout import RUNNING, WAITING
from dirjobs.policy import Policy
from dirjobs.protocol.candidates import Candidates
from dirjobs.protocol.folders import make_folders
from dirjobs.protocol.me import Me
from dirjobs.protocol.outage import QueueAway
from dirjobs.protocol.parts import Parts
from dirjobs.protocol.share import Share
from dirjobs.recovery.heartbeat import Heartbeat, heartbeat_path
from dirjobs.recovery.membership import Membership
from dirjobs.recovery.process import Process
from dirjobs.store import Entry
from dirjobs.worker import Worker

POLICY = Policy(heartbeat=10, lease=100, timeout=10, max_pause=20)


class Connection(Layer):
    """What one worker works over: a test may put another store under it at any time."""

    def names_of_files(self, folder):
        return self.store.names_of_files(folder)


class Life:
    """One worker, its heartbeat driven by hand."""

    def __init__(self, world, wid, process, policy, *, insists=False, **options):
        self.world = world
        self.connection = Connection(world.store)
        self.share = Share(self.connection, world.pass_time, lambda: world.now)
        self.me = Me(wid, policy, world.store.guarantees)
        self.me.mode_not_requested = not insists
        self.parts = Parts(self.share, self.me)
        self.membership = Membership(self.parts, process, **options)
        self.worker = Worker(self.parts, Candidates(job_ext=""), self.membership)

    def over(self, store):
        """From now on all its requests go to `store`."""
        self.connection.store = store
        return store

    def start(self):
        self.membership.start()
        return self

    def beat(self):
        self.membership.beat()

    def next(self):
        return self.worker.next()

    def end(self):
        self.membership.end()

    def done(self, held):
        return self.worker.finish(held, "02_done")


class World:
    def __init__(self, store=None):
        self.now = 1000.0
        self.store = store or MemoryStore(lambda: self.now)
        make_folders(self.share)
        self.pids = 100

    @property
    def share(self):
        """The store as it is now, for somebody who is no worker."""
        return Share(self.store, self.pass_time, lambda: self.now)

    def pass_time(self, seconds):
        self.now += seconds

    def process(self, host="here", pid=None):
        self.pids += 1
        return Process(host, f"machine of {host}", "boot", "namespace", pid or self.pids, "start")

    def life(self, wid, host=None, pid=None, policy=POLICY, **options):
        """A worker on a machine of its own, unless `host` says otherwise."""
        host = host or f"pc {self.pids}"
        return Life(self, wid, self.process(host, pid), policy, **options)

    def job(self, name="job.txt", data=b"data"):
        self.store.write(f"{WAITING}/{name}", data)

    def claim_of(self, worker, job="job.txt", data=b"data"):
        """What a worker left that nobody has ever seen."""
        self.store.write(f"{RUNNING}/{worker}.{job}", data)

    def heartbeat_of(self, worker, tag="aaaaaa", process=None, **fields):
        policy = fields.pop("policy", POLICY)
        heartbeat = Heartbeat(worker, 7, policy, process or self.process("far"))
        heartbeat = msgspec.structs.replace(heartbeat, **fields)
        self.store.write(heartbeat_path(worker, tag), heartbeat.to_bytes())
        return heartbeat

    def names(self, folder):
        return sorted(entry.name for entry in self.store.list(folder))

    def watched_for(self, observer, seconds):
        """Let `observer` beat through some seconds."""
        end = self.now + seconds
        while self.now < end:
            self.now += POLICY.heartbeat
            with suppress(QueueAway):  # as the heartbeat's thread does
                observer.beat()


def entry(name, mtime=1.0, size=1):
    return Entry(name, mtime, size)
