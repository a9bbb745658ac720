"""The check itself: one thing after the other, within its time."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial

from dirjobs.check.file_semantics import (
    Clock,
    find_changed_names,
    rename_into_nowhere,
    try_names,
    try_partial_upload,
)
from dirjobs.check.findings import Findings
from dirjobs.check.lag import measure_lag
from dirjobs.check.latency import Timed
from dirjobs.check.mounts import look_around
from dirjobs.check.scratch import Below, reopened_below, scratch
from dirjobs.check.verdict import ENOUGH, FEW, Verdict, decide
from dirjobs.errors import ConfigurationError, NotFound
from dirjobs.layers import Retrying
from dirjobs.policy import DEFAULT_TIMEOUT, whole
from dirjobs.registry import open_store, scheme_of
from dirjobs.store import Store
from dirjobs.testing.races import ProcessRacers, Racers, RaceTrack, Reopen, ThreadRacers

Tell = Callable[[str, float], None]
"""Is told what is being done, and which part of the whole is, from 0 to 1."""

CONNECTIONS = 4
_SECONDS, _SHORT_SECONDS = 75.0, 30.0
_FEW_WHERE_LATE = 60
_LONGEST_LAG, _LONGEST_MOUNT_LAG = 20.0, 60.0


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
    if reopen is None and not isinstance(place, Store):
        reopen = partial(open_store, place, storage_options, timeout=DEFAULT_TIMEOUT)
    with ExitStack() as stack:
        opened = open_store(place, storage_options, timeout=DEFAULT_TIMEOUT)
        store = stack.enter_context(closing(opened))
        view = None
        if mount is not None:
            view = stack.enter_context(closing(open_store(os.fspath(mount))))
        plan = _Plan(rounds, connections, short, tell or (lambda *_: None))
        found = _examine(store, view, _processes(store, place, reopen), plan)
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


class _Plan:
    """How much is tried, and for how long; what there was no time for is in `left_out`."""

    def __init__(self, rounds: int | None, connections: int, short: bool, tell: Tell) -> None:
        self.rounds, self.connections, self.short, self.tell = rounds, connections, short, tell
        self.left_out: list[str] = []
        self._until = time.monotonic() + (_SHORT_SECONDS if short else _SECONDS)

    @property
    def left(self) -> float:
        """Seconds."""
        return self._until - time.monotonic()

    def begins(self, what: str) -> bool:
        """Whether there is time for it; tells that it begins."""
        if self.left > 0:
            self.tell(what, 0.0)
            return True
        self.left_out.append(what)
        return False


def _examine(store: Store, view: Store | None, processes: Reopen | None, plan: _Plan) -> Findings:
    """Everything, one thing after the other."""
    began = time.monotonic()
    timed = Timed(store)
    places = [each.local_path("") for each in (store, view) if each is not None]
    found = Findings(store.url, store.guarantees, is_local=places[0] is not None)
    found.surroundings = look_around(*filter(None, places))
    with scratch(Retrying(timed), plan.connections) as place:
        here, tag = place.here, place.tag
        clock = Clock(here, "clock", tag)
        _measure_lag(found, here, None if view is None else Below(view, here.folder), tag, plan)
        place.lag = min(1.2 * found.worst_lag, _LONGEST_LAG)
        with closing(_racers(store, view, here.folder, processes, plan.connections)) as racers:
            found.callers = f"{racers.size} {racers.kind}"
            _race(found, RaceTrack(here, racers, tag, lag=place.lag), plan)
        found.times = clock.read()
        plan.tell("what becomes of names", 0.0)
        found.changed_names = find_changed_names(here, "changed", tag, place.lag)
        if plan.begins("uploading slowly"):
            found.partial = try_partial_upload(here, "partial", tag, found.worst_lag)
        is_prompt = found.worst_lag < 1
        if is_prompt and plan.begins("a rename into nowhere"):
            found.nowhere = rename_into_nowhere(here, "nowhere", tag, place.lag)
        if is_prompt and not plan.short and plan.begins("odd names"):
            found.names = try_names(here, "names", tag)
        plan.tell("tidying up", 0.0)
    found.seconds = time.monotonic() - began
    found.left_out = plan.left_out
    found.latency = timed.latencies()
    found.latency.pop("upload", None)  # it was slow on purpose
    return found


def _measure_lag(found: Findings, here: Below, view: Below | None, tag: str, plan: _Plan) -> None:
    plan.tell("looking how late listings are", 0.0)
    with here.another() as other:
        found.lag = measure_lag(here, other, "lag", tag, _LONGEST_LAG)
    if view is None:
        return
    plan.tell("looking how late the mount is", 0.0)
    _wait_for(view)
    there = measure_lag(here, view, "there", tag, _LONGEST_MOUNT_LAG)
    back = measure_lag(view, here, "back", tag, _LONGEST_MOUNT_LAG)
    found.mount_lag = there.merge(back)


def _racers(
    store: Store, view: Store | None, folder: str, processes: Reopen | None, size: int
) -> Racers:
    """Callers in the scratch folder; every second one goes through the mount, if there is one."""
    if processes is not None:
        reopens: list[Reopen] = [processes] * size
        if view is not None:
            reopens[::2] = [partial(open_store, view.url)] * len(reopens[::2])
        return ProcessRacers([partial(reopened_below, each, folder) for each in reopens])
    # Without the layers between: a race is no measure of time, and is not repeated.
    stores = [Below(store.another(), folder) for _ in range(size)]
    if view is not None:
        stores[::2] = [Below(view.another(), folder) for _ in stores[::2]]
    return ThreadRacers(stores)


def _race(found: Findings, track: RaceTrack, plan: _Plan) -> None:
    is_late = track.lag > 1
    wanted = plan.rounds or (_FEW_WHERE_LATE if is_late else ENOUGH)
    few = min(FEW, wanted)

    def seconds(share: float) -> float:
        return float("inf") if plan.rounds else share * max(1.0, plan.left)

    what = "races for a file, across folders"
    plan.tell(what, 0.0)
    share = 0.6 if plan.short else 0.45
    found.across = track.rename("from", "to", wanted, seconds(share), partial(plan.tell, what))
    if not is_late:  # mode sync renames to another folder
        what = "races for a file, within a folder"
        plan.tell(what, 0.0)
        rounds = few if plan.short else wanted
        found.inside = track.rename("in", "in", rounds, seconds(0.4), partial(plan.tell, what))
        what = "races for a name"
        plan.tell(what, 0.0)
        progress = partial(plan.tell, what)
        found.collisions = track.replace("mine", "one", few, seconds(0.4), progress)
    what = "races of write"
    if not plan.short and plan.begins(what):
        found.write = track.write("rwrite", few, 4.0, partial(plan.tell, what))


def _wait_for(view: Below) -> None:
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
                    f"{view.url!r} has shown nothing of what was made in the other place for"
                    f" {_LONGEST_MOUNT_LAG:g} s: give two views of one folder."
                ) from None
            time.sleep(0.5)
        else:
            return
