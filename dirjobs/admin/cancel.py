"""Taking jobs out of the queue that nobody needs any more."""

from __future__ import annotations

from dirjobs.layout import FAILED, RUNNING, JobFile, claim_name, staged_claim, staged_return
from dirjobs.protocol import attempts
from dirjobs.protocol.parts import Parts

REASON = "cancelled"


def cancel(parts: Parts, file: JobFile) -> bool:
    """Move a waiting or running job to ``99_failed``.

    The worker of a running one learns by `ClaimLost` that its result is not wanted.

    Args:
        parts: the protocol.
        file: where the job is.

    Returns:
        False if it was gone: somebody claimed or ended it, or moved it by hand.

    Raises:
        StoreError: it is not known; look, then try again.
    """
    me, resolver, job = parts.me, parts.resolver, file.job
    # First, so that its worker finds it whenever it misses its claim.
    attempts.note(parts.share, job.name, file.worker, REASON, by_hand=True)
    if me.trusts:
        return resolver.rename_numbered(file.path, FAILED, job)[0].arrived
    # First to a name of our own in the same folder, which is exclusive everywhere.
    if file.folder == RUNNING:
        own = staged_return(me.worker, claim_name(file.worker, job.name), me.nonce())
    else:
        own = staged_claim(me.worker, job.name, me.nonce())
    own = f"{file.folder}/{own}"
    with parts.intents.staged(me.worker, job, own) as staging:
        moved = resolver.rename(file.path, own, job).arrived
        if moved:
            moved = resolver.rename_numbered(own, FAILED, job)[0].arrived
        staging.resolved = True
        return moved
