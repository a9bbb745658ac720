"""A simulated share: what is really there, and what each worker gets to see of it.

Six kinds of share, each the worst of its kind within its bounds:

- `ATOMIC`: a rename is exclusive; listings are fresh.
- `COPYING`: inside one folder a rename is exclusive, across folders it is copy, gap,
  delete; a source that vanishes meanwhile leaves a torn or an empty copy, and whoever
  lost may be told anything (plain sabre/dav).
- `BLIND`: every rename of a name that is seen "succeeds" and leaves a whole copy, also
  inside one folder (concurrent renames that both proceed); listings are fresh.
- `MOUNT`: the server is exclusive, listings lag by up to R, a loser's answer is unclear
  (caching mounts).
- `SYNCED`: a rename succeeds on the worker's own copy of the tree, reaches the others
  within W + R, and never fails (synchronized folders).
- `PHANTOM`: as MOUNT, but the loser is told "success" and sees its claim for a while.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from dirjobs.errors import AlreadyExists, AmbiguousResult, NotFound, StoreError
from dirjobs.layout import ATTEMPTS, DONE, FAILED, JOURNAL, PARKED, RUNNING, WAITING, WORKERS
from dirjobs.store import Entry, FileKind, split


class Kind(StrEnum):
    """What the simulated share is like."""

    ATOMIC = "atomic"
    COPYING = "copying"
    BLIND = "blind"
    MOUNT = "mount"
    SYNCED = "synced"
    PHANTOM = "phantom"

    @property
    def lags(self) -> bool:
        return self in (Kind.MOUNT, Kind.SYNCED, Kind.PHANTOM)


@dataclass(frozen=True, slots=True)
class File:
    """A file: which job's bytes, and how many of them are there.

    Attributes:
        content: which bytes; two files with one content are copies of one job.
        size: bytes there.
        whole: bytes that there should be.
        mtime: seconds, by the server's clock, in whole seconds.
        data: the bytes themselves, for files that are read (heartbeats, agreements).
    """

    content: str
    size: int
    whole: int
    mtime: float
    data: bytes = b""


Folder = dict[str, File]


@dataclass
class _View:
    """What one worker sees of one folder: a state of it, not older than allowed."""

    position: int = 0
    own: list[tuple[int, str, File | None]] = field(default_factory=list)


class World:
    """The share.

    Args:
        kind: what it is like.
        rng: makes every choice that the share makes.
        clock: the time, in virtual seconds.
        later: runs something after some virtual seconds.
        lag: R, how old a view may be, in seconds.
        write_lag: W, how long a SYNCED worker's change takes to leave it, in seconds.
        gap: how long a COPYING or BLIND share is between two halves of a rename, at most.
    """

    def __init__(
        self,
        kind: Kind,
        rng: random.Random,
        clock: Callable[[], float],
        later: Callable[[float, Callable[[], None]], None],
        lag: float = 0.0,
        write_lag: float = 0.0,
        gap: float = 0.3,
    ) -> None:
        self.kind = kind
        self.rng = rng
        self.clock = clock
        self.later = later
        self.lag = lag
        self.write_lag = write_lag
        self.gap = gap
        self.sticks = 0.0
        """Chance that a COPYING share can't delete a claim that it has copied to its end."""
        self.sticks_until = 0.0
        self._stuck: dict[str, bool] = {}
        folders = (WAITING, RUNNING, DONE, FAILED, PARKED, WORKERS, "_queue", ATTEMPTS, JOURNAL)
        self.folders: dict[str, Folder] = {name: {} for name in folders}
        self._history: dict[str, list[tuple[float, Folder]]] = {
            name: [(0.0, {})] for name in folders
        }
        self.version = 0
        self._clock_offset = 0.0
        self._leaving: dict[str, float] = {}
        self._views: dict[tuple[str, str], _View] = {}

    def server_time(self) -> float:
        """The share's own clock, which may have been set."""
        return self.clock() + self._clock_offset

    def step_clock(self, seconds: float) -> Callable[[], None]:
        """Something that sets the share's clock by `seconds`."""

        def step() -> None:
            self._clock_offset += seconds

        return step

    # -- the truth ------------------------------------------------------------------------

    def put(self, path: str, file: File | None) -> None:
        """Create, replace or (None) take away a file, now."""
        self.version += 1
        folder, name = split(path)
        if file is None:
            self.folders[folder].pop(name, None)
        else:
            self.folders[folder][name] = file
        if self.lag or self.write_lag:
            now = self.clock()
            self._history[folder].append((now, dict(self.folders[folder])))

    def get(self, path: str) -> File | None:
        """The file that is really there."""
        folder, name = split(path)
        return self.folders[folder].get(name)

    def copies(self, content: str) -> list[str]:
        """Where whole copies of a job's bytes are."""
        return [
            f"{folder}/{name}"
            for folder, files in self.folders.items()
            for name, file in files.items()
            if file.content == content and file.size == file.whole
        ]

    # -- what a worker sees ---------------------------------------------------------------

    def seen(self, who: str, folder: str) -> Folder:
        """A folder as `who` sees it now."""
        if folder not in self.folders:
            raise NotFound(folder)
        if not self.kind.lags:
            return self.folders[folder]
        history = self._history[folder]
        view = self._views.setdefault((who, folder), _View())
        oldest = self.clock() - self.lag
        first = view.position
        while first + 1 < len(history) and history[first + 1][0] <= oldest:
            first += 1
        view.position = self.rng.randint(first, len(history) - 1)
        seen = dict(history[view.position][1])
        # One's own changes are seen at once.
        view.own = [change for change in view.own if change[0] > view.position]
        for _, name, file in view.own:
            if file is None:
                seen.pop(name, None)
            else:
                seen[name] = file
        return seen

    def entries(self, who: str, folder: str) -> list[Entry]:
        """The listing of a folder as `who` gets it."""
        if folder in ("", "_queue"):
            prefix = f"{folder}/" if folder else ""
            folders = [
                Entry(name.removeprefix(prefix), 0.0, None, FileKind.FOLDER)
                for name in (*self.folders, "_queue")
                if name.startswith(prefix) and "/" not in name.removeprefix(prefix)
            ]
            if not folder:
                return folders
            return folders + [Entry(n, f.mtime, f.size) for n, f in self.seen(who, folder).items()]
        return [Entry(n, f.mtime, f.size) for n, f in self.seen(who, folder).items()]

    def _changed_by(self, who: str, path: str, file: File | None, known_at: int) -> None:
        folder, name = split(path)
        view = self._views.setdefault((who, folder), _View())
        view.own.append((known_at, name, file))

    # -- renaming -------------------------------------------------------------------------

    def rename(
        self, who: str, src: str, dst: str, answer: Callable[[StoreError | None], None]
    ) -> None:
        """Begin a rename; `answer` is told once how it ended."""
        if self.kind is Kind.SYNCED:
            answer(self._rename_own_copy(who, src, dst))
        elif self.kind is Kind.COPYING and split(src)[0] != split(dst)[0]:
            self._copy(src, dst, answer)
        elif self.kind is Kind.BLIND:
            self._rename_blindly(src, dst, answer)
        else:
            answer(self._rename_now(who, src, dst))

    def _rename_now(self, who: str, src: str, dst: str) -> StoreError | None:
        file = self.get(src)
        if file is None:
            if self.kind is Kind.MOUNT and self.rng.random() < 0.5:
                return AmbiguousResult("EIO")
            if self.kind is Kind.PHANTOM:
                stale = self.seen(who, split(src)[0]).get(split(src)[1])
                if stale is not None:
                    self._pretend(who, dst, stale)
                    return None
            return NotFound(src)
        if self.get(dst) is not None:
            return AlreadyExists(dst)
        self.put(src, None)
        self.put(dst, file)
        if self.kind.lags:
            for path, what in ((src, None), (dst, file)):
                self._changed_by(who, path, what, len(self._history[split(path)[0]]) - 1)
        return None

    def _pretend(self, who: str, dst: str, file: File) -> None:
        """Show a claim that never was, until the view is refreshed (within R)."""
        folder = split(dst)[0]
        history = self._history[folder]
        history.append((self.clock(), dict(self.folders[folder])))
        self._changed_by(who, dst, file, len(history) - 1)

    def _rename_own_copy(self, who: str, src: str, dst: str) -> StoreError | None:
        file = self.seen(who, split(src)[0]).get(split(src)[1])
        if file is None:
            return NotFound(src)
        if split(dst)[1] in self.seen(who, split(dst)[0]):
            return AlreadyExists(dst)
        never = 1 << 60
        self._changed_by(who, src, None, never)
        self._changed_by(who, dst, file, never)

        def upload() -> None:
            self.put(src, None)
            self.put(dst, file)
            for path in (src, dst):
                folder = split(path)[0]
                position = len(self._history[folder]) - 1
                own = self._views[who, folder].own
                for index, (known_at, name, change) in enumerate(own):
                    if known_at == never and name == split(path)[1]:
                        own[index] = (position, name, change)
                        break

        # A worker's changes leave it in their order, none later than W.
        at = max(self.clock() + self.rng.uniform(0, self.write_lag), self._leaving.get(who, 0.0))
        self._leaving[who] = at
        self.later(at - self.clock(), upload)
        return None

    def _rename_blindly(
        self, src: str, dst: str, answer: Callable[[StoreError | None], None]
    ) -> None:
        """Two steps, and nobody checks that the source is still there at the second."""
        file = self.get(src)
        if file is None:
            answer(NotFound(src))
            return
        if self.get(dst) is not None:
            answer(AlreadyExists(dst))
            return

        def proceed() -> None:
            self.put(dst, file)
            self.put(src, None)
            answer(None)

        self.later(self.rng.choice((0.0, 0.0, 0.01, self.gap)), proceed)

    def _copy(self, src: str, dst: str, answer: Callable[[StoreError | None], None]) -> None:
        file = self.get(src)
        if file is None:
            answer(NotFound(src))
            return
        if self.get(dst) is not None:
            answer(AlreadyExists(dst))
            return
        now = float(int(self.server_time()))
        self.put(dst, replace(file, size=0, mtime=now))

        def end_of_copy() -> None:
            growing = self.get(dst)
            if growing is None or growing.content != file.content:
                answer(AmbiguousResult("500"))
                return
            if self.get(src) is None:  # somebody else's delete came in between
                torn = self.rng.choice((0, file.size // 2, file.size))
                self.put(dst, replace(growing, size=torn))
                answer(self.rng.choice((None, AmbiguousResult("500"), NotFound("404"))))
                return
            self.put(dst, replace(growing, size=file.size))
            self.later(self.rng.choice((0.0, 0.01, self.gap)), delete)

        def delete() -> None:
            if self._can_not_delete(src, dst):
                answer(AmbiguousResult("500"))
            elif self.get(src) is not None:
                self.put(src, None)
                answer(None)
            else:
                answer(self.rng.choice((None, AmbiguousResult("500"), NotFound("404"))))

        self.later(self.rng.choice((0.0, 0.01, self.gap)), end_of_copy)

    def _can_not_delete(self, src: str, dst: str) -> bool:
        if split(dst)[0] in (DONE, FAILED) and self.sticks and src not in self._stuck:
            self._stuck[src] = self.rng.random() < self.sticks
        return self._stuck.get(src, False) and self.clock() < self.sticks_until
