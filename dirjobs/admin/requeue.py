"""Giving jobs back by hand: for the person, or the script, that comes by once."""

from __future__ import annotations

import logging
from collections.abc import Collection
from contextlib import suppress

from dirjobs import layout
from dirjobs.errors import NotFound
from dirjobs.layout import RUNNING, WAITING
from dirjobs.policy import Mode
from dirjobs.protocol import attempts
from dirjobs.protocol.effects import List, Steps, Wait
from dirjobs.protocol.give_back import GROWING_PAUSE
from dirjobs.protocol.resolve import differ
from dirjobs.recovery.membership import Presence
from dirjobs.recovery.peers import Other
from dirjobs.recovery.requeue import orphans_in
from dirjobs.store import Entry, FileKind

log = logging.getLogger("dirjobs")


def requeue(presence: Presence, jobs: Collection[str], *, dead: bool) -> Steps[list[str]]:
    """Give back claims, as a visitor with a heartbeat of its own for so long.

    Args:
        presence: of the visitor.
        jobs: names of jobs to give back, whoever holds them.
        dead: also what dead or ended workers hold; so it is if there are no `jobs`.

    Returns:
        the names of the jobs that were given back (or given up, after too many deaths).
    """
    found = yield from presence.announce()
    try:
        given_back = yield from _give_back(presence, found, jobs, dead=dead or not jobs)
    except GeneratorExit:  # nobody carries out our requests any more
        raise
    except BaseException:
        yield from presence.end()
        raise
    yield from presence.end()
    return given_back


def _give_back(
    presence: Presence, found: list[Other], jobs: Collection[str], *, dead: bool
) -> Steps[list[str]]:
    given_back = (yield from _by_name(presence, jobs)) if jobs else []
    if dead:
        found = yield from _look_twice(presence, found)
        yield from presence.others.reap_surveyed(found)
        claims = filter(None, map(layout.parse_claim, presence.others.reaper.requeued))
        given_back += [claim.job for claim in claims]
    return given_back


def _look_twice(presence: Presence, found: list[Other]) -> Steps[list[Other]]:
    """The workers in `found`; if jobs depend on the death of some that are only silent,
    as they are after the time in which those would have written again."""
    silent = [other for other in found if other.fate and not other.sure]
    workers = {other.beat.worker for other in silent}
    for folder in (RUNNING, WAITING) if silent else ():
        if orphans_in(folder, (yield from presence.claims.listing(folder)), workers):
            return (yield from presence.survey_again(silent))
    return found


def _by_name(presence: Presence, jobs: Collection[str]) -> Steps[list[str]]:
    claims = presence.claims
    before = yield from _claims_of(jobs)
    if before and claims.terms.mode is not Mode.TRUST:
        yield Wait(max(claims.terms.wait, GROWING_PAUSE))
    given_back = []
    for path, (worker, job) in (yield from _claims_of(jobs)).items():
        if claims.terms.mode is not Mode.TRUST:
            known = before.get(path)
            if known is None or differ(known[1].size, job.size):
                log.warning("%r still changes; it is left alone, try again", path)
                continue
            if (yield from claims.finished(job)):
                yield from claims.park(path, job)
                continue
        if (yield from claims.put_back(path, job)):
            given_back.append(job.name)
            yield from attempts.note(job.name, worker, "given back by hand", by_hand=True)
    return given_back


def _claims_of(jobs: Collection[str]) -> Steps[dict[str, tuple[str, Entry]]]:
    found = {}
    with suppress(NotFound):
        for entry in (yield List(RUNNING)):
            claim = layout.parse_claim(entry.name)
            if claim is None or entry.kind is not FileKind.FILE or claim.job not in jobs:
                continue
            job = Entry(claim.job, entry.mtime, entry.size)
            found[f"{RUNNING}/{entry.name}"] = (claim.worker, job)
    return found
