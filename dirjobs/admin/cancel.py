"""Taking jobs out of the queue that nobody needs any more."""

from __future__ import annotations

from dirjobs.admin.move import move
from dirjobs.clock import utc
from dirjobs.layout import FAILED, JobFile
from dirjobs.protocol import attempts
from dirjobs.protocol.journal import CANCELLED, Details, Record
from dirjobs.protocol.parts import Parts


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
    name = move(parts, file, FAILED)
    journal.settle(parts.share, file.path, record, name)
    return name is not None
