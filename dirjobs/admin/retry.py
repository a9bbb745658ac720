"""Letting failed jobs, and parked copies, be done once more."""

from __future__ import annotations

from dirjobs import layout
from dirjobs.admin.locate import Place, locate
from dirjobs.layout import PARKED, WAITING
from dirjobs.policy import Mode
from dirjobs.protocol import attempts
from dirjobs.protocol.effects import Exists, Steps
from dirjobs.protocol.give_back import Moves
from dirjobs.protocol.resolve import MOVED
from dirjobs.store import Entry


def retry(moves: Moves, place: Place) -> Steps[str | None]:
    """Move a failed job to ``00_waiting``, or a parked copy under a name of its own.

    Deaths of workers before this no longer count against the job.

    Args:
        moves: does the renames.
        place: where it is, in ``99_failed`` or ``_queue/parked``.

    Returns:
        the name under which it waits; None if it is gone, or one of its name waits already.

    Raises:
        StoreError: it is not known; look, then try again.
    """
    job = place.job
    name: str = job.name
    if place.folder == PARKED:
        name = yield from _free_number(job.name)
    elif (yield Exists(f"{WAITING}/{name}")):
        return None
    yield from attempts.note(name, "", "retried by hand", retried=True)
    moved = yield from _carry(moves, place.path, Entry(name, job.mtime, job.size), place.folder)
    return name if moved else None


def _free_number(job: str) -> Steps[str]:
    number = 1
    while True:
        number += 1
        name = layout.numbered(job, number)
        places = yield from locate(name)
        if all(place.folder == PARKED for place in places):
            return name


def _carry(moves: Moves, path: str, job: Entry, folder: str) -> Steps[bool]:
    """To ``00_waiting``, where nobody may claim a copy that still grows.

    Where a rename may be copy and delete: first to a name of our own in the same folder,
    which is exclusive, then across.  What is left on the way is still recognised.
    """
    target = f"{WAITING}/{job.name}"
    if moves.terms.mode is Mode.TRUST:
        return (yield from moves.settle(path, target, job.size)) in MOVED
    own = f"{folder}/{_staged(moves, job, folder)}"
    half = f"{WAITING}/{layout.staged_claim(moves.worker, job.name, moves.nonce())}"
    if (yield from moves.settle(path, own, job.size)) not in MOVED:
        return False
    moves.ledger.ask(half, moves.worker, job)
    known = back = False
    try:
        if (yield from moves.settle(own, half, job.size)) in MOVED:
            back = yield from moves.put_back(half, job)
        known = True
        return back
    finally:
        if known:
            moves.ledger.settled(half)
        else:
            moves.ledger.unsettle(half)  # the sweep finds it


def _staged(moves: Moves, job: Entry, folder: str) -> str:
    tag = moves.nonce()
    if folder == PARKED:
        claim = layout.claim_name(moves.worker, job.name)
        return layout.staged_return(moves.worker, claim, tag)
    return layout.staged_claim(moves.worker, job.name, tag)
