"""Waiting until nothing is left to do."""

from __future__ import annotations

from dirjobs.admin.audience import Audience, Outage
from dirjobs.admin.inspect import Inspector, left_to_do
from dirjobs.clock import monotonic
from dirjobs.errors import TRANSIENT_ERRORS
from dirjobs.protocol.share import Share
from dirjobs.recovery.process import this_process

_LOOK_FOR_WORKERS = 60.0
"""Seconds."""
_BACK = 0.2
"""Seconds after which an empty queue is looked at again."""


def wait(share: Share, timeout: float | None, interval: float, audience: Audience) -> bool:
    """Wait until no job is waiting or running, also while the share can't be reached.

    Two requests for each look, and once a minute some more to say so if nobody works.

    Args:
        share: the queue.
        timeout: seconds; None waits for any time.
        interval: seconds between two looks.
        audience: sees how far it is, and is told of outages and of nobody's working.

    Returns:
        whether all jobs ended in time.

    Raises:
        StoreError: the store refuses.
    """
    until = None if timeout is None else monotonic() + timeout
    total, empty, outage, workers = 0, False, Outage(audience.tell), _Workers(share, audience)
    with audience.progress("waiting", 0) as bar:
        while True:
            pause = interval
            try:
                left = left_to_do(share)
                if left:
                    workers.look()
            except TRANSIENT_ERRORS as error:
                outage.note(error)
                empty = False
            else:
                outage.is_over()
                if not left and empty:
                    return True  # seen twice: a job may be on its way back between two listings
                pause = interval if left else min(interval, _BACK)
                empty = not left
                total = max(total, left)
                bar.total = total
                bar.show(total - left)
            if until is not None:
                time_left = until - monotonic()
                if time_left <= 0:
                    return False
                pause = min(pause, time_left)
            share.sleep(pause)


class _Workers:
    """Says, once, that nobody works, as long as that is so.

    Args:
        share: of the queue.
        audience: is told.
    """

    def __init__(self, share: Share, audience: Audience) -> None:
        self._share = share
        self._tell = audience.tell
        self._inspector = Inspector(this_process())
        self._look_at = 0.0
        self._has_told = False

    def look(self) -> None:
        """Look for workers, once a minute.

        Raises:
            StoreError: the store refuses.
        """
        if monotonic() < self._look_at:
            return
        self._look_at = monotonic() + _LOOK_FOR_WORKERS
        found = self._inspector.look(self._share)
        nobody = found.nobody_works
        if nobody and not self._has_told:
            self._tell("nobody works: start `dirjobs work`.")
        self._has_told = nobody
