"""Who is suspected, who is dead, by one observer's own clock."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dirjobs.errors import TRANSIENT_ERRORS
from dirjobs.protocol.parts import Parts
from dirjobs.recovery.heartbeat import Heartbeat, worker_of
from dirjobs.recovery.peers import Peers
from dirjobs.recovery.staleness import Staleness
from dirjobs.store import Entry

log = logging.getLogger(__name__)

_KEPT_LEASES = 4
"""Leases for which a dead worker's heartbeat is kept: its late renames may still arrive."""
_EMPTY_PASSES = 2
"""Passes that find nothing of a dead worker before it is looked for no more until its
heartbeat goes."""


@dataclass(frozen=True)
class _Suspect:
    """A worker whose heartbeat has been unchanged for half a lease.

    Attributes:
        heartbeat: as it was read then.
        since: when that was.
    """

    heartbeat: Heartbeat
    since: float


@dataclass(frozen=True)
class _Verdict:
    """A worker was found dead.

    Attributes:
        cause: why, for people.
        counter: of its heartbeat.  Another one is a sign of life; an outage of the share is
            none, and changes nothing about who was dead before.
    """

    cause: str
    counter: int


class FailureDetector:
    """Watches the heartbeats of the others while we live.

    Args:
        parts: the protocol of the worker that watches.
        peers: reads heartbeats, and gives back what the dead left.
    """

    def __init__(self, parts: Parts, peers: Peers) -> None:
        self.parts = parts
        self.peers = peers
        self.staleness = Staleness(2 * parts.me.policy.heartbeat)
        self._suspects: dict[str, _Suspect] = {}
        self._verdicts: dict[str, _Verdict] = {}
        self._empty_passes: dict[str, int] = {}

    def observe(
        self, listing: Sequence[Entry], ours: Collection[str], began: float, now: float
    ) -> list[Heartbeat]:
        """Take in a listing of the heartbeat files; returns whom it shows for the first time.

        Reading many heartbeats must not delay our own: whom half an interval is too short for
        is met the next time, and counts as alive.

        Args:
            listing: of ``_queue/workers``.
            ours: names of this worker's own files.
            began: when the listing was asked for, by our monotonic clock.
            now: when it was there.
        """
        known = self.peers.known
        self.peers.control.read(listing, ours)
        theirs = [e for e in listing if e.name not in ours and worker_of(e.name) is not None]
        self.staleness.longest_gap = 2 * self.parts.me.policy.heartbeat
        self.staleness.look(theirs, began, now)
        new, met = [], False
        until = now + self.parts.me.policy.heartbeat / 2
        there = {entry.name for entry in theirs}
        for file, heartbeat in list(known.items()):
            if heartbeat.starting and file not in there:
                self._forget(file)  # it was refused, or gave up
        for entry in theirs:
            before = known.get(entry.name)
            changed = self.staleness.unchanged_for(entry.name, now) == 0.0
            may_be_another = before is None or before.starting or before.is_unreadable
            if before is not None and not (may_be_another and changed):
                continue
            if met and self.parts.share.now() > until:
                break
            met = True
            try:
                there_now = self.peers.read(entry.name)
            except TRANSIENT_ERRORS as error:
                self.peers.tell_of(entry.name, error)
                continue
            if there_now is None or there_now.starting:
                continue
            if before is None or not there_now.is_unreadable:
                new.append(there_now)
        return new

    def declare_dead(self, now: float) -> None:
        """Find out who is dead by now, and give back what they left.

        Whatever many have left must delay neither our own heartbeat nor what we learn from
        the others': what half an interval is too short for is left to the next time.
        """
        peers, staleness = self.peers, self.staleness
        until = self.parts.share.now() + self.parts.me.policy.heartbeat / 2
        causes: dict[str, str] = {}
        already_dead: set[str] = set()
        starting: set[str] = set()
        for file, heartbeat in list(peers.known.items()):
            quiet = staleness.unchanged_for(file, now)
            lease = peers.lease_of(heartbeat)
            if heartbeat.starting and quiet <= lease:
                starting.add(file)  # when it was read it claimed nothing: it is read again
                continue
            if self._empty_passes.get(file, 0) >= _EMPTY_PASSES:
                if quiet == 0.0:
                    del self._empty_passes[file]  # a zombie: it is alive after all
                elif quiet <= _KEPT_LEASES * lease:
                    already_dead.add(file)
                    continue
            if self._judge(file, heartbeat, now):
                causes[file] = self._verdicts[file].cause
            if self.parts.share.now() > until:
                break  # whose turn did not come counts as alive
        self._leave_out_namesakes(causes, already_dead | starting)
        if not causes:
            return
        verdicts = {file: peers.known[file] for file in causes}
        by_worker = {verdicts[file].worker: cause for file, cause in causes.items()}
        peers.recover(verdicts, by_worker, already_dead, until=until)
        for file, heartbeat in verdicts.items() if peers.orphans.is_complete else ():
            self._after_a_pass(file, heartbeat, now)
            if self.parts.share.now() > until:
                break

    def _judge(self, file: str, heartbeat: Heartbeat, now: float) -> bool:
        """Whether the worker of a heartbeat file is dead, as found now or earlier."""
        verdict = self._verdicts.get(file)
        if verdict is not None and heartbeat.counter != verdict.counter:
            self.staleness.saw_change(file, now)  # as was read right before a file was moved
            self._suspects.pop(file, None)
            verdict = None
        if verdict is not None and not self.staleness.has_changed(file):
            return True
        self._verdicts.pop(file, None)
        try:
            cause = self._cause_of_death(file, heartbeat, now)
        except TRANSIENT_ERRORS as error:
            self.peers.tell_of(file, error)
            return False  # it alone counts as alive
        if cause:
            self._verdicts[file] = _Verdict(cause, self.peers.known[file].counter)
        return bool(cause)

    def _leave_out_namesakes(self, causes: dict[str, str], already_dead: Collection[str]) -> None:
        """Leave out who has a living namesake: whatever has that name is the living one's."""
        known = self.peers.known
        living = {
            heartbeat.worker
            for file, heartbeat in known.items()
            if file not in causes and file not in already_dead
        }
        for file in [file for file in causes if known[file].worker in living]:
            del causes[file]
            if known[file].ended:
                self._remove(file)

    def _after_a_pass(self, file: str, heartbeat: Heartbeat, now: float) -> None:
        """Look for a dead worker's files twice more, and again before its heartbeat goes."""
        quiet = self.staleness.unchanged_for(file, now)
        passes = self._empty_passes.get(file, 0)
        if heartbeat.worker in self.peers.orphans.found_files_of:
            self._empty_passes[file] = 0
        elif passes >= _EMPTY_PASSES and quiet > _KEPT_LEASES * self.peers.lease_of(heartbeat):
            log.info("the heartbeat of %s, dead for long, is removed", heartbeat.worker)
            self._remove(file)
        else:
            self._empty_passes[file] = passes + 1

    def _cause_of_death(self, file: str, heartbeat: Heartbeat, now: float) -> str:
        """Why the worker of a heartbeat file is dead; empty if it may be alive.

        By our clock it must have been quiet for the whole lease; that we read its counter
        at half time makes sure that "unchanged" is about the content, not about a time
        stamp.  Where there are no time stamps it must have stood still for a whole lease
        since then.  Proof needs no waiting, but fresh facts.
        """
        peers, staleness = self.peers, self.staleness
        quiet = staleness.unchanged_for(file, now)
        lease = peers.lease_of(heartbeat)
        if peers.is_provably_dead(heartbeat, peers.process):
            # A file that is gone proves as much: it was that process's alone.
            return peers.proof_of_death(peers.read(file) or heartbeat)
        if quiet <= lease / 2:
            self._suspects.pop(file, None)
            return ""
        if file not in self._suspects:
            suspect = _Suspect(peers.read(file) or heartbeat, now)
            self._suspects[file] = suspect
            if suspect.heartbeat.is_stand_in and not suspect.heartbeat.is_unreadable:
                peers.parts.me.tell_once(
                    "%r is no heartbeat, or one half written: worker %s counts as dead when it"
                    " has stayed like that for the whole lease",
                    file,
                    suspect.heartbeat.worker,
                )
            return ""
        suspect = self._suspects[file]
        long_enough = staleness.tells_time(file) or now - suspect.since > lease
        if quiet <= lease or not long_enough:
            return ""
        fresh = peers.read(file)
        if fresh is not None and fresh.is_unreadable:
            return ""
        if fresh is not None and fresh.counter != suspect.heartbeat.counter:
            del self._suspects[file]
            staleness.saw_change(file, now)
            return ""
        if fresh is not None and fresh.ended:
            return "it has ended"
        return f"no heartbeat for {quiet:.0f} s"

    def _remove(self, file: str) -> None:
        """Remove a heartbeat file that no claim depends on, and watch it no more."""
        self._forget(file)
        self.peers.remove(file)

    def _forget(self, file: str) -> None:
        self.peers.known.pop(file, None)
        self._suspects.pop(file, None)
        self._verdicts.pop(file, None)
        self._empty_passes.pop(file, None)
        self.staleness.forget(file)
