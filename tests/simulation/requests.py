"""What the protocol asks of a store, as the simulation carries it out."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias


class List(NamedTuple):
    """The entries of a folder."""

    folder: str


class ListNames(NamedTuple):
    """The names of the files in a folder."""

    folder: str


class Rename(NamedTuple):
    """One native rename."""

    src: str
    dst: str


class Exists(NamedTuple):
    """Whether a path is there."""

    path: str


class Read(NamedTuple):
    """The content of a small file."""

    path: str


class Write(NamedTuple):
    """Create or replace a small file."""

    path: str
    data: bytes


class Upload(NamedTuple):
    """Create or replace a file from a stream."""

    path: str
    data: bytes


class Remove(NamedTuple):
    """Remove a heartbeat, an order or an unfinished upload."""

    path: str


class Mkdir(NamedTuple):
    """Make a folder."""

    path: str


class Wait(NamedTuple):
    """Let virtual seconds pass."""

    seconds: float


Request: TypeAlias = (
    List | ListNames | Rename | Exists | Read | Write | Upload | Mkdir | Remove | Wait
)
