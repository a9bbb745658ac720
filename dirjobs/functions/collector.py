"""Sees what came of calls: the journal tells, and the folder that a job is in decides.

A look asks for one listing, that of the journal, and for those of its files that have grown.  Every
now and then all folders are looked at, for what ends without a record.
"""

from __future__ import annotations

import base64
import binascii
import io
import logging
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from dirjobs.admin import history
from dirjobs.admin.enqueue import key
from dirjobs.admin.signatures import Signatures
from dirjobs.errors import NotFound
from dirjobs.functions.calls import (
    NotACall,
    Raised,
    Returned,
    load_value,
    value_subject,
    value_tag,
)
from dirjobs.layout import DONE, FAILED, RUNNING, VALUE, WAITING
from dirjobs.protocol import attempts, journal
from dirjobs.protocol.journal import Record
from dirjobs.protocol.share import Share
from dirjobs.temporary import temporary_file

log = logging.getLogger(__name__)

_ONE_BY_ONE = 8
"""So many jobs are asked for one by one; of more the whole folder is listed."""
_FOLDER_OF = {journal.DONE: DONE, journal.FAILED: FAILED, journal.CANCELLED: FAILED}
_MISSED_LOOKS = 2
"""A job without a record is taken for ended when so many looks have found it so."""


@dataclass
class Ended:
    """A call that has ended.

    Attributes:
        job: its name.
        record: of the attempt that counts; None if there is none.
        folder: where the job is; empty if it is nowhere.
    """

    job: str
    record: Record | None
    folder: str


@dataclass
class Found:
    """What a look has found.

    Attributes:
        ended: calls that have ended.
        running: names of those that run; None if nobody looked.
    """

    ended: list[Ended] = field(default_factory=list)
    running: frozenset[str] | None = None


class Collector:
    """Looks for calls that have ended.  For one thread.

    Args:
        share: the queue.
    """

    def __init__(self, share: Share) -> None:
        self._share = share
        self._read_at: dict[str, tuple[float | None, int | None]] = {}
        """Of each file of the journal, what it was like when it was read."""
        self._of: dict[str, Record] = {}
        """The latest record of each call that somebody waits for."""
        self._missed: dict[str, int] = {}
        self._sought: set[str] = set()
        """Calls of earlier programs for whose records the whole journal was read."""

    def ignore_what_is_there(self) -> None:
        """What is in the journal now is about nobody's calls that are waited for.

        Raises:
            StoreError: as `look`.
        """
        for entry in history.journals(self._share):
            self._read_at[entry.name] = (entry.mtime, entry.size)

    def look(
        self,
        wanted: Collection[str],
        sent: Collection[str],
        found_there: Collection[str],
        *,
        everywhere: bool,
    ) -> Found:
        """Look once.

        Args:
            wanted: names of the calls that are waited for.
            sent: those of them that are in the queue.
            found_there: those of them that were there already, and may have ended before.
            everywhere: look at all folders.

        Raises:
            StoreError: the store can't be reached, or refuses.
        """
        if not self._sought.issuperset(found_there):
            self._sought.update(found_there)
            self._read_at.clear()
        self._read_journal(wanted)
        claims = [self._of[job] for job in wanted if job in self._of]
        ended = [Ended(record.job, record, folder) for record, folder in self._confirmed(claims)]
        found = Found(ended)
        if everywhere:
            self._look_everywhere(sent, found)
        for one in found.ended:
            self._of.pop(one.job, None)
            self._missed.pop(one.job, None)
            self._sought.discard(one.job)  # whoever asks for it again finds it again
        return found

    def _read_journal(self, wanted: Collection[str]) -> None:
        for entry in history.journals(self._share):
            seen = (entry.mtime, entry.size)
            if None not in seen and self._read_at.get(entry.name) == seen:
                continue
            told = history.read(self._share, entry)
            if told.problem:
                log.info("%s", told.problem)
            for record in told.records:
                if record.job in wanted and record.end in _FOLDER_OF:
                    self._take(record)
            self._read_at[entry.name] = seen

    def _take(self, record: Record) -> None:
        known = self._of.get(record.job)
        if record.lost:
            if known is not None and known.worker == record.worker:
                del self._of[record.job]
        elif known is None or (history.time_of(known.ended) or 0.0) <= (
            history.time_of(record.ended) or 0.0
        ):
            self._of[record.job] = record

    def _confirmed(self, records: Iterable[Record]) -> list[tuple[Record, str]]:
        """Those of some records whose job is where they say."""
        by_folder: dict[str, list[Record]] = {}
        for record in records:
            by_folder.setdefault(_FOLDER_OF[record.end], []).append(record)
        found = []
        for folder, claims in by_folder.items():
            is_there = self._test(folder, len(claims))
            found += [(one, folder) for one in claims if is_there(one.ended_as or one.job)]
        return found

    def _test(self, folder: str, count: int) -> Callable[[str], bool]:
        share = self._share
        if count <= _ONE_BY_ONE:
            return lambda job: share.exists(f"{folder}/{job}")
        names = {key(name) for name in share.names_of_files(folder)}
        return lambda job: key(job) in names

    def _look_everywhere(self, sent: Collection[str], found: Found) -> None:
        """Downstream, so that a job which moves on meanwhile is seen twice, never missed."""
        where: dict[str, str] = {}
        running = set()
        for folder in (WAITING, RUNNING, DONE, FAILED):
            for file in self._share.jobs_in(folder):
                if file.job.name in sent:
                    where[file.job.name] = folder
                    if folder == RUNNING:
                        running.add(file.job.name)
        found.running = frozenset(running)
        known = {one.job for one in found.ended}
        for job in sent:
            folder = where.get(job, "")
            if job in known or folder in (WAITING, RUNNING):
                self._missed.pop(job, None)
                continue
            self._missed[job] = self._missed.get(job, 0) + 1
            if self._missed[job] >= _MISSED_LOOKS:
                found.ended.append(Ended(job, None, folder))

    # -- values ---------------------------------------------------------------------------

    def value_of(self, ended: Ended, signatures: Signatures | None) -> Returned | Raised:
        """What came of a call.  This runs code that is in it.

        Args:
            signatures: values must have one of these; None: they need none.

        Raises:
            StoreError: the store can't be reached, or refuses.
            NotACall: there is no value, or it isn't signed.
            Exception: whatever unpickling raises.
        """
        record = ended.record
        if record is None:
            raise NotACall(self._noted(ended) or _WITHOUT_RECORD[ended.folder])
        if record.value:
            try:
                return _loaded(io.BytesIO(base64.b64decode(record.value)), ended.job, signatures)
            except binascii.Error as error:
                raise NotACall("its value in the journal makes no sense") from error
        place = history.files_of(record)
        if not place:
            raise NotACall(record.reason or "it has left no value")
        with temporary_file() as file:
            try:
                self._share.store.download(f"{place}/{VALUE}", file)
            except NotFound:
                raise NotACall(record.reason or "it has left no value") from None
            file.seek(0, os.SEEK_SET)
            return _loaded(file, ended.job, signatures)

    def _noted(self, ended: Ended) -> str:
        """Why a job without a record failed, as far as that is noted: too many workers died."""
        noted = attempts.read(self._share, ended.job) if ended.folder == FAILED else []
        return str(noted[-1].get("reason", "")) if noted else ""


_WITHOUT_RECORD: Mapping[str, str] = {
    "": "its job is not in the queue any more: somebody has removed it",
    DONE: "its job is in 02_done, and no worker tells what came of it: somebody has moved it there",
    FAILED: "its job is in 99_failed, and no worker tells what came of it: somebody has moved it"
    " there, or too many workers have died at it",
}


def _loaded(file: BinaryIO, job: str, signatures: Signatures | None) -> Returned | Raised:
    tag = value_tag(file)
    if signatures is not None:
        at = file.tell()
        if not signatures.is_tag(value_subject(job), file, tag):
            raise NotACall("its value is not signed by this program's key, and was not loaded")
        file.seek(at)
    return load_value(file)
