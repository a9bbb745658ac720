"""Joining, beating, leaving: a worker's heartbeat, and what it learns from the others'.

A worker writes its own file, waits S, and lists: whoever does the same at the same time
is seen by one of the two at least.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace

from dirjobs import names
from dirjobs.errors import ConfigurationError, WorkerIdInUse
from dirjobs.layout import RUNNING, WAITING, WORKERS, base_id, parse_staged
from dirjobs.policy import DEFAULT_MAX_ATTEMPTS, Policy, cautious
from dirjobs.protocol.agreement import Agreement
from dirjobs.protocol.intents import State
from dirjobs.protocol.me import Me
from dirjobs.protocol.parts import Parts
from dirjobs.protocol.share import Share
from dirjobs.recovery.control import Control
from dirjobs.recovery.failure_detector import FailureDetector
from dirjobs.recovery.heartbeat import Heartbeat, read, worker_of, written_last
from dirjobs.recovery.incarnations import Incarnation, Incarnations
from dirjobs.recovery.peers import Peer, Peers
from dirjobs.recovery.process import Process, is_same, this_process
from dirjobs.recovery.punctual import Punctual
from dirjobs.recovery.silence import Silence, SilentHolders
from dirjobs.recovery.throughput import Throughput
from dirjobs.store import Store

log = logging.getLogger(__name__)

_LAST_TRIES, _LAST_PAUSE = 3, 1.0
"""How often, and how many seconds apart, heartbeats are asked for at the end."""


class Membership:
    """One worker among the others.

    Args:
        parts: the protocol, on the connection of the heartbeat.
        process: who this process is.
        max_attempts: how many workers may die at a job before it counts as failed.
        control: what this worker is told to do.
        earlier: the worker that this process was under this id until it was closed.
    """

    def __init__(
        self,
        parts: Parts,
        process: Process,
        *,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
        control: Control | None = None,
        earlier: Membership | None = None,
    ) -> None:
        self.parts = parts
        self.me = parts.me
        self.share = parts.share
        self.process = process
        self.control = control or Control()
        self._earlier = earlier
        self._earlier_used_id = False
        self.throughput = Throughput()
        self.incarnations = Incarnations(
            parts.share, parts.me, parts.intents, process, self.throughput
        )
        self.agreement = Agreement(parts.share, parts.me, parts.evidence)
        self.peers = Peers(parts, process, max_attempts, self.control)
        self.failure_detector = FailureDetector(parts, self.peers)
        self.silent_holders = SilentHolders(self.failure_detector)
        self._beats = 0
        self._gaps_seen_to = 0

    def use(self, store: Store) -> None:
        """Go on over a connection of its own, on which no long work delays the heartbeat."""
        self.share.use(Punctual(store, self.incarnations))

    # -- joining --------------------------------------------------------------------------

    def start(self) -> None:
        """Announce this worker, and give back what the dead left.

        Raises:
            WorkerIdInUse, ConfigurationError, StoreError: as `announce`.
        """
        found = self.announce()
        # Store times may lie (somebody sets the clock): they are enough to take over our own
        # id, whose names we avoid; for the rest we watch.
        ours = self._namesakes(found)
        dead = [peer for peer in found if peer.proven or peer in ours]
        # No longer than until the first beat is due: it follows the mode of the others.
        self.peers.recover_from(dead, self.share.now() + self.me.policy.heartbeat / 2)

    def announce(self) -> list[Peer]:
        """Announce this worker, and agree on the mode; returns the others.

        Raises:
            WorkerIdInUse: another live worker has this id.
            ConfigurationError: the user asked for a less strict mode than live workers
                use, or ``queue.json`` makes no sense.
            StoreError: the store can't be used.
        """
        me, incarnations = self.me, self.incarnations
        wish = me.policy
        recorded = self.agreement.recorded(wish)
        if recorded is not None:
            policy = replace(wish, heartbeat=recorded.heartbeat, lease=recorded.lease)
            if not self.agreement.insists:
                # What the store alone warrants is no wish: announced for one heartbeat, it
                # would drag everybody who starts meanwhile away from a recorded trust.
                policy = replace(policy, mode=recorded.mode, sync_time=0.0)
            policy = policy.at_least_as_strict_as(recorded.mode, recorded.sync_time)
            me.adopt(policy.with_legal_lease())
        incarnations.starting = True
        first = incarnations.start()
        self.share.sleep(me.policy.wait)
        found = self.peers.snapshot(incarnations.file_names())
        silent = [peer for peer in found if peer.cause and not peer.proven]
        keeps_record = recorded is not None and not self.agreement.insists
        if keeps_record or not self._would_loosen(wish, recorded, silent):
            namesakes = self._namesakes(found)
            silent = [peer for peer in silent if peer in namesakes]
        if silent:
            found = self.snapshot_after_pause(silent)
        id_was_used = self._id_was_used(first, found)
        incarnations.starting = False
        if id_was_used:
            first.over = True  # whoever writes it at this moment says that it has ended
            self.peers.remove(first.file_name)
            incarnations.drop(first)
            incarnations.next()
        else:
            incarnations.write(first)
        try:
            live = [peer.heartbeat.policy for peer in found if not peer.cause]
            self.agreement.settle(wish, recorded, live)
        except ConfigurationError:
            self._withdraw()
            raise
        return found

    @staticmethod
    def _would_loosen(wish: Policy, recorded: Policy | None, silent: list[Peer]) -> bool:
        """Whether ``queue.json`` would become less strict than it is, or than somebody works
        who may be alive."""
        theirs = [peer.heartbeat.policy for peer in silent]
        if recorded is not None:
            theirs.append(recorded)
        return any(
            wish.at_least_as_strict_as(policy.mode, policy.sync_time) != wish for policy in theirs
        )

    def snapshot_after_pause(self, silent: list[Peer]) -> list[Peer]:
        """Who is there after as long as the `silent` need for their next heartbeat.

        By their age they are dead; but so is everybody right after an outage of the share,
        or after its clock was set.  So dead is, unless it is proved, who was silent before and
        has not written since, whatever the times say.
        """
        pause = max(peer.heartbeat.policy.late_after for peer in silent)
        log.warning(
            "%s: %s; waiting %g s whether it comes back",
            silent[0].heartbeat.worker,
            silent[0].cause,
            pause,
        )
        self.share.sleep(pause)
        self.incarnations.tell()
        found = self.peers.snapshot(self.incarnations.file_names())
        unchanged = {(peer.file, peer.heartbeat.counter) for peer in silent}
        return [
            peer
            if peer.proven or (peer.file, peer.heartbeat.counter) in unchanged
            else replace(peer, cause="")
            for peer in found
        ]

    def _namesakes(self, found: list[Peer]) -> list[Peer]:
        """Those who have, or had, our id."""
        me = base_id(self.me.worker).casefold()
        return [peer for peer in found if base_id(peer.heartbeat.worker).casefold() == me]

    def _id_was_used(self, first: Incarnation, found: list[Peer]) -> bool:
        """Whether the plain id may not be used for new claims."""
        if base_id(first.worker) != first.worker:
            return False  # a forked child: nobody else has its name, its parent lives on
        earlier, self._earlier = self._earlier, None
        if earlier is not None:
            self._earlier_used_id |= earlier._earlier_used_id or not earlier.parts.intents.are_none
        used = self._earlier_used_id
        namesakes = self._namesakes(found)
        self.me.others_names = frozenset(one.heartbeat.worker.casefold() for one in namesakes)
        for peer in namesakes:
            heartbeat = peer.heartbeat
            if heartbeat.is_stand_in:
                used = True  # whoever that is, it has another name than our next one
                continue
            if not peer.cause and not is_same(heartbeat.process, self.process):
                self._withdraw()
                age = "unknown time" if peer.age is None else f"{peer.age:.0f} s"
                raise WorkerIdInUse(
                    f"wid={first.worker!r} is in use by process {heartbeat.process.pid} on host"
                    f" {heartbeat.process.host!r} (last heartbeat {age} ago): give this worker a"
                    " wid of its own, or wait until that one has ended."
                )
            clean = heartbeat.ended and not heartbeat.unsettled and not heartbeat.running
            used = used or not clean
        # Claims there may be without a heartbeat, by the first dirjobs: nobody may give them
        # back for our death.
        folders = (RUNNING, WAITING) if namesakes and not self.me.trusts else (RUNNING,)
        return used or self._has_left_files(first.worker, folders)

    def _has_left_files(self, worker: str, folders: Collection[str]) -> bool:
        """Whether files lie under a plain id that is free: what an earlier process left, or a
        person.  Under the same name nobody could tell them from ours, and give them back."""
        return any(
            (file.stager or file.worker or "").casefold() == worker.casefold()
            for folder in folders
            for file in self.share.jobs_in(folder)
        )

    # -- beating --------------------------------------------------------------------------

    def beat(self) -> None:
        """Write the heartbeats; see what the others do; recover from deaths; sweep.

        Four requests while nothing happens, whatever the number of jobs; five where renames
        are trusted by a record, and six more where something about them is odd.
        """
        recorded = self.agreement.read_again()  # first: nothing is written into another queue
        self.incarnations.beat()
        began = self.share.now()
        listing = self.share.list(WORKERS)
        now = self.share.now()
        ours = self.incarnations.file_names()
        me = self.me
        me.compare_clocks(written_last(listing, ours), now)
        self._follow(recorded, self.failure_detector.observe(listing, ours, began, now))
        self.failure_detector.declare_dead(now)
        if me.lease_gaps > self._gaps_seen_to:
            self._gaps_seen_to = me.lease_gaps
            self.give_up_used_names()
        may_be_dead = me.own_lease_expired(now) or me.lease_gaps > me.lease_gaps_at_start
        if me.on_probation and not may_be_dead:
            held = self.parts.intents.in_state(State.HELD)
            self.parts.audit.inspect({path: intent.job for path, intent in held.items()})
            self.agreement.fall_back_if_refuted()
        self._beats += 1
        until = self.share.now() + me.policy.heartbeat / 2
        self.parts.sweeper.sweep((WAITING,) if self._beats % 2 else (RUNNING,), until=until)

    def _follow(self, recorded: Policy | None, new: list[Heartbeat]) -> None:
        """Become as strict as ``queue.json`` and whoever is new; part from a twin."""
        for heartbeat in new:
            if not heartbeat.ended and heartbeat.worker.casefold() == self.me.worker.casefold():
                process = heartbeat.process
                who = f"process {process.pid} on {process.host}"
                log.error(
                    "another worker uses the id %r as well (%s): give each worker"
                    " an id of its own; this one goes on under a new name",
                    base_id(heartbeat.worker),
                    "its heartbeat can't be read" if heartbeat.is_stand_in else who,
                )
                self.incarnations.next()
        self.agreement.follow(
            recorded, [heartbeat.policy for heartbeat in new if not heartbeat.ended]
        )

    def give_up_used_names(self, share: Share | None = None) -> None:
        """After a gap in the own heartbeat: give up what was claimed under a name that
        somebody else goes by now; over the caller's connection.

        The heartbeat of a worker that is silent for very long is removed, and its id is free:
        a claim of that name may be another worker's.  Ours was written again before the others
        are listed, so that whoever lists them later takes another name.
        """
        share = share or self.share
        if self.me.own_lease_expired(share.now()):
            self.incarnations.tell(share)
        removed = [one.worker for one in self.incarnations.all() if one.was_removed]
        if not removed:
            return
        ours = self.incarnations.file_names()
        names_of_ours = {worker.casefold(): worker for worker in removed}
        for entry in share.list(WORKERS):
            name = worker_of(entry.name)
            worker = None if name is None else names_of_ours.get(name.casefold())
            if worker is None or entry.name in ours:
                continue
            heartbeat = read(share, entry.name, self.me.policy)
            if heartbeat is None or (heartbeat.ended and not heartbeat.unsettled):
                continue  # an earlier holder of the id, which has nothing any more
            log.error(
                "this worker was silent for so long that process %d on %s uses its name %r now:"
                " what it had is lost",
                heartbeat.process.pid,
                heartbeat.process.host,
                worker,
            )
            self.parts.intents.give_up(worker)
            if worker == self.me.worker:
                self.incarnations.next(share)

    def silence(self, share: Share, wanted: Callable[[str], bool]) -> Silence | None:
        """Who holds jobs and may be dead, for whoever finds nothing else to do.

        Args:
            share: the caller's connection.
            wanted: says of a job's name whether the caller would take it.
        """
        return self.silent_holders.find(share, self.incarnations.file_names(), wanted)

    # -- leaving --------------------------------------------------------------------------

    def end(self) -> None:
        """Sweep a last time, say that this worker has ended, and look whether anything is
        left half way that nobody else will see to."""
        self.agreement.fall_back_if_refuted()
        self.parts.sweeper.sweep_out()
        for one in self.incarnations.end():
            self.incarnations.write(one, ended=True)
        if not self.me.trusts:
            self._finish_deferred_returns(self.parts)
        self.incarnations.clear()
        self.control.remove_orders(self.share)

    def look_after_end(self, parts: Parts) -> None:
        """If this worker has ended while the caller was at a claim: look once more, since the
        last look came before what the caller did.

        Args:
            parts: the protocol, on the caller's connection.
        """
        if self.incarnations.have_ended and not self.me.trusts:
            self._finish_deferred_returns(parts)

    def _finish_deferred_returns(self, parts: Parts) -> None:
        """Before leaving: finish put-backs that were deferred because the job was claimed.

        Two may end at once, the one that left such a copy and the one with the claim.  The
        first of them to say so is seen by the other, which looks after it has said so, too.
        """
        sweeper, share = parts.sweeper, parts.share
        if self.control.abort_now:  # no time for what can wait for the next worker
            sweeper.sweep((WAITING,))
            return
        ours, theirs = sweeper.staged_here(share.listed(WAITING))
        if ours:
            # Whoever did not see me end must have looked before, and what it did before
            # that must be in my listing now.
            pause = 2 * self.me.policy.wait
            if pause:
                log.warning(
                    "somebody may be ending a job that has a copy here; waiting %g s", pause
                )
            share.sleep(pause)
            sweeper.sweep((WAITING,))
        if theirs:
            self.take_over(parts, theirs)

    def take_over(self, parts: Parts, staged: Collection[str]) -> bool:
        """Give back, at once, what workers that are surely gone have left.

        With an eye and a memory of its own, since the heartbeat's thread may be at it too.

        A heartbeat that can't be read is asked for again: nobody may come after us.

        Args:
            parts: the protocol, on the caller's connection.
            staged: names of files in ``00_waiting``; whose they are is asked, and no more:
                at the end of a queue, a hundred workers may ask at once.

        Returns:
            whether they had left anything.
        """
        owners = {file.worker for name in staged if (file := parse_staged(name))}
        had_left_any = False
        for tries_left in range(_LAST_TRIES)[::-1]:
            peers = Peers(parts, self.process, self.peers.orphans.max_attempts)
            peers.is_provably_dead = self.peers.is_provably_dead
            found = peers.snapshot(self.incarnations.file_names(), owners)
            had_left_any |= peers.recover_from(peer for peer in found if peer.proven)
            if peers.is_complete or not tries_left:
                break
            parts.share.sleep(_LAST_PAUSE)
        return had_left_any

    def _withdraw(self) -> None:
        """Take back an announcement that came to nothing; unless an earlier try has left
        something half way under this name, which others must be able to tell whose it is."""
        incarnations = self.incarnations
        incarnations.starting = False
        doubtful = self.parts.intents.in_state(State.IN_DOUBT).values()
        for one in incarnations.all():
            if any(intent.worker == one.worker for intent in doubtful):
                incarnations.write(one, ended=True)
            else:
                self.peers.remove(one.file_name)
        incarnations.clear()


@contextmanager
def temporary_member(share: Share, purpose: str) -> Iterator[Membership]:
    """A member for as long as one command takes, which changes the queue by hand.

    It has a heartbeat like any worker: if it is killed, others find what it left half way,
    and put it back; and it goes by the mode that the workers have agreed on.

    Args:
        share: the queue.
        purpose: what its name begins with.

    Raises:
        ConfigurationError, StoreError: as `Membership.announce`.
    """
    membership = new_member(share, purpose)
    membership.announce()
    try:
        yield membership
    finally:
        membership.end()


def new_member(
    share: Share,
    purpose: str,
    policy: Policy | None = None,
    max_attempts: int = DEFAULT_MAX_ATTEMPTS,
) -> Membership:
    """Somebody who has not joined yet.

    Args:
        share: the queue.
        purpose: what the name begins with.
        policy: by which it goes if the workers have agreed on none; `cautious` by default.
        max_attempts: how many workers may die at a job before it counts as failed.
    """
    guarantees = share.store.guarantees
    own = Share(share.store, share.sleep, share.now)
    me = Me(f"{purpose}-{names.nonce()}", policy or cautious(guarantees), guarantees)
    me.mode_not_requested = True
    membership = Membership(Parts(own, me), this_process(), max_attempts=max_attempts)
    membership.use(share.store)
    membership.agreement.names_queue = False
    return membership
