"""What the user asked for, checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dirjobs import layout
from dirjobs.errors import ConfigurationError
from dirjobs.policy import DEFAULT_SYNC_TIME, Mode, Order, Terms, check_lease, seconds, warranted
from dirjobs.store import Guarantees

Filter = Callable[[str, str], object]


@dataclass(frozen=True)
class Settings:
    """The arguments of `DirJobs` that are about jobs and workers; see there."""

    wid: str
    rnd_job: bool
    job_ext: str
    worker_sync: bool | None
    sync_time: float | None
    job_filter: Filter | None
    mode: str | None
    order: str | None
    min_age: float
    heartbeat: float
    lease: float
    timeout: float
    max_pause: float

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            ConfigurationError: an argument is not right.
        """
        layout.check_worker_id(self.wid)
        if not isinstance(self.job_ext, str):
            raise ConfigurationError(f"job_ext={self.job_ext!r} must be a string such as '.txt'.")
        if self.job_filter is not None and not callable(self.job_filter):
            raise ConfigurationError(
                f"job_filter={self.job_filter!r} must be a function of path and name."
            )
        if self.worker_sync not in (None, True, False):
            raise ConfigurationError(f"worker_sync={self.worker_sync!r} must be True or False.")
        if self.sync_time is not None:
            seconds("sync_time", self.sync_time)
        seconds("min_age", self.min_age)
        one_of("mode", self.mode, Mode)
        one_of("order", self.order, Order)
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

    def terms(self, promises: Guarantees) -> Terms:
        """Mode and times on a store that makes these promises.

        Raises:
            ConfigurationError: a time makes no sense, or the lease is too short.
        """
        if self.mode is not None:
            mode = Mode(self.mode)
        else:
            mode = Mode.SYNC if self.worker_sync else warranted(promises)
        wait = DEFAULT_SYNC_TIME if self.sync_time is None else float(self.sync_time)
        terms = Terms(
            mode=mode,
            sync_time=wait if mode is Mode.SYNC else 0.0,
            heartbeat=seconds("heartbeat", self.heartbeat, least=0.01),
            lease=seconds("lease", self.lease),
            timeout=seconds("timeout", self.timeout, least=0.001),
            max_pause=seconds("max_pause", self.max_pause),
        )
        return check_lease(terms)


def whole(name: str, value: object) -> int:
    """`value`, if it is a whole number of at least 1.

    Raises:
        ConfigurationError: it isn't.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{name}={value!r} must be a whole number of at least 1.")
    return value


def one_of(name: str, value: str | None, known: type[Mode | Order]) -> None:
    """Refuse a `value` that is not `known`.

    Raises:
        ConfigurationError: it isn't.
    """
    choices = [item.value for item in known]
    if value is not None and value not in choices:
        raise ConfigurationError(f"{name}={value!r} must be one of {', '.join(choices)}.")
