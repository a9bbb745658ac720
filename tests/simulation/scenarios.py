"""Random scenarios: what a run is about is drawn from its seed, too."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from dirjobs.layout import DONE, FAILED, RUNNING
from dirjobs.policy import Mode, Policy
from dirjobs.store import split
from tests.simulation.requests import Rename, Request
from tests.simulation.scenario import Scenario
from tests.simulation.world import Kind

JOBS = ("job.txt", "bigjob.txt", "job2.txt", "ä b.txt")
MANY_JOBS = tuple((f"job{number}.txt", 1000) for number in range(1, 13))
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
        # On a copying store: family `clocks`.
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


def orphaned(rng: random.Random, kind: Kind | None = None) -> Scenario:
    """A rack of machines lost its power; those who give its jobs back hold long ones."""
    plain = within_bounds(rng, kind or rng.choice((Kind.ATOMIC, Kind.COPYING)), 0.0)
    return replace(
        plain,
        orphans=rng.choice((10, 40)),
        workers=("w1", "w2", "w3")[: rng.choice((2, 3))],
        latency=rng.choice((0.5, 2.0)),
        crashes=0,
        restarts=False,
        twins=False,
        pauses=0,
        outage=0.0,
        missing=0,
        visits=0,
        clock_step=0.0,
        release=0.0,
        troubled_until=50.0,
        work=rng.choice((60.0, 900.0)),
    )


def clocks(rng: random.Random, kind: Kind | None = None) -> Scenario:
    """The clock of a copying server is set, while second copies of jobs are on their way back.

    By an hour, so that it does not catch up before they arrive: until then it shows that it was
    set back.  By less it may start a job twice that was added and ended within that time.
    """
    return replace(
        lives(rng, kind or Kind.COPYING),
        clock_step=rng.choice((3600.0, -3600.0, -3600.0)),
        crashes=0,
        missing=0,
        outage=0.0,
        gap=3.0,
        pauses=rng.choice((0, 1)),
        troubled_until=rng.choice((20.0, 50.0)),
        work=rng.choice((5.0, 60.0)),
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


def calm(rng: random.Random, kind: Kind, **changes: object) -> Scenario:
    """Workers with heartbeats whom nothing befalls but what `changes` says."""
    plain = replace(
        lives(rng, kind, 0.0),
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
        release=0.0,
        work=rng.choice((0.0, 5.0, 60.0)),
        latency=rng.choice((0.001, 0.05, 0.5)),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def attempts(rng: random.Random, kind: Kind | None = None) -> Scenario:
    """Jobs at which workers die, again and again, until they are given up."""
    return calm(
        rng,
        kind or rng.choice((Kind.ATOMIC, Kind.ATOMIC, Kind.COPYING)),
        workers=("w1", "w2", "w3", "w4", "w5", "w6"),
        jobs=((JOBS[0], 1000), (JOBS[1], 7))[: rng.choice((1, 2))],
        crashes=rng.choice((4, 6, 8)),
        restarts=True,
        same_host=rng.random() < 0.7,
        max_attempts=rng.choice((2, 3)),
        counts_deaths=True,
        fatal=lambda request: isinstance(request, Rename) and request.src.startswith(RUNNING),
        deaths=rng.choice((0, 2)),
        work=300.0,
        latency=rng.choice((0.05, 2.0)),
        troubled_until=rng.choice((300.0, 900.0)),
    )


def again(rng: random.Random, kind: Kind | None = None) -> Scenario:
    """Few workers give jobs back and take them again, while late requests are under way."""
    return calm(
        rng,
        kind or rng.choice((Kind.ATOMIC, Kind.COPYING)),
        workers=("w1", "w2")[: rng.choice((1, 2, 2))],
        release=0.5,
        lost=0.1,
        mute=0.1,
        late=0.2,
        refused=0.05,
        lateness=rng.choice((5.0, 60.0)),
        troubled_until=300.0,
    )


def namesakes(rng: random.Random, kind: Kind | None = None) -> Scenario:
    """One id is given to several workers, on several hosts; all but one are refused."""
    return calm(
        rng,
        kind or rng.choice((Kind.ATOMIC, Kind.COPYING, Kind.MOUNT)),
        workers=("w1", "w1", "W1", "w2")[: rng.choice((2, 3, 4))],
        namesakes=True,
        punctual=True,
        leaves=rng.random() < 0.3,
        troubled_until=300.0,
    )


def unseen(rng: random.Random, kind: Kind | None = None) -> Scenario:
    """A worker whose heartbeat was deleted gets a twin; they part before anything is lost."""
    plain = calm(
        rng,
        kind or rng.choice((Kind.ATOMIC, Kind.COPYING)),
        workers=("w1", "w2"),
        acts=("add",) * 8,
        hidden=1,
        mute=0.3,
        lost=0.1,
        faults_from=120.0,
        work=60.0,
        troubled_until=600.0,
    )
    return replace(plain, policy=replace(plain.policy, heartbeat=10.0))


def resumed(rng: random.Random, kind: Kind | None = None) -> Scenario:
    """Everybody is silent for long, and then people start every worker anew."""
    return calm(
        rng,
        kind or rng.choice((Kind.ATOMIC, Kind.COPYING)),
        namesakes=True,
        within_bounds=True,
        outage=rng.choice((300.0, 900.0)),
        work=900.0,
        troubled_until=50.0,
    )


def comers(rng: random.Random, kind: Kind | None = None) -> Scenario:
    """Workers end when they find nothing, and come back under their ids for new jobs."""
    return calm(
        rng,
        kind or rng.choice((Kind.ATOMIC, Kind.COPYING)),
        leaves=True,
        comes_back=True,
        within_bounds=True,
        acts=("add",) * 8,
        latency=rng.choice((0.5, 4.0)),
        work=60.0,
        troubled_until=500.0,
    )


def withdrawals(rng: random.Random, kind: Kind | None = None) -> Scenario:
    """Several rename one job at once where renames are copies; withdrawing is slow."""
    plain = calm(
        rng,
        kind or Kind.COPYING,
        workers=("w1", "w2", "w3", "w4"),
        jobs=((JOBS[0], 1000), (JOBS[1], 7)),
        gap=rng.choice((0.3, 3.0)),
        slow=lambda request: isinstance(request, Rename) and request.src.startswith(RUNNING),
        slowness=8.0,
        latency=0.5,
        work=0.0,
        troubled_until=90.0,
    )
    wait = 3 * plain.gap + 1.0
    policy = replace(plain.policy, mode=Mode.SYNC, sync_time=wait, heartbeat=10.0)
    return replace(plain, policy=policy.with_legal_lease())


def sleepers(rng: random.Random, kind: Kind | None = None) -> Scenario:
    """Some sleep for longer than the lease, beat again, and then end what was their job; the
    answer to that is often missing."""
    plain = calm(
        rng,
        kind or Kind.ATOMIC,
        workers=("w1", "w2", "w3", "w4"),
        pauses=4,
        pause=1500.0,
        mute=0.8,
        faulty=lambda request: (
            isinstance(request, Rename) and request.dst.startswith((DONE, FAILED))
        ),
        work=2000.0,
        troubled_until=4000.0,
    )
    return replace(plain, policy=replace(plain.policy, heartbeat=10.0))


def stuck(rng: random.Random, kind: Kind | None = None) -> Scenario:
    """A copying server that can't delete some claims when they have ended, for a while."""
    return calm(
        rng,
        kind or Kind.COPYING,
        sticks=rng.choice((0.3, 1.0)),
        crashes=rng.choice((0, 0, 1)),
        work=rng.choice((0.0, 60.0)),
        troubled_until=rng.choice((100.0, 900.0)),
    )


def halfway(rng: random.Random, kind: Kind | None = None) -> Scenario:
    """Several ask for a job where renames are copies; who withdraws has a long job then, and
    all the same leaves nothing half way for long."""
    plain = withdrawals(rng, kind)
    return replace(
        plain,
        jobs=tuple((name, 1000) for name in JOBS),
        slowness=0.0,
        work=900.0,
        prompt=12 * plain.policy.heartbeat,
    )


def torn(rng: random.Random, kind: Kind | None = None) -> Scenario:
    """The same, and most of them are killed over it."""
    return replace(
        withdrawals(rng, kind),
        workers=("w1", "w2", "w3", "w4", "w5"),
        slowness=0.0,
        fatal=lambda request: isinstance(request, Rename) and request.dst.startswith(RUNNING),
        deaths=rng.choice((1, 2, 4)),
        same_host=rng.random() < 0.7,
        work=rng.choice((0.0, 60.0)),
    )


def modes(rng: random.Random, kind: Kind | None = None) -> Scenario:
    """Somebody asks for another mode than the others work in."""
    kind = kind or rng.choice((Kind.ATOMIC, Kind.COPYING))
    plain = calm(
        rng,
        kind,
        jobs=MANY_JOBS,
        newcomers=rng.choice((1, 1, 2)),
        punctual=True,
        work=60.0,
        troubled_until=100.0,
    )
    own = replace(plain.policy, mode=Mode.TRUST if kind is Kind.ATOMIC else Mode.VERIFY)
    careful = replace(own, mode=Mode.SYNC, sync_time=rng.choice((2.0, 7.0))).with_legal_lease()
    if rng.random() < 0.5:
        return replace(plain, policy=own, wish=careful, insists=True)
    forgets = rng.random() < 0.5
    return replace(plain, policy=careful, wish=own, insists=not forgets, forgets=forgets)


def refuted(rng: random.Random, kind: Kind | None = None) -> Scenario:
    """Renames are copies, though a check has recorded that they are exclusive."""
    plain = calm(
        rng,
        kind or Kind.COPYING,
        workers=("w1", "w2", "w3", "w4"),
        jobs=MANY_JOBS,
        recorded=True,
        refuted=True,
        punctual=True,
        gap=rng.choice((0.3, 3.0)),
        work=rng.choice((5.0, 60.0)),
        latency=rng.choice((0.05, 0.5)),
        troubled_until=300.0,
    )
    return replace(plain, policy=replace(plain.policy, mode=Mode.TRUST, sync_time=0.0))


def paused(rng: random.Random, kind: Kind | None = None) -> Scenario:
    """People pause the queue for long, add jobs, and resume it."""
    plain = calm(
        rng,
        kind or rng.choice((Kind.ATOMIC, Kind.COPYING)),
        acts=("pause", "add", "add", "add", "pause", "add"),
        longest_break=120.0,
        punctual=True,
        troubled_until=100.0,
    )
    return replace(plain, policy=replace(plain.policy, heartbeat=10.0))


def closers(rng: random.Random, kind: Kind | None = None) -> Scenario:
    """Workers are closed by another thread, at any moment."""
    return calm(
        rng,
        kind or rng.choice(list(Kind)),
        closes=rng.choice((1, 2, 4)),
        work=60.0,
        troubled_until=rng.choice((10.0, 100.0)),
    )


def forks(rng: random.Random, kind: Kind | None = None) -> Scenario:
    """Workers fork while they claim and work; the children take jobs as well."""
    return calm(
        rng,
        kind or rng.choice((Kind.ATOMIC, Kind.COPYING, Kind.MOUNT)),
        forks=rng.choice((1, 2, 4)),
        crashes=rng.choice((0, 0, 1, 2)),
        restarts=rng.random() < 0.5,
        work=60.0,
        troubled_until=100.0,
    )


def used_names(rng: random.Random, kind: Kind | None = None) -> Scenario:
    """People use the names of finished jobs again at once, and save waiting jobs anew, while
    workers have listings from before."""
    kind = kind or rng.choice((Kind.ATOMIC, Kind.ATOMIC, Kind.COPYING, Kind.MOUNT))
    mode = Mode.VERIFY if kind is Kind.ATOMIC else None
    plain = scenario(rng, kind, mode) if rng.random() < 0.5 else lives(rng, kind)
    if mode is not None:
        plain = replace(plain, policy=replace(plain.policy, mode=mode, sync_time=0.0))
    return replace(
        plain,
        untried=kind is Kind.ATOMIC,
        jobs=tuple((name, 1000) for name in JOBS),
        reuse=rng.choice((1, 3)),
        at_once=True,
        lost=min(plain.lost, 0.03),
        mute=min(plain.mute, 0.05),
        late=min(plain.late, 0.03),
        edits=rng.choice((0, 2, 4)),
        missing=0,
        snatches=0,
        leftover=False,
        clock_step=0.0,
        work=rng.choice((0.0, 5.0, 30.0)),
    )


def inside_waiting(request: Request) -> bool:
    """Faults hit only the first of the two renames of a claim in mode verify."""
    return isinstance(request, Rename) and split(request.src)[0] == split(request.dst)[0]


Family = Callable[[random.Random], Scenario]

FAMILIES: dict[str, Family] = {
    "any": any_scenario,
    "lives": lives,
    "within_bounds": within_bounds,
    "clocks": clocks,
    "leavers": leavers,
    "people": people,
    "recorded": recorded,
    "orphaned": orphaned,
    "used_names": used_names,
    "attempts": attempts,
    "again": again,
    "namesakes": namesakes,
    "modes": modes,
    "refuted": refuted,
    "paused": paused,
    "closers": closers,
    "forks": forks,
    "unseen": unseen,
    "resumed": resumed,
    "comers": comers,
    "withdrawals": withdrawals,
    "sleepers": sleepers,
    "torn": torn,
    "stuck": stuck,
    "halfway": halfway,
}
