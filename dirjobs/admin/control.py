"""Telling workers to pause, to go on, and to end."""

from __future__ import annotations

from collections.abc import Collection

from dirjobs.errors import ConfigurationError
from dirjobs.layout import WORKERS, base_id
from dirjobs.protocol.folders import write
from dirjobs.protocol.share import Share
from dirjobs.recovery.control import PAUSE, drain_order, orders_in, withdraw
from dirjobs.recovery.heartbeat import read, worker_of
from dirjobs.recovery.peers import is_provably_dead
from dirjobs.recovery.process import this_process


def pause(share: Share) -> bool:
    """Tell all workers to take no other job until `resume`.

    Returns:
        False if the queue was paused already.
    """
    if PAUSE in orders_in(share.listed(WORKERS)):
        return False
    give(share, PAUSE)
    return True


def resume(share: Share) -> bool:
    """Let the workers of a paused queue go on.

    Returns:
        False if the queue was not paused.
    """
    return withdraw(share, PAUSE)


def drain(share: Share, workers: Collection[str] | None) -> list[str]:
    """Tell workers to take no other job, and to end.

    Args:
        share: the queue.
        workers: their ids, or names of incarnations; None for all.

    Returns:
        the names of those that were told.

    Raises:
        ConfigurationError: no worker that has not ended goes by one of these ids.
    """
    living = {}
    for entry in share.listed(WORKERS):
        name = worker_of(entry.name)
        if name is not None and not _is_gone(share, entry.name):
            living[entry.name] = name
    chosen = living
    if workers is not None:
        wanted = {worker.casefold() for worker in workers}
        chosen = {f: n for f, n in living.items() if wanted & _called(n)}
        missing = wanted - {name for n in living.values() for name in _called(n)}
        if missing:
            known = ", ".join(sorted({base_id(n) for n in living.values()}))
            raise ConfigurationError(
                f"no worker {sorted(missing)[0]!r} is at work on this queue;"
                f" {f'at work: {known}' if known else 'none is at work'}."
            )
    for file in chosen:
        give(share, drain_order(file))
    return sorted(chosen.values())


def _called(worker: str) -> set[str]:
    return {worker.casefold(), base_id(worker).casefold()}


def _is_gone(share: Share, file: str) -> bool:
    """Whether nobody would ever obey an order to the worker of this heartbeat."""
    heartbeat = read(share, file)
    return heartbeat is None or heartbeat.ended or is_provably_dead(heartbeat, this_process())


def give(share: Share, order: str) -> None:
    """Write the file that is an order."""
    write(share, f"{WORKERS}/{order}", b"")
