"""The queue's folders, made when they are missing."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import partial
from typing import BinaryIO

from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    ConfigurationError,
    NotFound,
    StoreError,
    and_more,
)
from dirjobs.layers import repeatable_upload
from dirjobs.layout import AGREEMENT, FOLDERS, MAY_BE_LINKS, QUEUE, WAITING
from dirjobs.local_files import is_link
from dirjobs.protocol.agreement import links_in
from dirjobs.protocol.share import Share
from dirjobs.redaction import redacted
from dirjobs.shell import MAKE_FOLDERS, quoted
from dirjobs.store import FileKind, Store, split

_OF_SYSTEMS = ("lost+found", "@eaDir", "#recycle", "desktop.ini", "Thumbs.db")
"""What disks, NAS and desktops put into empty folders."""
_PAUSES = (0.0, 1.0, 2.0, 4.0)
"""Seconds before each look for a folder that a mount, or a server, may show late."""


def make_folders(share: Share, *, only_in_queues: bool = False) -> None:
    """Make what is missing of the queue's folders.

    Args:
        share: the queue.
        only_in_queues: refuse what is none yet, unless it is an empty folder.

    Raises:
        ConfigurationError: it is refused; nothing was made.
        StoreError: a folder can't be made, or something else is in its place.
    """
    try:
        there = {entry.name: entry.kind for entry in share.list("")}
    except NotFound:
        if only_in_queues:
            raise _is_missing(share.store) from None
        there = {}
        _make_one(share, "")
    if only_in_queues:
        _refuse_others(share.store, there)
    with suppress(NotFound):  # then it is made below
        there |= {f"{QUEUE}/{entry.name}": entry.kind for entry in share.list(QUEUE)}
    for folder in FOLDERS:
        if folder not in there:
            make_folder(share, folder)
        elif there[folder] is not FileKind.FOLDER:
            share.list(folder)  # the store says what is wrong with it, if anything is


def _is_missing(store: Store) -> ConfigurationError:
    check_parent(store)
    return ConfigurationError(
        f"there is no queue {redacted(store.url)!r}: check the spelling, or make it with"
        " create=True or `dirjobs init`."
    )


def _refuse_others(store: Store, there: Collection[str]) -> None:
    if any(folder in there for folder in (*FOLDERS, QUEUE)):
        return
    others = sorted(name for name in there if not (name.startswith(".") or name in _OF_SYSTEMS))
    if others:
        raise ConfigurationError(
            f"{redacted(store.url)!r} is not a queue: it has no folder {WAITING}, but"
            f" {others[0]!r}{and_more(others)}; check the spelling, or make it one with"
            " create=True or `dirjobs init`."
        )


def check_parent(store: Store) -> None:
    """Refuse to make a queue where a share may be missing: it would be one of this machine.

    Raises:
        ConfigurationError: the folder around the queue is not there.
    """
    local = store.local_path("")
    if local is None or os.path.isdir(local):
        return
    parent = os.path.dirname(os.path.abspath(local))
    if not os.path.isdir(parent):
        raise ConfigurationError(
            f"there is no folder {parent!r} for this queue: mount the share it is on, or make the"
            f" folder with `{MAKE_FOLDERS} {quoted(parent)}`."
        )


def linked_folders(store: Store) -> list[str]:
    """Which folders of a queue on this machine are symbolic links, of those that may be."""
    root = store.local_path("")
    if root is None:
        return []
    return [folder for folder in MAY_BE_LINKS if is_link(os.path.join(root, folder))]


def follow_links(store: Store) -> None:
    """Let the store follow those of the queue's folders that `init --follow-links` named."""
    linked = linked_folders(store)
    if linked:
        with suppress(NotFound):
            store.follow(links_in(store.read(AGREEMENT)).intersection(linked))


def make_folder(share: Share, path: str) -> None:
    """Make a folder and those above it, whoever else does the same."""
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        _make_one(share, "/".join(parts[:depth]))


def make_real_folder(share: Share, path: str) -> None:
    """Make a folder, as `make_folder` does, and refuse a link or a file in its place: a rename
    may follow the one, and finds no folder in the other.

    Raises:
        StoreError: it is something else, or can't be made.
    """
    make_folder(share, path)
    above, name = split(path)
    kinds = {entry.name: entry.kind for entry in share.list(above)}
    if kinds.get(name, FileKind.FOLDER) is not FileKind.FOLDER:
        share.list(path)  # the store says what is wrong with it, if anything is


def _make_one(share: Share, folder: str) -> None:
    """Make one folder, if nobody else does.

    Whoever is second may be told anything: Apache says 403, nephele 500, others 409; davfs2
    finds nothing where another machine made a folder a moment ago.  So a refusal counts only
    if the folder is not there.
    """
    try:
        share.mkdir(folder)
    except AlreadyExists:
        return
    except StoreError as refusal:
        late = isinstance(refusal, NotFound | AmbiguousResult)
        if not _turns_up(share, folder, _PAUSES if late else _PAUSES[:2]):
            raise


def _turns_up(share: Share, folder: str, pauses: Iterable[float]) -> bool:
    """Whether a folder that could not be made is there after all, after one of some pauses.

    By the listing of the folder above: caching mounts say for a minute that a single name is
    not there.
    """
    above, name = split(folder)
    for pause in pauses:
        share.sleep(pause)
        try:
            found = share.list(above)
        except NotFound:
            return False
        if not folder or any(entry.name == name for entry in found):
            return True
    return False


def write(share: Share, path: str, data: bytes) -> None:
    """Write a small file of ours, and make its folder if that is missing."""
    _in_its_folder(share, path, partial(share.write, path, data))


def upload(share: Share, path: str, source: BinaryIO) -> None:
    """Upload a file from where `source` stands now, and make its folder if that is missing."""
    if source.seekable():
        _in_its_folder(share, path, repeatable_upload(share.store, path, source))
        return
    make_folder(share, split(path)[0])  # afterwards a part of the source may have been read
    share.upload(path, source)


def _in_its_folder(share: Share, path: str, make: Callable[[], None]) -> None:
    """Make the file `path`; its folder first, if that turns out to be missing."""
    try:
        make()
    except NotFound:
        make_folder(share, split(path)[0])
        make()
