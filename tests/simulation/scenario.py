"""What a simulated run is about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from dirjobs.policy import Policy
from dirjobs.store import Guarantees
from tests.simulation.requests import Request
from tests.simulation.world import Kind


@dataclass(frozen=True)
class Scenario:
    """What one run is about; times in virtual seconds.

    Attributes:
        kind: of share.
        workers: their ids.
        jobs: names and sizes.
        policy: mode and times.
        lag: R of the share.
        write_lag: W of the share.
        gap: the longest between two halves of a rename.
        lost: chance that a request is never executed, and gets no answer.
        mute: chance that it is executed, and gets no answer.
        late: chance that it gets no answer, and is executed afterwards.
        refused: chance that a rename is executed, and answered with "no source" or with "the
            destination is there", as it happens behind a proxy that sends it twice.
        lateness: the longest that it is late.
        reuse: how many finished jobs are replaced by new ones of the same name.
        at_once: whether their names are used again at once, while others have old listings.
        edits: how many waiting jobs a person saves anew, with another size.
        untried: the store promises nothing but fresh listings, however good it is.
        latency: the longest that a request takes on its way, one way.
        slow: which requests may be held up.
        slowness: for how long, at most.
        work: the longest that a job takes.
        release: chance that a job is given back.
        snatches: how many claims a person drags back to ``00_waiting``.
        leftover: an earlier process of the first worker's id left a claim behind, and a
            person moves it away some time later.
        sticks: chance that a copying store can't delete a claim that it has copied to its end.
        orphans: how many workers died long ago, each at a job; some of those that live are far
            from the share, the others near.
        crashes: how many workers are killed at some moment.
        fatal: after which requests of its own a worker may be killed at once.
        deaths: how many are killed like that, at most.
        restarts: whether a killed worker's id comes back, in a process of its own.
        same_host: whether all run on one machine, where a death can be proved.
        pauses: how many times a worker is stopped and continued.
        pause: the longest that it is stopped.
        acts: the commands that people give while workers are at it; see `people.ACTS`.
        longest_break: the longest that a person keeps the queue paused.
        recorded: the mode rests on what a check has recorded, not on the store's promises.
        refuted: what was recorded is wrong: until that is found out, jobs may start twice.
        newcomers: how many workers with ids of their own are started meanwhile.
        wish: the policy that newcomers start with; None for that of all.
        insists: newcomers ask for the mode of their `wish` by name.
        forgets: newcomers start right after a person has removed ``queue.json``.
        closes: how many workers are closed by another thread while they claim or work.
        forks: how many workers fork; the child goes on as a worker of its own.
        max_attempts: how many workers may die at a job before it is given up.
        counts_deaths: nothing else ends an attempt, and all deaths can be noted: a job is
            given up at exactly so many.
        visits: how often a person comes by and requeues what the dead left.
        visit_pause: the longest that one of a visitor's requests is held up.
        hesitant: which of a visitor's requests may be held up.
        twins: whether a stopped worker's id is started again meanwhile.
        namesakes: several are started with one id, and all but one must be refused.
        hidden: how often a person deletes a heartbeat, and starts another worker of that id.
        comes_back: who has ended is started again, under the same id.
        outage: for how long nobody reaches the share, once.
        missing: how many heartbeat files a person deletes.
        clock_step: by how much the share's clock is set forward or back, once.
        faults_from: when requests begin to be lost, mute or late.
        troubled_until: when all faults end, and everything must come to its end.
        punctual: nothing holds up a heartbeat, so orders and modes are obeyed in time.
        prompt: seconds after which nothing that nobody has lies half way; 0 if it may.
        within_bounds: nobody alive may be taken for dead.
        faulty: whether a request may be lost, mute or late.
        sweeps: whether workers sweep; with `lives`, their heartbeat does.
        lives: whether workers have heartbeats and bury each other.
        leaves: workers end when they find nothing; when the last one has ended, and jobs are
            waiting yet, another one is started.
    """

    kind: Kind = Kind.ATOMIC
    workers: tuple[str, ...] = ("w1", "w2")
    jobs: tuple[tuple[str, int], ...] = (("job.txt", 10),)
    policy: Policy = field(default_factory=Policy)
    lag: float = 0.0
    write_lag: float = 0.0
    gap: float = 0.3
    lost: float = 0.0
    mute: float = 0.0
    late: float = 0.0
    refused: float = 0.0
    lateness: float = 5.0
    reuse: int = 0
    at_once: bool = False
    edits: int = 0
    untried: bool = False
    latency: float = 0.05
    slow: Callable[[Request], bool] = lambda request: True
    slowness: float = 0.0
    work: float = 5.0
    release: float = 0.0
    snatches: int = 0
    leftover: bool = False
    lives: bool = False
    leaves: bool = False
    sticks: float = 0.0
    orphans: int = 0
    crashes: int = 0
    fatal: Callable[[Request], bool] = lambda request: False
    deaths: int = 0
    restarts: bool = False
    same_host: bool = False
    pauses: int = 0
    pause: float = 0.0
    acts: tuple[str, ...] = ()
    longest_break: float = 10.0
    recorded: bool = False
    refuted: bool = False
    newcomers: int = 0
    wish: Policy | None = None
    insists: bool = False
    forgets: bool = False
    closes: int = 0
    forks: int = 0
    max_attempts: int = 100
    counts_deaths: bool = False
    visits: int = 0
    visit_pause: float = 0.0
    twins: bool = False
    namesakes: bool = False
    hidden: int = 0
    comes_back: bool = False
    outage: float = 0.0
    missing: int = 0
    clock_step: float = 0.0
    faults_from: float = 0.0
    troubled_until: float = float("inf")
    punctual: bool = False
    prompt: float = 0.0
    within_bounds: bool = False
    faulty: Callable[[Request], bool] = lambda request: True
    hesitant: Callable[[Request], bool] = lambda request: True
    sweeps: bool = True


_EXCLUSIVE = Guarantees(
    atomic_rename=True,
    atomic_rename_in_folder=True,
    rename_keeps_mtime=True,
    no_replace=True,
    exclusive_mkdir=True,
)
PROMISES = {
    Kind.ATOMIC: replace(_EXCLUSIVE, visible_after=0, final_refusals=True),
    Kind.MOUNT: _EXCLUSIVE,
}
