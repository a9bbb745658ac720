"""Protocols that look right and are not: the simulation must find each of them out.

A mutant is the real source with a line or two changed, compiled anew.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from dirjobs.testing.workers import SimulatedWorker

from .scenarios import Family

MODULES = (
    "ledger",
    "settle",
    "moves",
    "claim",
    "watch",
    "reaper",
    "others",
    "presence",
    "worker",
)  # in the order in which they import each other


@dataclass(frozen=True)
class Mutant:
    """A changed protocol.

    Attributes:
        name: what it does wrong.
        family: scenarios in which that shows.
        patches: module, old text (there exactly once), new text.
        seed: of the runs; one that shows early what shows rarely.
    """

    name: str
    family: Family
    patches: tuple[tuple[str, str, str], ...] = ()
<<<<<<< HEAD


def of_kinds(*choices: tuple[Kind, Mode | None], **changes: object) -> Family:
    def family(rng: random.Random) -> Scenario:
        kind, mode = rng.choice(choices)
        return replace(scenario(rng, kind, mode), **changes)  # type: ignore[arg-type]

    return family


def half_the_wait(rng: random.Random) -> Scenario:
    plain = scenario(rng, Kind.SYNCED)
    wait = (plain.lag + plain.write_lag) / 2
    return replace(plain, terms=replace(plain.terms, sync_time=wait))


def faulty_trust(rng: random.Random) -> Scenario:
    return replace(scenario(rng, Kind.ATOMIC), lost=0.1, mute=0.2, late=0.1, snatches=0)


def twins(rng: random.Random) -> Scenario:
    """Two processes with one id; only the rename inside ``00_waiting`` may go wrong."""
    return replace(
        scenario(rng, Kind.COPYING, Mode.VERIFY),
        workers=("w1", "w1", "w1"),
        jobs=((JOBS[0], 1000),),
        lost=0.3,
        mute=0.0,
        late=0.0,
        faulty=inside_waiting,
        sweeps=False,
        reuse=0,
        release=0.0,
        snatches=0,
        leftover=False,
    )


QUIET = {"lost": 0.0, "mute": 0.0, "late": 0.0, "release": 0.0, "snatches": 0, "leftover": False}
TWO_NAMES = (("job.txt", 7), ("bigjob.txt", 7))

MUTANTS = (
    Mutant("S = D/2", half_the_wait),
    Mutant(
        "no look at what is finished",
        of_kinds((Kind.SYNCED, None), (Kind.BLIND, None)),
        (("settle", "for folder in (DONE, FAILED):", "for folder in ():"),),
    ),
    Mutant(
        "finished is judged by the time of the listing",
        of_kinds((Kind.SYNCED, None), (Kind.BLIND, None)),
        (
            ("settle", "return finished.mtime >= job.mtime", "return finished.mtime >= self.asked"),
            ("claim", "        worker = self.worker\n",
             "        worker = self.worker\n        self.asked = yield NOW\n"),
        ),
    ),
    Mutant(
        "a re-used name is taken for the finished job",
        of_kinds((Kind.SYNCED, None), (Kind.BLIND, None), reuse=1),
        (("settle", "return finished.mtime >= job.mtime", "return True"),),
    ),
    Mutant(
        "the size is compared only after withdrawing",
        of_kinds((Kind.COPYING, Mode.SYNC), snatches=0),
        (
            ("claim", "if differ(mine.size, job.size):",
             "if differ(mine.size, job.size) and not smaller:"),
            ("moves", "if (yield from self._has_another_size(path, job.size)):", "if False:"),
            ("moves", "if differ(entry.size, asked.job.size):", "if False:"),
        ),
    ),
    Mutant(
        "no answer is taken for failure",
        faulty_trust,
        (("claim", "self.ledger.doubt(path)\n            mine: bool = yield Exists(path)",
          "self.ledger.forget(path)\n            return False\n            mine = False"),),
    ),
    Mutant(
        "no answer is taken for success",
        faulty_trust,
        (("claim", "mine: bool = yield Exists(path)", "mine = True"),),
    ),
    Mutant(
        "the own claim is not looked for",
        of_kinds((Kind.PHANTOM, None)),
        (
            ("claim", "if mine is None:", "mine = mine or job\n            if False:"),
            ("claim", "if (yield from self._claims_of(claim))[0] is None:", "if False:"),
        ),
    ),
    Mutant(
        "a sweep takes names whose answer is under way",
        of_kinds((Kind.COPYING, Mode.VERIFY), (Kind.ATOMIC, None), latency=2.0),
        (
            ("moves", "unsettled = self.ledger.in_state(State.UNSETTLED)",
             "unsettled = self.ledger.in_state(State.UNSETTLED)"
             " | self.ledger.in_state(State.ASKING)"),
            ("ledger", "asked.state is not State.UNSETTLED", "asked.state is State.HELD"),
        ),
    ),
    Mutant(
        "two processes with one id, without the nonce",
        twins,
        (("claim", "names.staged_claim(claim.worker, job.name, self.nonce())",
          "names.staged_claim(claim.worker, job.name, 'x')"),),
    ),
    Mutant(
        "a rival is found by substring",
        of_kinds((Kind.SYNCED, None), (Kind.BLIND, None), jobs=TWO_NAMES, work=30.0, **QUIET),
        (("claim", "names.same_name(other.job, claim.job.name)", "claim.job.name in entry.name"),),
    ),
    Mutant(
        "a loser withdraws before S is over",
        of_kinds((Kind.SYNCED, None), (Kind.MOUNT, None)),
        (("claim", "        yield Wait(wait)\n        while True:", "        while True:"),),
    ),
    Mutant(
        "the smaller worker does not wait for the larger one",
        of_kinds((Kind.SYNCED, None), (Kind.BLIND, None)),
        (("claim", "            if not larger:\n                break", "            break"),),
    ),
)  # fmt: skip


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


LIFE_MUTANTS = (
    Mutant(
        "a loser deletes its claim",
        of_kinds((Kind.COPYING, Mode.SYNC), (Kind.BLIND, None), snatches=0),
        (
            ("claim", "self.decided[\"smaller worker's claim: put back\"] += 1\n"
             "                yield from self.release(path, job)",
             "yield Forget(path)"),
            ("claim", "import NOW, Exists,", "import NOW, Exists, Forget,"),
        ),
    ),
    Mutant(
        "a loser withdraws before S is over, and workers die",
        living(Kind.SYNCED, Kind.MOUNT),
        (("claim", "        yield Wait(wait)\n        while True:", "        while True:"),),
    ),
    Mutant(
        "the size is not verified at a requeue",
        torn_orphans,
        (
            ("reaper", "size = self._sizes.get(orphan.path, -1)", "return False\n        size = 0"),
            ("reaper", "torn = job.name in told and differ(told[job.name], job.size)",
             "torn = False"),
            ("reaper", "torn = any((copy.size or 0) > (job.size or 0) for copy in copies)",
             "torn = False"),
            ("reaper", "(yield from self._is_over(job, known=job.name in told))",
             "(yield from claims.finished(job))"),
            ("moves", "if (yield from self._has_another_size(path, job.size)):", "if False:"),
        ),
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
        (("watch", "or sight.mark != mark or not watching:", "or sight.mark != mark:"),),
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
            ("presence", "        if life is None:\n            life = yield",
             "        self.others.before = yield List(WORKERS)\n"
             "        if life is None:\n            life = yield"),
            ("presence", "        yield from self.tell()\n",
             "        self.others.before = yield List(WORKERS)\n"
             "        yield from self.tell()\n"),
            ("others", "listing: list[Entry] = yield List(WORKERS)\n        self.orders",
             "own = [e for e in (yield List(WORKERS)) if e.name in ours]\n"
             "        listing = own + [e for e in self.before if e.name not in ours]\n"
             "        self.orders"),
        ),
    ),
    Mutant(
        "plain names for ever",
        living(Kind.ATOMIC, pauses=3, pause=400.0, twins=True, restarts=True, work=300.0),
        (
            ("presence", "names.later_life(self.claims.worker, self.claims.nonce())",
             "names.base_id(self.claims.worker)"),
            ("worker", "asked = self.claims.asked_before(job)", "asked = None"),
            ("ledger", "if path in self._used or path in self._asked:", "if False:"),
        ),
    ),
    Mutant(
        "a requeue on the first sight of absence",
        living(Kind.ATOMIC, Kind.MOUNT, bounds=True, missing=3, crashes=0, work=300.0),
        (("watch", "return 0.0 if sight is None else now - sight.since",
          "return 0.0 if sight is None else now - sight.since + 1e9 * (sight.mark is None)"),),
    ),
    Mutant(
        "the heartbeat rewrites the claim",
        living(Kind.ATOMIC),
        (("presence", "        life.began = began\n",
          "        life.began = began\n        for path in ledger.in_state(State.HELD):\n"
          "            yield Write(path, b'alive')\n"),),
    ),
    Mutant(
        "done takes 404 for success",
        living(Kind.ATOMIC, pauses=3, pause=400.0, work=300.0),
        (("moves", "if (yield from self._committed(held, folder, moved, may_be_robbed)):",
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
        (("others", "age > 2 * lease", "age > lease / 8"),),
    ),
)  # fmt: skip
=======
    seed: str = "mutant"
>>>>>>> b8769aa4981d272b1566efd428e23de4dfd7d034


@contextmanager
def in_place(mutant: Mutant) -> Iterator[None]:
    """Let simulated workers run `mutant`."""
    saved = {name: sys.modules[f"dirjobs.{name}"] for name in MODULES}
    real = SimulatedWorker
    before = (real.claims_class, real.presence_class, real.worker_class)
    try:
        for name in MODULES:
            _compile(name, [patch for patch in mutant.patches if patch[0] == name])
        real.claims_class = sys.modules["dirjobs.claim"].Claims
        real.presence_class = sys.modules["dirjobs.presence"].Presence
        real.worker_class = sys.modules["dirjobs.worker"].Worker
        yield
    finally:
        real.claims_class, real.presence_class, real.worker_class = before
        sys.modules |= {f"dirjobs.{name}": module for name, module in saved.items()}


def _compile(name: str, patches: list[tuple[str, str, str]]) -> None:
    spec = find_spec(f"dirjobs.{name}")
    assert spec is not None and spec.origin is not None
    source = Path(spec.origin).read_text(encoding="utf-8")
    for _, old, new in patches:
        assert source.count(old) == 1, f"{name}.py has {source.count(old)} times {old!r}"
        source = source.replace(old, new)
    module = types.ModuleType(f"dirjobs.{name}")
    module.__package__ = "dirjobs"
    module.__file__ = spec.origin
    sys.modules[f"dirjobs.{name}"] = module
    exec(compile(source, f"<mutant of {name}>", "exec"), module.__dict__)
