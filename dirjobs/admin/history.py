"""What came of attempts at jobs, as the journals tell."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from io import BytesIO
from typing import NamedTuple

from dirjobs.admin.audience import LOG, Audience
from dirjobs.admin.enqueue import key
from dirjobs.admin.parallel import read_all
from dirjobs.errors import TRANSIENT_ERRORS, NotFound, StoreError, TooLarge, and_more
from dirjobs.layout import DONE, FAILED, JOURNAL, RESULTS, JobFile
from dirjobs.names import unsafe_name
from dirjobs.protocol import journal
from dirjobs.protocol.journal import Record
from dirjobs.protocol.records import convert, loads
from dirjobs.protocol.share import Share
from dirjobs.store import Entry, FileKind

log = logging.getLogger(__name__)

LARGEST_JOURNAL = 8 << 20
"""Bytes: a larger file is none of ours."""
_ENDS = {DONE: (journal.DONE,), FAILED: (journal.FAILED, journal.CANCELLED)}
CANCEL = "cancel"
"""What the names of those begin with who cancel jobs."""


def journals(share: Share) -> list[Entry]:
    """The files of the journal; one request."""
    return [
        entry
        for entry in share.listed(JOURNAL)
        if entry.kind is FileKind.FILE and journal.is_journal(entry.name)
    ]


def has_cancelled(files: Iterable[Entry]) -> bool:
    """Whether, by the names of all files of the journal, somebody has cancelled jobs."""
    return any(entry.name.startswith(f"{CANCEL}-") for entry in files)


class Read(NamedTuple):
    """What one file of the journal says.

    Attributes:
        records: in their order, as far as they make sense.
        problem: why some of it is left out; empty if nothing is.
    """

    records: list[Record]
    problem: str = ""


def read(share: Share, entry: Entry) -> Read:
    """Read one file of the journal; one request.

    Raises:
        StoreError: the store can't be reached.
    """
    path = f"{JOURNAL}/{entry.name}"
    try:
        data = _content(share, path)
    except NotFound:
        return Read([])
    except TRANSIENT_ERRORS:
        raise
    except StoreError as error:
        return Read([], f"{path} can't be read ({error})")
    records, problem = [], ""
    for line in filter(None, data.splitlines()):
        try:
            records.append(convert(loads(line), Record))
        except ValueError as error:
            problem = f"a line of {path} makes no sense ({error})"
    return Read(records, problem)


class _Bounded(BytesIO):
    """Takes in no more than a journal may have."""

    def write(self, piece: object) -> int:
        written = super().write(piece)  # type: ignore[arg-type]
        if self.tell() > LARGEST_JOURNAL:
            raise TooLarge(f"it has more than {LARGEST_JOURNAL:,} bytes")
        return written


def _content(share: Share, path: str) -> bytes:
    target = _Bounded()
    share.store.download(path, target)
    return target.getvalue()


class History:
    """All attempts at the jobs of a queue that left a record.

    Args:
        records: of all journals, in any order.
    """

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._of: dict[str, list[Record]] = {}
        for record in records:
            self._of.setdefault(key(record.ended_as or record.job), []).append(record)
        for found in self._of.values():
            found.sort(key=lambda record: time_of(record.ended) or 0.0)

    def attempts_at(self, job: str) -> list[Record]:
        """The attempts at a job, the latest last."""
        return list(self._of.get(key(job), ()))

    def state(self, place: JobFile) -> str:
        """What a person calls the state of a job."""
        return state_of(place, self.decisive(place))

    def decisive(self, place: JobFile) -> Record | None:
        """The attempt by which a job is done, or failed: of those with that end which were not
        lost, the latest; None if there is none, as for jobs that a person has moved."""
        ends = _ENDS.get(place.folder, ())
        for record in reversed(self._of.get(key(place.job.name), ())):
            if record.end in ends and not record.lost:
                return record
        return None


def state_of(place: JobFile, decisive: Record | None) -> str:
    """What a person calls the state of a job: who cancels a job does not say that it failed,
    though it goes to ``99_failed`` as well."""
    if decisive is not None and decisive.end == journal.CANCELLED:
        return journal.CANCELLED
    return place.state


def files_of(record: Record) -> str:
    """The folder of the queue with the files of an attempt; empty if it has none, or names
    another place than one of its job's own."""
    above = f"{RESULTS}/{record.job}/"
    if not record.files.startswith(above) or unsafe_name(record.job) is not None:
        return ""
    name = record.files.removeprefix(above)
    return record.files if unsafe_name(name) is None else ""


def time_of(told: str) -> float | None:
    """A time as a record tells it: seconds since the epoch; None if it tells none."""
    try:
        return datetime.fromisoformat(told).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def history_of_failures(share: Share, audience: Audience = LOG) -> History:
    """What tells which jobs in ``99_failed`` were cancelled; one request where nobody has
    cancelled any, and all that `read_history` needs where somebody has."""
    files = journals(share)
    return _read_files(share, files, audience) if has_cancelled(files) else History()


def read_history(share: Share, audience: Audience = LOG) -> History:
    """All attempts that the journals of a queue tell of; a request for each file, and one."""
    return _read_files(share, journals(share), audience)


def _read_files(share: Share, files: Sequence[Entry], audience: Audience) -> History:
    found = read_all(share, files, read, audience)
    if problems := [one.problem for one in found if one.problem]:
        audience.tell(f"some attempts are left out: {problems[0]}{and_more(problems)}.")
    return History(record for one in found for record in one.records)
