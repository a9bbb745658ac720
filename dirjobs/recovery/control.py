"""Pause and drain, as workers obey them.

Orders are empty files among the heartbeats, which every worker lists anyway::

    _queue/workers/~pause               nobody takes another job
    _queue/workers/~drain.w1.k3x9q2     the worker whose heartbeat is w1.k3x9q2.json takes
                                        no other job, and ends

They cost a worker no request, and are seen with its next heartbeat.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterable

from dirjobs import clock
from dirjobs.clock import sleep_unless
from dirjobs.errors import TRANSIENT_ERRORS, NotFound, StoreError
from dirjobs.layout import WORKERS
from dirjobs.protocol.share import Share
from dirjobs.recovery.heartbeat import worker_of
from dirjobs.store import Entry, FileKind

log = logging.getLogger(__name__)

PAUSE = "~pause"
_DRAIN = "~drain."
_SLICE = 0.2
"""Seconds after which a wait looks whether it is still wanted."""
_GRACE = 3.0
"""Seconds for which a store that can't be reached is still waited for once all is aborted."""


class ClaimAborted(BaseException):
    """A claim under way is given up; what becomes of it is found by the sweep.

    Not an `Exception`: nothing is wrong with the claim.
    """


class Control:
    """What one worker has been told to do.

    The heartbeat's thread reads the orders, those that take jobs obey them; plain flags,
    so that a signal handler may call `drain` at any moment.

    Attributes:
        paused: the queue is paused.
        draining: this worker takes no other job.
        abort_now: nor does it finish the claim that is under way.
    """

    def __init__(self) -> None:
        self.paused = False
        self.draining = False
        self.abort_now = False
        self._gives_up_at = math.inf
        self._pause_announced = False
        self._own_files: set[str] = set()
        self._orders_to_remove: set[str] = set()

    def read(self, listing: Iterable[Entry], ours: Collection[str]) -> None:
        """Take in a listing of the heartbeat files, of which `ours` are this worker's."""
        there = orders_in(listing)
        self._own_files.update(ours)
        self.paused = PAUSE in there
        told = {order for file in self._own_files if (order := drain_order(file)) in there}
        self._orders_to_remove |= told
        if told and not self.draining:
            log.warning("somebody drains this worker: it takes no other job")
            self.draining = True

    def drain(self, *, at_once: bool = False) -> None:
        """Take no other job; `at_once`: also abort the claim that is under way."""
        self.draining = True
        if at_once and not self.abort_now:
            self._gives_up_at = clock.monotonic() + _GRACE
            self.abort_now = True

    def gives_up(self) -> bool:
        """Whether a store that can't be reached is waited for no longer: this worker is to
        end at once, some seconds ago."""
        return clock.monotonic() >= self._gives_up_at

    def sleep_unless_aborted(self, seconds: float) -> None:
        """Let seconds pass in the middle of a claim.

        Raises:
            ClaimAborted: this worker was drained at once.
        """
        until = clock.monotonic() + seconds
        while (left := until - clock.monotonic()) > 0 and not self.abort_now:
            clock.sleep(min(_SLICE, left))
        if self.abort_now:
            raise ClaimAborted

    def wait_while_paused(self, share: Share) -> bool:
        """Wait while the queue is paused.

        Returns:
            whether this worker may take a job; False once it is drained.
        """
        while self.paused and not self.draining:
            if not self._pause_announced:
                self._pause_announced = True
                log.warning("the queue is paused; waiting until somebody resumes it")
            self.sleep_unless_drained(share, _SLICE)
        if self._pause_announced and not self.draining:
            self._pause_announced = False
            log.warning("the queue is resumed; going on")
        return not self.draining

    def sleep_unless_drained(self, share: Share, seconds: float) -> None:
        """Let seconds pass, or fewer if this worker is drained meanwhile."""
        sleep_unless(lambda: self.draining, seconds, share.sleep)

    def remove_orders(self, share: Share) -> None:
        """Remove the orders that were meant for this worker alone: it has ended."""
        while self._orders_to_remove:
            withdraw(share, self._orders_to_remove.pop())


def orders_in(listing: Iterable[Entry]) -> set[str]:
    """The orders among the heartbeats: a folder or a link of such a name, which `resume` could
    not remove, is none."""
    return {
        entry.name
        for entry in listing
        if entry.name.startswith("~") and entry.kind is FileKind.FILE
    }


def drain_order(file_name: str) -> str:
    """The name of the order that drains the worker of a heartbeat file."""
    return _DRAIN + file_name.removesuffix(".json")


def drained(listing: Collection[Entry]) -> set[str]:
    """The heartbeat files in a listing whose workers have been told to end."""
    there, orders = {entry.name for entry in listing}, orders_in(listing)
    return {name for name in there if worker_of(name) and drain_order(name) in orders}


def withdraw(share: Share, order: str) -> bool:
    """Remove an order; False if there was none."""
    try:
        share.remove(f"{WORKERS}/{order}")
    except NotFound:
        return False
    except TRANSIENT_ERRORS:
        raise
    except StoreError:
        if order in orders_in(share.listed(WORKERS)):
            raise
        return False  # a folder, which nobody obeys
    return True
