"""Giving jobs back by hand: for the person, or the script, that comes by once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from dirjobs.admin.locate import unchanged
from dirjobs.errors import Denied, FileStays, JobsRefused, StoreError
from dirjobs.layout import RUNNING, WAITING, JobFile, parse_claim
from dirjobs.policy import DEFAULT_MAX_ATTEMPTS, Policy
from dirjobs.protocol import attempts
from dirjobs.protocol.share import Share
from dirjobs.recovery.membership import Membership, new_member
from dirjobs.recovery.orphans import Orphan, orphans_in
from dirjobs.recovery.peers import Peer


def requeue(
    share: Share,
    jobs: Collection[str],
    *,
    dead: bool,
    policy: Policy | None = None,
    max_attempts: int = DEFAULT_MAX_ATTEMPTS,
) -> list[str]:
    """Give back claims, as somebody with a heartbeat of its own for so long.

    Args:
        share: the queue.
        jobs: names of jobs to give back, whoever holds them.
        dead: also what dead or ended workers hold; so it is if there are no `jobs`.
        policy: by which the requeuing goes if the workers have agreed on none.
        max_attempts: how many workers may die at a job before it counts as failed.

    Returns:
        the names of the jobs that were given back (or given up, after too many deaths).
    """
    return give_back(new_member(share, "requeue", policy, max_attempts), jobs, dead=dead)


def give_back(membership: Membership, jobs: Collection[str], *, dead: bool) -> list[str]:
    """The same, as a member who has not joined yet; it has left at the end."""
    found = membership.announce()
    try:
        given_back = _by_name(membership, found, jobs) if jobs else []
        if dead or not jobs:
            found = _look_twice(membership, found)
            membership.peers.recover_from(found)
            claims = filter(None, map(parse_claim, membership.peers.orphans.requeued))
            given_back += [claim.job for claim in claims]
    finally:
        membership.end()
    return given_back


def _look_twice(membership: Membership, found: list[Peer]) -> list[Peer]:
    """The workers in `found`; if jobs depend on the death of some that are only silent,
    as they are after the time in which those would have written again.

    Who is only silent and has no jobs is left alone: whoever claims one after this look lives.
    """
    silent = [peer for peer in found if peer.cause and not peer.proven]
    workers = {peer.heartbeat.worker for peer in silent}
    for folder in (RUNNING, WAITING) if silent else ():
        if any(orphans_in(folder, membership.share.listed(folder), workers)):
            return membership.snapshot_after_pause(silent)
    return [replace(peer, cause="") if peer in silent else peer for peer in found]


def _by_name(membership: Membership, found: list[Peer], jobs: Collection[str]) -> list[str]:
    parts, orphans = membership.parts, membership.peers.orphans
    told = {peer.heartbeat.worker: peer.heartbeat.running for peer in found}
    claims = _claims_of(parts.share, jobs)
    given_back = []
    refused: dict[str, StoreError] = {}
    for file in unchanged(parts, claims):
        path, job = file.path, file.job
        orphan = Orphan(path, file.worker, job, begun=True)
        owners = {claim.worker for claim in claims if claim.job.name == job.name}
        if not orphans.may_go_back(orphan, told.get(file.worker, {}), owners):
            continue
        try:
            moved = parts.exits.put_back(path, job)
        except (Denied, FileStays) as error:  # the others don't wait
            refused[job.name] = error
            continue
        if moved:
            given_back.append(job.name)
            attempts.note(parts.share, job.name, file.worker, attempts.GIVEN_BACK, by_hand=True)
    if refused:
        raise JobsRefused.of(refused, "given back")
    return given_back


def _claims_of(share: Share, jobs: Collection[str]) -> list[JobFile]:
    return [file for file in share.jobs_in(RUNNING) if not file.staged and file.job.name in jobs]
