"""What the workers of a queue have agreed on: the mode, in ``queue.json``; and its id there.

Half of the workers in another mode broke exclusion in 149 of 150 races.  So everybody runs
in the strictest of ``queue.json`` and all live workers, and ``queue.json`` only ever becomes
stricter while anybody else lives.

The id tells the queue from an empty place, and from another one (`dirjobs.protocol.outage`).
It is made with the queue, by `init` or the first worker, and never changes: whoever writes the
file keeps what stands there.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import msgspec

from dirjobs import names
from dirjobs.clock import utc_now
from dirjobs.errors import ConfigurationError, NotFound, StoreError, TooLarge
from dirjobs.layout import AGREEMENT
from dirjobs.policy import YEAR, Heartbeat, Lease, Mode, Policy, Wait, seconds
from dirjobs.protocol.evidence import Evidence
from dirjobs.protocol.me import Me
from dirjobs.protocol.records import decode
from dirjobs.protocol.share import Share

log = logging.getLogger(__name__)

FORMAT = 1
ID_LENGTH, _LONGEST_ID = 12, 300


class _Record(msgspec.Struct):
    """What of ``queue.json`` decides anything."""

    mode: Mode
    sync_time: Wait | msgspec.UnsetType = msgspec.UNSET
    heartbeat: Heartbeat | msgspec.UnsetType = msgspec.UNSET
    lease: Lease | msgspec.UnsetType = msgspec.UNSET
    min_age: Lease | msgspec.UnsetType = msgspec.UNSET


class _Links(msgspec.Struct):
    links: list[str] = []


def id_in(data: bytes) -> str | None:
    """The queue's id in ``queue.json``; empty if it has none, None if it makes no sense."""
    try:
        found = decode(data, dict[str, object]).get("id")
    except ValueError:
        return None
    return _id(found)


def _id(found: object) -> str:
    """What stands there as the queue's id; empty if that is no name, such as half a pair of
    surrogates, which nobody could write down."""
    is_name = isinstance(found, str) and len(found) <= _LONGEST_ID and found.isprintable()
    return str(found) if is_name else ""


def to_bytes(policy: Policy, further: Mapping[str, object] | None = None) -> bytes:
    """The content of ``queue.json``: `policy`, and whatever else stands there."""
    record = {
        **(further or {}),
        "format": FORMAT,
        "mode": policy.mode.value,
        "sync_time": policy.sync_time,
        "heartbeat": policy.heartbeat,
        "lease": policy.lease,
    }
    return _encoded(record)


def _encoded(record: Mapping[str, object]) -> bytes:
    return json.dumps(record, indent=1).encode() + b"\n"


def from_bytes(data: bytes, defaults: Policy) -> Policy:
    """What ``queue.json`` says; what it leaves out is as in `defaults`.

    Raises:
        ConfigurationError: it says something that makes no sense.
    """
    try:
        record = decode(data, _Record)
    except ValueError as error:
        raise _not_understood(error) from error
    said = msgspec.structs.asdict(record).items()
    return replace(
        defaults,
        **{key: value for key, value in said if value is not msgspec.UNSET and key != "min_age"},
    )


def _not_understood(error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"{AGREEMENT} can't be understood ({error}): correct it, or move it away while no worker"
        " runs."
    )


def further_keys(data: bytes) -> dict[str, object]:
    """All that ``queue.json`` says, to be kept when it is rewritten; nothing if it makes no
    sense."""
    try:
        return decode(data, dict[str, object])
    except ValueError:
        return {}


def changed_names(further: Mapping[str, object]) -> tuple[str, ...]:
    """What ``queue.json`` says that names of jobs must not have, of `names.CHANGEABLE`; what is
    unknown, or of another type, is left alone."""
    found = further.get("changed_names")
    return tuple(kind for kind in names.CHANGEABLE if isinstance(found, list) and kind in found)


def recorded_problem(name: str, changed: Collection[str]) -> str | None:
    """Why a job can't have this name in a queue where these of `names.CHANGEABLE` are changed,
    by its record; None if it can."""
    problem = names.change_problem(name, changed)
    return problem and (f"{problem} (so says {AGREEMENT}; `dirjobs check --record` writes it anew)")


def recorded_problems(share: Share, jobs: Iterable[str]) -> dict[str, str]:
    """Those of `jobs` whose names would be changed on the way, by the record, and what to tell of
    each; one request if any of them could be at all."""
    doubtful = [job for job in jobs if names.is_changeable(job)]
    if not doubtful:
        return {}
    try:
        changed = changed_names(further_keys(share.read(AGREEMENT)))
    except (NotFound, TooLarge):
        return {}
    problems = ((job, recorded_problem(job, changed)) for job in doubtful)
    return {job: problem for job, problem in problems if problem}


def links_in(data: bytes) -> frozenset[str]:
    """The folders that ``queue.json`` lets be symbolic links."""
    try:
        return frozenset(decode(data, _Links).links)
    except ValueError:
        return frozenset()


class Agreement:
    """One worker's part in the agreement.

    Args:
        share: where ``queue.json`` is.
        me: the worker; its policy is kept up here.
        evidence: what speaks against a mode that only rests on a record.

    Attributes:
        no_claims_before: a time by the monotonic clock; until then others may still work in a
            less strict mode.
        queue_id: the queue's id, as it was last read or written; empty if it had none.
        names_queue: give the queue an id if it has none; not for those who only come by.
    """

    def __init__(self, share: Share, me: Me, evidence: Evidence) -> None:
        self.share = share
        self.me = me
        self.evidence = evidence
        self.no_claims_before = 0.0
        self.queue_id = ""
        self.names_queue = True
        self._complaint = ""
        self._further: Mapping[str, object] = {}
        self._fallback: dict[str, object] = {}

    @property
    def insists(self) -> bool:
        """Whether the user named the mode, so that it is not quietly replaced by another."""
        return not self.me.mode_not_requested

    def recorded(self, defaults: Policy) -> Policy | None:
        """What ``queue.json`` says; None if there is none.

        Raises:
            ConfigurationError: it makes no sense.
        """
        try:
            data = self.share.read(AGREEMENT)
        except NotFound:
            return None
        except TooLarge as error:
            raise _not_understood(error) from error
        self._keep(further_keys(data))
        self.queue_id = id_in(data) or self.queue_id
        return from_bytes(data, defaults)

    @property
    def min_age(self) -> float:
        """Seconds that a file must stay unchanged before it is taken, as recorded."""
        with suppress(ConfigurationError):
            return seconds("min_age", self._further.get("min_age"), most=YEAR)
        return 0.0

    @property
    def refuted(self) -> str:
        """Why renames are not trusted any more in this queue; empty if nothing says so."""
        found = self._further.get("refuted")
        return str(found.get("why", "")) if isinstance(found, dict) else ""

    def write(self, policy: Policy, share: Share | None = None, **further: object) -> None:
        """Write `policy` into ``queue.json``; whatever else is in there stays.

        Args:
            policy: mode and times.
            share: the caller's connection, if it is another one.
            further: more keys to set.
        """
        share = share or self.share
        try:
            known = further_keys(share.read(AGREEMENT))
        except NotFound:
            known = dict(self._further)  # somebody removed it, or it is not found for a moment
        self._keep(self._with_id({**known, **self._fallback, **further}))
        share.write(AGREEMENT, to_bytes(policy, self._further))

    def _with_id(self, keys: dict[str, object]) -> dict[str, object]:
        """`keys` with the queue's id: the one that stands there, else the one it had, else a
        new one."""
        if found := _id(keys.get("id")):
            self.queue_id = found
        elif not self.queue_id:
            if not self.names_queue:
                return keys
            self.queue_id = names.nonce(ID_LENGTH)
        return {**keys, "id": self.queue_id}

    def _name_queue(self) -> None:
        """Give a queue of an older version an id; all else in ``queue.json`` stays."""
        keys = self._with_id(further_keys(self.share.read(AGREEMENT)))
        self.share.write(AGREEMENT, _encoded(keys))
        self._keep(keys)

    def _keep(self, further: Mapping[str, object]) -> None:
        self._further = further
        self.me.changed_names = changed_names(further)

    def settle(self, wish: Policy, recorded: Policy | None, live: Sequence[Policy]) -> None:
        """Run in the strictest mode of ``queue.json``, live workers and ourselves.

        Args:
            wish: what this worker would do if it were alone.
            recorded: what ``queue.json`` says.
            live: the policies of the other workers that are alive.

        Raises:
            ConfigurationError: the user asks for a less strict mode than live workers use.
        """
        if recorded is None:
            # Made meanwhile, or not found for a moment: what stands there is never loosened.
            recorded = self.recorded(wish)
        agreed = self.me.policy
        if self.insists and not live:
            agreed = replace(agreed, mode=wish.mode, sync_time=wish.sync_time)
        elif not self.insists and recorded is not None:
            agreed = replace(agreed, mode=recorded.mode, sync_time=recorded.sync_time)
        for policy in live:
            agreed = agreed.at_least_as_strict_as(policy.mode, policy.sync_time)
        if self.insists and (agreed.mode, agreed.sync_time) != (wish.mode, wish.sync_time):
            raise ConfigurationError(
                f"this queue works in mode {agreed.mode.value!r} with sync_time"
                f" {agreed.sync_time:g} (see {AGREEMENT}) and {len(live)} other worker(s) run,"
                f" but {self.me.worker} asks for mode {wish.mode.value!r} with sync_time"
                f" {wish.sync_time:g}: leave the mode out, or stop the others first."
            )
        agreed = agreed.with_legal_lease()
        self.me.adopt(agreed)
        if recorded is None or (agreed.mode, agreed.sync_time) != (
            recorded.mode,
            recorded.sync_time,
        ):
            self.write(agreed)
        elif self.names_queue and not self.queue_id:
            self._name_queue()
        if any(agreed.is_stricter_than(policy) for policy in live):
            pause = agreed.heartbeat + agreed.timeout
            log.info("waiting %g s until the other workers use mode %s", pause, agreed.mode.value)
            self.share.sleep(pause)

    def read_again(self) -> Policy | None:
        """What ``queue.json`` says by now; None if there is none, which nobody who works
        already makes anew."""
        try:
            recorded = self.recorded(self.me.policy)
        except ConfigurationError as error:  # half written, or by hand: the policy holds on
            if str(error) != self._complaint:
                log.warning("%s", error)
            self._complaint = str(error)
            return self.me.policy
        self._complaint = ""
        return recorded

    def follow(self, recorded: Policy | None, new: Sequence[Policy]) -> None:
        """Become as strict as ``queue.json``, as just read, and the workers that are new."""
        agreed = self.me.policy
        for policy in new:
            agreed = agreed.at_least_as_strict_as(policy.mode, policy.sync_time)
        if recorded is not None:
            agreed = agreed.at_least_as_strict_as(recorded.mode, recorded.sync_time)
        if agreed.is_stricter_than(self.me.policy):
            log.warning("this queue works in mode %s from now on", agreed.mode.value)
            mine = replace(self.me.policy, mode=agreed.mode, sync_time=agreed.sync_time)
            self.me.adopt(mine.with_legal_lease())
        if recorded is not None and agreed.is_stricter_than(recorded):
            recorded = self.read_again()  # somebody else may have written it meanwhile
            if recorded is not None and agreed.is_stricter_than(recorded):
                self.write(agreed)

    # -- a promise that is not kept ---------------------------------------------------------

    def fall_back_if_refuted(self, share: Share | None = None) -> None:
        """Fall back to mode verify, for everybody, once a rename was seen not to be
        exclusive; over the caller's connection."""
        found = self.evidence.found
        if not found or not self.me.on_probation:
            return
        why, policy = found[0], self.me.policy
        # Others follow with their next heartbeat; whoever claims before, trusts.
        self.no_claims_before = self.share.now() + policy.heartbeat + policy.timeout
        self.me.adopt(replace(policy, mode=Mode.VERIFY).with_legal_lease())
        log.error(
            "renames are not exclusive here, though a check found them so: %s; this queue"
            " works in mode verify from now on",
            why,
        )
        self._fallback = {"refuted": {"why": why, "by": self.me.worker, "at": utc_now()}}
        try:
            self.write(self.me.policy, share)
        except StoreError as error:  # `follow` tries again with each heartbeat
            log.warning("%s can't be written (%s); trying on", AGREEMENT, error)
