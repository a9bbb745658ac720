"""The check itself: one thing after the other, within its time."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

from dirjobs.check.file_semantics import Clock, rename_into_nowhere, try_names, try_partial_upload
from dirjobs.check.findings import Findings
from dirjobs.check.latency import Timed
from dirjobs.check.listing import measure_lag, measure_speed
from dirjobs.check.mounts import look_around
from dirjobs.check.racers import Crew, ProcessCrew, Reopen
from dirjobs.check.races import Track
from dirjobs.check.scratch import Below, scratch
from dirjobs.check.verdict import ENOUGH, Verdict, decide
from dirjobs.errors import ConfigurationError, NotFound
from dirjobs.layers import Retrying
from dirjobs.policy import DEFAULT_TIMEOUT
from dirjobs.registry import open_store, scheme_of
from dirjobs.settings import whole
from dirjobs.store import Store

Tell = Callable[[str, float], None]
"""Is told what is being done, and which part of the whole is, from 0 to 1."""

CONNECTIONS = 4
_SECONDS, _SHORT_SECONDS = 75.0, 30.0
_FEW = 25
_FEW_WHERE_LATE = 60
_NAMES = 1000
_LONGEST_LAG, _LONGEST_MOUNT_LAG = 20.0, 60.0


@runtime_checkable
class Examinable(Protocol):
    """A store that knows more to ask than the verbs of a store."""

    def examine(self, path: str) -> dict[str, str]:
        """What else there is to know, in words; `path` may be written, and ``path.2``."""


@dataclass(frozen=True)
class Check:
    """A check that is done.

    Attributes:
        findings: what was measured.
        verdict: what follows from it.
    """

    findings: Findings
    verdict: Verdict

    def to_json(self) -> dict[str, object]:
        """What ``dirjobs check --json`` prints."""
        return {**self.verdict.to_json(), "findings": self.findings.to_json()}


def check(
    place: str | os.PathLike[str] | Store,
    *,
    storage_options: Mapping[str, object] | None = None,
    mount: str | os.PathLike[str] | None = None,
    rounds: int | None = None,
    connections: int = CONNECTIONS,
    short: bool = False,
    tell: Tell | None = None,
    reopen: Reopen | None = None,
) -> Check:
    """Try what a share guarantees, in a folder of our own that is removed afterwards.

    Args:
        place: a path, a URL or a `Store`: the queue, or the folder that will contain it.
        storage_options: settings and credentials for the store.
        mount: another path under which the same folder is seen.
        rounds: how many contested races for one file are wanted, however long they take;
            by default 300, or as many as there is time for.
        connections: how many callers race; some accounts allow few.
        short: leave out what doesn't decide the mode, and take some 30 seconds at most.
        tell: is told what is going on.
        reopen: opens the store in another process, where `place` is a Store.

    Raises:
        ConfigurationError: an argument is not right, or there is no such folder.
        StoreError: the share refuses to be written to, or can't be reached.
    """
    if rounds is not None:
        whole("rounds", rounds)
    if whole("connections", connections) < 2:
        raise ConfigurationError("connections=1 makes no race: at least 2 are needed.")
    place = os.fspath(place) if isinstance(place, os.PathLike) else place
    opened = open_store(place, storage_options, timeout=DEFAULT_TIMEOUT)
    timed = Timed(opened)
    view = None if mount is None else open_store(os.fspath(mount))
    if reopen is None and not isinstance(place, Store):
        reopen = partial(open_store, place, storage_options, timeout=DEFAULT_TIMEOUT)
    examination = _Examination(timed, view, rounds, connections, tell, short=short)
    try:
        examination.run(_processes(opened, place, reopen))
    finally:
        opened.close()
        if view is not None:
            view.close()
    found = examination.found
    found.latency = timed.latencies()
    found.latency.pop("upload", None)  # it was slow on purpose
    return Check(found, decide(found))


def _processes(store: Store, place: str | Store, reopen: Reopen | None) -> Reopen | None:
    """How processes can open the store; None where threads race as well as they do.

    Threads of one process wait for each other too often for races in a local folder, and
    smbprotocol shares more among them than it should.
    """
    is_smb = isinstance(place, str) and scheme_of(place, windows=os.name == "nt") == "smb"
    given_by_hand = isinstance(place, Store) and reopen is not None
    if reopen is None or not (is_smb or given_by_hand or store.local_path("") is not None):
        return None
    try:
        pickle.dumps(reopen)
    except (TypeError, AttributeError, pickle.PicklingError):
        return None  # an option that only this process can have
    return reopen


class _Examination:
    def __init__(
        self,
        store: Store,
        view: Store | None,
        rounds: int | None,
        connections: int,
        tell: Tell | None,
        *,
        short: bool,
    ) -> None:
        self._store, self._view = Retrying(store), view
        self._rounds, self._connections, self._short = rounds, connections, short
        self._tell = tell
        self._began = time.monotonic()
        self._seconds = _SHORT_SECONDS if short else _SECONDS
        local = store.local_path("")
        self.found = Findings(store.url, store.guarantees, is_local=local is not None)
        places = [local, None if view is None else view.local_path("")]
        self.found.surroundings = look_around(*filter(None, places))

    # -- time ---------------------------------------------------------------------------

    @property
    def _left(self) -> float:
        return self._began + self._seconds - time.monotonic()

    def _say(self, what: str, part: float = 0.0) -> None:
        if self._tell is not None:
            self._tell(what, part)

    def _in_time(self, what: str) -> bool:
        if self._left > 0:
            self._say(what)
            return True
        self.found.left_out.append(what)
        return False

    # -- steps --------------------------------------------------------------------------

    def run(self, processes: Reopen | None) -> None:
        with scratch(self._store, self._connections) as place:
            here, tag = place.here, place.tag
            clock = Clock(here, "clock", tag)
            self._measure_lag(here, tag)
            place.lag = min(1.2 * self._lag, _LONGEST_LAG)
            with self._crew(here, processes) as crew:
                self.found.callers = f"{crew.size} {crew.kind}"
                track = Track(here, crew, tag, place.lag)
                self._race(track)
                if not self._short and self._in_time(f"listing {_NAMES} names"):
                    self.found.listing = measure_speed(track, "to", _NAMES)
            self.found.times = clock.read()
            if self._in_time("uploading slowly"):
                self.found.partial = try_partial_upload(here, "partial", tag, self._lag)
            if not self._short and self._lag < 1 and self._in_time("odd names"):
                self.found.names = try_names(here, "names", tag)
            if not self._short and self._in_time("a rename into nowhere"):
                told = rename_into_nowhere(here, "nowhere", tag)
                self.found.server["rename into a missing folder"] = told
            if not self._short:
                self._examine(here, tag)
            self._say("tidying up")
        self.found.seconds = time.monotonic() - self._began

    def _examine(self, here: Below, tag: str) -> None:
        store = _bare(here)
        if isinstance(store, Examinable) and self._in_time("conditional requests"):
            self.found.server |= store.examine(here.at(f"conditional.{tag}"))

    @property
    def _lag(self) -> float:
        lags = [self.found.lag, *filter(None, [self.found.mount_lag])]
        return max(lag.worst for lag in lags)

    def _measure_lag(self, here: Below, tag: str) -> None:
        self._say("looking how late listings are")
        with here.another() as other:
            self.found.lag = measure_lag(here, other, "lag", tag, _LONGEST_LAG)
        if self._view is None:
            return
        self._say("looking how late the mount is")
        view = Below(self._view, here.folder)
        _wait_for(view, self._view.url)
        there = measure_lag(here, view, "there", tag, _LONGEST_MOUNT_LAG)
        back = measure_lag(view, here, "back", tag, _LONGEST_MOUNT_LAG)
        self.found.mount_lag = there.merge(back)

    @contextmanager
    def _crew(self, here: Below, processes: Reopen | None) -> Iterator[Crew]:
        crew: Crew
        if processes is not None:
            reopens: list[Reopen] = [processes] * self._connections
            if self._view is not None:
                reopens[::2] = [partial(open_store, self._view.url)] * len(reopens[::2])
            crew = ProcessCrew(reopens, here.folder)
        else:
            # Without the layers between: a race is no measure of time, and is not repeated.
            bare: Sequence[Store] = [_bare(here).another() for _ in range(self._connections)]
            stores = [Below(each, here.folder) for each in bare]
            if self._view is not None:
                stores[::2] = [Below(self._view.another(), here.folder) for _ in stores[::2]]
            crew = Crew(stores)
        try:
            yield crew
        finally:
            crew.close()

    def _race(self, track: Track) -> None:
        wanted = self._rounds or (_FEW_WHERE_LATE if track.lag > 1 else ENOUGH)
        for what, src, dst, share in (
            ("races for a file, across folders", "from", "to", 0.6 if self._short else 0.45),
            ("races for a file, within a folder", "in", "in", 0.4),
        ):
            if src == dst and track.lag > 1:
                continue  # mode sync renames to another folder
            self._say(what)
            few = self._short and src == dst
            race = track.rename(
                src,
                dst,
                min(_FEW, wanted) if few else wanted,
                float("inf") if self._rounds else share * max(1.0, self._left),
                partial(self._say, what),
            )
            if src == dst:
                self.found.inside = race
            else:
                self.found.across = race
        if self._short:
            return
        few_rounds = min(_FEW, wanted)
        for what, run in (("mkdir", track.mkdir), ("write", track.write)):
            if self._in_time(f"races of {what}"):
                race = run(f"r{what}", few_rounds, 4.0, partial(self._say, f"races of {what}"))
                setattr(self.found, what, race)


def _bare(here: Below) -> Store:
    store: Store = here.store
    while isinstance(store, Retrying | Timed):
        store = store.store
    return store


def _wait_for(view: Store, url: str) -> None:
    """Wait until the scratch folder is seen on the mount.

    Raises:
        ConfigurationError: it isn't.
    """
    until = time.monotonic() + _LONGEST_MOUNT_LAG
    while True:
        try:
            view.list("")
        except NotFound:
            if time.monotonic() > until:
                raise ConfigurationError(
                    f"{url!r} has shown nothing of what was made in the other place for"
                    f" {_LONGEST_MOUNT_LAG:g} s: give two views of one folder."
                ) from None
            time.sleep(0.5)
        else:
            return
