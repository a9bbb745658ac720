"""Runs the real protocol on a simulated share, in virtual time, replayable by its seed.

Every worker runs the very code that `DirJobs` runs (`dirjobs.worker.Worker`); only the
requests it yields are carried out by a `World`, at any moment and in any order within the
bounds, with answers lost and executions delayed.  After every step the invariants are
checked: no job is lost, none is started twice, nothing that is finished is started.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from itertools import takewhile

from greenlet import greenlet

from dirjobs import layout
from dirjobs.layout import AGREEMENT, DONE, FAILED, PARKED, RUNNING, WAITING, WORKERS, JobFile
from dirjobs.protocol.agreement import to_bytes
from dirjobs.protocol.candidates import longest_use
from dirjobs.protocol.exits import Claim
from dirjobs.recovery.control import PAUSE
from dirjobs.recovery.heartbeat import Heartbeat, heartbeat_path
from dirjobs.recovery.process import Process
from dirjobs.store import split
from tests.simulation.checks import Checks
from tests.simulation.people import Person
from tests.simulation.scenario import Scenario
from tests.simulation.trouble import Trouble
from tests.simulation.workers import SimulatedWorker, Violation
from tests.simulation.world import File, Kind, World

__all__ = ["Scenario", "Simulation", "Violation"]


_MOST_COPIES = 12
"""Copies of one job that a server that can't delete may leave."""


class Simulation:
    """One run.

    Args:
        scenario: what it is about.
        seed: replays it.
    """

    def __init__(self, scenario: Scenario, seed: object) -> None:
        self.scenario = scenario
        self.rng = random.Random(str(seed))
        self.now = 0.0
        self.decided: Counter[str] = Counter()
        self.steps = 0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        self.greenlets: list[greenlet] = []
        """Every call of the protocol, also those that a crash has broken off."""
        self.world = World(
            scenario.kind,
            self.rng,
            lambda: self.now,
            self.later,
            scenario.lag,
            scenario.write_lag,
            scenario.gap,
        )
        self.world.sticks, self.world.sticks_until = scenario.sticks, scenario.troubled_until
        self.started: Counter[str] = Counter()
        self.committed_by: dict[str, list[str]] = {}
        self.excused: set[str] = set()
        """Jobs that may rightly start again: a person or a suspicion took them back."""
        self.snatched: set[str] = set()
        self.killed: set[str] = set()
        """Processes that ended at once, without a word."""
        self.indistinguishable: set[str] = set()
        """Jobs that nobody can tell from a second copy of a finished one: they may be parked."""
        self.suspicions = Counter[str]()
        self.outage_began = float("inf")
        self._claimed_by: dict[str, str] = {}
        self.asked_by: dict[str, set[str]] = {}
        self.contents: dict[str, File] = {}
        """The jobs that must not be lost."""
        self.drafts: dict[str, File] = {}
        """Jobs that somebody is adding, who has not been told yet that they were added."""
        self.acts: Counter[str] = Counter()
        """What came of people's commands."""
        self._reuses_left = scenario.reuse
        self._pending_reuses = 0
        self.held = 0
        self.checks = Checks(self)
        self.trouble = Trouble(self)
        self._checked = -1
        self._quiet_from = 0.0
        self.workers = [
            SimulatedWorker(self, wid, number) for number, wid in enumerate(scenario.workers)
        ]

    # -- time -----------------------------------------------------------------------------

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do `action` after some virtual seconds."""
        self._serial += 1
        heapq.heappush(self._queue, (self.now + max(0.0, seconds), self._serial, action))

    def run(self, limit: float = 20_000.0, most_steps: int = 1_000_000) -> None:
        """Run to the end.

        Raises:
            Violation: an invariant does not hold.
        """
        for name, size in self.scenario.jobs:
            self.add(name, size)
        if self.scenario.kind.lags:  # the jobs were added long before
            self.now = 100.0
        if self.scenario.recorded:
            data = to_bytes(self.scenario.policy)
            self.world.put(AGREEMENT, File(AGREEMENT, len(data), len(data), 0.0, data))
        for _ in range(self.scenario.snatches):
            self.later(self.rng.uniform(1, 40), self.snatch)
        for _ in range(self.scenario.edits):
            self.later(self.rng.uniform(0, 60), self.edit)
        if self.scenario.leftover:
            self.leave_behind()
        for number in range(self.scenario.orphans):
            self.leave_orphan(number)
        if self.scenario.lives:
            self.trouble.plan()
        if self.scenario.prompt:
            self.checks.watch_halfway()
        for worker in self.workers:
            self.later(
                self.rng.choice((0.0, self.rng.uniform(0, 1), self.rng.uniform(0, 60))),
                worker.begin,
            )
        while self._queue:
            self.now, _, action = heapq.heappop(self._queue)
            action()
            self.steps += 1
            self.check()
            if self.now > limit or self.steps > most_steps:
                spent = f"{self.now:g} virtual seconds and {self.steps} steps"
                raise Violation(f"still busy after {spent}: {self.picture()}")
        for worker in self.workers:
            self.decided += worker.me.decided
        self.check_end()

    def start(self, worker: SimulatedWorker) -> None:
        """Somebody starts another worker."""
        self.workers.append(worker)
        worker.begin()

    def start_another(self) -> None:
        """Somebody starts a worker with an id that nobody has had."""
        self.start(SimulatedWorker(self, f"w{90 + len(self.workers)}", len(self.workers)))

    def start_newcomer(self) -> None:
        """The same, who may ask for another mode than the others."""
        number, wish = len(self.workers), self.scenario.wish
        insists = wish is not None and self.scenario.insists
        if self.scenario.forgets:
            self.world.put(AGREEMENT, None)
        self.start(SimulatedWorker(self, f"n{number}", number, wish=wish, insists=insists))

    def start_again(self, worker: SimulatedWorker) -> None:
        """The id of a worker comes back, in a process of its own."""
        if self.is_busy():
            self.start(SimulatedWorker(self, worker.wid, len(self.workers)))

    def note_end(self, worker: SimulatedWorker) -> None:
        """A worker has ended; what it did last may be on its way yet."""
        pause = self.scenario.lag + self.scenario.write_lag
        self._quiet_from = self.now + pause
        if self.scenario.comes_back:
            self.later(self.rng.uniform(0, 60), lambda: self.start_again(worker))
        self.later(pause, self._look_in)

    def _look_in(self) -> None:
        """If the last worker has ended nothing may be left half way; a person sees whether
        jobs are waiting, and starts another worker."""
        if self.now < self._quiet_from or not all(worker.crashed for worker in self.workers):
            return
        left = [*self.jobs_in(WAITING), *self.jobs_in(RUNNING)]
        if any(not layout.is_job_name(name) or layout.parse_staged(name) for name in left):
            raise Violation(f"nobody is there any more: {self.picture()}")
        if left:
            self.start_another()

    # -- what befalls claims --------------------------------------------------------------

    def note_rename(self, worker: SimulatedWorker, src: str, dst: str) -> None:
        """Notice when somebody renames another process's claim."""
        folder, name = split(src)
        claim = layout.parse_claim(name)
        file = self.world.get(src)
        if split(dst)[0] == RUNNING and file is not None:
            self._claimed_by[dst] = worker.view
        owner = self._claimed_by.get(src, worker.view)
        self.checks.note_rename(worker, owner, src, dst)
        if isinstance(worker, Person):
            return
        if split(dst)[0] in (DONE, FAILED) and file is not None and folder == RUNNING:
            reaped = worker.parts.intents.state(src) is None
            if owner != worker.view and not reaped and self.scenario.kind is Kind.ATOMIC:
                raise Violation(f"{worker.view} commits {src}, the attempt of {owner}")
        if folder != RUNNING or claim is None or file is None:
            return
        for other in self.workers:
            if other is worker or other.crashed:
                continue
            held = [h for h in other.holding.values() if h.path == src]
            if held:
                self.suspicions["of the living"] += 1
                if self.scenario.within_bounds:
                    raise Violation(f"{worker.view} takes {src} from {other.view}, who lives")
        if worker.parts.intents.state(src) is None:
            self.suspicions["all"] += 1
            self.excused.add(file.content)

    def committed(self, worker: SimulatedWorker, content: str) -> None:
        """A worker was told that its result stands (I4)."""
        by = self.committed_by.setdefault(content, [])
        by.append(worker.view)
        atomic = self.scenario.kind is Kind.ATOMIC
        if atomic and len(by) > 1 and content not in self.snatched:
            raise Violation(f"{content} is committed twice, by {by}")
        there = any(split(p)[0] in (DONE, FAILED) for p in self.world.copies(content))
        if not there and not self.scenario.kind.lags and content not in self.excused:
            raise Violation(f"{worker.view} was told that {content} is done, and it is not")
        if there and self.scenario.reuse:
            self.reuse_later(content.rpartition("#")[0])

    # -- jobs -----------------------------------------------------------------------------

    def add(self, name: str, size: int) -> str:
        """A person puts a job into ``00_waiting``; returns which bytes that is."""
        content = self.new_content(name, size)
        self.promise(content)
        self.world.put(f"{WAITING}/{name}", self.contents[content])
        return content

    def new_content(self, name: str, size: int) -> str:
        """Bytes that no other job has."""
        content = f"{name}#{len(self.drafts)}"
        self.drafts[content] = File(content, size, size, float(int(self.world.server_time())))
        return content

    def promise(self, content: str) -> None:
        """Somebody was told that this job was added."""
        self.contents[content] = self.drafts[content]

    def taken_by_hand(self, seen: JobFile) -> None:
        """A person is about to move a job: it may rightly start once more, and its worker
        may rightly find its claim gone.  A listing may be late: the file has another claim's
        name by now."""
        for file in self.world.folders[seen.folder].values():
            if file.content.rpartition("#")[0] == seen.job.name:
                self.excused.add(file.content)
                self.snatched.add(file.content)
                self.started[file.content] = 0

    def is_torn_for_good(self, file: File) -> bool:
        """Whether a file is a part of a job that is whole elsewhere."""
        return file.size != file.whole and bool(self.world.copies(file.content))

    def resume_for_good(self) -> None:
        """Somebody sees that a queue is paused that nobody wants to be."""
        if PAUSE in self.world.folders[WORKERS]:
            self.world.put(f"{WORKERS}/{PAUSE}", None)

    def reuse_later(self, name: str) -> None:
        """A person will use the name of a finished job again, but not before every cached
        listing of the old job is gone: the slowest ones are used for the longest."""
        self._pending_reuses += 1
        if self.scenario.at_once:
            self.later(self.rng.uniform(0, 20), lambda: self.reuse(name))
            return
        lag = 3 * (self.scenario.lag + self.scenario.write_lag)
        listing = 4 * self.scenario.latency  # two requests, there and back
        pause = self.rng.uniform(15, 60) + longest_use(listing)
        self.later(lag + pause, lambda: self.reuse(name))

    def reuse(self, name: str) -> None:
        """A person, who sees that a job is done, adds another one of the same name."""
        self._pending_reuses -= 1
        if self._reuses_left and not any(
            name in files or any(name in other for other in files)
            for folder, files in self.world.folders.items()
            if folder in (WAITING, RUNNING)
        ):
            self._reuses_left -= 1
            content = self.add(name, dict(self.scenario.jobs)[name])
            if self.scenario.at_once:
                self._note_if_indistinguishable(name, content)

    def edit(self) -> None:
        """A person saves a waiting job anew: it is another file now, and longer."""
        waiting = self.world.folders[WAITING]
        for name in self.rng.sample(sorted(waiting), len(waiting)):
            old = waiting[name].content
            files = [f for folder in self.world.folders.values() for f in folder.values()]
            if layout.is_job_name(name) and sum(file.content == old for file in files) == 1:
                del self.contents[old]
                content = self.add(name, waiting[name].whole + self.rng.choice((1, 1000)))
                self._note_if_indistinguishable(name, content)
                return

    def _note_if_indistinguishable(self, name: str, content: str) -> None:
        """Copies have new times, and times have no fractions."""
        newest = max(
            (
                files[one].mtime
                for files in (self.world.folders[folder] for folder in (DONE, FAILED))
                for one in takewhile(files.__contains__, layout.names_in_turn(name))
            ),
            default=-1.0,
        )
        if self.scenario.kind is Kind.COPYING or newest >= self.contents[content].mtime:
            self.indistinguishable.add(content)

    def is_busy(self) -> bool:
        """Whether anything is still to be done by anybody."""
        if self.scenario.lives and self.now < min(self.scenario.troubled_until, 1000.0):
            return True
        if any(not w.crashed and (isinstance(w, Person) or w.is_paused) for w in self.workers):
            return True
        return self._pending_reuses + self.held > 0 or any(
            self.jobs_in(folder) for folder in (WAITING, RUNNING)
        )

    def jobs_in(self, folder: str) -> list[str]:
        """What is in a folder, but for uploads that never got their names."""
        return [name for name in self.world.folders[folder] if not name.endswith(".part")]

    def snatch(self) -> None:
        """A person drags a claim back to ``00_waiting``; what was started may start again."""
        claims = self.world.folders[RUNNING]
        for name in self.rng.sample(sorted(claims), len(claims)):
            claim, file = layout.parse_claim(name), claims[name]
            if file.content.endswith("#old"):
                continue
            if claim and file.size == file.whole and not self.world.get(f"{WAITING}/{claim.job}"):
                self.world.put(f"{RUNNING}/{name}", None)
                self.world.put(f"{WAITING}/{claim.job}", file)
                self.excused.add(file.content)
                self.snatched.add(file.content)
                self.started[file.content] = 0
                return

    def leave_orphan(self, number: int) -> None:
        """A claim, and the heartbeat of its worker, who will never write again."""
        name, worker = f"left{number}.txt", f"d{number}"
        content = self.new_content(name, 7)
        self.promise(content)
        self.world.put(f"{RUNNING}/{layout.claim_name(worker, name)}", self.contents[content])
        process = Process(host="far", pid=-1)
        heartbeat = Heartbeat(worker, 7, self.scenario.policy, process, running={name: 7})
        path, data = heartbeat_path(worker, "aaaaaa"), heartbeat.to_bytes()
        self.world.put(path, File(path, len(data), len(data), 0.0, data))

    def leave_behind(self) -> None:
        """A claim of the first worker's id, by a process that is no more."""
        name, size = self.scenario.jobs[0]
        path = f"{RUNNING}/{layout.claim_name(self.scenario.workers[0], name)}"
        file = File(f"{name}#old", size + 1, size + 1, 0.0)
        self.contents[file.content] = file
        self.world.put(path, file)

        def move_away() -> None:
            self.world.put(path, None)
            self.world.put(f"{FAILED}/old {name}", file)

        self.later(self.rng.uniform(20, 200), move_away)

    def start_job(self, worker: SimulatedWorker, held: Claim) -> str:
        """A worker believes that it holds a job; returns which bytes that is."""
        self.checks.starts(worker, held)
        file = self.world.get(held.path)
        if self.scenario.kind is Kind.SYNCED:
            file = self.world.seen(worker.view, RUNNING).get(split(held.path)[1])
        trusted = self.scenario.refuted and self.checks.trusted(worker, held.job.name)
        if trusted and (file is None or file.size != file.whole):
            return f"{held.job.name}#torn"  # nobody knows yet that the record is wrong
        if file is None:
            taken = [c for c in self.excused if c.rpartition("#")[0] == held.job.name]
            if not taken:
                raise Violation(f"{worker.view} starts {held.path}, which is not there")
            return taken[-1]  # a person was faster than the look and the start
        if file.size != file.whole:
            raise Violation(f"{worker.view} starts a torn copy: {held.path}")
        self.started[file.content] += 1
        excused = trusted or file.content in self.excused
        if self.started[file.content] > 1 and not excused:
            raise Violation(f"{file.content} is started twice, now by {worker.view}")
        return file.content

    # -- invariants -----------------------------------------------------------------------

    def check(self) -> None:
        """No job is lost (I1)."""
        if self.scenario.punctual:
            self.checks.note_modes()
        if self.world.version == self._checked:
            return
        self._checked = self.world.version
        if self.scenario.kind is Kind.SYNCED:
            return  # between a change and its arrival nothing can be said; see check_end
        whole = {
            file.content
            for files in self.world.folders.values()
            for file in files.values()
            if file.size == file.whole
        }
        lost = self.contents.keys() - whole
        if lost:
            raise Violation(f"lost: {sorted(lost)}; {self.picture()}")

    def check_withdrawal(self, view: str, path: str) -> None:
        """Nobody withdraws from a job that nobody else ever asked for."""
        scenario = self.scenario
        if (
            scenario.release
            or scenario.snatches
            or scenario.leftover
            or scenario.lost
            or (scenario.lives)
        ):
            return  # then there are other reasons to put a claim back
        claim = layout.parse_claim(split(path)[1])
        if claim is not None and self.asked_by.get(claim.job) == {view}:
            raise Violation(f"{view} withdraws from {claim.job}, which nobody else wanted")

    def _gave_way(self, content: str, where: list[str]) -> bool:
        """Whether a job that a person moved is parked, for another file of its name ended."""
        name = content.rpartition("#")[0]
        return any(split(path)[0] == PARKED for path in where) and any(
            name in self.world.folders[folder] for folder in (DONE, FAILED)
        )

    def check_end(self) -> None:
        """Everything has ended, and nothing is left claimed (I1, I6, liveness)."""
        for content in self.contents:
            where = self.world.copies(content)
            if not where:
                raise Violation(f"lost: {content}; {self.picture()}")
            if not any(split(path)[0] in (DONE, FAILED) for path in where) and not (
                content in self.snatched | self.indistinguishable and self._gave_way(content, where)
            ):
                raise Violation(f"never done: {content}, at {where}; {self.picture()}")
            ends = [path for path in where if split(path)[0] in (DONE, FAILED)]
            if self.scenario.sticks and (len(ends) > 1 or len(where) > _MOST_COPIES):
                raise Violation(f"{content} ended as {where}")
        for folder in (RUNNING, WAITING):
            if self.jobs_in(folder):
                raise Violation(f"left in {folder}: {self.picture()}")

    def picture(self) -> str:
        """What is where, for a person."""
        return "; ".join(
            f"{folder}: {', '.join(sorted(files))}"
            for folder, files in self.world.folders.items()
            if files and folder in (WAITING, RUNNING, DONE, FAILED, PARKED)
        )
