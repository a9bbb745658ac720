"""A worker's heartbeat files: one for each of its lives.

A claim name is used once, so a worker that may have been declared dead goes on under
another name; the old heartbeat goes on while claims are held under the old one.
"""

from __future__ import annotations

from dataclasses import dataclass

from dirjobs import layout
from dirjobs.errors import NotFound
from dirjobs.process import Process
from dirjobs.protocol.claim import Claims
from dirjobs.protocol.effects import Steps, Write
from dirjobs.protocol.folders import make_folders
from dirjobs.protocol.intents import State
from dirjobs.recovery.heartbeat import Beat, beat_path
from dirjobs.recovery.throughput import Tally
from dirjobs.store import split


@dataclass
class Life:
    """One incarnation of this worker and its heartbeat file.

    Attributes:
        worker: its name.
        path: of the file.
        counter: how often it was written.
        began: when the last writing that succeeded was begun.
    """

    worker: str
    path: str
    counter: int = 0
    began: float | None = None


class Lives:
    """Writes what one worker says of itself.

    Args:
        claims: the worker's claims; their incarnation is kept up here.
        process: who this process is.
    """

    def __init__(self, claims: Claims, process: Process) -> None:
        self.claims = claims
        self.process = process
        self.groups: set[int] = set()
        self.tally = Tally()
        self._robberies_at_birth = claims.robberies
        self._lives: list[Life] = []
        self._unborn: Life | None = None
        self._starting = False
        self._last_beat: float | None = None

    def new_life(self) -> Steps[None]:
        """Go on under a name that no late request can hit."""
        life = self._unborn
        if life is None:
            worker = layout.later_life(self.claims.worker, self.claims.nonce())
            life = self._unborn = Life(worker, beat_path(worker, self.claims.nonce()))
        # Nobody may claim under a name that has no heartbeat.
        yield from self._write(life)
        self._unborn = None
        self._lives.append(life)
        self.claims.worker = life.worker
        self._robberies_at_birth = self.claims.robberies
        self._last_beat = life.began

    def _be_born(self, worker: str) -> Steps[Life]:
        life = Life(worker, beat_path(worker, self.claims.nonce()))
        self._lives.append(life)
        yield from self._write(life)
        return life

    def tell(self) -> Steps[None]:
        """Write the heartbeats now, for what they say has changed."""
        for life in list(self._lives):
            yield from self._write(life)

    def _beat_on(self) -> Steps[None]:
        """Write the heartbeats; those of earlier lives for as long as they work."""
        for life in list(self._lives):
            over = life.worker != self.claims.worker and not self._works_as(life.worker)
            yield from self._write(life, ended=over)
            if over:
                self._lives.remove(life)

    def _works_as(self, worker: str) -> bool:
        """Whether `worker` has a claim or asks for one.  What its unanswered requests may
        bring about yet is swept, by us or by whoever finds it under an ended name."""
        ledger = self.claims.ledger
        at_work = [*ledger.in_state(State.HELD).values(), *ledger.in_state(State.ASKING).values()]
        return any(asked.worker == worker for asked in at_work)

    def may_be_dead_to_others(self, now: float) -> bool:
        """Whether the heartbeat is, at `now`, so old that others may have our jobs."""
        longest_gap = self.claims.terms.lease - self.claims.terms.wait
        return self._last_beat is not None and now - self._last_beat > longest_gap

    def needs_new_life(self, now: float) -> bool:
        """Whether nothing may be claimed under the present name any more: it may have been
        declared dead, or may be so at `now`."""
        return self.may_be_dead_to_others(now) or self.claims.robberies > self._robberies_at_birth

    def _files(self) -> set[str]:
        return {split(life.path)[1] for life in self._lives}

    def _write(self, life: Life, *, ended: bool = False) -> Steps[None]:
        began = self.claims.clock()
        life.counter += 1
        ledger = self.claims.ledger
        held = ledger.in_state(State.HELD)
        unsettled = ledger.in_state(State.UNSETTLED).values()
        beat = Beat(
            worker=life.worker,
            counter=life.counter,
            terms=self.claims.terms,
            process=self.process,
            ended=ended,
            starting=self._starting,
            unsettled=sum(a.worker == life.worker for a in unsettled),
            running={a.job.name: a.job.size for a in held.values() if a.worker == life.worker},
            groups=tuple(self.groups),
            held_for={
                a.job.name: round(self.tally.held_for(path, began), 1)
                for path, a in held.items()
                if a.worker == life.worker
            },
            pace=self.tally.pace(began),
        )
        try:
            yield Write(life.path, beat.to_bytes())
        except NotFound:
            yield from make_folders()
            yield Write(life.path, beat.to_bytes())
        if self.may_be_dead_to_others(self.claims.clock()):
            self.claims.robberies += 1
        life.began = began
        if life.worker == self.claims.worker:
            self._last_beat = began
