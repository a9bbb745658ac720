"""Taking jobs out of the queue that nobody needs any more."""

from __future__ import annotations

from dirjobs.clock import utc
from dirjobs.layout import FAILED, RUNNING, JobFile, claim_name, staged_claim, staged_return
from dirjobs.protocol import attempts
from dirjobs.protocol.journal import CANCELLED, Details, Record
from dirjobs.protocol.parts import Parts
from dirjobs.protocol.resolve import Outcome


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
    me, job, journal = parts.me, file.job, parts.journal
    # First, so that its worker finds it whenever it misses its claim.
    attempts.note(parts.share, job.name, file.worker, CANCELLED, by_hand=True)
    record = Record.of(
        Details(),
        "",
        job=job.name,
        worker=file.worker,
        ended=utc(me.store_time()),
        end=CANCELLED,
    )
    journal.note(parts.share, file.path, record)
    name = _move(parts, file)
    journal.settle(parts.share, file.path, record, name)
    return name is not None


def _move(parts: Parts, file: JobFile) -> str | None:
    """Move a job to ``99_failed``; its name there, None if it was gone."""
    me, resolver, job = parts.me, parts.resolver, file.job
    if me.trusts:
        return _arrived(*resolver.rename_numbered(file.path, FAILED, job))
    # First to a name of our own in the same folder, which is exclusive everywhere.
    if file.folder == RUNNING:
        own = staged_return(me.worker, claim_name(file.worker, job.name), me.nonce())
    else:
        own = staged_claim(me.worker, job.name, me.nonce())
    own = f"{file.folder}/{own}"
    with parts.intents.staged(me.worker, job, own) as staging:
        name = None
        if resolver.rename(file.path, own, job).arrived:
            name = _arrived(*resolver.rename_numbered(own, FAILED, job))
        staging.resolved = True
        return name


def _arrived(outcome: Outcome, name: str) -> str | None:
    return name if outcome.arrived else None
