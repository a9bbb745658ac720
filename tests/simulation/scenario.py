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
        latency: the longest that a request takes on its way, one way.
        work: the longest that a job takes.
        release: chance that a job is given back.
        snatches: how many claims a person drags back to ``00_waiting``.
        leftover: an earlier process of the first worker's id left a claim behind, and a
            person moves it away some time later.
        crashes: how many workers are killed at some moment.
        restarts: whether a killed worker's id comes back, in a process of its own.
        same_host: whether all run on one machine, where a death can be proved.
        pauses: how many times a worker is stopped and continued.
        pause: the longest that it is stopped.
        acts: the commands that people give while workers are at it; see `people.ACTS`.
        recorded: the mode rests on what a check has recorded, not on the store's promises.
        visits: how often a person comes by and requeues what the dead left.
        visit_pause: the longest that one of a visitor's requests is held up.
        hesitant: which of a visitor's requests may be held up.
        twins: whether a stopped worker's id is started again meanwhile.
        outage: for how long nobody reaches the share, once.
        missing: how many heartbeat files a person deletes.
        clock_step: by how much the share's clock is set forward or back, once.
        troubled_until: when all faults end, and everything must come to its end.
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
    latency: float = 0.05
    work: float = 5.0
    release: float = 0.0
    snatches: int = 0
    leftover: bool = False
    lives: bool = False
    leaves: bool = False
    crashes: int = 0
    restarts: bool = False
    same_host: bool = False
    pauses: int = 0
    pause: float = 0.0
    acts: tuple[str, ...] = ()
    recorded: bool = False
    visits: int = 0
    visit_pause: float = 0.0
    twins: bool = False
    outage: float = 0.0
    missing: int = 0
    clock_step: float = 0.0
    troubled_until: float = float("inf")
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
