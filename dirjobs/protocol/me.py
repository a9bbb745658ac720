"""Who a worker is to the others, and by which policy it works."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable

from dirjobs import clock, layout, names
from dirjobs.errors import StoreError
from dirjobs.policy import Mode, Policy
from dirjobs.store import Guarantees

log = logging.getLogger(__name__)

_CLOCKS_AGREE = 2.0
"""Seconds: many stores tell whole ones."""


class Me:
    """What all parts of one worker know of it; shared by its threads.

    Args:
        worker: its incarnation; `Incarnations` alone changes it.
        policy: mode and times; `Agreement` and `Membership` alone have it replaced.
        guarantees: what the store promises.
        nonce: makes names that nobody else makes.

    Attributes:
        mode_not_requested: the user named no mode, so the mode may rest on a record that a
            check has left in the queue.
        others_names: names, casefolded, by which earlier processes of this id went, as far as
            their heartbeats are there: of a million a later one may hit upon one of them.
        last_beat: when the heartbeat that was written last was begun, by the clock of `Share`;
            later than any time for a worker without a heartbeat.
        longest_gap: seconds after `last_beat` when others may take this worker for dead.
        lease_gaps: how often the heartbeat stayed away for longer than that; after each, others
            may own its claims.
        lease_gaps_at_start: the same when this incarnation began.
        store_ahead: seconds by which the store's clock is ahead of this machine's, as far as known.
        changed_names: what must not be in the name of a job here, of `names.CHANGEABLE`, since it
            is changed on the way; `Agreement` keeps it up.
        decided: how often each rule of the protocol decided something; for tests, and for
            the curious.
    """

    def __init__(
        self,
        worker: str,
        policy: Policy,
        guarantees: Guarantees,
        nonce: Callable[[], str] = names.nonce,
    ) -> None:
        self.worker = worker
        self.adopt(policy)
        self.guarantees = guarantees
        self.nonce = nonce
        self.mode_not_requested = False
        self.lease_gaps = 0
        self.lease_gaps_at_start = 0
        self.others_names: frozenset[str] = frozenset()
        self.last_beat = math.inf
        self.store_ahead = 0.0
        self.changed_names: tuple[str, ...] = ()
        self.decided: Counter[str] = Counter()
        self._refusals_told: set[str] = set()
        self._told: set[str] = set()

    def adopt(self, policy: Policy) -> None:
        """Go by another policy from now on."""
        self.policy = policy
        self.longest_gap = policy.lease - policy.wait

    def become(self, worker: str) -> None:
        """Go by another name from now on."""
        self.worker = worker
        self.lease_gaps_at_start = self.lease_gaps

    def next_incarnation(self) -> str:
        """A name for this worker that no late request can hit."""
        name = self._drawn_name()
        is_taken = name.casefold() in self.others_names  # once in a million times
        return self._drawn_name() if is_taken else name

    def _drawn_name(self) -> str:
        return layout.next_incarnation(self.worker, self.nonce())

    def compare_clocks(self, mtime: float | None, now: float) -> None:
        """Learn the store's time.

        Args:
            mtime: of the heartbeat that was written last.
            now: as `last_beat` is measured.
        """
        if mtime is None or not math.isfinite(self.last_beat):
            return
        ahead = mtime - (clock.wall() - (now - self.last_beat))
        self.store_ahead = 0.0 if abs(ahead) <= _CLOCKS_AGREE else ahead

    def store_time(self) -> float:
        """Seconds since the epoch by the store's clock, as far as that is known."""
        return clock.wall() + self.store_ahead

    def own_lease_expired(self, now: float) -> bool:
        """Whether the heartbeat is, at `now`, so old that others may have our jobs."""
        return now - self.last_beat > self.longest_gap

    @property
    def trusts(self) -> bool:
        """Whether one rename is a claim: the mode is trust."""
        return self.policy.mode is Mode.TRUST

    @property
    def on_probation(self) -> bool:
        """Whether renames are trusted because a check recorded it, though the store does not
        promise it."""
        return (
            self.mode_not_requested
            and self.policy.mode is Mode.TRUST
            and not self.guarantees.atomic_rename
        )

    @property
    def needs_names_only(self) -> bool:
        """Whether a job's mtime and size decide nothing unless an answer is missing: renames
        are exclusive, and should the mode become a stricter one, a claim shows what its job
        had."""
        promises = self.guarantees
        return (
            self.policy.mode is Mode.TRUST
            and promises.atomic_rename
            and promises.rename_keeps_mtime
        )

    def count(self, rule: str) -> None:
        """Note that a rule decided."""
        self.decided[rule] += 1

    def tell_once(self, message: str, *values: object) -> None:
        """Log a warning that this worker has not logged yet."""
        said = message % values
        if said not in self._told:
            self._told.add(said)
            log.warning("%s", said)

    def tell_refusal(self, path: str, error: StoreError) -> None:
        """Tell once that the store does not let go of a file."""
        if path not in self._refusals_told:
            self._refusals_told.add(path)
            log.warning("%r can't be taken back now (%s); trying on", path, error)
