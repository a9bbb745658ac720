"""Setting a queue up by what a check has found: the record in ``queue.json``."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dirjobs.check.probe import Check
from dirjobs.clock import utc_now
from dirjobs.layers import Retrying
from dirjobs.layout import AGREEMENT
from dirjobs.policy import Mode
from dirjobs.protocol.folders import make_folders
from dirjobs.protocol.share import Share
from dirjobs.recovery.membership import new_member
from dirjobs.store import Store


@dataclass(frozen=True)
class Recorded:
    """What was written.

    Attributes:
        mode: the queue's mode from now on.
        sync_time: S in seconds.
        sentence: the same for people, with the reason if it is not the verdict's.
    """

    mode: Mode
    sync_time: float
    sentence: str

    def to_json(self) -> dict[str, object]:
        return {"mode": self.mode.value, "sync_time": self.sync_time, "why": self.sentence}


def record(store: Store, done: Check) -> Recorded:
    """Write the outcome of a check into the queue's ``queue.json``; its folders are made.

    While other workers run, the mode only ever becomes more careful.  A queue that has
    met evidence against its renames stays in mode verify.

    Args:
        store: the queue.
        done: the check.

    Raises:
        ConfigurationError: ``queue.json`` makes no sense.
        StoreError: the queue can't be written to.
    """
    share = Share(Retrying(store))
    make_folders(share)
    verdict = done.verdict
    membership = new_member(share, "check")
    membership.agreement.names_queue = True
    found = membership.announce()
    try:
        agreement, before = membership.agreement, membership.me.policy
        mode, why = verdict.mode, ""
        if mode is Mode.TRUST and agreement.refuted:
            mode, why = Mode.VERIFY, f", for {agreement.refuted}"
        policy = replace(before, mode=mode, sync_time=verdict.sync_time)
        loosens = policy.at_least_as_strict_as(before.mode, before.sync_time) != policy
        silent = [peer for peer in found if peer.cause and not peer.proven]
        if loosens and silent:
            found = membership.snapshot_after_pause(silent)
        live = [peer for peer in found if not peer.cause]
        if live and loosens:
            policy = policy.at_least_as_strict_as(before.mode, before.sync_time)
            why = f", for {len(live)} other worker(s) run: check again when none does"
        policy = replace(policy, lease=max(before.lease, verdict.lease)).with_legal_lease()
        agreement.write(
            policy,
            checked=_summary(done),
            min_age=verdict.min_age,
            changed_names=done.findings.changed_names or [],
        )
        wait = f", sync_time {policy.sync_time:g}" if policy.mode is Mode.SYNC else ""
        return Recorded(
            policy.mode,
            policy.sync_time,
            f"Recorded in {AGREEMENT}: mode {policy.mode.value}{wait}{why}.",
        )
    finally:
        membership.end()


def _summary(done: Check) -> dict[str, object]:
    found, verdict = done.findings, done.verdict
    return {
        "at": utc_now(),
        "verdict": verdict.mode.value,
        "sync_time": verdict.sync_time,
        "rounds": found.across.contested,
        "failed": found.across.failed,
        "collisions": found.collisions.contested,
        "collisions_failed": found.collisions.failed,
        "bound": found.across.bound,
        "callers": found.callers,
        "lag": found.worst_lag,
        "why": list(verdict.why),
    }
