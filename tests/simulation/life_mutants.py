"""Mutants of what workers do about each other's deaths."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial

from dirjobs.policy import Mode
from dirjobs.protocol.effects import Write
from tests.simulation.scenario import Scenario
from tests.simulation.world import Kind

from .claim_mutants import of_kinds
from .mutants import Mutant
from .scenarios import JOBS, Family, leavers, lives, within_bounds


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
    terms = replace(plain.terms, mode=Mode.SYNC, sync_time=wait)
    return replace(
        plain,
        terms=replace(terms, lease=terms.shortest_lease),
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
    terms = replace(plain.terms, mode=Mode.SYNC, sync_time=7.0, heartbeat=10.0)
    return replace(
        plain,
        terms=replace(terms, lease=terms.shortest_lease),
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


LIFE_MUTANTS = (
    Mutant(
        "a copy on its way back is given its name without a look",
        returning_copies,
        (("protocol.give_back",
             "        if self.terms.mode is not Mode.TRUST:\n            if (yield",
          "        if False:\n            if (yield"),),
        "pinned-e",
    ),
    Mutant(
        "a loser deletes its claim",
        of_kinds((Kind.COPYING, Mode.SYNC), (Kind.BLIND, None), snatches=0),
        (
            ("protocol.claim",
             "self.decided[\"smaller worker's claim: put back\"] += 1\n"
             "                yield from self.release(path, job)",
             "yield Forget(path)"),
            ("protocol.claim",
             "import Exists,", "import Exists, Forget,"),
        ),
    ),
    Mutant(
        "a loser withdraws before S is over, and workers die",
        living(Kind.SYNCED, Kind.MOUNT),
        (("protocol.claim",
             "        yield Wait(wait)\n        while True:", "        while True:"),),
    ),
    Mutant(
        "the size is not verified at a requeue",
        torn_orphans,
        (
            ("recovery.requeue",
             "size = self._sizes.get(orphan.path, -1)", "return False\n        size = 0"),
            ("recovery.requeue",
             "torn = job.name in told and differ(told[job.name], job.size)",
             "torn = False"),
            ("recovery.requeue",
             "torn = any((copy.size or 0) > (job.size or 0) for copy in copies)",
             "torn = False"),
            ("recovery.requeue",
             "(yield from self._is_over(job, known=job.name in told))",
             "(yield from claims.finished(job))"),
            ("protocol.give_back",
             "if (yield from self._has_another_size(path, job.size)):", "if False:"),
        ),
    ),
    Mutant(
        "a worker does not look back when it has ended",
        leavers,
        (("recovery.membership",
             "            yield from self._leave_nothing()", "            pass"),),
    ),
    Mutant(
        "a worker ends while a copy of its own still grows",
        partial(leavers, kind=Kind.COPYING),
        (("protocol.give_back",
             "if not any(0 < asked.odd_looks < _ODD_LOOKS for asked in all_asked):",
          "if True:"),),
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
            ("recovery.membership",
             "        if life is None:\n            life = yield",
             "        self.others.before = yield List(WORKERS)\n"
             "        if life is None:\n            life = yield"),
            ("recovery.membership",
             "        yield from self.tell()\n",
             "        self.others.before = yield List(WORKERS)\n"
             "        yield from self.tell()\n"),
            ("recovery.peers",
             "listing: list[Entry] = yield List(WORKERS)\n        self.orders",
             "own = [e for e in (yield List(WORKERS)) if e.name in ours]\n"
             "        listing = own + [e for e in self.before if e.name not in ours]\n"
             "        self.orders"),
        ),
    ),
    Mutant(
        "plain names for ever",
        living(Kind.ATOMIC, pauses=3, pause=400.0, twins=True, restarts=True, work=300.0),
        (
            ("recovery.incarnations",
             "layout.later_life(self.claims.worker, self.claims.nonce())",
             "layout.base_id(self.claims.worker)"),
            ("worker", "asked = self.claims.asked_before(job)", "asked = None"),
            ("protocol.intents",
             "if path in self._used or path in self._asked:", "if False:"),
        ),
        "pinned-o",
    ),
    Mutant(
        "a requeue on the first sight of absence",
        living(
            Kind.ATOMIC, Kind.MOUNT, bounds=True, missing=3, twins=False, crashes=0, work=300.0
        ),
        (("recovery.staleness",
             "return 0.0 if sight is None else now - sight.since",
          "return 0.0 if sight is None else now - sight.since + 1e9 * (sight.mark is None)"),),
    ),
    Mutant(
        "the heartbeat rewrites the claim",
        living(Kind.ATOMIC),
        (("recovery.incarnations",
             "        life.began = began\n",
          "        life.began = began\n        for path in ledger.in_state(State.HELD):\n"
          "            yield Write(path, b'alive')\n"),),
    ),
    Mutant(
        "done takes 404 for success",
        living(Kind.ATOMIC, pauses=3, pause=400.0, work=300.0),
        (("protocol.give_back",
             "if (yield from self._committed(held, folder, moved, may_be_robbed)):",
          "if True:"),),
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
             "age > 2 * lease", "age > lease / 8"),),
    ),
)  # fmt: skip
