"""Which job to try next: a cached listing of ``00_waiting`` and a window into it."""

from __future__ import annotations

import logging
import math
import random
import re
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from dirjobs import threads
from dirjobs.errors import ConfigurationError
from dirjobs.layout import WAITING, is_job_name, is_left_behind
from dirjobs.names import unsafe_name
from dirjobs.policy import Order
from dirjobs.store import Entry, FileKind

log = logging.getLogger(__name__)

_NUMBER = re.compile(
    r"(?<![0-9.])([0-9]+) (?:\.([0-9]+))? (?:[eE]([-+]?[0-9]{1,2}))? (?![0-9a-zA-Z]|\.[0-9])"
    r"| ([0-9]+)",  # 1.2.3 has three
    re.VERBOSE,
)
_DIGITS = 20
_LISTING_USED_SECONDS = 10.0
"""Seconds for which any listing is used: a new job waits for no longer than that."""
_LISTING_USED_TIMES = 20
"""A listing is used for so many times as long as it took: it costs a worker 5 % at most."""
_LOSSES_IN_A_ROW = 32
"""After so many lost races in a row few of the listed jobs can be left."""
_CHEAP_LISTING = 16
"""A listing that takes less than so many losses is made anew after the second loss."""
_WIDENING = 32
"""By how much a lost race widens the window: fifty workers part after two losses."""
_MIN_AGES_WATCHED = 5
"""A file that still changes after so many times `min_age` is not waited for any more."""


class _Sight(NamedTuple):
    """A file as it was seen last; since when like this, and when for the first time."""

    entry: Entry
    since: float
    first: float


def longest_use(took: float) -> float:
    """Seconds for which a listing that took so many seconds is used."""
    return max(_LISTING_USED_SECONDS, _LISTING_USED_TIMES * took)


def natural_key(name: str) -> str:
    """Sorts by the values of numbers: ``job2`` before ``job10``, ``lr1e-3`` before ``lr0.01``
    before ``lr0.1``; a sign is not seen, since a hyphen mostly is none."""
    return _NUMBER.sub(_sortable, name)


def _sortable(number: re.Match[str]) -> str:
    whole, fraction, exponent, digits = number.groups(default="")
    whole = whole or digits
    if exponent:
        shift = int(exponent)
        if shift < 0:
            whole = whole.zfill(1 - shift)
            whole, fraction = whole[:shift], whole[shift:] + fraction
        else:
            fraction = fraction.ljust(shift, "0")
            whole, fraction = whole + fraction[:shift], fraction[shift:]
    if fraction or exponent:
        whole, fraction = whole.lstrip("0"), fraction.rstrip("0")
    # The NUL comes before anything that may follow.
    return f"{whole.zfill(_DIGITS)}{'.' if fraction else ''}{fraction}\0"


class Candidates:
    """Candidates for a claim.

    One worker takes them in strict order.  Whoever loses a race jumps to a random place
    in a window at the head of the list, and goes on in order from there: where one job
    was still to be had, its neighbours mostly are.  Losing widens the window, a new
    listing narrows it: few collisions among fifty workers, and no more disorder than that takes.
    The listing is made anew when it is used up, when it is old, when losing has cost more
    time than listing did, or when so many were lost in a row that few can be left; over a
    network, where a listing is one request as a loss is, after the second.

    Args:
        order: see `Order`.
        job_ext: only names that end with this.
        job_filter: ``f(path, name)``, True for jobs to take.
        min_age: seconds that a file must have been seen unchanged.
        name_problem: why the store can't carry a name, or None.
        full_path: a store path in the user's spelling, for `job_filter`.
        rng: draws the places.
    """

    def __init__(
        self,
        *,
        order: Order = Order.NATURAL,
        job_ext: str = "",
        job_filter: Callable[[str, str], object] | None = None,
        min_age: float = 0.0,
        name_problem: Callable[[str], str | None] = unsafe_name,
        full_path: Callable[[str], str] = str,
        rng: random.Random | None = None,
    ) -> None:
        self.order = order
        self.job_ext = job_ext
        self.job_filter = job_filter
        self.min_age = min_age
        self.name_problem = name_problem
        self.full_path = full_path
        self.rng = rng or random.Random()
        self.ripe_at: float | None = None
        """When the first of the files that are too young will be old enough; those that
        have gone on changing for long are not waited for."""
        self._lock = threads.Lock()
        self._entries: list[Entry | str | None] = []  # None: taken
        self.left = 0
        """How many are not."""
        self._head = 0  # all before are taken
        self._next = 0
        self._window = 1.0
        self._lost_in_a_row = 0
        self._stale_at = -math.inf
        self._listing_took = 0.0
        self._lost_time = 0.0
        self._last_loss = 0.0
        self._seen: dict[str, _Sight] = {}
        self._told: set[str] = set()

    @property
    def needs_times(self) -> bool:
        """Whether it matters when files changed, or whether they do."""
        return self.order is Order.OLDEST or self.min_age > 0

    def fill(self, listing: Iterable[Entry], began: float, now: float) -> None:
        """Take over a new listing, made between `began` and `now` (seconds, monotonic)."""
        files = {entry.name: entry for entry in listing if entry.kind is FileKind.FILE}
        entries = [files[name] for name in self._acceptable(files)]
        if self.min_age:
            entries = self._ripe(entries, now)
        if self.order is Order.NATURAL:
            entries.sort(key=lambda entry: natural_key(entry.name))
        elif self.order is Order.OLDEST:
            entries.sort(key=lambda entry: (entry.mtime or 0.0, natural_key(entry.name)))
        else:
            self.rng.shuffle(entries)
        self._begin_anew([*entries], began, now)

    def fill_with_names(self, files: Collection[str], began: float, now: float) -> None:
        """The same, if the listing has only the names of the files."""
        entries = self._acceptable(files)
        if self.order is Order.NATURAL:
            entries.sort(key=natural_key)
        else:
            self.rng.shuffle(entries)
        self._begin_anew([*entries], began, now)

    def _acceptable(self, files: Collection[str]) -> list[str]:
        """The names of jobs that can be claimed safely on this store; the others are told of
        once, and left alone."""
        mine = [name for name in files if name.endswith(self.job_ext)]
        if len(mine) < len(files):
            self._tell_of_other_files(files)
        found = [name for name in mine if is_job_name(name) and self._is_portable(name)]
        if len(found) < len(mine):
            self._tell_of_what_is_left_behind(mine)
        return found

    def _is_portable(self, name: str) -> bool:
        problem = self.name_problem(name)
        if problem is None:
            return True
        self._tell_once(name, f"{name!r} in {WAITING} is skipped: {problem}; rename it")
        return False

    def _begin_anew(self, entries: list[Entry | str | None], began: float, now: float) -> None:
        with self._lock:
            self._entries = entries
            self.left = len(entries)
            self._head = 0
            self._listing_took = now - began
            self._stale_at = now + longest_use(self._listing_took)
            self._lost_time = 0.0
            self._lost_in_a_row = 0
            self._window = max(1.0, min(self._window, len(entries)) / 2)
            self._jump()

    def are_old(self, now: float) -> bool:
        """Whether the listing is older than any listing is used."""
        return now > self._stale_at

    def used_up(self, now: float) -> bool:
        """Whether a new listing is due."""
        if not self.left or self.are_old(now):
            return True
        lost = self._lost_in_a_row
        return self._lost_time > self._listing_took or (
            lost >= 2
            and (lost >= _LOSSES_IN_A_ROW or self._listing_took < _CHEAP_LISTING * self._last_loss)
        )

    def take(self, unwanted: Collection[str] = ()) -> Entry | None:
        """The next job to try; None if this listing has no more.

        Raises:
            ConfigurationError: the user's filter raised.
        """
        while True:
            with self._lock:
                if not self.left:
                    return None
                entries, at = self._entries, self._next
                while at < len(entries) and entries[at] is None:
                    at += 1
                if at >= len(entries):
                    at = self._first_left()
                listed = entries[at]
                assert listed is not None
                entries[at] = None
                self.left -= 1
                self._next = at + 1
            entry = Entry(listed) if isinstance(listed, str) else listed
            if entry.name not in unwanted and (
                self.job_filter is None or self._passes(self.job_filter, entry.name)
            ):
                return entry

    def wants(self, name: str) -> bool:
        """Whether a job of this name is one to take, once it is waiting."""
        return name.endswith(self.job_ext) and (
            self.job_filter is None or self._passes(self.job_filter, name)
        )

    def won(self) -> None:
        """The last candidate became ours."""
        self._lost_in_a_row = 0

    def lost(self, seconds: float) -> None:
        """Somebody else was faster; finding that out took `seconds`."""
        with self._lock:
            self._lost_time += seconds
            self._last_loss = seconds
            self._lost_in_a_row += 1
            self._window = min(_WIDENING * self._window, max(1.0, len(self._entries)))
            self._jump()

    def _jump(self) -> None:
        """Go on anywhere in the window."""
        self._next = self._first_left()
        if self._window >= 2:
            self._next += self.rng.randrange(int(self._window))

    def _first_left(self) -> int:
        while self._head < len(self._entries) and self._entries[self._head] is None:
            self._head += 1
        return self._head

    def _passes(self, job_filter: Callable[[str, str], object], name: str) -> bool:
        try:
            return bool(job_filter(self.full_path(f"{WAITING}/{name}"), name))
        except Exception as error:
            raise ConfigurationError(
                f"job_filter raised {type(error).__name__} ({error}) for job {name!r};"
                " it must return True or False."
            ) from error

    def _ripe(self, entries: list[Entry], now: float) -> list[Entry]:
        """The entries that were seen unchanged for `min_age` seconds of our own clock."""
        seen = {}
        for entry in entries:
            sight = self._seen.get(entry.name) or _Sight(entry, since=now, first=now)
            seen[entry.name] = sight if sight.entry == entry else _Sight(entry, now, sight.first)
        self._seen = seen
        # A log that somebody writes into must not keep a worker for ever.
        longest = _MIN_AGES_WATCHED * self.min_age
        young = [
            now - sight.since
            for sight in seen.values()
            if now - sight.since < self.min_age and now - sight.first < longest
        ]
        self.ripe_at = now + self.min_age - max(young) if young else None
        return [entry for entry in entries if now - seen[entry.name].since >= self.min_age]

    def _tell_of_other_files(self, files: Iterable[str]) -> None:
        for name in files:
            if not name.endswith(self.job_ext) and is_job_name(name):
                self._tell_once(
                    "",
                    f"{name!r} and files like it in {WAITING} are left alone, since"
                    f" job_ext={self.job_ext!r}; use job_ext='' to take every file",
                )
                return

    def _tell_of_what_is_left_behind(self, files: Iterable[str]) -> None:
        names = [name for name in files if is_left_behind(name)]
        if names:
            self._tell_once(
                "left behind",
                f"files such as {names[0]!r} in {WAITING} ({len(names)} now) are not taken for"
                " jobs: names like this are left by other programs; rename what is a job",
            )

    def _tell_once(self, key: str, message: str) -> None:
        if key not in self._told:
            self._told.add(key)
            log.warning("%s", message)
