"""Mode and times: what a user asks for, what a store warrants, what comes of both.

The law of the lease, and why a mode is right for a store, are in docs/architecture.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Annotated

import msgspec

from dirjobs.errors import ConfigurationError
from dirjobs.layout import check_worker_id
from dirjobs.store import Guarantees

DEFAULT_SYNC_TIME = 70.0
DEFAULT_HEARTBEAT = 30.0
DEFAULT_LEASE = 300.0
DEFAULT_TIMEOUT = 30.0
DEFAULT_MAX_PAUSE = 60.0
DEFAULT_MAX_ATTEMPTS = 3
DEFAULT_PATIENCE = 3600.0

SHORTEST_HEARTBEAT, SHORTEST_TIMEOUT = 0.01, 0.001
DAY, YEAR = 86_400.0, 366 * 86_400.0
"""Seconds: the longest waits, and the longest time that anything in a queue may stay as it is."""

Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
"""A number of seconds, as it is read from a share."""
Wait = Annotated[float, msgspec.Meta(ge=0, le=DAY)]
Heartbeat = Annotated[float, msgspec.Meta(ge=SHORTEST_HEARTBEAT, le=DAY)]
Timeout = Annotated[float, msgspec.Meta(ge=SHORTEST_TIMEOUT, le=DAY)]
Lease = Annotated[float, msgspec.Meta(ge=0, le=YEAR)]
"""The same, of the times by which workers live."""

Filter = Callable[[str, str], object]


class Mode(StrEnum):
    """How a worker makes sure that a job is its own; from the least to the most strict."""

    TRUST = "trust"
    """The store's rename is exclusive: one rename, no looks."""
    VERIFY = "verify"
    """Listings are fresh, the rename may be copy and delete: rename, then look."""
    SYNC = "sync"
    """Listings lag: rename, wait, look, wait, look."""

    @property
    def strictness(self) -> int:
        return list(Mode).index(self)


class Order(StrEnum):
    """In which order jobs are tried."""

    NATURAL = "natural"
    """By name; ``job2`` before ``job10``."""
    OLDEST = "oldest"
    """By the time of the last change."""
    RANDOM = "random"


class UnknownLag(ConfigurationError):
    """Nobody has said for how long a change may stay unseen on a store."""


@dataclass(frozen=True)
class Policy:
    """Mode and times, all in seconds.

    Attributes:
        mode: see `Mode`.
        sync_time: S (and S2), how long a sync worker waits; more than the share's lag.
        heartbeat: H, how often a worker writes its heartbeat.
        lease: T, how long a heartbeat may stay unchanged before its worker is dead.
        timeout: W, the longest that one request takes.
        max_pause: P, the longest that a worker's machine stands still and goes on.
    """

    mode: Mode = Mode.TRUST
    sync_time: Wait = 0.0
    heartbeat: Heartbeat = DEFAULT_HEARTBEAT
    lease: Lease = DEFAULT_LEASE
    timeout: Timeout = DEFAULT_TIMEOUT
    max_pause: Wait = DEFAULT_MAX_PAUSE

    @cached_property
    def wait(self) -> float:
        """S and S2 as the mode uses them."""
        return self.sync_time if self.mode is Mode.SYNC else 0.0

    @property
    def longest_standstill(self) -> float:
        """Seconds without growth after which a file that a server copies counts as torn."""
        return 2 * (self.heartbeat + self.timeout)

    @property
    def late_after(self) -> float:
        """Seconds without a sign of life after which a heartbeat is late: one may be lost."""
        return 2 * self.heartbeat + self.timeout

    @property
    def shortest_lease(self) -> float:
        """The law: T >= (k+1)H + (k+2)W + P + R with one lost beat (k = 1)."""
        return 2 * self.heartbeat + 3 * self.timeout + self.max_pause + self.wait

    def with_legal_lease(self) -> Policy:
        """This policy, which others may have asked for, with a lease long enough for it: each
        heartbeat says by which lease it wants to be judged."""
        return replace(self, lease=max(self.lease, self.shortest_lease))

    def at_least_as_strict_as(self, mode: Mode, sync_time: float) -> Policy:
        """This policy, made as strict as `mode` and `sync_time` ask."""
        return replace(
            self,
            mode=max(self.mode, mode, key=lambda one: one.strictness),
            sync_time=max(self.sync_time, sync_time),
        )

    def is_stricter_than(self, other: Policy) -> bool:
        return self.at_least_as_strict_as(other.mode, other.sync_time) == self and (
            (self.mode, self.sync_time) != (other.mode, other.sync_time)
        )


def warranted(promises: Guarantees, sync_time: float | None = None) -> tuple[Mode, float]:
    """The least strict mode that a store's promises allow, and how long it waits.

    ===============  ===============  ================================
    `visible_after`  `atomic_rename`  mode
    ===============  ===============  ================================
    0                True             trust
    0                False            verify
    more than 0                       sync, for more than that
    not known                         sync, if a `sync_time` is given
    ===============  ===============  ================================

    Args:
        promises: of the store.
        sync_time: seconds that the user wants to wait where listings lag; None for as long
            as the store needs.

    Raises:
        UnknownLag: no bound is known, and no `sync_time` is given.
        ConfigurationError: the `sync_time` is too short for this store.
    """
    lag = promises.visible_after
    if lag == 0:
        return (Mode.TRUST if promises.atomic_rename else Mode.VERIFY), 0.0
    if lag is None and sync_time is None:
        raise UnknownLag(
            "nobody knows for how long a change may stay unseen on this store: give"
            " sync_time=SECONDS (`dirjobs init --sync-time SECONDS`) that is longer than that,"
            " or, if listings are always fresh here, mode='verify' (`--mode verify`)."
        )
    return Mode.SYNC, _sync_wait(sync_time, lag)


def moves_by_markers(promises: Guarantees) -> bool:
    """Whether jobs on a store are moved by markers, which makes renames exclusive there: it
    creates files exclusively, its listings are fresh, and it renames nothing."""
    renames = promises.atomic_rename or promises.atomic_rename_in_folder
    return promises.exclusive_create and promises.visible_after == 0 and not renames


def cautious(promises: Guarantees) -> Policy:
    """The policy of somebody who changes a queue in which no mode was agreed on yet: what the
    store warrants; the strictest where nobody knows."""
    try:
        mode, wait = warranted(promises)
    except UnknownLag:
        mode, wait = Mode.SYNC, DEFAULT_SYNC_TIME
    return Policy(mode, wait).with_legal_lease()


def _sync_wait(sync_time: float | None, lag: float | None) -> float:
    """For how long a sync worker waits: longer than changes take to be seen, if that is known.

    Raises:
        ConfigurationError: the user's `sync_time` is too short.
    """
    lag = lag or 0.0
    if sync_time is None:
        return max(DEFAULT_SYNC_TIME, lag + lag / 10 + 1.0)
    if lag and sync_time <= lag:
        raise ConfigurationError(
            f"sync_time={sync_time:g} is too short: on this store a change may stay unseen for"
            f" {lag:g} seconds, so give more than that."
        )
    return sync_time


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The arguments of `DirJobs` that are about jobs and workers; see there."""

    wid: str = "w1"
    rnd_job: bool = False
    job_ext: str = ".txt"
    worker_sync: bool | None = None
    sync_time: float | None = None
    job_filter: Filter | None = None
    mode: str | None = None
    order: str | None = None
    min_age: float = 0.0
    heartbeat: float = DEFAULT_HEARTBEAT
    lease: float = DEFAULT_LEASE
    timeout: float = DEFAULT_TIMEOUT
    max_pause: float = DEFAULT_MAX_PAUSE
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    patience: float = DEFAULT_PATIENCE

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            ConfigurationError: an argument is not right.
        """
        check_worker_id(self.wid)
        if not isinstance(self.job_ext, str):
            raise ConfigurationError(f"job_ext={self.job_ext!r} must be a string such as '.txt'.")
        if self.job_filter is not None and not callable(self.job_filter):
            raise ConfigurationError(
                f"job_filter={self.job_filter!r} must be a function of path and name."
            )
        if self.worker_sync not in (None, True, False):
            raise ConfigurationError(f"worker_sync={self.worker_sync!r} must be True or False.")
        if self.sync_time is not None:
            seconds("sync_time", self.sync_time, most=DAY)
        seconds("min_age", self.min_age, most=YEAR)
        seconds("patience", self.patience)
        _one_of("mode", self.mode, Mode)
        _one_of("order", self.order, Order)
        whole("max_attempts", self.max_attempts)
        if self.mode is not None and self.worker_sync and self.mode != Mode.SYNC:
            raise ConfigurationError(
                f"mode={self.mode!r} and worker_sync=True contradict each other: give one of them."
            )

    @property
    def picks(self) -> Order:
        """In which order jobs are taken."""
        if self.order is not None:
            return Order(self.order)
        return Order.RANDOM if self.rnd_job else Order.NATURAL

    @property
    def insists(self) -> bool:
        """Whether the user named the mode."""
        return self.mode is not None or self.worker_sync is not None

    def policy(self, promises: Guarantees) -> Policy:
        """What the user asks for, on a store that makes these promises.

        Raises:
            UnknownLag: the store can't tell for how long changes stay unseen, and the user
                does not say either.
            ConfigurationError: a time makes no sense, or the lease is too short.
        """
        policy = self.legal_policy(promises)
        store_asks = self.sync_time is None and policy.wait > DEFAULT_SYNC_TIME
        if store_asks and self.lease == DEFAULT_LEASE:
            return policy  # nobody asked for this wait or that lease
        return check_lease(replace(policy, lease=self.lease))

    def legal_policy(self, promises: Guarantees) -> Policy:
        """The same, with a lease that is long enough for the other times.

        Raises:
            UnknownLag, ConfigurationError: as `policy`, but for the lease.
        """
        if self.worker_sync or self.mode == Mode.SYNC:
            mode, wait = Mode.SYNC, _sync_wait(self.sync_time, promises.visible_after)
        elif self.mode is not None:
            mode, wait = Mode(self.mode), 0.0
        else:
            mode, wait = warranted(promises, self.sync_time)
        return self.with_mode(mode, wait)

    def with_mode(self, mode: Mode, sync_time: float) -> Policy:
        """The user's times, in this mode, with a lease that is long enough for them.

        Raises:
            ConfigurationError: a time makes no sense.
        """
        return Policy(
            mode=mode,
            sync_time=float(sync_time),
            heartbeat=seconds("heartbeat", self.heartbeat, least=SHORTEST_HEARTBEAT, most=DAY),
            lease=seconds("lease", self.lease, most=YEAR),
            timeout=seconds("timeout", self.timeout, least=SHORTEST_TIMEOUT, most=DAY),
            max_pause=seconds("max_pause", self.max_pause, most=DAY),
        ).with_legal_lease()


def check_lease(policy: Policy) -> Policy:
    """`policy`, if its lease is long enough that no live worker is declared dead.

    Raises:
        ConfigurationError: it isn't; the message gives the shortest one.
    """
    if policy.lease < policy.shortest_lease:
        raise ConfigurationError(
            f"lease={policy.lease:g} is too short for heartbeat={policy.heartbeat:g},"
            f" timeout={policy.timeout:g}, max_pause={policy.max_pause:g} and"
            f" sync_time={policy.wait:g}: use at least {policy.shortest_lease:g} seconds,"
            " or make the others shorter."
        )
    return policy


def seconds(name: str, value: object, *, least: float = 0.0, most: float = math.inf) -> float:
    """`value` as a number of seconds.

    Raises:
        ConfigurationError: it is no finite number, less than `least` or more than `most`.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigurationError(f"{name}={value!r} must be a number of seconds, such as 70.")
    if value < least:
        raise ConfigurationError(f"{name}={value!r} must be at least {least:g} seconds.")
    if value > most:
        raise ConfigurationError(f"{name}={value!r} must be at most {most:.0f} seconds.")
    return float(value)


def whole(name: str, value: object) -> int:
    """`value`, if it is a whole number of at least 1.

    Raises:
        ConfigurationError: it isn't.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{name}={value!r} must be a whole number of at least 1.")
    return value


def _one_of(name: str, value: str | None, known: type[Mode | Order]) -> None:
    choices = [item.value for item in known]
    if value is not None and value not in choices:
        raise ConfigurationError(f"{name}={value!r} must be one of {', '.join(choices)}.")
