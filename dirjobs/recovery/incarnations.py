"""The names that one worker goes by, each with its heartbeat.

A claim name is used once, so a worker that may have been declared dead goes on under
another name; the old heartbeat goes on while claims are held under the old one.
"""

from __future__ import annotations

from dataclasses import dataclass

from dirjobs import threads
from dirjobs.errors import NotFound
from dirjobs.protocol.folders import make_folders
from dirjobs.protocol.intents import Intents, State
from dirjobs.protocol.me import Me
from dirjobs.protocol.share import Share
from dirjobs.recovery.heartbeat import Heartbeat, heartbeat_path
from dirjobs.recovery.process import Process
from dirjobs.recovery.throughput import Throughput
from dirjobs.store import split


@dataclass
class Incarnation:
    """One name of this worker and its heartbeat file.

    Attributes:
        worker: the name.
        path: of the file.
        counter: how often it was written.
        began: when the last writing that succeeded was begun.
        was_removed: whether somebody removed the file while this worker was silent: from then
            on the name was free.
        over: whether the file says, or will say, that this incarnation has ended.
    """

    worker: str
    path: str
    counter: int = 0
    began: float | None = None
    was_removed: bool = False
    over: bool = False

    @property
    def file_name(self) -> str:
        return split(self.path)[1]


class Incarnations:
    """Writes what one worker says of itself.

    Args:
        share: where the heartbeat files are.
        me: the worker; its name is kept up here.
        intents: the names it asked for.
        process: who this process is.
        throughput: how fast it ends jobs.

    Attributes:
        starting: whether it is not yet clear that the id is free.
        groups: process groups of the programs that the worker runs.
        call_slots: how many calls of functions it runs at once.
    """

    def __init__(
        self, share: Share, me: Me, intents: Intents, process: Process, throughput: Throughput
    ) -> None:
        self.share = share
        self.me = me
        self.intents = intents
        self.process = process
        self.throughput = throughput
        self.groups: set[int] = set()
        self.call_slots = 0
        self.starting = False
        self._lock = threads.Lock()
        """Under it the worker goes from one name to the next; no request is sent meanwhile."""
        self._all: list[Incarnation] = []
        self._unwritten: Incarnation | None = None
        self._ended = False

    def start(self) -> Incarnation:
        """The first incarnation, written; the same one if the start is tried again."""
        with self._lock:
            self._ended = False
            if not self._all:
                self._all.append(self._new(self.me.worker))
            first = self._all[0]
            first.over = False
        self.write(first)
        return first

    def next(self, share: Share | None = None) -> None:
        """Go on under a name that no late request can hit; over the caller's connection."""
        with self._lock:
            one = self._unwritten or self._new(self.me.next_incarnation())
            self._unwritten = None
        # Nobody may claim under a name that has no heartbeat.
        try:
            self.write(one, share)
        except BaseException:
            with self._lock:
                self._unwritten = one
            raise
        with self._lock:
            # At once: a name that is listed and is not the present one is over.
            if not self._ended:
                self._all.append(one)
                self.me.become(one.worker)
                if one.began is not None:
                    self.me.last_beat = one.began
                return
        self.write(one, share, ended=True)

    def _new(self, worker: str) -> Incarnation:
        return Incarnation(worker, heartbeat_path(worker, self.me.nonce()))

    def tell(self, share: Share | None = None) -> None:
        """Write the heartbeats now, for what they say has changed; over the caller's
        connection."""
        for one in self.all():
            self.write(one, share)

    def beat(self) -> None:
        """Write the heartbeats; those of earlier incarnations for as long as they work."""
        for one in self.all():
            one.over = over = self._is_over(one)
            self.write(one, ended=over)
            if over:
                self.drop(one)

    def _is_over(self, one: Incarnation) -> bool:
        """Whether nothing is, nor will be, claimed as `one`.  What its unanswered requests
        may bring about yet is swept, by us or by whoever finds it under an ended name."""
        with self._lock:
            return one.worker != self.me.worker and self.intents.end_incarnation(one.worker)

    def due(self) -> list[Incarnation]:
        """Those to be written before anything else: half an interval is over, so that a
        request that takes long does not make them late."""
        latest = self.share.now() - self.me.policy.heartbeat / 2
        return [
            one
            for one in self.all()
            if one.began is not None and one.began <= latest and not one.over
        ]

    def drop(self, one: Incarnation) -> None:
        """Write the heartbeat of an incarnation no more."""
        with self._lock:
            self._all.remove(one)

    def end(self) -> list[Incarnation]:
        """Those whose heartbeats are to be written a last time; there come no others."""
        with self._lock:
            self._ended = True
            for one in self._all:
                one.over = True
            return list(self._all)

    @property
    def have_ended(self) -> bool:
        """Whether `end` was called: this worker says no more that it lives."""
        return self._ended

    def all(self) -> list[Incarnation]:
        """Those whose heartbeats are written."""
        with self._lock:
            return list(self._all)

    def clear(self) -> None:
        """Write no heartbeat any more."""
        with self._lock:
            self._all.clear()

    def file_names(self) -> set[str]:
        """The heartbeat files of this worker."""
        return {one.file_name for one in self.all()}

    def write(self, one: Incarnation, share: Share | None = None, *, ended: bool = False) -> None:
        """Write the heartbeat of one incarnation."""
        share = share or self.share
        began = share.now()
        if one.began is not None and self.me.own_lease_expired(began):
            folder, name = split(one.path)
            one.was_removed |= all(entry.name != name for entry in share.listed(folder))
        one.counter += 1
        held = {
            path: intent
            for path, intent in self.intents.in_state(State.HELD, State.ENDING).items()
            if intent.worker == one.worker
        }
        data = Heartbeat(
            worker=one.worker,
            counter=one.counter,
            policy=self.me.policy,
            process=self.process,
            ended=ended,
            starting=self.starting,
            unsettled=self.intents.unsettled(one.worker, ended=ended),
            running={intent.job.name: intent.job.size for intent in held.values()},
            groups=tuple(self.groups),
            held_for={
                intent.job.name: round(self.throughput.held_for(path, began), 1)
                for path, intent in held.items()
            },
            pace=self.throughput.pace(began),
            call_slots=self.call_slots,
        ).to_bytes()
        try:
            share.write(one.path, data)
        except NotFound:
            make_folders(share)
            share.write(one.path, data)
        if one.over and not ended:
            # Another thread has said so meanwhile, and this may have come after it.
            self.write(one, share, ended=True)
            return
        if self.me.own_lease_expired(share.now()):
            self.me.lease_gaps += 1
        one.began = began
        if one.worker == self.me.worker:
            self.me.last_beat = began
