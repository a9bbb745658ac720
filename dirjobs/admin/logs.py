"""What jobs printed: ``logs/<job>.<worker>.log``, one file for each attempt."""

from __future__ import annotations

import math
from typing import NamedTuple

from dirjobs import layout
from dirjobs.admin.history import read_history
from dirjobs.errors import TRANSIENT_ERRORS, StoreError
from dirjobs.layout import LOGS
from dirjobs.protocol.share import Share
from dirjobs.store import Entry

_SUFFIX = ".log"


class Log(NamedTuple):
    """The output of one attempt at a job.

    Attributes:
        worker: who made it.
        entry: the file, as listed.
    """

    worker: str
    entry: Entry

    @property
    def path(self) -> str:
        return f"{LOGS}/{self.entry.name}"


def log_path(job: str, worker: str) -> str:
    """Where the output of `worker`'s attempt at `job` is."""
    return f"{LOGS}/{job}.{worker}{_SUFFIX}"


def last_line(share: Share, job: str, worker: str) -> str:
    """The last line that a job has printed at an attempt, so far as its log is on the share; empty
    if it is not known, as of a log of more than 1 MiB.  One request.

    Raises:
        StoreError: the store can't be reached.
    """
    try:
        text = share.read(log_path(job, worker)).decode(errors="replace")
    except TRANSIENT_ERRORS:
        raise
    except StoreError:  # none yet, too large, a link: it is for a person who looks on
        return ""
    lines = (line.rpartition("\r")[2].strip() for line in reversed(text.splitlines()))
    return next((line for line in lines if line and not line.startswith("# ")), "")


def logs_of(share: Share, job: str) -> list[Log]:
    """The logs of a job, the latest last.  One request, and where the store tells the same time of
    several, as it may in whole seconds, those that read the journals.

    Raises:
        StoreError: the store can't be reached.
    """
    found = []
    for entry in share.listed(LOGS):
        worker = entry.name.removeprefix(f"{job}.").removesuffix(_SUFFIX)
        if log_path(job, worker) != f"{LOGS}/{entry.name}":
            continue
        # A worker's name has no dot: the log of job1.txt is none of job1's.
        claim = layout.parse_claim(f"{worker}.{job}")
        if claim is not None and claim.worker == worker:
            found.append(Log(worker, entry))
    times = {log.entry.mtime for log in found}
    order = _attempts_by_log(share, job) if len(times) < len(found) else {}
    # What has no record yet is going on.
    return sorted(
        found, key=lambda log: (log.entry.mtime or 0.0, order.get(log.path, math.inf), log.worker)
    )


def _attempts_by_log(share: Share, job: str) -> dict[str, int]:
    """The number of the attempt at a job by the path of its log, for those that have ended."""
    records = read_history(share).attempts_at(job)
    return {
        record.log: number if record.attempt is None else record.attempt
        for number, record in enumerate(records, 1)
    }
