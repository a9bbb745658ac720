"""Mutants of what workers do about each other's deaths."""

from __future__ import annotations

import random
from dataclasses import replace

from dirjobs.policy import Mode
from tests.simulation.requests import Write
from tests.simulation.scenario import Scenario
from tests.simulation.world import Kind

from .claim_mutants import of_kinds
from .mutants import Mutant
from .scenarios import JOBS, Family, leavers, lives, withdrawals, within_bounds


def living(
    *kinds: Kind, bounds: bool = False, longest: float | None = None, **changes: object
) -> Family:
    def family(rng: random.Random) -> Scenario:
        plain = (within_bounds if bounds else lives)(rng, rng.choice(kinds), longest)
        return replace(plain, **changes)  # type: ignore[arg-type]

    return family


def torn_orphans(rng: random.Random) -> Scenario:
    """Five workers ask for one job at once on a copying server, and most die over it."""
    plain = lives(rng, Kind.COPYING)
    wait = 7.0
    policy = replace(plain.policy, mode=Mode.SYNC, sync_time=wait)
    return replace(
        plain,
        policy=replace(policy, lease=policy.shortest_lease),
        workers=("w1", "w2", "w3", "w4", "w5"),
        jobs=((JOBS[0], 1000),),
        lost=0.0,
        mute=0.0,
        late=0.0,
        gap=3.0,
        crashes=4,
        restarts=False,
        twins=False,
        pauses=0,
        outage=0.0,
        missing=0,
        troubled_until=14.0,
        latency=0.5,
        work=60.0,
    )


def returning_copies(rng: random.Random) -> Scenario:
    """Workers who withdraw from jobs on a copying server, and stop on the way."""
    plain = within_bounds(rng, Kind.COPYING, 20.0)
    policy = replace(plain.policy, mode=Mode.SYNC, sync_time=7.0, heartbeat=10.0)
    return replace(
        plain,
        policy=replace(policy, lease=policy.shortest_lease),
        workers=("w1", "w2", "w3", "w4", "w5"),
        jobs=tuple((name, 1000) for name in JOBS),
        gap=3.0,
        latency=0.5,
        crashes=0,
        restarts=False,
        twins=False,
        pauses=30,
        outage=0.0,
        missing=0,
        visits=0,
        release=0.0,
        troubled_until=90.0,
        work=0.0,
    )


def muted_leavers(rng: random.Random) -> Scenario:
    """Workers that miss some answers of a slowly copying server, and end all the same."""
    return replace(leavers(rng, Kind.COPYING), mute=0.1, gap=3.0)


BY_TIMES_ALONE = (
    "recovery.membership",
    "if peer.proven or (peer.file, peer.heartbeat.counter) in unchanged",
    "if True",
)
"""The second look at the silent goes by ages, not by what was written meanwhile."""

LIFE_MUTANTS = (
    Mutant(
        "a copy on its way back is given its name without a look",
        withdrawals,
        (("protocol.exits", "        if not self.me.trusts:\n            if self._is_claimed",
          "        if False:\n            if self._is_claimed"),),
    ),
    Mutant(
        "a loser deletes its claim",
        of_kinds((Kind.COPYING, Mode.SYNC), (Kind.BLIND, None), snatches=0),
        (("protocol.claim", "count(\"smaller worker's claim: put back\")\n"
          "                exits.release(path, job)",
          "self.share.store.remove(path)"),),
    ),
    Mutant(
        "a loser withdraws before S is over, and workers die",
        living(Kind.SYNCED, Kind.MOUNT),
        (("protocol.claim", "        self.share.sleep(wait)\n        while True:",
          "        while True:"),),
    ),
    Mutant(
        "the size is not verified at a requeue",
        torn_orphans,
        (
            ("recovery.orphans", "size = self._sizes.get(orphan.path, -1)",
             "return False\n        size = 0"),
            ("recovery.orphans", "torn = job.name in told and differ(told[job.name], job.size)",
             "torn = False"),
            ("recovery.orphans",
             "torn = any((copy.size or 0) > (job.size or 0) for copy in copies)",
             "torn = False"),
            ("recovery.orphans", "self._is_over(job, known=job.name in told)",
             "self.parts.look.is_finished(job)"),
            ("protocol.exits", "if found is not None and differ(found.size, job.size):",
             "if False:"),
        ),
    ),
    Mutant(
        "a worker does not look back when it has ended",
        leavers,
        (("recovery.membership",
             "            self._finish_deferred_returns(self.parts)", "            pass"),),
    ),
    Mutant(
        "a worker ends while a copy of its own still grows",
        muted_leavers,
        (("protocol.sweep",
          "if not any(intent.growth for intent in doubtful):",
          "if True:"),),
        "h",
    ),
    Mutant(
        "clocks are not restarted after an outage",
        living(
            Kind.ATOMIC,
            bounds=True,
            longest=20.0,
            pauses=40,
            outage=300.0,
            troubled_until=500.0,
            missing=0,
            crashes=0,
            twins=False,
            work=300.0,
        ),
        (("recovery.staleness",
             "or sight.mark != mark or not watching:", "or sight.mark != mark:"),),
        "pinned-c",
    ),
    Mutant(
        "a one-shot requeue lists before it writes its own heartbeat",
        living(
            Kind.ATOMIC,
            bounds=True,
            missing=0,
            clock_step=0.0,
            outage=0.0,
            crashes=0,
            twins=False,
            visits=8,
            visit_pause=500.0,
            hesitant=lambda request: isinstance(request, Write),
            workers=("w1", "w2"),
            troubled_until=300.0,
            work=2000.0,
        ),
        (
            ("recovery.membership", "        first = incarnations.start()\n",
             "        self.peers.before = self.share.list(WORKERS)\n"
             "        first = incarnations.start()\n"),
            ("recovery.membership", "        self.incarnations.tell()\n",
             "        self.peers.before = self.share.list(WORKERS)\n"
             "        self.incarnations.tell()\n"),
            ("recovery.peers", "listing = self.parts.share.list(WORKERS)\n        self.control",
             "own = [e for e in self.parts.share.list(WORKERS) if e.name in ours]\n"
             "        listing = own + [e for e in self.before if e.name not in ours]\n"
             "        self.control"),
            BY_TIMES_ALONE,
        ),
    ),
    Mutant(
        "plain names for ever",
        living(Kind.ATOMIC, pauses=3, pause=400.0, twins=True, restarts=True, work=300.0),
        (
            ("protocol.me", "layout.next_incarnation(self.worker, self.nonce())",
             "layout.base_id(self.worker)"),
            ("worker", "asked = self.intents.state(f\"{RUNNING}/{self.me.worker}.{job.name}\")",
             "asked = None"),
            ("protocol.intents", "if path in self._retired or path in self._intents:",
             "if False:"),
        ),
        "s2",
    ),
    Mutant(
        "a requeue on the first sight of absence",
        living(
            Kind.ATOMIC, Kind.MOUNT, bounds=True, missing=3, twins=False, crashes=0, work=300.0
        ),
        (("recovery.staleness",
             "return 0.0 if sight is None else now - sight.since",
          "return 0.0 if sight is None else now - sight.since + 1e9 * (sight.mark is None)"),),
        "s9",
    ),
    Mutant(
        "the heartbeat rewrites the claim",
        living(Kind.ATOMIC),
        (("recovery.incarnations", "        one.began = began\n",
          "        one.began = began\n        for path in self.intents.in_state(State.HELD):\n"
          "            self.share.write(path, b'alive')\n"),),
    ),
    Mutant(
        "done takes 404 for success",
        living(Kind.ATOMIC, pauses=3, pause=400.0, work=300.0),
        (("protocol.exits", "                outcome is Outcome.GONE_IN_DOUBT\n"
          "                and not lease_may_have_expired(claim)\n"
          "                and not attempts.was_given_back(self.share, job.name, claim.worker)\n",
          "                True\n"),),
    ),
    Mutant(
        "a paused twin is taken over",
        living(
            Kind.ATOMIC,
            Kind.MOUNT,
            bounds=True,
            twins=True,
            missing=0,
            clock_step=0.0,
            work=300.0,
        ),
        (("recovery.peers",
             "age > 2 * self.lease_of(heartbeat)", "age > self.lease_of(heartbeat) / 8"),
         BY_TIMES_ALONE),
    ),
)  # fmt: skip
