"""What one worker knows of the others: who lives, who is dead, what the dead left."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass

from dirjobs.errors import NotFound
from dirjobs.layout import WORKERS
from dirjobs.process import Process, group_is_gone, is_surely_gone
from dirjobs.protocol.claim import Claims
from dirjobs.protocol.effects import Forget, List, Read, Steps, Wait
from dirjobs.protocol.give_back import GROWING_PAUSE
from dirjobs.recovery.control import Orders
from dirjobs.recovery.heartbeat import Beat, unreadable, worker_of
from dirjobs.recovery.requeue import DEFAULT_MAX_ATTEMPTS, Reaper
from dirjobs.recovery.staleness import Watch
from dirjobs.store import Entry

log = logging.getLogger("dirjobs")

_KEPT_LEASES = 4
_EMPTY_PASSES = 2


@dataclass(frozen=True)
class Other:
    """Another worker, as its heartbeat file shows it.

    Attributes:
        name: of the file.
        beat: its content.
        age: seconds since it was written, by the store's clock; None if unknown.
        fate: why it is dead, for people; empty if it may be alive.
        sure: the fate is a fact, not a conclusion from times.
    """

    name: str
    beat: Beat
    age: float | None
    fate: str = ""
    sure: bool = False


class Others:
    """Everybody else's heartbeats.

    Args:
        claims: of the worker that watches.
        process: the watching process.
        max_attempts: how many workers may die at a job before it counts as failed.
        orders: take in what is among the heartbeats.
    """

    def __init__(
        self,
        claims: Claims,
        process: Process,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
        orders: Orders | None = None,
    ) -> None:
        self.claims = claims
        self.process = process
        self.orders = orders or Orders()
        self.reaper = Reaper(claims, max_attempts)
        self.is_provably_dead: Callable[[Beat, Process], bool] = is_provably_dead
        self.watch = Watch(2 * claims.terms.heartbeat)
        self._known: dict[str, Beat] = {}
        self._suspects: dict[str, tuple[Beat, float]] = {}
        self._fates: dict[str, str] = {}
        self._empty_passes: dict[str, int] = {}

    @property
    def are_there(self) -> bool:
        """Whether any other worker is known that may be alive."""
        return any(not beat.ended for beat in self._known.values())

    # -- at a glance: without memory, by the store's times ------------------------------------

    def survey(
        self, ours: Collection[str], only: Collection[str] | None = None
    ) -> Steps[list[Other]]:
        """Who is there, for somebody who has just written the file(s) `ours`.

        Ages are compared by the store's own times, and twice the lease must have passed,
        since our memory is empty.

        Args:
            ours: names of files.
            only: the workers that are of interest; None for all.
        """
        listing: list[Entry] = yield List(WORKERS)
        self.orders.heed(listing, ours)
        now = max((e.mtime for e in listing if e.name in ours and e.mtime), default=None)
        found = []
        for entry in listing:
            worker = worker_of(entry.name)
            if entry.name in ours or worker is None or (only is not None and worker not in only):
                continue
            beat = yield from self.read(entry.name)
            if beat is None:
                continue
            age = None if now is None or entry.mtime is None else now - entry.mtime
            lease = max(beat.terms.lease, self.claims.terms.lease)
            fate = self._fate(beat)
            sure = bool(fate)
            if not fate and age is not None and age > 2 * lease:
                fate = f"no heartbeat for {age:.0f} s"
            found.append(Other(entry.name, beat, age, fate, sure))
        return found

    def reap_surveyed(self, found: Iterable[Other]) -> Steps[bool]:
        """Give back what the dead among `found` left; files of workers that ended long
        ago and left nothing are removed.

        Returns:
            whether they had left anything.
        """
        gone = [other for other in found if other.fate]
        if not gone:
            return False
        verdicts = {other.name: other.beat for other in gone}
        fates = {other.beat.worker: other.fate for other in gone}
        yield from self._reap(verdicts, fates)
        left = bool(self.reaper.left)
        if self.reaper.must_look_again:
            yield Wait(GROWING_PAUSE)
            yield from self._reap(verdicts, fates)
        for other in gone:
            lease = max(other.beat.terms.lease, self.claims.terms.lease)
            is_old = other.age is not None and other.age > lease
            if other.beat.ended and is_old and other.beat.worker not in self.reaper.left:
                yield from self.forget(other.name)
        return left

    def _reap(
        self, verdicts: dict[str, Beat], fates: dict[str, str], past: Collection[str] = ()
    ) -> Steps[None]:
        """Give back what workers left, all of whose heartbeat files are of the dead.

        An id that was free is used again under the same name: an earlier holder's file
        must not cost the present one its jobs.

        Args:
            verdicts: files and what they said when their workers were found dead.
            fates: why, by worker.
            past: files whose workers were found dead earlier.
        """

        def still_dead(worker: str) -> Steps[bool]:
            # After the claims were listed: whoever made one of them had a file before.
            for entry in (yield List(WORKERS)):
                if worker_of(entry.name) == worker and entry.name not in {*verdicts, *past}:
                    namesake = yield from self._fetch(entry.name)  # may be our own
                    if namesake is not None and not namesake.starting:
                        return False
            for name, beat in verdicts.items():
                if beat.worker == worker and not (yield from self._unchanged(name, beat)):
                    return False
            return True

        beats = {beat.worker: beat for beat in verdicts.values()}
        yield from self.reaper.reap(beats, fates, still_dead)

    def _fate(self, beat: Beat) -> str:
        if beat.ended:
            return "it has ended"
        if self.is_provably_dead(beat, self.process):
            return f"process {beat.process.pid} on this machine is gone"
        return ""

    def _unchanged(self, name: str, verdict_on: Beat) -> Steps[bool]:
        """Whether a heartbeat is the one that the verdict was about, read once more."""
        beat = yield from self.read(name)
        return beat is None or beat.counter == verdict_on.counter

    # -- while we live: by our own clock ------------------------------------------------------

    def notice(
        self, listing: list[Entry], ours: Collection[str], began: float, now: float
    ) -> Steps[list[Beat]]:
        """Take in a listing of the heartbeat files; returns whom it shows for the first time."""
        self.orders.heed(listing, ours)
        theirs = [e for e in listing if e.name not in ours and worker_of(e.name) is not None]
        self.watch.longest_gap = 2 * self.claims.terms.heartbeat
        self.watch.look(theirs, began, now)
        new = []
        there = {entry.name for entry in theirs}
        for name, beat in list(self._known.items()):
            if beat.starting and name not in there:
                self._drop(name)  # it was refused, or gave up
        for entry in theirs:
            before = self._known.get(entry.name)
            changed = self.watch.unchanged_for(entry.name, now) == 0.0
            if before is None or (before.starting and changed):
                now_there = yield from self.read(entry.name)
                if now_there is not None and not now_there.starting:
                    new.append(now_there)
        return new

    def bury(self, now: float) -> Steps[None]:
        """Find out who is dead by now, and give back what they left.

        Reading many heartbeats must not delay our own: what half an interval is too short
        for is left to the next time.
        """
        until = now + self.claims.terms.heartbeat / 2
        fates: dict[str, str] = {}
        past: set[str] = set()
        for name, beat in list(self._known.items()):
            quiet = self.watch.unchanged_for(name, now)
            lease = max(beat.terms.lease, self.claims.terms.lease)
            if beat.starting and quiet <= lease:
                past.add(name)  # it claims nothing yet: nobody else's death depends on it
                continue
            if self._empty_passes.get(name, 0) >= _EMPTY_PASSES:
                if quiet == 0.0:
                    del self._empty_passes[name]  # a zombie: it is alive after all
                elif quiet <= _KEPT_LEASES * lease:
                    past.add(name)
                    continue
            if quiet == 0.0:
                self._fates.pop(name, None)
            if name not in self._fates:
                fate = yield from self._verdict(name, beat, now)
                if fate:
                    self._fates[name] = fate
            if name in self._fates:
                fates[name] = self._fates[name]
            if self.claims.clock() > until:
                break  # whose turn did not come counts as alive
        yield from self._drop_namesakes(fates, past)
        if not fates:
            return
        verdicts = {name: self._known[name] for name in fates}
        why = {verdicts[name].worker: fate for name, fate in fates.items()}
        yield from self._reap(verdicts, why, past)
        for name, beat in verdicts.items():
            yield from self._after_a_pass(name, beat, now)

    def _drop_namesakes(self, fates: dict[str, str], past: Collection[str]) -> Steps[None]:
        """Leave out who has a living namesake: whatever has that name is the living one's."""
        living = {b.worker for n, b in self._known.items() if n not in fates and n not in past}
        for name in [name for name in fates if self._known[name].worker in living]:
            del fates[name]
            if self._known[name].ended:
                yield from self.forget(name)

    def _after_a_pass(self, name: str, beat: Beat, now: float) -> Steps[None]:
        """Look for a dead worker's files twice more, and again before its heartbeat goes."""
        lease = max(beat.terms.lease, self.claims.terms.lease)
        passes = self._empty_passes.get(name, 0)
        if beat.worker in self.reaper.left:
            self._empty_passes[name] = 0
        elif passes >= _EMPTY_PASSES and (
            self.watch.unchanged_for(name, now) > _KEPT_LEASES * lease
        ):
            log.info("the heartbeat of %s, dead for long, is removed", beat.worker)
            yield from self.forget(name)
        else:
            self._empty_passes[name] = passes + 1

    def _verdict(self, name: str, beat: Beat, now: float) -> Steps[str]:
        """Why the worker of a heartbeat file is dead; empty if it may be alive.

        By our clock it must have been quiet for the whole lease; that we read its counter
        at half time makes sure that "unchanged" is about the content, not about a time
        stamp.  Where there are no time stamps it must have stood still for a whole lease
        since then.  Proof needs no waiting, but fresh facts.
        """
        quiet = self.watch.unchanged_for(name, now)
        lease = max(beat.terms.lease, self.claims.terms.lease)
        if self.is_provably_dead(beat, self.process):
            # A file that is gone proves as much: it was that process's alone.
            return self._fate((yield from self.read(name)) or beat)
        if quiet <= lease / 2:
            self._suspects.pop(name, None)
            return ""
        if name not in self._suspects:
            fresh = yield from self.read(name)
            self._suspects[name] = fresh or beat, now
            return ""
        suspect, since = self._suspects[name]
        if quiet <= lease or not (self.watch.tells_time(name) or now - since > lease):
            return ""
        fresh = yield from self.read(name)
        if fresh is not None and fresh.counter != suspect.counter:
            del self._suspects[name]
            self.watch.saw_change(name, now)
            return ""
        if fresh is not None and fresh.ended:
            return "it has ended"
        return f"no heartbeat for {quiet:.0f} s"

    # -- files ----------------------------------------------------------------------------------

    def read(self, name: str) -> Steps[Beat | None]:
        """Another worker's heartbeat, to be remembered; None if the file is gone."""
        beat = yield from self._fetch(name)
        if beat is not None:
            self._known[name] = beat
        return beat

    def _fetch(self, name: str) -> Steps[Beat | None]:
        try:
            data: bytes = yield Read(f"{WORKERS}/{name}")
        except NotFound:
            return None
        return Beat.from_bytes(data) or unreadable(name, data, self.claims.terms)

    def forget(self, name: str) -> Steps[None]:
        """Remove a heartbeat file that no claim depends on."""
        self._drop(name)
        with suppress(NotFound):  # somebody else did it
            yield Forget(f"{WORKERS}/{name}")

    def _drop(self, name: str) -> None:
        self._known.pop(name, None)
        self._suspects.pop(name, None)
        self._fates.pop(name, None)
        self._empty_passes.pop(name, None)
        self.watch.forget(name)


def is_provably_dead(beat: Beat, me: Process) -> bool:
    """Whether the worker of `beat` ran on this machine and is surely gone, with all that
    it ran."""
    return is_surely_gone(beat.process, me) and all(map(group_is_gone, beat.groups))
