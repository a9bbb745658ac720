"""Orders to workers: empty files among the heartbeats, which every worker lists anyway.

    _queue/workers/~pause               nobody takes another job
    _queue/workers/~drain.w1.k3x9q2     the worker whose heartbeat is w1.k3x9q2.json takes
                                        no other job, and ends

They cost a worker no request, and are seen with its next heartbeat.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection, Iterable
from contextlib import suppress

from dirjobs import layout
from dirjobs.clock import monotonic
from dirjobs.errors import ConfigurationError, NotFound
from dirjobs.layout import WORKERS
from dirjobs.protocol.effects import Forget, Read, Steps, Wait, Write
from dirjobs.protocol.resolve import listing, make_folder
from dirjobs.recovery.heartbeat import Beat, worker_of
from dirjobs.store import Entry

log = logging.getLogger("dirjobs")

PAUSE = "~pause"
_DRAIN = "~drain."
_SLICE = 0.2


class BrokenOff(BaseException):
    """A claim under way is given up; what becomes of it is found by the sweep.

    Not an `Exception`: nothing is wrong with the claim.
    """


class Orders:
    """What one worker has been told to do.

    The heartbeat's thread takes orders in, those that take jobs obey them; plain flags,
    so that a signal handler may call `drain` at any moment.
    """

    def __init__(self) -> None:
        self.paused = False
        self.draining = False
        self.hurried = False
        self._told = False
        self._files: set[str] = set()
        self._fulfilled: set[str] = set()

    def heed(self, found: Iterable[Entry], ours: Collection[str]) -> None:
        """Take in a listing of the heartbeat files, of which `ours` are this worker's."""
        there = {entry.name for entry in found if entry.name.startswith("~")}
        self._files.update(ours)
        self.paused = PAUSE in there
        told = {order for file in self._files if (order := drain_order(file)) in there}
        self._fulfilled |= told
        if told and not self.draining:
            log.warning("somebody drains this worker: it takes no other job")
            self.draining = True

    def drain(self, *, at_once: bool = False) -> None:
        """Take no other job; `at_once`: also break off the claim that is under way."""
        self.draining = True
        self.hurried |= at_once

    def nap(self, seconds: float) -> None:
        """Let seconds pass in the middle of a claim.

        Raises:
            BrokenOff: this worker was drained at once.
        """
        until = monotonic() + seconds
        while (left := until - monotonic()) > 0 and not self.hurried:
            time.sleep(min(_SLICE, left))
        if self.hurried:
            raise BrokenOff

    def obey(self) -> Steps[bool]:
        """Wait while the queue is paused.

        Returns:
            whether this worker may take a job; False once it is drained.
        """
        while self.paused and not self.draining:
            if not self._told:
                self._told = True
                log.warning("the queue is paused; waiting until somebody resumes it")
            yield from self.rest(_SLICE)
        if self._told and not self.draining:
            self._told = False
            log.warning("the queue is resumed; going on")
        return not self.draining

    def rest(self, seconds: float) -> Steps[None]:
        """Let seconds pass, or fewer if this worker is drained meanwhile."""
        slices = math.ceil(seconds / _SLICE)
        for _ in range(slices):
            if self.draining:
                return
            yield Wait(seconds / slices)

    def tidy(self) -> Steps[None]:
        """Remove the orders that were meant for this worker alone: it has ended."""
        while self._fulfilled:
            yield from _withdraw(self._fulfilled.pop())


def drain_order(file_name: str) -> str:
    """The name of the order that drains the worker of a heartbeat file."""
    return _DRAIN + file_name.removesuffix(".json")


def drained(found: Iterable[Entry]) -> set[str]:
    """The heartbeat files in a listing whose workers have been told to end."""
    there = {entry.name for entry in found}
    return {name for name in there if worker_of(name) and drain_order(name) in there}


def pause() -> Steps[bool]:
    """Tell all workers to take no other job until `resume`.

    Returns:
        False if the queue was paused already.
    """
    if PAUSE in {entry.name for entry in (yield from listing(WORKERS))}:
        return False
    yield from give(PAUSE)
    return True


def resume() -> Steps[bool]:
    """Let the workers of a paused queue go on.

    Returns:
        False if the queue was not paused.
    """
    return (yield from _withdraw(PAUSE))


def drain(workers: Collection[str] | None) -> Steps[list[str]]:
    """Tell workers to take no other job, and to end.

    Args:
        workers: their ids, or names of incarnations; None for all.

    Returns:
        the names of those that were told.

    Raises:
        ConfigurationError: no worker that has not ended goes by one of these ids.
    """
    living = {}
    for entry in (yield from listing(WORKERS)):
        name = worker_of(entry.name)
        if name is not None and not (yield from _has_ended(entry.name)):
            living[entry.name] = name
    chosen = living
    if workers is not None:
        wanted = {worker.casefold() for worker in workers}
        chosen = {f: n for f, n in living.items() if wanted & _called(n)}
        missing = wanted - {name for n in living.values() for name in _called(n)}
        if missing:
            known = ", ".join(sorted({layout.base_id(n) for n in living.values()}))
            raise ConfigurationError(
                f"no worker {sorted(missing)[0]!r} is at work on this queue;"
                f" {f'at work: {known}' if known else 'none is at work'}."
            )
    for file in chosen:
        yield from give(drain_order(file))
    return sorted(chosen.values())


def _called(worker: str) -> set[str]:
    return {worker.casefold(), layout.base_id(worker).casefold()}


def _has_ended(file: str) -> Steps[bool]:
    try:
        beat = Beat.from_bytes((yield Read(f"{WORKERS}/{file}")))
    except NotFound:
        return True
    return beat is not None and beat.ended


def give(order: str) -> Steps[None]:
    """Write the file that is an order."""
    path = f"{WORKERS}/{order}"
    try:
        yield Write(path, b"")
    except NotFound:
        yield from make_folder(WORKERS)
        yield Write(path, b"")


def _withdraw(order: str) -> Steps[bool]:
    with suppress(NotFound):
        yield Forget(f"{WORKERS}/{order}")
        return True
    return False
