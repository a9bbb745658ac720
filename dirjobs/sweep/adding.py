"""Adding many jobs at once: all are checked before the first is added."""

from __future__ import annotations

from dirjobs.admin import enqueue
from dirjobs.admin.audience import LOG, Audience
from dirjobs.admin.parallel import each
from dirjobs.admin.signatures import Signatures
from dirjobs.errors import (
    ConfigurationError,
    DirJobsError,
    InvalidName,
    JobExists,
    StoreError,
)
from dirjobs.layout import WAITING
from dirjobs.names import nonce
from dirjobs.policy import cautious
from dirjobs.protocol.intents import Intents
from dirjobs.protocol.me import Me
from dirjobs.protocol.parts import Parts
from dirjobs.protocol.share import Share
from dirjobs.sweep.sources import Batch, NewJob


def names_to_add(
    share: Share,
    batch: Batch,
    skip_existing: bool,
    advice: str,
) -> frozenset[str]:
    """The names of a batch that no job in the queue has.

    Args:
        share: the queue.
        batch: the jobs.
        skip_existing: leave out those whose names are in use.
        advice: what to do about them otherwise.

    Raises:
        JobExists: some have, and that is not allowed.
        InvalidName: the store can't carry a name.
    """
    enqueue.refuse_changed_names(share, batch.names)
    for name in batch.names:
        if problem := share.store.rename_problem(WAITING, name):
            raise InvalidName(f"job name {name!r} can't be used here: {problem}.")
    known = enqueue.known_jobs(share)
    clashes = [name for name in batch.names if enqueue.key(name) in known]
    if clashes and not skip_existing:
        more = f" (and {len(clashes) - 1:,} more names are in use)" if len(clashes) > 1 else ""
        where = known[enqueue.key(clashes[0])]
        raise JobExists(
            f"job {clashes[0]!r} exists already in {where}{more}: nothing was added; {advice}."
        )
    return frozenset(batch.names).difference(clashes)


def add_all(
    share: Share,
    batch: Batch,
    wanted: frozenset[str],
    skip_existing: bool,
    signatures: Signatures | None = None,
    audience: Audience = LOG,
    again: str = "the same call with skip_existing=True",
) -> list[str]:
    """Add the jobs of a batch, by several threads.

    Args:
        share: the queue.
        batch: the jobs.
        wanted: the names of those to add.
        skip_existing: leave out those whose names somebody else has used meanwhile.
        signatures: sign them.
        audience: sees how far it is.
        again: what adds the rest if this is interrupted.

    Returns:
        the names of those that were added, in the order of the batch.

    Raises:
        StoreError, ConfigurationError: some were not; the message says how many were.
    """
    guarantees = share.store.guarantees
    me = Me(f"add-{nonce()}", cautious(guarantees), guarantees)
    intents = Intents()

    def place(share: Share, job: NewJob) -> bool:
        parts = Parts(share, me, intents)
        try:
            if signatures is not None:
                with job.open() as source:
                    signatures.sign(share, job.name, source)
            with job.open() as source:
                enqueue.upload_and_rename(parts, job.name, source, job.size)
        except JobExists:
            if not skip_existing:
                raise
            return False
        return True

    # By threads: they end in any order.
    added: list[str] = []
    todo = (job for job in batch.jobs() if job.name in wanted)
    try:
        with audience.progress("adding", len(wanted)) as bar:
            for job, done in each(share, todo, place):
                if done:
                    added.append(job.name)
                bar.show(len(added))
    except (DirJobsError, OSError) as error:
        if not added:
            raise
        kind = StoreError if isinstance(error, OSError) else ConfigurationError
        raise kind(f"{_so_far(added, wanted, again)}  What happened: {error}") from error
    except KeyboardInterrupt:
        audience.tell(_so_far(added, wanted, again))
        raise
    places = {name: number for number, name in enumerate(batch.names)}
    return sorted(added, key=places.__getitem__)


def _so_far(added: list[str], wanted: frozenset[str], again: str) -> str:
    return f"{len(added):,} of {len(wanted):,} jobs were added; {again} adds the rest."
