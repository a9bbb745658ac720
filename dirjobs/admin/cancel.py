"""Taking jobs out of the queue that nobody needs any more."""

from __future__ import annotations

from dirjobs import layout
from dirjobs.admin.locate import Place
from dirjobs.layout import FAILED, RUNNING
from dirjobs.policy import Mode
from dirjobs.protocol import attempts
from dirjobs.protocol.effects import Steps
from dirjobs.protocol.give_back import Moves
from dirjobs.protocol.resolve import MOVED

REASON = "cancelled"


def cancel(moves: Moves, place: Place) -> Steps[bool]:
    """Move a waiting or running job to ``99_failed``.

    The worker of a running one learns by `ClaimLost` that its result is not wanted.

    Args:
        moves: does the renames.
        place: where the job is.

    Returns:
        False if it was gone: somebody claimed or ended it, or moved it by hand.

    Raises:
        StoreError: it is not known; look, then try again.
    """
    path, job = place.path, place.job
    # First, so that its worker finds it whenever it misses its claim.
    yield from attempts.note(job.name, place.worker, REASON, by_hand=True)
    if moves.terms.mode is not Mode.TRUST:
        # First to a name of our own in the same folder, which is exclusive everywhere.
        tag = moves.nonce()
        if place.folder == RUNNING:
            claim = layout.claim_name(place.worker, job.name)
            own = f"{RUNNING}/{layout.staged_return(moves.worker, claim, tag)}"
        else:
            own = f"{place.folder}/{layout.staged_claim(moves.worker, job.name, tag)}"
        moves.ledger.ask(own, moves.worker, job)
        known = False
        try:
            if (yield from moves.settle(path, own, job.size)) not in MOVED:
                known = True
                return False
            moved, _ = yield from moves.settle_numbered(own, FAILED, job)
            known = True
        finally:
            if known:
                moves.ledger.settled(own)
            else:
                moves.ledger.unsettle(own)  # if it is, or comes, there, the sweep puts it back
    else:
        moved, _ = yield from moves.settle_numbered(path, FAILED, job)
    return moved in MOVED
