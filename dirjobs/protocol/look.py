"""Looks that a mode may rely on: is it there, is it finished."""

from __future__ import annotations

from itertools import takewhile

from dirjobs import layout
from dirjobs.layout import DONE, FAILED
from dirjobs.policy import Mode
from dirjobs.protocol.me import Me
from dirjobs.protocol.share import Share
from dirjobs.protocol.store_clock import StoreClock
from dirjobs.store import Entry, split


class Look:
    """Finds out what is on the share, by the kind of request that the mode may believe.

    Args:
        share: where to look.
        me: whose mode and promises count.
    """

    def __init__(self, share: Share, me: Me) -> None:
        self.share = share
        self.me = me

    def is_there(self, path: str) -> bool:
        """Whether a file is there.

        Caching mounts keep what `exists` says for a minute, listings only for seconds
        (measured on davfs2): where listings lag, only a listing counts.
        """
        if self.me.policy.mode is not Mode.SYNC:
            return self.share.exists(path)
        return self.entry_at(path) is not None

    def entry_at(self, path: str) -> Entry | None:
        """A file as its folder lists it; None if it is not listed."""
        folder, name = split(path)
        for entry in self.share.listed(folder):
            if entry.name == name:
                return entry
        return None

    def arrived_though_refused(self, path: str, job: Entry, clock: StoreClock) -> bool:
        """Whether a rename to `path` whose source is gone was carried out though it was
        refused: a proxy that sends a request twice hands on the second answer.

        Args:
            path: the new name, which others may have had for another file.
            job: what was renamed.
            clock: tells whether the store's clock was set back since the job was written; then
                a file of its size is it, though it looks older.
        """
        if self.me.guarantees.final_refusals or not self.is_there(path):
            return False
        entry = self.entry_at(path)
        if entry is None or differ(job.size, entry.size):
            return False
        if self.is_same_run(job, entry):
            return True
        if job.mtime is None or self.me.guarantees.rename_keeps_mtime:
            return False
        return clock.is_before(job.mtime)

    def in_full(self, path: str, job: Entry) -> Entry:
        """`job`, which is at `path`, with the mtime and size that it was listed without."""
        if job.mtime is not None or job.size is not None:
            return job
        entry = self.entry_at(path)
        return job if entry is None else Entry(job.name, entry.mtime, entry.size)

    def is_finished(self, job: Entry, only: str = "") -> bool:
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
            if self.me.policy.mode is not Mode.SYNC and not self.share.exists(
                f"{folder}/{job.name}"
            ):
                continue
            there = {entry.name: entry for entry in self.share.listed(folder)}
            for name in takewhile(there.__contains__, layout.names_in_turn(job.name)):
                if self.is_same_run(job, there[name]):
                    return True
        return False

    def is_same_run(self, job: Entry, finished: Entry) -> bool:
        """Whether a file of a job's name is that very job, by size and time."""
        if differ(job.size, finished.size):
            return False
        if job.mtime is None or finished.mtime is None:
            return True
        if self.me.guarantees.rename_keeps_mtime and self.me.policy.mode is not Mode.SYNC:
            return job.mtime == finished.mtime
        return finished.mtime >= job.mtime


def is_older(one: Entry, other: Entry) -> bool:
    """Whether one file is known to be older than another."""
    return one.mtime is not None and other.mtime is not None and one.mtime < other.mtime


def differ(one: int | None, other: int | None) -> bool:
    """Whether two sizes are known to differ."""
    return one is not None and other is not None and one != other
