"""The journal: what came of each attempt at a job, in files that only one worker writes.

``_queue/journal/<worker>.<n>.jsonl`` has a record on each line.  It is written whole when an
attempt has ended, before the rename that ends the job: where the two don't agree, the folder that
the job is in is right, and the record tells of an attempt that did not count.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from msgspec.structs import replace

from dirjobs import threads
from dirjobs.errors import TRANSIENT_ERRORS, NotFound, StoreError, Unsupported
from dirjobs.layout import JOURNAL
from dirjobs.protocol.folders import write
from dirjobs.protocol.me import Me
from dirjobs.protocol.records import Bytes, Count, Text, convert, loads
from dirjobs.protocol.share import Share
from dirjobs.store import MAX_READ
from dirjobs.typed import to_json
from dirjobs.version import __version__

DONE, FAILED, CANCELLED, GIVEN_BACK = "done", "failed", "cancelled", "given back"
"""How an attempt ended."""

RECORDS_IN_FILE = 100
LARGEST_OBJECT = 8192
"""Bytes of JSON: larger results and parameters are left in their own files."""

_LONGEST_COMMAND = 8000
_LONGEST_REASON = 4000
_FILE = re.compile(r"(?P<worker>[^.]+)\.(?P<number>[0-9]{1,9})\.jsonl")

_Path = Annotated[str, msgspec.Meta(max_length=1000)]


class Git(msgspec.Struct):
    """The state of the working folder.

    Attributes:
        commit: its hash.
        dirty: whether files that git knows differ from it.
    """

    commit: Text
    dirty: bool = False


@dataclass
class Details:
    """What whoever runs a job knows of the attempt, beyond the queue; all of it is optional.

    Attributes:
        attempt: its number, from 1.
        command: the program and its arguments.
        params: the job's parameters; None if its file has to be read for them.
        seconds: how long the program ran.
        exit_code: its exit code.
        signal: what killed it, such as ``SIGKILL``.
        memory: bytes that its processes used together, at most.
        result: what it tells as a row of a table; None if its files have to be read for that.
        log: where in the queue its output is.
        files: the folder of the queue with its files.
        git: the working folder.
        value: what a call gave, in base64; empty if that is among the files.
    """

    attempt: int | None = None
    command: Sequence[str] = ()
    params: Mapping[str, Any] | None = None
    seconds: float | None = None
    exit_code: int | None = None
    signal: str = ""
    memory: int | None = None
    result: Mapping[str, Any] | None = None
    log: str = ""
    files: str = ""
    git: Git | None = field(default=None)
    value: str = ""


def as_json(details: Details) -> dict[str, Any]:
    """Details in types that JSON knows, as far as a record has room for them."""
    found = loads(Record.of(details, "", job="job").to_line())
    return {name: found[name] for name in vars(details) if name in found}


def from_json(details: Mapping[str, Any]) -> Details:
    """What `as_json` made.

    Raises:
        ValueError: something else.
    """
    return convert(dict(details), Details)


class Record(msgspec.Struct, kw_only=True):
    """One attempt at a job; `Details` has what is not said here.

    Attributes:
        job: its name.
        worker: who had it.
        host: on which machine.
        started, ended: when, in UTC by the store's clock as far as that is known.
        end: how it ended: `DONE`, `FAILED`, `CANCELLED` or `GIVEN_BACK`.
        reason: why.
        ended_as: the name of the job in its last folder, if another job has its own there.
        lost: the job was somebody else's by then: this attempt does not count.
        dirjobs: the version of dirjobs.
    """

    job: Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
    worker: Text = ""
    host: Text = ""
    started: Text = ""
    ended: Text = ""
    end: Text = ""
    reason: Annotated[str, msgspec.Meta(max_length=_LONGEST_REASON)] = ""
    ended_as: Text = ""
    lost: bool = False
    dirjobs: Text = ""
    attempt: Count | None = None
    command: list[Annotated[str, msgspec.Meta(max_length=_LONGEST_COMMAND)]] = []
    params: dict[str, Any] | None = None
    seconds: Annotated[float, msgspec.Meta(ge=0)] | None = None
    exit_code: int | None = None
    signal: Text = ""
    memory: Bytes | None = None
    result: dict[str, Any] | None = None
    log: _Path = ""
    files: _Path = ""
    git: Git | None = None
    value: Annotated[str, msgspec.Meta(max_length=LARGEST_OBJECT)] = ""

    @classmethod
    def of(cls, details: Details, reason: str, **facts: Any) -> Record:
        """The record of an attempt, cut to what a journal has room for."""
        known = {
            "dirjobs": __version__,
            **vars(details),
            "command": _shortened(details.command),
            "params": _small(details.params),
            "result": _small(details.result),
        }
        return cls(reason=reason[:_LONGEST_REASON], **(known | facts))

    def to_line(self) -> bytes:
        """As it stands in the journal."""
        told = {
            name: value
            for name, value in msgspec.structs.asdict(self).items()
            if value is not None and value is not False and value != "" and value != []
        }
        if self.git is not None:
            told["git"] = msgspec.structs.asdict(self.git)
        has_typed = self.params or self.result
        text = to_json(told) if has_typed else json.dumps(told, ensure_ascii=False)
        # What Python carries of a name that is no Unicode is an escape in JSON as well.
        return f"{text}\n".encode(errors="backslashreplace")


def _shortened(command: Sequence[str]) -> list[str]:
    kept: list[str] = []
    room = _LONGEST_COMMAND
    for argument in command:
        if len(argument) > room:
            return [*kept, "[...]"]
        kept.append(argument)
        room -= len(argument)
    return kept


def _small(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """An object that goes into a record; None if it is too large, or can't be read back."""
    if value is None:
        return None
    found = dict(value)
    if not found:
        return found
    try:
        text = to_json(found).encode()
        loads(text)
    except (ValueError, RecursionError):
        return None
    return found if len(text) <= LARGEST_OBJECT else None


@dataclass
class _File:
    """One file of the journal.

    Attributes:
        number: of the worker's files, from 1.
        lines: its records.
        version: how often it was changed.
        written: the version that is on the share.
        there: how many of its lines are on the share as they are here; None if that is not known.
    """

    number: int
    lines: list[bytes] = field(default_factory=list)
    version: int = 0
    written: int = 0
    there: int | None = None

    @property
    def is_full(self) -> bool:
        return len(self.lines) >= RECORDS_IN_FILE


@dataclass
class _Place:
    """Where a record is that may change yet."""

    file: _File
    line: int
    record: Record


class Journal:
    """The journal of one worker; safe to use from several threads.

    Args:
        me: the worker; the journal has the name that it goes by at its first record.
        appends: see `Store.appends`.
    """

    def __init__(self, me: Me, *, appends: bool = False) -> None:
        self._me = me
        self._appends = appends
        self._worker = ""
        self._before = 0
        """How many files of this name there were, by an earlier process."""
        self._file = _File(1)
        self._places: dict[str, _Place] = {}
        self._lock = threads.Lock()
        """Held while the lines change, and during no request."""
        self._writing = threads.Lock()

    def record_of(self, claim: str) -> Record | None:
        """What was noted of a claim that has not been forgotten."""
        place = self._places.get(claim)
        return None if place is None else place.record

    def note(self, share: Share, claim: str, record: Record) -> None:
        """Write a record; another one of the same claim is replaced.

        One request, or none if one of another thread takes it along.  Records are for people and
        tables: if the store refuses one, that is told once, and the next one takes it along.

        Raises:
            StoreError: one of `TRANSIENT_ERRORS`: it is not known to be there; call it again.
        """
        line = record.to_line()
        with self._lock:
            place = self._places.get(claim)
            if place is None:
                place = self._places[claim] = self._new_place(line, record)
            place.record = record
            file = place.file
            if file.lines[place.line] != line:
                file.lines[place.line] = line
                file.there = None
            file.version += 1
            version = file.version
        try:
            with self._writing:
                self._write(share, file, version)
        except TRANSIENT_ERRORS:
            raise
        except StoreError as error:
            self._me.tell_once("what came of jobs can't be recorded (%s)", error)

    def settle(self, share: Share, claim: str, record: Record, name: str | None) -> None:
        """Note what came of the move that a record told of beforehand; it changes no more.

        Args:
            share, claim, record: as of `note`.
            name: under which the job arrived; None if it was somebody else's by then.

        Raises:
            StoreError: as `note`.
        """
        if name is None:
            self.note(share, claim, replace(record, lost=True))
        elif name != record.job:
            self.note(share, claim, replace(record, ended_as=name))
        self.forget(claim)

    def forget(self, claim: str) -> None:
        """The record of a claim changes no more."""
        with self._lock:
            self._places.pop(claim, None)

    def _new_place(self, line: bytes, record: Record) -> _Place:
        file = self._file
        if file.is_full or sum(map(len, file.lines)) + len(line) > MAX_READ:
            file = self._file = _File(file.number + 1)
        file.lines.append(line)
        return _Place(file, len(file.lines) - 1, record)

    def _write(self, share: Share, file: _File, version: int) -> None:
        if file.written >= version:
            return
        if not self._worker:
            worker = self._me.worker
            self._before = max(_numbers(share, worker), default=0)
            self._worker = worker
        path = f"{JOURNAL}/{self._worker}.{self._before + file.number}.jsonl"
        with self._lock:
            version, lines, there = file.version, list(file.lines), file.there
            file.there = None
        if there is None or not self._append(share, path, lines[there:]):
            write(share, path, b"".join(lines))
        with self._lock:
            file.written = version
            if file.lines[: len(lines)] == lines:
                file.there = len(lines)

    def _append(self, share: Share, path: str, lines: Sequence[bytes]) -> bool:
        """Add lines to a file; False if it has to be written whole: somebody has removed it, or
        the store adds to none."""
        if not self._appends:
            return False
        try:
            share.store.append(path, b"".join(lines))
        except NotFound:
            return False
        except Unsupported:
            self._appends = False
            return False
        return True


def _numbers(share: Share, worker: str) -> list[int]:
    """The numbers of a worker's files that are there; one request."""
    matches = [_FILE.fullmatch(entry.name) for entry in share.listed(JOURNAL)]
    return [
        int(match["number"])
        for match in matches
        if match and match["worker"].casefold() == worker.casefold()
    ]


def is_journal(name: str) -> bool:
    """Whether a name in the folder is that of a journal."""
    return _FILE.fullmatch(name) is not None
