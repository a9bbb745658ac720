"""Random scenarios: what a run is about is drawn from its seed, too."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from dirjobs.policy import Mode, Policy
from dirjobs.store import split
from tests.simulation.requests import Rename, Request
from tests.simulation.scenario import Scenario
from tests.simulation.world import Kind

JOBS = ("job.txt", "bigjob.txt", "job2.txt", "ä b.txt")
EPSILON = 0.01


def any_scenario(rng: random.Random) -> Scenario:
    """One of all kinds of share, in the mode that is right for it."""
    return scenario(rng, rng.choice(list(Kind)))


def scenario(rng: random.Random, kind: Kind, mode: Mode | None = None) -> Scenario:
    """A share of one kind, two to five workers, one to four jobs, with and without faults."""
    mode = mode or {
        Kind.ATOMIC: Mode.TRUST,
        Kind.COPYING: rng.choice((Mode.VERIFY, Mode.VERIFY, Mode.SYNC)),
        Kind.BLIND: Mode.VERIFY,
    }.get(kind, Mode.SYNC)
    lag = rng.uniform(0.5, 6) if kind.lags else 0.0
    write_lag = rng.uniform(0.1, 5) if kind is Kind.SYNCED else 0.0
    wait = lag + write_lag + EPSILON + (2.0 if kind is Kind.COPYING else 0.0)
    # Where listings lag, S counts from the answer: no answer, no bound.
    faults = 0.0 if mode is Mode.SYNC else rng.choice((0, 0, 0.05, 0.2))
    return Scenario(
        kind=kind,
        workers=tuple(f"w{number}" for number in range(1, rng.choice((2, 2, 3, 3, 4, 5)) + 1)),
        jobs=tuple((name, rng.choice((0, 7, 1000))) for name in JOBS[: rng.choice((1, 1, 2, 4))]),
        policy=Policy(mode, wait if mode is Mode.SYNC else 0.0, heartbeat=rng.choice((3, 10))),
        lag=lag,
        write_lag=write_lag,
        lost=faults / 2,
        mute=faults,
        late=faults / 2,
        refused=faults / 4,
        reuse=rng.choice((0, 0, 1)),
        release=rng.choice((0, 0, 0.1)),
        latency=rng.choice((0.001, 0.05, 0.5)),
        work=rng.choice((0.0, 5.0, 30.0)),
        snatches=rng.choice((0, 0, 1)) if kind is not Kind.SYNCED else 0,
        leftover=rng.random() < 0.1 and not kind.lags,
    )


def lives(rng: random.Random, kind: Kind | None = None, pause: float | None = None) -> Scenario:
    """Workers that crash, stop and come back, and bury each other; then everything heals."""
    kind = kind or rng.choice((Kind.ATOMIC, Kind.ATOMIC, Kind.COPYING, Kind.MOUNT))
    plain = scenario(rng, kind)
    pause = rng.choice((0.0, 20.0, 400.0)) if pause is None else pause
    crashes = rng.choice((0, 1, 1, 2, 3))
    policy = replace(
        plain.policy, heartbeat=rng.choice((10.0, 30.0)), timeout=8.0, max_pause=min(pause, 20.0)
    )
    # Where listings lag no request may be executed late: S counts from the answer.
    troubled = replace(
        plain,
        policy=replace(policy, lease=policy.shortest_lease + plain.lag),
        lives=True,
        crashes=crashes,
        restarts=rng.random() < 0.5,
        twins=rng.random() < 0.3,
        same_host=rng.random() < 0.5,
        pauses=rng.choice((0, 0, 1, 3)),
        pause=pause,
        outage=rng.choice((0.0, 0.0, 0.0, 500.0)),
        # Who dies without a heartbeat file is left alone: that is for a person to settle.
        missing=0 if crashes else rng.choice((0, 1, 3)),
        clock_step=rng.choice((0.0, 3600.0, -3600.0)) if kind is not Kind.COPYING else 0.0,
        troubled_until=rng.choice((50.0, 300.0)),
        snatches=0,
        reuse=0,
        leftover=False,
        work=rng.choice((5.0, 60.0, 300.0)),
        visits=rng.choice((0, 0, 1, 2)),
        visit_pause=pause,
    )
    # A twin whose namesake's heartbeat was just deleted by a person can't know.
    return replace(troubled, twins=troubled.twins and not troubled.missing)


def within_bounds(
    rng: random.Random, kind: Kind | None = None, pause: float | None = None
) -> Scenario:
    """Trouble that the lease law covers: nobody alive may be taken for dead."""
    plain = lives(rng, kind, pause)
    return replace(
        plain,
        lost=0.0,
        mute=0.0,
        late=0.0,
        refused=0.0,
        pause=min(plain.pause, plain.policy.max_pause),
        pauses=2,
        visit_pause=min(plain.pause, plain.policy.max_pause),
        # A new process of an old id has no memory and must go by the share's clock.
        clock_step=0.0 if plain.twins or plain.restarts else plain.clock_step,
        within_bounds=True,
    )


def leavers(rng: random.Random, kind: Kind | None = None) -> Scenario:
    """Workers that end as soon as they find nothing: nothing may stay half way."""
    return replace(
        lives(rng, kind or rng.choice(list(Kind))),
        leaves=True,
        crashes=0,
        restarts=False,
        twins=False,
        pauses=0,
        outage=0.0,
        missing=0,
        visits=0,
        clock_step=0.0,
        lost=0.0,
        mute=0.0,
        late=0.0,
        refused=0.0,
        work=rng.choice((0.0, 5.0, 300.0)),
    )


def people(rng: random.Random, kind: Kind | None = None) -> Scenario:
    """People add, cancel, retry and requeue jobs, pause the queue and drain workers."""
    plain = lives(rng, kind)
    acts = ("add", "add", "cancel", "cancel", "retry", "retry", "requeue", "pause", "drain")
    return replace(
        plain,
        acts=tuple(rng.choice(acts) for _ in range(rng.choice((2, 4, 8)))),
        missing=0,
        twins=False,
        clock_step=0.0,
    )


def recorded(rng: random.Random, kind: Kind | None = None) -> Scenario:
    """Renames that are exclusive, and trusted only because a check recorded it."""
    plain = lives(rng, kind or Kind.ATOMIC)
    return replace(plain, recorded=True, policy=replace(plain.policy, mode=Mode.TRUST))


def inside_waiting(request: Request) -> bool:
    """Faults hit only the first of the two renames of a claim in mode verify."""
    return isinstance(request, Rename) and split(request.src)[0] == split(request.dst)[0]


Family = Callable[[random.Random], Scenario]
