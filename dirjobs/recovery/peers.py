"""A glance at all heartbeats: who is there, and who is surely gone."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from dirjobs.errors import TRANSIENT_ERRORS, Denied, NotFound, StoreError, Unsupported
from dirjobs.layout import WORKERS
from dirjobs.policy import DEFAULT_MAX_ATTEMPTS
from dirjobs.protocol.exits import GROWING_PAUSE
from dirjobs.protocol.parts import Parts
from dirjobs.recovery.control import Control
from dirjobs.recovery.heartbeat import Heartbeat, read, unreadable, worker_of, written_last
from dirjobs.recovery.orphans import OrphanRecovery
from dirjobs.recovery.process import Process, group_is_gone, is_surely_gone

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Peer:
    """Another worker, as its heartbeat file shows it.

    Attributes:
        file: the name of its heartbeat file.
        heartbeat: the content.
        age: seconds since it was written, by the store's clock; None if unknown.
        cause: why it is dead, for people; empty if it may be alive.
        proven: the cause is a fact, not a conclusion from times.
    """

    file: str
    heartbeat: Heartbeat
    age: float | None
    cause: str = ""
    proven: bool = False


class Peers:
    """Everybody else's heartbeats.

    Args:
        parts: the protocol of the worker that watches.
        process: the watching process.
        max_attempts: how many workers may die at a job before it counts as failed.
        control: takes in the orders that lie among the heartbeats.

    Attributes:
        known: the heartbeats as they were read last, by file.
        orphans: gives back what the dead left.
        is_complete: whether every heartbeat could be read that was looked at.
    """

    def __init__(
        self,
        parts: Parts,
        process: Process,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
        control: Control | None = None,
    ) -> None:
        self.parts = parts
        self.process = process
        self.control = control or Control()
        self.orphans = OrphanRecovery(parts, max_attempts)
        self.is_provably_dead: Callable[[Heartbeat, Process], bool] = is_provably_dead
        self.known: dict[str, Heartbeat] = {}
        self.is_complete = True

    def snapshot(self, ours: Collection[str], only: Collection[str] | None = None) -> list[Peer]:
        """Who is there, for somebody who has just written the file(s) `ours`.

        Ages are compared by the store's own times, and twice the lease must have passed,
        since a first glance has no memory.

        Args:
            ours: names of files.
            only: the workers that are of interest; None for all.
        """
        listing = self.parts.share.list(WORKERS)
        self.control.read(listing, ours)
        now = written_last(listing, ours)
        self.parts.me.compare_clocks(now, self.parts.share.now())
        found = []
        for entry in listing:
            worker = worker_of(entry.name)
            if entry.name in ours or worker is None or (only is not None and worker not in only):
                continue
            heartbeat = self._read_at_a_glance(entry.name, worker, ours)
            if heartbeat is None:
                continue
            age = None if now is None or entry.mtime is None else now - entry.mtime
            cause = self.proof_of_death(heartbeat)
            proven = bool(cause)
            too_old = age is not None and age > 2 * self.lease_of(heartbeat)
            if too_old and not cause and not heartbeat.is_unreadable:
                cause = f"no heartbeat for {age:.0f} s"
            found.append(Peer(entry.name, heartbeat, age, cause, proven))
        return found

    def _read_at_a_glance(self, file: str, worker: str, ours: Collection[str]) -> Heartbeat | None:
        """Another worker's heartbeat; one that alone can't be read, as on a bad block of a disk,
        keeps nobody from beginning: the heartbeats to come try it again."""
        try:
            return self.read(file)
        except TRANSIENT_ERRORS as error:
            if not ours:
                raise
            try:
                self.parts.share.read(f"{WORKERS}/{min(ours)}")
            except NotFound:  # a person removed it: whoever tries again writes it
                raise error from None
            self.tell_of(file, error)
            self.is_complete = False
            return unreadable(worker, self.parts.me.policy)

    def lease_of(self, heartbeat: Heartbeat) -> float:
        """Seconds without a sign of life after which a worker is dead to us."""
        return max(heartbeat.policy.lease, self.parts.me.policy.lease)

    def proof_of_death(self, heartbeat: Heartbeat) -> str:
        """Why a worker is surely gone, for people; empty if that is not sure."""
        if heartbeat.ended:
            return "it has ended"
        if self.is_provably_dead(heartbeat, self.process):
            return f"process {heartbeat.process.pid} on this machine is gone"
        return ""

    def recover_from(self, found: Iterable[Peer], until: float = math.inf) -> bool:
        """Give back what the dead among `found` left; files of workers that ended long
        ago and left nothing are removed.

        Args:
            found: workers.
            until: when to leave the rest to the heartbeats, by the clock of `Share`.

        Returns:
            whether they had left anything.
        """
        gone = [peer for peer in found if peer.cause]
        if not gone:
            return False
        verdicts = {peer.file: peer.heartbeat for peer in gone}
        causes = {peer.heartbeat.worker: peer.cause for peer in gone}
        orphans = self.orphans
        self.recover(verdicts, causes, until=until)
        found_any = bool(orphans.found_files_of)
        if orphans.still_growing:
            self.parts.share.sleep(GROWING_PAUSE)
            self.recover(verdicts, causes, until=until)
        for peer in gone:
            if not orphans.is_complete or self.parts.share.now() > until:
                break
            is_old = peer.age is not None and peer.age > self.lease_of(peer.heartbeat)
            left_nothing = peer.heartbeat.worker not in orphans.found_files_of
            if peer.heartbeat.ended and is_old and left_nothing:
                self.remove(peer.file)
        return found_any

    def recover(
        self,
        verdicts: Mapping[str, Heartbeat],
        causes: Mapping[str, str],
        already_dead: Collection[str] = (),
        *,
        until: float = math.inf,
    ) -> None:
        """Give back what workers left, all of whose heartbeat files are of the dead.

        An id that was free is used again under the same name: an earlier holder's file
        must not cost the present one its jobs.

        Args:
            verdicts: files and what they said when their workers were found dead.
            causes: why, by worker.
            already_dead: files whose workers were found dead earlier.
            until: when to leave the rest to another time, by the clock of `Share`.
        """

        def still_dead(worker: str) -> bool:
            # After the claims were listed: whoever made one of them had a file before.
            files = [
                entry.name
                for entry in self.parts.share.list(WORKERS)
                if worker_of(entry.name) == worker and entry.name not in {*verdicts, *already_dead}
            ]
            try:
                if any(self._is_of_a_holder(file) for file in files):  # may be our own
                    return False
                return all(
                    self._is_unchanged(file, heartbeat)
                    for file, heartbeat in verdicts.items()
                    if heartbeat.worker == worker
                )
            except TRANSIENT_ERRORS as error:  # one file: the others' jobs don't wait for it
                log.info("whether %s is dead can't be told now (%s)", worker, error)
                self.is_complete = False
                return False

        # Of several processes that had one name, the one that told of jobs.
        by_jobs = sorted(verdicts.values(), key=lambda heartbeat: bool(heartbeat.running))
        heartbeats = {heartbeat.worker: heartbeat for heartbeat in by_jobs}
        self.orphans.recover(heartbeats, causes, still_dead, until)

    def _is_of_a_holder(self, file: str) -> bool:
        """Whether whoever wrote a heartbeat may hold claims."""
        heartbeat = self._read(file)
        return heartbeat is not None and not heartbeat.starting

    def _is_unchanged(self, file: str, verdict_on: Heartbeat) -> bool:
        """Whether a heartbeat is the one that the verdict was about, read once more."""
        heartbeat = self.read(file)
        return heartbeat is None or heartbeat.counter == verdict_on.counter

    def read(self, file: str) -> Heartbeat | None:
        """Another worker's heartbeat, to be remembered; None if the file is gone."""
        heartbeat = self._read(file)
        if heartbeat is not None:
            self.known[file] = heartbeat
        return heartbeat

    def _read(self, file: str) -> Heartbeat | None:
        heartbeat = read(self.parts.share, file, self.parts.me.policy)
        if heartbeat is not None and heartbeat.is_unreadable:
            self.parts.me.tell_once(
                "%s/%s can't be read: worker %s counts as alive, and what it holds is left alone;"
                " remove the file if no such worker runs",
                WORKERS,
                file,
                heartbeat.worker,
            )
        return heartbeat

    def tell_of(self, file: str, error: StoreError) -> None:
        """If the share is away, the next request tells; else it is about this file."""
        self.parts.me.tell_once("the heartbeat %r can't be read now; trying on", file)
        log.info("the heartbeat %r: %s", file, error)

    def remove(self, file: str) -> None:
        """Remove a heartbeat file that no claim depends on, if the store lets us."""
        self.known.pop(file, None)
        try:
            self.parts.share.remove(f"{WORKERS}/{file}")
        except NotFound:
            pass  # somebody else did it
        except (Denied, Unsupported) as error:
            self.parts.me.tell_once("%s/%s can't be removed (%s)", WORKERS, file, error)


def is_provably_dead(heartbeat: Heartbeat, me: Process) -> bool:
    """Whether a worker ran on this machine and is surely gone, with all that it ran."""
    return is_surely_gone(heartbeat.process, me) and all(map(group_is_gone, heartbeat.groups))
