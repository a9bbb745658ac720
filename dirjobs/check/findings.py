"""What a check has found out, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any

from dirjobs.check.file_semantics import Names, Nowhere, Partial, Times
from dirjobs.check.lag import Lag
from dirjobs.check.mounts import Surroundings
from dirjobs.store import Guarantees
from dirjobs.testing.races import Race


@dataclass
class Findings:
    """What was measured; None where it wasn't.

    Attributes:
        url: the place, without secrets.
        promised: what the store promises without being asked.
        is_local: whether it is a path of this machine.
        callers: who raced: ``4 threads``.
        surroundings: of a local path.
        across: the race of renames to another folder.
        inside: the race of renames within one folder.
        collisions: the race of renames of many files to one name.
        write: the race of writing one file.
        lag: how late listings are between two connections.
        mount_lag: the same between the place and the mount that was named.
        partial: what others can do with an unfinished upload.
        names: what became of odd names.
        changed_names: what is changed or refused in the new name of a file that is renamed, of
            `names.CHANGEABLE`.
        times: of files.
        nowhere: what comes of a rename into a missing folder.
        latency: of each verb, in seconds: the median.
        seconds: how long all this took.
        left_out: what there was no time for.
    """

    url: str
    promised: Guarantees
    is_local: bool = False
    callers: str = ""
    surroundings: Surroundings = field(default_factory=Surroundings)
    across: Race = field(default_factory=Race)
    inside: Race = field(default_factory=Race)
    collisions: Race = field(default_factory=Race)
    write: Race | None = None
    lag: Lag = field(default_factory=Lag)
    mount_lag: Lag | None = None
    partial: Partial | None = None
    names: Names | None = None
    changed_names: list[str] | None = None
    times: Times = field(default_factory=Times)
    nowhere: Nowhere | None = None
    latency: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    left_out: list[str] = field(default_factory=list)

    @property
    def worst_lag(self) -> float:
        """Seconds by which somebody saw a change late, at worst."""
        return max(self.lag.worst, self.mount_lag.worst if self.mount_lag else 0.0)

    def to_json(self) -> dict[str, Any]:
        """All of it as what `json.dumps` takes."""
        return {each.name: _plain(getattr(self, each.name)) for each in fields(self)}


def _plain(value: object) -> object:
    if hasattr(value, "to_json"):
        return value.to_json()
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Lag | Guarantees):
        return asdict(value)
    return value
