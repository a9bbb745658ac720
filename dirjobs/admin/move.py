"""Moving a job by hand to a folder from which nobody takes any."""

from __future__ import annotations

from dirjobs.layout import RUNNING, WAITING, JobFile, claim_name, staged_claim, staged_return
from dirjobs.protocol.parts import Parts
from dirjobs.protocol.resolve import Outcome


def move(parts: Parts, file: JobFile, folder: str) -> str | None:
    """Move a job to `folder`, under its name or the first of ``job~2``, ``job~3``, ... that is
    free there.

    Where a rename may be copy and delete: first to a name of our own in the same folder, which
    is exclusive everywhere.  What is left on the way is still recognised.

    Args:
        parts: the protocol.
        file: where the job is.
        folder: where it is to go.

    Returns:
        its name there; None if it was gone: somebody claimed or ended it, or moved it by hand.

    Raises:
        StoreError: it is not known; look, then try again.
    """
    me, resolver, job = parts.me, parts.resolver, file.job
    if me.trusts:
        outcome, name = resolver.rename_numbered(file.path, folder, job)
        # The source may also be gone because somebody was faster than a request that got lost.
        in_doubt = outcome is Outcome.GONE_IN_DOUBT
        lost = in_doubt and not parts.look.is_there(f"{folder}/{name}")
        return name if outcome.arrived and not lost else None
    if file.folder == RUNNING:
        own = staged_return(me.worker, claim_name(file.worker, job.name), me.nonce())
    else:
        own = staged_claim(me.worker, job.name, me.nonce())
    own = f"{file.folder}/{own}"
    swept = [own] if file.folder in (WAITING, RUNNING) else []
    with parts.intents.staged(me.worker, job, *swept) as staging:
        arrived = resolver.rename(file.path, own, job).arrived
        if arrived:
            outcome, name = resolver.rename_numbered(own, folder, job)
            arrived = outcome.arrived
        staging.resolved = True
        return name if arrived else None
