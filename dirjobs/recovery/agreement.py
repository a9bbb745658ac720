"""What the workers of a queue have agreed on: the mode, in ``queue.json``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from dirjobs.errors import ConfigurationError, NotFound, StoreError
from dirjobs.layout import AGREEMENT
from dirjobs.policy import Mode, Terms, seconds
from dirjobs.protocol.claim import Claims
from dirjobs.protocol.effects import Read, Steps, Wait, Write
from dirjobs.recovery.heartbeat import Beat, agreement_from_bytes, agreement_to_bytes, further_keys

log = logging.getLogger("dirjobs")


class Agreement:
    """One worker's part in the agreement, which is only ever made more careful while
    anybody else lives.

    Args:
        claims: the worker's claims; their terms are kept up here.
        insists: the user named the mode, so it is not quietly replaced by another one.
    """

    def __init__(self, claims: Claims, *, insists: bool) -> None:
        self.claims = claims
        self.insists = insists
        claims.by_record = not insists
        self.hold_until = 0.0
        """Nothing should be claimed before, by the monotonic clock: others may still work
        in a less careful mode."""
        self._complaint = ""
        self._further: Mapping[str, object] = {}
        self._fallback: dict[str, object] = {}

    def recorded(self, defaults: Terms) -> Steps[Terms | None]:
        """What ``queue.json`` says; None if there is none.

        Raises:
            ConfigurationError: it makes no sense.
        """
        try:
            data: bytes = yield Read(AGREEMENT)
        except NotFound:
            return None
        self._further = further_keys(data)
        return agreement_from_bytes(data, defaults)

    @property
    def min_age(self) -> float:
        """Seconds that a file must stay unchanged before it is taken, as recorded."""
        with suppress(ConfigurationError):
            return seconds("min_age", self._further.get("min_age"))
        return 0.0

    @property
    def refuted(self) -> str:
        """Why renames are not trusted any more in this queue; empty if nothing says so."""
        found = self._further.get("refuted")
        return str(found.get("why", "")) if isinstance(found, dict) else ""

    def write(self, terms: Terms, **further: object) -> Steps[None]:
        """Write `terms` into ``queue.json``; whatever else is in there stays.

        Args:
            terms: mode and times.
            further: more keys to set.
        """
        try:
            data: bytes = yield Read(AGREEMENT)
        except NotFound:
            data = b""
        self._further = {**further_keys(data), **self._fallback, **further}
        yield Write(AGREEMENT, agreement_to_bytes(terms, self._further))

    def settle(self, wish: Terms, recorded: Terms | None, live: list[Beat]) -> Steps[None]:
        """Run in the most careful mode of ``queue.json``, live workers and ourselves.

        Half of the workers in another mode broke exclusion in 149 of 150 races.
        """
        agreed = self.claims.terms
        if self.insists and not live:
            agreed = replace(agreed, mode=wish.mode, sync_time=wish.sync_time)
        elif not self.insists and recorded is not None:
            agreed = replace(agreed, mode=recorded.mode, sync_time=recorded.sync_time)
        for beat in live:
            agreed = agreed.at_least(beat.terms.mode, beat.terms.sync_time)
        if self.insists and (agreed.mode, agreed.sync_time) != (wish.mode, wish.sync_time):
            raise ConfigurationError(
                f"this queue works in mode {agreed.mode.value!r} with sync_time"
                f" {agreed.sync_time:g} (see {AGREEMENT}) and {len(live)} other worker(s) run,"
                f" but {self.claims.worker} asks for mode {wish.mode.value!r} with sync_time"
                f" {wish.sync_time:g}: leave the mode out, or stop the others first."
            )
        agreed = self.claims.terms = lawful(agreed)
        if recorded is None or (agreed.mode, agreed.sync_time) != (
            recorded.mode,
            recorded.sync_time,
        ):
            yield from self.write(agreed)
        if any(agreed.more_careful_than(beat.terms) for beat in live):
            pause = agreed.heartbeat + agreed.timeout
            log.info("waiting %g s until the other workers use mode %s", pause, agreed.mode.value)
            yield Wait(pause)

    def follow(self, new: list[Beat]) -> Steps[None]:
        """Become as careful as ``queue.json`` and the workers that are new."""
        agreed = self.claims.terms
        for beat in new:
            agreed = agreed.at_least(beat.terms.mode, beat.terms.sync_time)
        try:
            recorded = yield from self.recorded(agreed)
        except ConfigurationError as error:  # half written, or by hand: the terms hold on
            if str(error) != self._complaint:
                log.warning("%s", error)
            self._complaint = str(error)
            recorded = self.claims.terms
        else:
            self._complaint = ""
        if recorded is not None:
            agreed = agreed.at_least(recorded.mode, recorded.sync_time)
        if agreed.more_careful_than(self.claims.terms):
            log.warning("this queue works in mode %s from now on", agreed.mode.value)
            mode, wait = agreed.mode, agreed.sync_time
            self.claims.terms = lawful(replace(self.claims.terms, mode=mode, sync_time=wait))
        if recorded is None or agreed.more_careful_than(recorded):
            yield from self.write(agreed)

    # -- a promise that is not kept ---------------------------------------------------------

    @property
    def is_in_question(self) -> bool:
        """Whether there is evidence to face, or reason to hold back."""
        return bool(self.claims.evidence or self.hold_until)

    def face_evidence(self) -> Steps[None]:
        """Trust no longer if our claims have met what an exclusive rename can't bring about:
        the queue falls back to mode verify, for everybody."""
        evidence = self.claims.evidence
        if not evidence or not self.claims.is_on_trial:
            return
        why, terms = evidence[0], self.claims.terms
        self.claims.terms = lawful(replace(terms, mode=Mode.VERIFY))
        # Others follow with their next heartbeat; whoever claims before, trusts.
        self.hold_until = self.claims.clock() + terms.heartbeat + terms.timeout
        log.error(
            "renames are not exclusive here, though a check found them so: %s; this queue"
            " works in mode verify from now on",
            why,
        )
        at = datetime.now(UTC).isoformat(timespec="seconds")
        self._fallback = {"refuted": {"why": why, "by": self.claims.worker, "at": at}}
        try:
            yield from self.write(self.claims.terms)
        except StoreError as error:  # `follow` tries again with each heartbeat
            log.warning("%s can't be written (%s); trying on", AGREEMENT, error)


def lawful(terms: Terms) -> Terms:
    """`terms` that others asked for, with a lease long enough for them: each heartbeat
    says by which lease it wants to be judged."""
    return replace(terms, lease=max(terms.lease, terms.shortest_lease))
