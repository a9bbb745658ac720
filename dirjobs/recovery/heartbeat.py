"""One heartbeat: what a worker says of itself, written and read."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Collection, Iterable
from typing import Annotated

import msgspec

from dirjobs.errors import TRANSIENT_ERRORS, NotFound, StoreError, TooLarge
from dirjobs.layout import WORKERS, parse_claim
from dirjobs.policy import Policy, Seconds
from dirjobs.protocol.records import Bytes, Count, Text, convert, loads
from dirjobs.protocol.share import Share
from dirjobs.recovery.process import Process, ProcessNumber
from dirjobs.recovery.throughput import Pace
from dirjobs.store import MAX_READ, Entry

FORMAT = 1
_UNREADABLE = -(1 << 40)
"""The counter of what stands for a heartbeat that the store does not let us read."""
_TOLD_AT_LEAST = 1000
"""Jobs that a heartbeat names in any case: of more only if there is room."""


class Heartbeat(msgspec.Struct, frozen=True):
    """What a worker says of itself; see the law of the lease in `dirjobs.recovery`.

    Attributes:
        worker: the incarnation.
        counter: how often it was written; each writing differs from the one before.
        policy: the mode and the times that it works by.
        process: who it is.
        ended: True after a clean end: its claims, if any are left, are free.
        starting: True until it is clear that the id is free: such a process claims nothing.
        unsettled: how many of its renames may be executed yet; its id is not free then.
        running: the jobs that it holds, and their sizes in bytes.
        groups: process groups of the programs that it runs.
        held_for: for how many seconds it has held each of these jobs, for people.
        pace: how fast it ended jobs lately, for people.
        call_slots: how many calls of functions it runs at once; 0: none.
        format: of the file.
    """

    worker: Text
    counter: Count
    policy: Policy = msgspec.field(name="terms")
    process: Process = Process()
    ended: bool = False
    starting: bool = False
    unsettled: Count = 0
    running: dict[Text, Bytes | None] = {}
    groups: Annotated[tuple[ProcessNumber, ...], msgspec.Meta(max_length=10_000)] = ()
    held_for: dict[Text, Seconds] = {}
    pace: Pace = Pace()
    call_slots: Count = 0
    format: Count = FORMAT

    @property
    def is_stand_in(self) -> bool:
        """Whether it stands for a file that can't be read, or makes no sense."""
        return self.counter < 0

    @property
    def is_unreadable(self) -> bool:
        """Whether it stands for a file that can't be read: its worker is unknown, may be alive,
        and may be in any state."""
        return self.counter == _UNREADABLE

    def to_bytes(self) -> bytes:
        """The file's content.  Of a worker that holds more jobs than others would read it does
        not name all: what is not told of one is found out by looks."""
        data = msgspec.json.format(msgspec.json.encode(self), indent=1)
        if len(data) <= MAX_READ:
            return data
        some = dict(itertools.islice(self.running.items(), _TOLD_AT_LEAST))
        less = msgspec.structs.replace(self, running=some, held_for={})
        return msgspec.json.format(msgspec.json.encode(less), indent=1)

    @classmethod
    def from_bytes(cls, data: bytes) -> Heartbeat | None:
        """The heartbeat that `data` says, or None if it says none (somebody else's file)."""
        try:
            record = loads(data)
            heartbeat = convert(record, cls)
        except ValueError:
            return None
        # A policy without a mode is no policy, though one of ours has a default.
        return heartbeat if "mode" in record["terms"] else None


def read(share: Share, file_name: str, policy: Policy | None = None) -> Heartbeat | None:
    """What a file in ``_queue/workers`` says; None if it is gone, or is no heartbeat.

    A heartbeat that makes no sense, or is larger than any, is half written, or cut off for good
    because its worker died while writing: what stands for it has a counter that changes with its
    content.  So does a heartbeat that names another worker than its file: a copy, or a forgery.
    For a file that the store refuses to give (another user's, a folder, a link) stands what
    `Heartbeat.is_unreadable` says.

    Args:
        share: where it is.
        file_name: its name in ``_queue/workers``.
        policy: by which a worker is judged whose heartbeat can't be read.

    Raises:
        StoreError: one of `TRANSIENT_ERRORS`.
    """
    worker = worker_of(file_name)
    try:
        data = share.read(f"{WORKERS}/{file_name}")
    except NotFound:
        return None
    except TRANSIENT_ERRORS:
        raise
    except TooLarge:
        data = b""
    except StoreError:
        return None if worker is None else unreadable(worker, policy)
    heartbeat = Heartbeat.from_bytes(data)
    if worker is None or (heartbeat is not None and heartbeat.worker == worker):
        return heartbeat
    return Heartbeat(worker, -1 - zlib.crc32(data), policy or Policy())


def unreadable(worker: str, policy: Policy | None = None) -> Heartbeat:
    """What stands for a heartbeat that the store refuses to give; see `read`."""
    return Heartbeat(worker, _UNREADABLE, policy or Policy())


def heartbeat_path(worker: str, tag: str) -> str:
    return f"{WORKERS}/{worker}.{tag}.json"


def worker_of(file_name: str) -> str | None:
    """Whose heartbeat a file in ``_queue/workers`` is; None if it is none."""
    claim = parse_claim(file_name)
    return claim.worker if claim and claim.job.endswith(".json") else None


def written_last(listing: Iterable[Entry], ours: Collection[str]) -> float | None:
    """When the newest of some heartbeat files was written, by the store's clock; None if no
    listing tells.

    Args:
        listing: of ``_queue/workers``.
        ours: the names of the files.
    """
    return max(
        (entry.mtime for entry in listing if entry.name in ours and entry.mtime), default=None
    )
