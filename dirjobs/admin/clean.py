"""Emptying the trash: the only thing in dirjobs that deletes files of jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dirjobs.errors import Denied, NotFound
from dirjobs.layout import TRASH, may_be_removed
from dirjobs.protocol.share import Share
from dirjobs.protocol.store_clock import StoreClock
from dirjobs.store import Entry, FileKind


class Found(NamedTuple):
    """What is in the trash.

    Attributes:
        old: the files that are old enough to be deleted.
        left: the names of everything else: links, folders, names that no job has.
        until: when the youngest of `old` may have been written, by the store's clock.
    """

    old: Sequence[Entry]
    left: Sequence[str]
    until: float


def look(share: Share, age: float) -> Found:
    """What is in the trash; a listing, and three requests more if there are files in it.

    Args:
        share: the queue.
        age: seconds since a file of a job was written, at least, by the store's clock and its
            mtime: a rename, such as the one to the trash, does not change that on most stores.

    Raises:
        Denied: the store does not let us find out what time it is there.
        StoreError: it can't be reached.
    """
    entries = share.listed(TRASH)
    files = [
        entry
        for entry in entries
        if entry.kind is FileKind.FILE and may_be_removed(f"{TRASH}/{entry.name}")
    ]
    if not files:
        return Found([], [entry.name for entry in entries], 0.0)
    now = StoreClock(share).now()
    if now is None:
        raise Denied(
            f"what time it is on {share.store.url!r} can't be found out, so nothing in {TRASH} is"
            " known to be old."
        )
    old = [entry for entry in files if entry.mtime is not None and entry.mtime <= now - age]
    chosen = {entry.name for entry in old}
    return Found(old, [entry.name for entry in entries if entry.name not in chosen], now - age)


def delete(share: Share, name: str, until: float) -> bool:
    """Delete a file in the trash for good; two requests.

    Args:
        share: the queue.
        name: of the file.
        until: a file of this name that was written later is another one, and stays.

    Returns:
        whether it was deleted; if not, it was gone, or is another one.

    Raises:
        StoreError: the store refuses it, or can't be reached.
    """
    path = f"{TRASH}/{name}"
    try:
        if share.store.mtime(path) > until:
            return False
        share.remove(path)
    except NotFound:
        return False
    return True
