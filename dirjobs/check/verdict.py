"""What follows from the findings: which mode is right, and what to be careful of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from dirjobs.check.file_semantics import Nowhere, Partial
from dirjobs.check.findings import Findings
from dirjobs.policy import DEFAULT_LEASE, Mode, Policy, cautious
from dirjobs.testing.races import Race

ENOUGH = 300
"""Contested rounds without a failure after which renames are trusted."""
FEW = 25
"""Contested rounds for one name after which it is known whether a rename replaces what is there:
where it does, most of them go wrong."""
MIN_AGE = 10.0
_CLOCKS_DIFFER = 60.0


@dataclass(frozen=True)
class Verdict:
    """The outcome in one piece.

    Attributes:
        mode: how workers should make sure of their jobs here.
        sync_time: S in seconds, for mode sync; else 0.
        lease: seconds.
        min_age: seconds that a file must stay unchanged before it is taken.
        seconds_per_job: what taking and ending a job costs that nobody else wants.
        why: sentences.
        avoid: sentences.
    """

    mode: Mode
    sync_time: float
    lease: float
    min_age: float
    seconds_per_job: float
    why: tuple[str, ...]
    avoid: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        return {**asdict(self), "mode": self.mode.value}


def decide(found: Findings) -> Verdict:
    """The verdict on what was found."""
    lag = _lag(found)
    wait = _sync_time(lag) if lag else 0.0
    lost = found.nowhere is Nowhere.LOST
    refuted = found.across.failed > 0 or found.times.kept is False or lost
    refuted = refuted or _replaces(found.collisions)
    tried = _is_tried(found.across) and found.collisions.contested >= FEW
    if wait:
        mode = Mode.SYNC
    elif not refuted and (tried or cautious(found.promised).mode is Mode.TRUST):
        mode = Mode.TRUST
    elif found.promised.visible_after:
        # What one machine saw in time another one may be shown from a cache.
        mode, wait = Mode.SYNC, _sync_time(found.promised.visible_after)
    else:
        mode = Mode.VERIFY
    law = Policy(mode, wait, lease=DEFAULT_LEASE).shortest_lease
    return Verdict(
        mode=mode,
        sync_time=wait,
        lease=max(DEFAULT_LEASE, math.ceil(law / 10) * 10.0),
        min_age=MIN_AGE if found.partial is Partial.MOVABLE and not found.is_local else 0.0,
        seconds_per_job=_cost(found, mode, wait),
        why=tuple(_why(found, mode, lag)),
        avoid=tuple(_avoid(found, mode)),
    )


def _is_tried(race: Race) -> bool:
    return race.holds and race.contested >= ENOUGH


def _replaces(race: Race) -> bool:
    """Whether renames replace what is there.  A server that looks, and renames a moment later,
    loses a file now and then; one that doesn't look, or not itself, in most rounds."""
    return race.failed > race.contested / 2


def _lag(found: Findings) -> float:
    """Seconds by which somebody may see a change late: what was measured, with half as much
    again, and not less than what is known of such a place."""
    return max(1.5 * found.worst_lag, found.surroundings.lag)


def _sync_time(lag: float) -> float:
    """More than the lag; a multiple of 5 seconds."""
    return math.ceil((lag + max(5.0, lag / 6)) / 5) * 5.0


def _cost(found: Findings, mode: Mode, wait: float) -> float:
    rename, listing, look = (found.latency.get(verb, 0.0) for verb in ("rename", "list", "exists"))
    if mode is Mode.TRUST:
        return 2 * rename
    if mode is Mode.VERIFY:
        return 3 * rename + listing + 2 * look
    return 2 * wait + 2 * rename + 6 * listing


def _why(found: Findings, mode: Mode, lag: float) -> Iterator[str]:
    if mode is Mode.SYNC:
        yield from _why_sync(found, lag)
    if found.times.kept is False:
        yield (
            "A rename to another folder is a copy and a delete here: the file had another time"
            " afterwards."
        )
    if found.nowhere is Nowhere.LOST:
        yield "A file that was renamed into a missing folder was LOST."
    yield _summary(found.across, found.callers, "renaming one file to another folder")
    late = mode is Mode.SYNC and found.promised.visible_after
    if (mode is Mode.VERIFY or late) and not found.across.failed and not _is_tried(found.across):
        yield (
            f"That is less than the {ENOUGH} races that mode trust needs; more time is given"
            " with --rounds."
        )
    if mode is Mode.VERIFY and _replaces(found.collisions):
        yield (
            "A rename to a name that somebody else takes at the same moment replaces what is there:"
            f" {_gone_wrong(found.collisions, found.callers)}."
        )
    elif mode is Mode.VERIFY and _is_tried(found.across) and found.collisions.contested < FEW:
        yield (
            f"Fewer than the {FEW} races for one name that mode trust needs were contested; more"
            " time is given with --rounds."
        )


def _why_sync(found: Findings, lag: float) -> Iterator[str]:
    for kind in found.surroundings.kinds:
        yield f"This is a {kind.name}: {kind.why}."
    for view, between in (
        (found.lag, "between two connections"),
        (found.mount_lag, "between here and the mount"),
    ):
        if view is not None and view.unseen:
            what, seconds = view.unseen
            yield f"{what.capitalize()} was not seen {between} after {seconds:.0f} s."
        elif view is not None and view.worst:
            yield (
                f"Measured {between}, a new file is listed {view.new:.1f} s late, a renamed one"
                f" {view.appeared:.1f} s, and the old name goes {view.vanished:.1f} s late."
            )
    if late := found.promised.visible_after:
        yield f"Other machines' listings may be {late:.0f} s late here, whatever this one is shown."
    lag = max(lag, late or 0.0)
    yield f"sync_time has to be more than the longest lag, for which {lag:.0f} s is assumed."


def _summary(race: Race, callers: str, what: str) -> str:
    if race.failed:
        return f"{what.capitalize()} is not exclusive: {_gone_wrong(race, callers)}."
    if race.bound is None:
        return f"No race for {what} was contested, so nothing is known of it."
    return (
        f"In {race.contested} races of {callers} for {what} exactly one of them had it each time."
        " That can be refuted, never proved: with 95 % confidence fewer than one race in"
        f" {math.floor(1 / race.bound)} goes wrong."
    )


def _gone_wrong(race: Race, callers: str) -> str:
    kinds = ", ".join(f"{kind} ({n})" for kind, n in race.failures.most_common())
    return f"{race.failed} of {race.rounds} races of {callers} went wrong: {kinds}"


def _avoid(found: Findings, mode: Mode) -> Iterator[str]:
    if found.surroundings.url:
        yield (
            f"This is {found.surroundings.source} through Windows' own client: the share's own"
            f" URL, {found.surroundings.url}, is safer."
        )
    lost = any("lost" in kind for race in (found.across, found.inside) for kind in race.failures)
    if lost or found.nowhere is Nowhere.LOST:
        yield "Files were LOST by renames: don't keep a queue here."
    if mode is Mode.VERIFY and found.inside.failed:
        yield _summary(found.inside, found.callers, "renaming within one folder")
        yield (
            "So mode verify has nothing but its looks to stand on, and a job that is given back"
            " may be taken before it is whole: use another server."
        )
    if found.collisions.failed:
        yield (
            "Of those who rename to one name at the same moment several may be told yes, and a file"
            f" is gone: {found.collisions.failed} of {found.collisions.rounds} races. Don't let two"
            " machines add jobs of the same names at the same time."
        )
    if found.promised.visible_after is None and mode is not Mode.SYNC and not found.is_local:
        yield (
            "No change was seen late, but nobody promises that none ever is: if listings may be"
            " late here, use mode sync with a sync_time that is longer."
        )
    if found.write is not None and found.write.failed:
        yield "Files written at the same time come out mixed: heartbeats may be torn."
    if any(not kind.bounded for kind in found.surroundings.kinds):
        yield (
            "Nobody can promise how late changes are seen here: a machine that is offline for"
            " longer than sync_time may start a job a second time. The share's own URL is safer."
        )
    if found.partial is Partial.MOVABLE and found.is_local:
        yield (
            "A file that is still being copied into 00_waiting can be claimed: copy to another"
            " name first (job.txt.part), or use --min-age."
        )
    elif found.partial is Partial.MOVABLE:
        yield (
            "A file that is still being uploaded can be claimed: add jobs by dirjobs, which"
            f" uploads under another name; others are taken after {MIN_AGE:g} s without a change."
        )
    if found.changed_names:
        yield (
            f"The names of files that are renamed are changed or refused here if they have"
            f" {', '.join(found.changed_names)}: use letters, digits, '.', '_' and '-' for jobs,"
            " or have the proxy before the server pass on Destination as it is."
        )
    if found.names is not None:
        if found.names.dangerous and not found.changed_names:
            yield f"Job names with these are changed here: {', '.join(found.names.dangerous)}."
        if found.names.longest < 199:
            longest = found.names.longest
            yield f"Claims may have names of {longest} bytes here: keep job names short."
        if found.names.case_sensitive is False:
            yield "Capitals don't matter here: job1 and JOB1 are one name."
    if abs(found.times.offset or 0.0) > _CLOCKS_DIFFER:
        yield (
            f"The share's clock differs from ours by {found.times.offset:.0f} s: dirjobs doesn't"
            " mind, programs that compare file times do."
        )
