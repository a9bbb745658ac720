"""The queue's folders, made when they are missing."""

from __future__ import annotations

from contextlib import suppress

from dirjobs.errors import AlreadyExists, NotFound
from dirjobs.layout import FOLDERS, QUEUE
from dirjobs.protocol.effects import List, Mkdir, Steps
from dirjobs.protocol.resolve import make_folder


def make_folders() -> Steps[None]:
    """Make what is missing of the queue's folders."""
    try:
        there = {entry.name for entry in (yield List(""))}
    except NotFound:
        there = set()
        with suppress(AlreadyExists):  # several workers may begin at once
            yield Mkdir("")
    with suppress(NotFound):  # then it is made below
        there |= {f"{QUEUE}/{entry.name}" for entry in (yield List(QUEUE))}
    for folder in FOLDERS:
        if folder not in there:
            yield from make_folder(folder)
