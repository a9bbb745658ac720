"""For how long heartbeat files were seen unchanged, by one observer's own clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dirjobs.store import Entry, FileKind


@dataclass
class _Sight:
    """A heartbeat file as last seen.

    Attributes:
        mark: what changes when it is written.
        since: when it was first seen like this (or first missed).
        changed: whether the last look showed another mark than the one before.
    """

    mark: object
    since: float
    changed: bool = False


class Staleness:
    """For how long heartbeat files have been seen unchanged.

    No clock is compared with any other: time is the observer's own, and it counts only
    between successful listings that are not far apart.  After a longer gap (the share was
    away, the observer asleep) every clock starts anew, or an outage of the share would
    look like the death of everybody.

    Args:
        longest_gap: seconds between two listings that still count as watching.
    """

    def __init__(self, longest_gap: float) -> None:
        self.longest_gap = longest_gap
        self._sights: dict[str, _Sight] = {}
        self._looked_at: float | None = None

    def look(self, listing: Iterable[Entry], began: float, now: float) -> None:
        """Take in a listing of the heartbeat files.

        Args:
            listing: the files.
            began: when it was asked for, by the observer's monotonic clock.
            now: when it was there.
        """
        marks: dict[str, object] = {
            entry.name: (entry.mtime, entry.size)
            for entry in listing
            if entry.kind is FileKind.FILE
        }
        watching = self._looked_at is not None and now - self._looked_at <= self.longest_gap
        self._looked_at = began
        for name in self._sights.keys() - marks.keys():
            marks[name] = None  # it vanished, which alone proves nothing
        for name, mark in marks.items():
            sight = self._sights.get(name)
            changed = sight is not None and sight.mark != mark
            if sight is None or sight.mark != mark or not watching:
                # What changed did so after this listing was begun, at the latest now.
                sight = self._sights[name] = _Sight(mark, now)
            sight.changed = changed

    def unchanged_for(self, name: str, now: float) -> float:
        """Seconds for which a file was seen unchanged (or missing) without a break."""
        sight = self._sights.get(name)
        return 0.0 if sight is None else now - sight.since

    def has_changed(self, name: str) -> bool:
        """Whether the last look showed a file otherwise than the one before."""
        sight = self._sights.get(name)
        return sight is not None and sight.changed

    def tells_time(self, name: str) -> bool:
        """Whether a file's mark changes with every writing: False if the store shows no
        mtime, so that only reading the file can tell."""
        sight = self._sights.get(name)
        return sight is None or not (isinstance(sight.mark, tuple) and sight.mark[0] is None)

    def saw_change(self, name: str, now: float) -> None:
        """Its content has changed, though its mark may not show that."""
        sight = self._sights.get(name)
        if sight is not None:
            sight.since = now

    def forget(self, name: str) -> None:
        """Stop watching a file that no claim depends on."""
        self._sights.pop(name, None)
