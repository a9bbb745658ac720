"""The queue's folders, made when they are missing."""

from __future__ import annotations

from contextlib import suppress

from dirjobs.errors import AlreadyExists, NotFound
from dirjobs.layout import FOLDERS, QUEUE
from dirjobs.protocol.share import Share
from dirjobs.store import split


def make_folders(share: Share) -> None:
    """Make what is missing of the queue's folders."""
    try:
        there = {entry.name for entry in share.list("")}
    except NotFound:
        there = set()
        with suppress(AlreadyExists):  # several workers may begin at once
            share.mkdir("")
    with suppress(NotFound):  # then it is made below
        there |= {f"{QUEUE}/{entry.name}" for entry in share.list(QUEUE)}
    for folder in FOLDERS:
        if folder not in there:
            make_folder(share, folder)


def make_folder(share: Share, path: str) -> None:
    """Make a folder and those above it, whoever else does the same."""
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        folder = "/".join(parts[:depth])
        try:
            share.mkdir(folder)
        except AlreadyExists:
            continue
        except NotFound:
            # davfs2 says so of a folder that another machine made a moment ago.
            if not _turns_up(share, folder):
                raise


def _turns_up(share: Share, folder: str) -> bool:
    """Whether a folder that could not be made is listed after all, within seconds."""
    above, name = split(folder)
    for pause in (0.0, 1.0, 2.0, 4.0):
        share.sleep(pause)
        try:
            if any(entry.name == name for entry in share.list(above)):
                return True
        except NotFound:
            return False
    return False


def write(share: Share, path: str, data: bytes) -> None:
    """Write a small file of ours, and make its folder if that is missing."""
    try:
        share.write(path, data)
    except NotFound:
        make_folder(share, split(path)[0])
        share.write(path, data)
