"""Late requests of ours, found and put back: so that no job is ever lost."""

from __future__ import annotations

import math
from collections.abc import Iterable

from dirjobs import layout
from dirjobs.errors import Denied, FileStays
from dirjobs.layout import RUNNING, WAITING
from dirjobs.protocol.exits import GROWING_PAUSE, Exits, Return
from dirjobs.protocol.growth import GrowthWatch
from dirjobs.protocol.identity import Identity
from dirjobs.protocol.intents import Intent, Intents, State
from dirjobs.protocol.look import differ
from dirjobs.protocol.me import Me
from dirjobs.protocol.resolve import SourceStays
from dirjobs.protocol.share import Share
from dirjobs.store import Entry, split


class Sweeper:
    """Looks for names that came to be after their claim was given up.

    Args:
        share: where.
        me: who asked for the names.
        intents: the names that were asked for.
        identity: tells what a file is if it is not the one that was listed.
        exits: puts back, or parks, what is found.
    """

    def __init__(
        self, share: Share, me: Me, intents: Intents, identity: Identity, exits: Exits
    ) -> None:
        self.share = share
        self.me = me
        self.intents = intents
        self.identity = identity
        self.exits = exits

    def sweep(
        self,
        folders: tuple[str, ...] = (WAITING, RUNNING),
        *,
        unanswered: bool = False,
        until: float = math.inf,
    ) -> int:
        """Put back what late requests of ours brought about.

        Only names that this worker asked for itself and whose request is not under way:
        a sweep by worker id would rob a twin.

        Args:
            folders: where to look.
            unanswered: only for names whose request got no answer, and for those that
                nobody else asks for; the others have been refused, and if they turn up, a
                twin of this worker may hold them.
            until: when to leave the rest to another time, by the clock of `Share`.

        Returns:
            how many were put back or parked.
        """
        doubtful = self.intents.in_state(State.IN_DOUBT)
        if unanswered:
            doubtful = {
                path: intent
                for path, intent in doubtful.items()
                if intent.unanswered or layout.parse_staged(split(path)[1])
            }
        swept = 0
        for folder in folders:
            if not any(split(path)[0] == folder for path in doubtful):
                continue
            listing = self.share.listed(folder)
            there = {f"{folder}/{entry.name}" for entry in listing}
            for path, one in doubtful.items():
                if split(path)[0] == folder and path not in there:
                    one.growth = None  # somebody has moved what was growing
            for entry in listing:
                path = f"{folder}/{entry.name}"
                intent = doubtful.get(path)
                if intent is None or (swept and self.share.now() > until):
                    continue
                if intent.rests:
                    intent.rests -= 1
                    continue
                if not self.intents.take(path):
                    continue
                try:
                    swept += self._sweep_one(path, entry, intent)
                except SourceStays as error:
                    self._try_less_often(path, intent)
                    self.me.tell_refusal(path, error)
                except (Denied, FileStays) as error:  # the others don't wait
                    self.me.tell_refusal(path, error)
                finally:
                    # For ever: the same request may be executed once more.
                    self.intents.leave_in_doubt(path)
        return swept

    def _try_less_often(self, path: str, intent: Intent) -> None:
        """Each try leaves another copy of a file that a server copies and can't remove: so
        after each the file is left alone for twice as many sweeps."""
        self.intents.doubts.pop(path, None)
        intent.stays += 1
        intent.rests = 2**intent.stays

    def sweep_out(self) -> None:
        """Sweep for the last time: until no copy of ours is still growing."""
        while True:
            self.sweep()
            doubtful = self.intents.in_state(State.IN_DOUBT).values()
            if not any(intent.growth for intent in doubtful):
                return
            self.share.sleep(GROWING_PAUSE)

    def staged_here(self, listing: Iterable[Entry]) -> tuple[frozenset[str], frozenset[str]]:
        """What is staged in ``00_waiting``, as listed: by this worker, and by others."""
        tildes = [entry.name for entry in listing if entry.name[:1] == "~"]
        staged = {name for name in tildes if layout.parse_staged(name)}
        ours = {name for name in staged if self.intents.state(f"{WAITING}/{name}")}
        return frozenset(ours), frozenset(staged - ours)

    def _sweep_one(self, path: str, entry: Entry, intent: Intent) -> int:
        job = intent.job
        if differ(entry.size, job.size):
            intent.growth = intent.growth or GrowthWatch(self.me.policy.longest_standstill)
            if self.identity.may_still_grow(intent.growth, entry.size):
                return 0
            own = self.identity.of(path, entry, job)
            if own is None:
                intent.growth = None
                self.me.count("sweep: torn copy parked")
                self.exits.park(path, job)
                return 1
            intent.job = job = own
        intent.growth = None
        if split(path)[0] == WAITING:
            if self.exits.restore_name_if_unclaimed(path, job, entry) is Return.DEFERRED:
                return 0
            self.me.count("sweep: put back")
            return 1
        if not self.me.trusts:
            job = self.identity.look.in_full(path, job)
            if self.identity.is_over(path, job, entry):
                self.me.count("sweep: finished job parked")
                self.exits.park(path, job)
                return 1
        self.me.count("sweep: put back")
        self.exits.put_back(path, job)
        return 1
