"""Taking jobs out of the queue that nobody needs any more."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from dirjobs.admin.audience import LOG, Audience
from dirjobs.admin.history import CANCEL, history_of_failures
from dirjobs.admin.locate import chosen, missed
from dirjobs.admin.move import move
from dirjobs.admin.visit import visit
from dirjobs.clock import utc
from dirjobs.layout import FAILED, RUNNING, WAITING, JobFile
from dirjobs.protocol import attempts
from dirjobs.protocol.journal import CANCELLED, Details, Record
from dirjobs.protocol.parts import Parts
from dirjobs.protocol.share import Share

_PASSES = 3
"""Looks for jobs that moved between 00_waiting and 01_running meanwhile."""


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


def unfinished(share: Share, wanted: Collection[str], audience: Audience = LOG) -> list[JobFile]:
    """The waiting and running jobs that are meant by names and patterns; two requests.

    Args:
        share: the queue.
        wanted: names and patterns.
        audience: sees how far it is.

    Raises:
        ConfigurationError: one of them is of no such job.
    """
    found, missing = chosen(_all_unfinished(share), wanted)
    if missing:
        history = history_of_failures(share, audience)

        def state(place: JobFile) -> str:
            told = history.state(place)
            return f"{told} already" if told == CANCELLED else told

        raise missed(share, missing, "waiting or running", state)
    return found


def _all_unfinished(share: Share) -> list[JobFile]:
    waiting = share.jobs_in(WAITING)
    return waiting + share.jobs_in(RUNNING)


def cancel_each(share: Share, places: Sequence[JobFile], audience: Audience = LOG) -> list[JobFile]:
    """Cancel the jobs at `places`, also those that move from there meanwhile, since somebody
    claims them or gives them back.

    Returns:
        where those were that were cancelled; all others have ended.

    Raises:
        StoreError: what was done so far stays done.
    """
    left = {place.job.name for place in places}
    done: list[JobFile] = []
    for _ in range(_PASSES):
        pairs = visit(share, CANCEL, "cancelling", places, cancel, audience=audience)
        moved = [place for place, has_moved in pairs if has_moved]
        done += moved
        left -= {place.job.name for place in moved}
        if not left:
            break
        places = [place for place in _all_unfinished(share) if place.job.name in left]
        if not places:
            break
    return done
