"""How late listings are."""

from __future__ import annotations

import time
from dataclasses import dataclass

from dirjobs.store import Store
from dirjobs.testing.races import content

_POLL = 0.05
_LONGEST_POLL = 1.0
_LATE = 1.0
_VERY_LATE = 10.0
_TRIALS = 5


@dataclass
class Lag:
    """For how long a finished change was not in somebody else's listing, at worst.

    Attributes:
        new: seconds, of a new file.
        appeared: of a renamed file's new name.
        vanished: of its old name.
        trials: how often it was tried.
        unseen: what had not been seen at all when we gave up, and after how many seconds.
    """

    new: float = 0.0
    appeared: float = 0.0
    vanished: float = 0.0
    trials: int = 0
    unseen: tuple[str, float] | None = None

    @property
    def worst(self) -> float:
        return max(self.new, self.appeared, self.vanished)

    def merge(self, other: Lag) -> Lag:
        """The worst of two views."""
        return Lag(
            max(self.new, other.new),
            max(self.appeared, other.appeared),
            max(self.vanished, other.vanished),
            self.trials + other.trials,
            self.unseen or other.unseen,
        )


def measure_lag(doer: Store, viewer: Store, folder: str, tag: str, longest: float) -> Lag:
    """Change two folders by one connection, and look by another when it shows.

    Args:
        doer: changes.
        viewer: looks.
        folder: the name of what is made for it.
        tag: what every name has to contain.
        longest: seconds to spend, about.
    """
    one, other = f"{folder}1", f"{folder}2"
    for each in (one, other):
        doer.mkdir(each)
    lag = Lag()
    for number in range(_TRIALS):
        doer.write(f"{one}/b{number}.{tag}", content("lag"))
    if not _shows(viewer, one, f"b{_TRIALS - 1}.{tag}", longest):
        lag.new, lag.unseen = longest, ("a new file", longest)
        return lag
    began = time.monotonic()
    while True:
        number = lag.trials
        before, after, new = (f"{what}{number}.{tag}" for what in ("b", "a", "n"))
        _names(viewer, one), _names(viewer, other)  # so that whoever caches has something to cache
        doer.rename(f"{one}/{before}", f"{other}/{after}")
        doer.write(f"{other}/{new}", content("lag"))
        done = time.monotonic()
        times = _when(viewer, one, other, (before, after, new), done, longest)
        lag.vanished = max(lag.vanished, times[0])
        lag.appeared = max(lag.appeared, times[1])
        lag.new = max(lag.new, times[2])
        lag.trials += 1
        if max(times) >= longest:
            lag.unseen = ("a change", longest)
            return lag
        spent = time.monotonic() - began
        trials = 1 if lag.worst > _VERY_LATE else 2 if lag.worst > _LATE else _TRIALS
        if lag.trials >= trials or spent + spent / lag.trials > longest:
            return lag


def _when(
    viewer: Store, one: str, other: str, names: tuple[str, str, str], done: float, longest: float
) -> list[float]:
    """After how many seconds the old name was gone, and the new ones were there."""
    before, after, new = names
    times: list[float | None] = [None, None, None]
    first, pause = True, _POLL
    while True:
        here = _names(viewer, one) if times[0] is None else set()
        there = _names(viewer, other)
        now = 0.0 if first else time.monotonic() - done
        for slot, seen in enumerate((before not in here, after in there, new in there)):
            if seen and times[slot] is None:
                times[slot] = now
        if None not in times or now > longest:
            return [longest if seconds is None else seconds for seconds in times]
        first = False
        time.sleep(pause)
        pause = min(1.1 * pause, _LONGEST_POLL)


def _shows(viewer: Store, folder: str, name: str, longest: float) -> bool:
    """Whether a folder shows a name before it is too late."""
    until, pause = time.monotonic() + longest, _POLL
    while name not in _names(viewer, folder):
        if time.monotonic() > until:
            return False
        time.sleep(pause)
        pause = min(1.1 * pause, _LONGEST_POLL)
    return True


def _names(viewer: Store, folder: str) -> set[str]:
    try:
        return {entry.name for entry in viewer.list(folder)}
    except FileNotFoundError:  # a view that lags doesn't know the folder yet
        return set()
