"""Looking, and renames whose outcome is settled by looking.

Nothing here deletes a file, and nothing renames onto an existing one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from dirjobs import layout
from dirjobs.clock import monotonic
from dirjobs.errors import AlreadyExists, AmbiguousResult, Busy, NotFound
from dirjobs.layout import DONE, FAILED
from dirjobs.policy import Mode, Terms
from dirjobs.protocol.effects import Exists, List, ListNames, Mkdir, Rename, Steps, Wait
from dirjobs.protocol.intents import Ledger
from dirjobs.store import Entry, Guarantees, split

_TRIES = 6
_BUSY_TRIES = 4


class Moved(Enum):
    """How a settled rename ended."""

    YES = "yes"
    TAKEN = "the destination exists"
    GONE = "the source is gone, and not by our doing"
    GONE_IN_DOUBT = "the source is gone, after a try whose answer is missing"


MOVED = (Moved.YES, Moved.GONE_IN_DOUBT)
"""It is where we wanted it, since nobody else wants it there."""


@dataclass(slots=True)
class _Doubt:
    """A rename of this source got no answer.

    Attributes:
        error: what was said instead.
        taken: how often the destination was there since, and the source too.
    """

    error: AmbiguousResult
    taken: int = 0


class Settling:
    """What one worker knows of the share, and how it finds out more.

    Args:
        worker: this worker's incarnation; may change while it lives.
        terms: mode and times; may be replaced by more careful ones.
        promises: what the store promises.
        nonce: makes names that nobody else makes.
        clock: seconds that never go back and, where possible, count while suspended.
    """

    def __init__(
        self,
        worker: str,
        terms: Terms,
        promises: Guarantees,
        nonce: Callable[[], str] = layout.nonce,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.worker = worker
        self.terms = terms
        self.promises = promises
        self.nonce = nonce
        self.clock = clock
        self.ledger = Ledger()
        self.decided: Counter[str] = Counter()
        """How often each rule decided; for tests, and for the curious."""
        self.by_record = False
        """The mode is nobody's wish: it is what a check has recorded."""
        self.evidence: list[str] = []
        """What was met that an exclusive rename can't bring about."""
        self.unseen: set[str] = set()
        """Claims that are ours by a rename on trial, and that no listing has shown whole:
        where renames are copies after all, they may be torn."""
        self.leaving: set[str] = set()
        """What we have begun to rename: that it is gone is no wonder."""
        self._doubts: dict[str, _Doubt] = {}
        self._refused: set[str] = set()

    @property
    def is_on_trial(self) -> bool:
        """Whether renames are trusted by a record, though the store doesn't promise it."""
        return self.by_record and self.terms.mode is Mode.TRUST and not self.promises.atomic_rename

    # -- looking ------------------------------------------------------------------------

    def is_there(self, path: str) -> Steps[bool]:
        """Whether a file is there, by the kind of look that this mode may rely on.

        Caching mounts keep what `exists` says for a minute, listings only for seconds
        (measured on davfs2): where listings lag, only a listing counts.
        """
        if self.terms.mode is not Mode.SYNC:
            there: bool = yield Exists(path)
            return there
        folder, name = split(path)
        return any(entry.name == name for entry in (yield from self.listing(folder)))

    def listing(self, folder: str) -> Steps[list[Entry]]:
        """See `listing`."""
        return (yield from listing(folder))

    @property
    def needs_names_only(self) -> bool:
        """Whether a job's mtime and size decide nothing unless an answer is missing: renames
        are exclusive, and should the mode become a more careful one, a claim shows what its
        job had."""
        promises = self.promises
        return (
            self.terms.mode is Mode.TRUST and promises.atomic_rename and promises.rename_keeps_mtime
        )

    def in_full(self, path: str, job: Entry) -> Steps[Entry]:
        """`job`, which is at `path`, with the mtime and size that it was listed without."""
        if job.mtime is not None or job.size is not None:
            return job
        folder, name = split(path)
        for entry in (yield from self.listing(folder)):
            if entry.name == name:
                return Entry(job.name, entry.mtime, entry.size)
        return job

    def finished(self, job: Entry, only: str = "") -> Steps[bool]:
        """Whether this very job, not an older one of its name, is done or failed.

        It is if a file of its name (or ``~2``, ``~3``, ... without a gap) has its size
        and its mtime; where a rename may change the mtime, one not older than the job's.

        Args:
            job: as it was listed.
            only: the one folder to look into.
        """
        for folder in (DONE, FAILED):
            if only not in ("", folder):
                continue
            if self.terms.mode is not Mode.SYNC and not (yield Exists(f"{folder}/{job.name}")):
                continue
            there = {entry.name: entry for entry in (yield from self.listing(folder))}
            number, name = 1, job.name
            while name in there:
                if self._same_run(job, there[name]):
                    return True
                number += 1
                name = layout.numbered(job.name, number)
        return False

    def _same_run(self, job: Entry, finished: Entry) -> bool:
        if differ(job.size, finished.size):
            return False
        if job.mtime is None or finished.mtime is None:
            return True
        if self.promises.rename_keeps_mtime and self.terms.mode is not Mode.SYNC:
            return job.mtime == finished.mtime
        return finished.mtime >= job.mtime

    # -- one rename, settled ------------------------------------------------------------

    def settle(self, src: str, dst: str, size: int | None) -> Steps[Moved]:
        """Rename `src` to `dst` and find out what became of it.

        Raises:
            Busy: somebody has it open, and not only for a moment.
            StoreError: it can't be found out now; the rename may be executed yet.
        """
        if self.is_on_trial:
            self.leaving.add(src)
        doubt = self._doubts.get(src)  # of an earlier call that could not find out
        pause, busy = 0.1, 0
        for _ in range(_TRIES):
            try:
                yield Rename(src, dst)
            except NotFound:
                if doubt is not None:
                    return self._gone_in_doubt(src)
                if not (yield from self._folder_is_at_fault(src, dst)):
                    return Moved.GONE
                continue
            except AlreadyExists:
                if doubt is None:
                    return Moved.TAKEN
                # Ours, and the delete of the source is due?  Then it will vanish.
                doubt.taken += 1
                if doubt.taken > _TRIES or (yield from self._has_another_size(dst, size)):
                    return Moved.TAKEN
            except AmbiguousResult as error:
                doubt = self._doubts.setdefault(src, _Doubt(error))
                self.ledger.doubt(dst)
            except Busy:
                # Even if nobody else looks at it: on SMB a loser of the race for this job
                # may hold it open for a moment yet.
                busy += 1
                if busy == _BUSY_TRIES:
                    raise
                yield Wait(pause)
                pause *= 2
                continue
            else:
                self._doubts.pop(src, None)
                return Moved.YES
            if not (yield from self.is_there(src)):
                return self._gone_in_doubt(src)
            yield Wait(pause)
            pause *= 2
        if doubt is None:
            raise NotFound(f"{split(dst)[0]!r} can't be used as a folder: move away what is there")
        raise doubt.error

    def _gone_in_doubt(self, src: str) -> Moved:
        self._doubts.pop(src, None)
        return Moved.GONE_IN_DOUBT

    def settle_numbered(self, src: str, folder: str, job: Entry) -> Steps[tuple[Moved, str]]:
        """Rename `src` into a folder under the job's name, or the first of ``job~2``,
        ``job~3``, ... that is free there.

        Returns:
            what became of it, and the name.
        """
        number, name = 1, job.name
        while (moved := (yield from self.settle(src, f"{folder}/{name}", job.size))) is Moved.TAKEN:
            number += 1
            name = layout.numbered(job.name, number)
        return moved, name

    def _folder_is_at_fault(self, src: str, dst: str) -> Steps[bool]:
        """Whether it was the folder of `dst` that was not found; if so it is made again."""
        folder = split(dst)[0]
        if folder == split(src)[0]:
            return False
        # A lagging listing shows a source that is gone: only a missing folder counts then.
        if (yield Exists(folder)) and self.terms.mode is Mode.SYNC:
            return False
        if not (yield from self.is_there(src)):
            return False
        yield from make_folder(folder)
        return True

    def _has_another_size(self, path: str, size: int | None) -> Steps[bool]:
        folder, name = split(path)
        for entry in (yield from self.listing(folder)):
            if entry.name == name:
                return differ(entry.size, size)
        return False


def listing(folder: str) -> Steps[list[Entry]]:
    """The entries of a folder; a folder that somebody moved away is an empty one."""
    try:
        entries: list[Entry] = yield List(folder)
    except NotFound:
        return []
    return entries


def names_in(folder: str) -> Steps[list[str]]:
    """The names of the files in a folder; none, if somebody moved it away."""
    try:
        found: list[str] = yield ListNames(folder)
    except NotFound:
        return []
    return found


def make_folder(path: str) -> Steps[None]:
    """Make a folder and those above it, whoever else does the same."""
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        folder = "/".join(parts[:depth])
        try:
            yield Mkdir(folder)
        except AlreadyExists:
            continue
        except NotFound:
            # davfs2 says so of a folder that another machine made a moment ago.
            if not (yield from _turns_up(folder)):
                raise


def _turns_up(folder: str) -> Steps[bool]:
    """Whether a folder that could not be made is listed after all, within seconds."""
    above, name = split(folder)
    for pause in (0.0, 1.0, 2.0, 4.0):
        yield Wait(pause)
        try:
            if any(entry.name == name for entry in (yield List(above))):
                return True
        except NotFound:
            return False
    return False


def differ(one: int | None, other: int | None) -> bool:
    """Whether two sizes are known to differ."""
    return one is not None and other is not None and one != other
