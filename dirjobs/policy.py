"""What the workers of a queue have agreed on: the mode and its times."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

from dirjobs.errors import ConfigurationError
from dirjobs.store import Guarantees

DEFAULT_SYNC_TIME = 70.0
DEFAULT_HEARTBEAT = 30.0
DEFAULT_LEASE = 300.0
DEFAULT_TIMEOUT = 30.0
DEFAULT_MAX_PAUSE = 60.0


class Mode(StrEnum):
    """How a worker makes sure that a job is its own; in order of care."""

    TRUST = "trust"
    """The store's rename is exclusive: one rename, no looks."""
    VERIFY = "verify"
    """Listings are fresh, the rename may be copy and delete: rename, then look."""
    SYNC = "sync"
    """Listings lag: rename, wait, look, wait, look."""

    @property
    def care(self) -> int:
        return list(Mode).index(self)


class Order(StrEnum):
    """In which order jobs are tried."""

    NATURAL = "natural"
    """By name; ``job2`` before ``job10``."""
    OLDEST = "oldest"
    """By the time of the last change."""
    RANDOM = "random"


@dataclass(frozen=True)
class Terms:
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
    sync_time: float = 0.0
    heartbeat: float = DEFAULT_HEARTBEAT
    lease: float = DEFAULT_LEASE
    timeout: float = DEFAULT_TIMEOUT
    max_pause: float = DEFAULT_MAX_PAUSE

    @cached_property
    def wait(self) -> float:
        """S and S2 as the mode uses them."""
        return self.sync_time if self.mode is Mode.SYNC else 0.0

    @property
    def shortest_lease(self) -> float:
        """The law: T >= (k+1)H + (k+2)W + P + R with one lost beat (k = 1)."""
        return 2 * self.heartbeat + 3 * self.timeout + self.max_pause + self.wait

    def at_least(self, mode: Mode, sync_time: float) -> Terms:
        """These terms, made as careful as `mode` and `sync_time` ask."""
        return replace(
            self,
            mode=max(self.mode, mode, key=lambda one: one.care),
            sync_time=max(self.sync_time, sync_time),
        )

    def more_careful_than(self, other: Terms) -> bool:
        return self.at_least(other.mode, other.sync_time) == self and (
            (self.mode, self.sync_time) != (other.mode, other.sync_time)
        )


def seconds(name: str, value: object, *, least: float = 0.0) -> float:
    """`value` as a number of seconds.

    Raises:
        ConfigurationError: it is no finite number, or less than `least`.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigurationError(f"{name}={value!r} must be a number of seconds, such as 70.")
    if value < least:
        raise ConfigurationError(f"{name}={value!r} must be at least {least:g} seconds.")
    return float(value)


def warranted(promises: Guarantees) -> Mode:
    """The least careful mode that a store's promises allow."""
    if promises.atomic_rename and promises.visible_after == 0:
        return Mode.TRUST
    return Mode.VERIFY


def check_lease(terms: Terms) -> Terms:
    """`terms`, if their lease is long enough that no live worker is declared dead.

    Raises:
        ConfigurationError: it isn't; the message gives the shortest one.
    """
    if terms.lease < terms.shortest_lease:
        raise ConfigurationError(
            f"lease={terms.lease:g} is too short for heartbeat={terms.heartbeat:g},"
            f" timeout={terms.timeout:g}, max_pause={terms.max_pause:g} and"
            f" sync_time={terms.wait:g}: use at least {terms.shortest_lease:g} seconds,"
            " or make the others shorter."
        )
    return terms
