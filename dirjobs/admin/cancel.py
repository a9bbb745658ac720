"""Taking jobs out of the queue that nobody needs any more."""

from __future__ import annotations

from msgspec.structs import replace

from dirjobs.clock import utc
from dirjobs.layout import FAILED, RUNNING, JobFile, claim_name, staged_claim, staged_return
from dirjobs.protocol import attempts
from dirjobs.protocol.journal import CANCELLED, Record
from dirjobs.protocol.parts import Parts
from dirjobs.version import __version__


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
    record = Record(
        job=job.name,
        worker=file.worker,
        ended=utc(me.store_time()),
        end=CANCELLED,
        dirjobs=__version__,
    )
    journal.note(parts.share, file.path, record)
    moved, name = _move(parts, file)
    if not moved or name != job.name:
        told = {"ended_as": name} if moved else {"lost": True}
        journal.note(parts.share, file.path, replace(record, **told))
    journal.forget(file.path)
    return moved


def _move(parts: Parts, file: JobFile) -> tuple[bool, str]:
    """Whether a job was moved to ``99_failed``, and under which name."""
    me, resolver, job = parts.me, parts.resolver, file.job
    if me.trusts:
        outcome, name = resolver.rename_numbered(file.path, FAILED, job)
        return outcome.arrived, name
    # First to a name of our own in the same folder, which is exclusive everywhere.
    if file.folder == RUNNING:
        own = staged_return(me.worker, claim_name(file.worker, job.name), me.nonce())
    else:
        own = staged_claim(me.worker, job.name, me.nonce())
    own = f"{file.folder}/{own}"
    with parts.intents.staged(me.worker, job, own) as staging:
        moved = resolver.rename(file.path, own, job).arrived
        name = job.name
        if moved:
            outcome, name = resolver.rename_numbered(own, FAILED, job)
            moved = outcome.arrived
        staging.resolved = True
        return moved, name
