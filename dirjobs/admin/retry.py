"""Letting jobs that have ended, and parked copies, be done once more."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import islice

from dirjobs.admin.audience import LOG, Audience
from dirjobs.admin.history import history_of_failures
from dirjobs.admin.locate import at_rest, chosen, locate, missed, unchanged, underway
from dirjobs.admin.visit import visit
from dirjobs.layout import (
    DONE,
    FAILED,
    PARKED,
    RUNNING,
    WAITING,
    JobFile,
    claim_name,
    names_in_turn,
    staged_claim,
    staged_return,
)
from dirjobs.protocol import attempts
from dirjobs.protocol.journal import CANCELLED
from dirjobs.protocol.parts import Parts
from dirjobs.protocol.share import Share
from dirjobs.shell import quoted
from dirjobs.store import Entry


def retriable(parts: Parts, files: Collection[JobFile]) -> list[JobFile]:
    """Those of some files, listed before, that may be retried: no copies still growing, and none
    of a job that somebody has, but for parked copies.

    Two listings, and what `unchanged` costs.
    """
    whole, share = unchanged(parts, files), parts.share
    parked = [file for file in whole if file.folder == PARKED]
    ended = [file for file in whole if file.folder != PARKED]
    return parked + at_rest(ended, underway(share.jobs_in(WAITING), share.jobs_in(RUNNING)))


def retry(parts: Parts, file: JobFile) -> str | None:
    """Move a job that has ended to ``00_waiting``, or a parked copy under a name of its own.

    Deaths of workers before this no longer count against the job.

    Args:
        parts: the protocol.
        file: where it is, in ``02_done``, ``99_failed`` or ``_queue/parked``; see `retriable`.

    Returns:
        the name under which it waits; None if it is gone, or one of its name waits already.

    Raises:
        StoreError: it is not known; look, then try again.
    """
    job, name = file.job, file.job.name
    if file.folder == PARKED:
        name = _free_number(parts.share, name)
    elif parts.share.exists(f"{WAITING}/{name}"):
        return None
    was_done = file.folder == DONE
    attempts.note(parts.share, name, "", "retried by hand", retried=True, was_done=was_done)
    moved = _carry_back(parts, file, Entry(name, job.mtime, job.size))
    return name if moved else None


def _free_number(share: Share, job: str) -> str:
    return next(
        name
        for name in islice(names_in_turn(job), 1, None)
        if all(file.folder == PARKED for file in locate(share, name))
    )


def _carry_back(parts: Parts, file: JobFile, job: Entry) -> bool:
    """To ``00_waiting``, where nobody may claim a copy that still grows.

    Where a rename may be copy and delete: first to a name of our own in the same folder,
    which is exclusive, then across.  What is left on the way is still recognised.
    """
    me, resolver = parts.me, parts.resolver
    if me.trusts:
        return resolver.rename(file.path, f"{WAITING}/{job.name}", job).arrived
    if file.folder == PARKED:
        own = staged_return(me.worker, claim_name(me.worker, job.name), me.nonce())
    else:
        own = staged_claim(me.worker, job.name, me.nonce())
    own = f"{file.folder}/{own}"
    staged = f"{WAITING}/{staged_claim(me.worker, job.name, me.nonce())}"
    if not resolver.rename(file.path, own, job).arrived:
        return False
    with parts.intents.staged(me.worker, job, staged) as staging:
        back = resolver.rename(own, staged, job).arrived
        back = back and parts.exits.put_back(staged, job)
        staging.resolved = True
        return back


def done_jobs(
    share: Share, wanted: Collection[str] | None, audience: Audience = LOG
) -> list[JobFile]:
    """The jobs that are done and meant to be repeated.

    Args:
        share: the queue.
        wanted: names and patterns; None for all.
        audience: sees how far it is.

    Raises:
        ConfigurationError: one of them is of no such job.
    """
    done = share.jobs_in(DONE)
    if wanted is None:
        return done
    found, missing = chosen(done, wanted)
    if missing:
        raise missed(share, missing, "done", history_of_failures(share, audience).state)
    return found


def failed_jobs(
    share: Share, wanted: Collection[str] | None, audience: Audience = LOG
) -> list[JobFile]:
    """The failed jobs, and parked copies, that are meant to be tried again.

    Args:
        share: the queue.
        wanted: names and patterns; None for all that failed, but for those that were cancelled.
        audience: sees how far it is.

    Raises:
        ConfigurationError: one of them is of no such job.
    """
    failed = share.jobs_in(FAILED)
    if wanted is None:
        history = history_of_failures(share, audience)
        return [place for place in failed if history.state(place) != CANCELLED]
    found, missing = chosen(failed, wanted)
    if missing:
        parked, missing = chosen(share.jobs_in(PARKED), missing)
        found += parked
    if missing:
        raise missed(share, missing, "failed", _state)
    return found


def _state(place: JobFile) -> str:
    if place.folder != DONE:
        return place.state
    again = f"`dirjobs retry --done {quoted(place.job.name)}` runs it once more"
    return f"{place.state} ({again})"


def retry_each(
    share: Share, places: Sequence[JobFile], audience: Audience = LOG
) -> list[tuple[JobFile, str | None]]:
    """Retry the jobs at `places`; see `retry` and `visit`.

    Returns:
        each place that could be retried, and the name under which the job waits now; None if it
        is gone, or waits already.
    """
    return visit(share, "retry", "retrying", places, retry, retriable, audience=audience)
