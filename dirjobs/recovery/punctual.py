"""The heartbeat goes first: no work of its thread, however long, makes it late."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from dirjobs.errors import StoreError
from dirjobs.layers import Layer
from dirjobs.layout import WORKERS
from dirjobs.protocol.share import Share
from dirjobs.recovery.incarnations import Incarnations
from dirjobs.store import Store

T = TypeVar("T")
log = logging.getLogger(__name__)


class Punctual(Layer):
    """Writes the heartbeats that are due before it sends anything else.

    Whoever gives back what a hundred workers have left, sweeps, or reads a thousand
    heartbeats, must not be taken for dead over it.

    Args:
        store: what this layer is around; used by one thread.
        incarnations: whose heartbeats.
    """

    def __init__(self, store: Store, incarnations: Incarnations) -> None:
        super().__init__(store)
        self._incarnations = incarnations
        self._writing = False
        self._not_before = 0.0

    def call(self, verb: str, paths: tuple[str, ...], action: Callable[[], T]) -> T:
        writes_one = verb == "write" and paths[0].startswith(f"{WORKERS}/")
        if not self._writing and not writes_one:
            self._write_what_is_due()
        return action()

    def _write_what_is_due(self) -> None:
        incarnations = self._incarnations
        now = incarnations.share.now
        due = incarnations.due()
        if not due or now() < self._not_before:
            return
        self._writing = True
        try:
            for one in due:
                incarnations.write(one, Share(self.store, incarnations.share.sleep, now))
        except StoreError as error:  # the next beat says so
            log.info("a heartbeat that is due could not be written yet (%s)", error)
            self._not_before = now() + incarnations.me.policy.heartbeat / 2
        finally:
            self._writing = False
