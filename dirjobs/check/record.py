"""Setting a queue up by what a check has found: the record in ``queue.json``."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from dirjobs import layout
from dirjobs.check.probe import Check
from dirjobs.layers import Retrying
from dirjobs.policy import Mode, Terms, warranted
from dirjobs.process import this_process
from dirjobs.protocol.claim import Claims
from dirjobs.protocol.effects import Driver, Steps
from dirjobs.protocol.folders import make_folders
from dirjobs.recovery.agreement import lawful
from dirjobs.recovery.membership import Presence
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
    driver = Driver(Retrying(store), time.sleep)
    driver.run(make_folders())
    terms = Terms(warranted(store.guarantees))
    claims = Claims(f"check-{layout.nonce()}", terms, store.guarantees)
    return driver.run(_record(Presence(claims, this_process()), done))


def _record(presence: Presence, done: Check) -> Steps[Recorded]:
    found = yield from presence.announce()
    try:
        verdict, agreement = done.verdict, presence.agreement
        live = [other.beat for other in found if not other.fate]
        before = presence.claims.terms
        mode, why = verdict.mode, ""
        if mode is Mode.TRUST and agreement.refuted:
            mode, why = Mode.VERIFY, f", for {agreement.refuted}"
        terms = replace(before, mode=mode, sync_time=verdict.sync_time)
        if live and terms.at_least(before.mode, before.sync_time) != terms:
            terms = terms.at_least(before.mode, before.sync_time)
            why = f", for {len(live)} other worker(s) run: check again when none does"
        terms = lawful(replace(terms, lease=max(before.lease, verdict.lease)))
        yield from agreement.write(terms, checked=_summary(done), min_age=verdict.min_age)
        wait = f", sync_time {terms.sync_time:g}" if terms.mode is Mode.SYNC else ""
        return Recorded(
            terms.mode,
            terms.sync_time,
            f"Recorded in {layout.AGREEMENT}: mode {terms.mode.value}{wait}{why}.",
        )
    finally:
        yield from presence.end()


def _summary(done: Check) -> dict[str, object]:
    found, verdict = done.findings, done.verdict
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "verdict": verdict.mode.value,
        "sync_time": verdict.sync_time,
        "rounds": found.across.contested,
        "failed": found.across.failed,
        "bound": found.across.bound,
        "callers": found.callers,
        "lag": found.worst_lag,
        "why": list(verdict.why),
    }
