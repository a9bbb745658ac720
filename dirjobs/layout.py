"""The folders of a queue, and what every file in them is: pure functions, no store; only
`queue_around` looks at this machine.

    00_waiting/job1.txt                   a job
    00_waiting/~w1~k3x9q2.job1.txt        half way to its claim (mode verify)
    00_waiting/~k3x9q2.part               being added
    01_running/w1.job1.txt                a claim: worker, dot, job
    01_running/~w1~k3x9q2.w1.job1.txt     half way back (mode verify)

Names beginning with ``~`` are never jobs.  A worker's id never contains a dot, so the
first dot ends it, and never a ``~``, so ``w1~7f3k`` is unmistakably a later incarnation of w1.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dirjobs.errors import ConfigurationError, InvalidName
from dirjobs.names import MAX_BYTES, unportable_name, unsafe_name, windows_problem
from dirjobs.store import Entry, FileKind, split

WAITING, RUNNING, DONE, FAILED = "00_waiting", "01_running", "02_done", "99_failed"
QUEUE = "_queue"
WORKERS, PARKED, ATTEMPTS = f"{QUEUE}/workers", f"{QUEUE}/parked", f"{QUEUE}/attempts"
JOURNAL, KEEP, TRASH = f"{QUEUE}/journal", f"{QUEUE}/keep", f"{QUEUE}/trash"
AGREEMENT = f"{QUEUE}/queue.json"
SIGNATURES = f"{QUEUE}/signatures"
ARGUMENTS = f"{QUEUE}/arguments"
"""Large arguments of calls, each under the digest of its content."""
LOGS, RESULTS = "logs", "results"
RESULT = "result.json"
"""The file of an attempt with an object of numbers and texts: a row of a table."""
VALUE = "value.pickle"
"""The file of an attempt with the value of a call, if that is too large for the journal."""
STATES = {
    WAITING: "waiting",
    RUNNING: "running",
    DONE: "done",
    FAILED: "failed",
    PARKED: "parked",
}
MAY_BE_LINKS = (WAITING, RUNNING, DONE, FAILED, LOGS, RESULTS)
"""The folders that may be elsewhere, if whoever made the queue said so."""
FOLDERS = (WAITING, RUNNING, DONE, FAILED, QUEUE, WORKERS, PARKED, ATTEMPTS, JOURNAL)

MAX_WORKER_BYTES = 40

_WORKER = re.compile(r"[A-Za-z0-9_-]+")
_INCARNATION = re.compile(r"[A-Za-z0-9_-]{1,40}(?:~[a-z0-9]{4})?")
_CHECKPOINT = re.compile(
    r"([0-9]{13,14})\.([0-9]{1,9})\.([A-Za-z0-9_~-]+)\.([0-9a-f]{32})(?:\.([0-9a-f]{64}))?\.tar"
)

_CALL = re.compile(r".*-[0-9a-f]{16}\.call", re.DOTALL)

# What editors, file managers, sync clients and servers leave behind (from the lists of
# Nextcloud, rsync, Samba, Syncthing, Dropbox and the browsers): first what nobody misses, then
# uploads that never ended and the copies that sync clients make of a file changed twice.
_HOUSEKEEPING = re.compile(
    r"\. .* | ~ .* | .* ~ | \#recycle | @eadir | lost\+found | thumbs\.db | desktop\.ini",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_LEFT_BEHIND = re.compile(
    r"""
    .*\.(?:part|partial|filepart|crdownload|tmp|swp)
    | .*\.sync-conflict-.*                            # Syncthing
    | .*conflicted\ copy.*                            # Dropbox, Nextcloud, ownCloud
    | .*_conflict-\d{8}-\d{6}.*                       # ownCloud, until 2018
    | .*\((?:SFConflict|case\ conflict|case\ clash\ from)\b.*    # Seafile, Dropbox, Nextcloud
    | .*(?:in\ konflikt\ stehende\ kopie|copie\ en\ conflit|copia\ en\ conflicto
         |copia\ in\ conflitto|c\u00f3pia\ em\ conflito|conflicterende\ kopie).*   # Dropbox
    | .*_[^_]+_(?-i:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)
      -\d\d-\d{4,6}(?:-\d{4})?_(?:\d+|conflict)(?:\.[^.]*)?     # Synology
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_ORDINARY = re.compile(r"\w+\.(?:txt|json|csv|ya?ml|toml|sh|py)", re.ASCII)  # most, most quickly


class ClaimName(NamedTuple):
    """A name in ``01_running`` taken apart."""

    worker: str
    job: str


class JobFile(NamedTuple):
    """A file that is a job, a claim or a copy of one, or one of these half way.

    Attributes:
        folder: where it is.
        file: its name there.
        job: the job, under its own name, with the file's mtime and size.
        worker: who claims or parked it; empty if nobody.
        stager: who moves it; empty unless it is half way.
    """

    folder: str
    file: str
    job: Entry
    worker: str = ""
    stager: str = ""

    @property
    def path(self) -> str:
        return f"{self.folder}/{self.file}"

    @property
    def staged(self) -> bool:
        """Whether it is half way from one folder to another."""
        return bool(self.stager)

    @property
    def state(self) -> str:
        """What the folder is called when a person asks for the state of a job."""
        return STATES[self.folder]


class CheckpointName(NamedTuple):
    """The name of a checkpoint taken apart; the later of two is the larger one.

    Attributes:
        began: when its attempt began, in milliseconds since the epoch.
        number: which one of the attempt it is, from 1.
        worker: whose attempt it was.
        digest: the first half of the SHA-256 of its content, in hexadecimal digits.
        signature: of its content; empty if it has none.
    """

    began: int
    number: int
    worker: str
    digest: str
    signature: str = ""

    def __str__(self) -> str:
        signature = f".{self.signature}" if self.signature else ""
        return f"{self.began:013}.{self.number}.{self.worker}.{self.digest}{signature}.tar"


def parse_checkpoint(name: str) -> CheckpointName | None:
    """``1764380000000.3.w1.<digest>.tar``; None if it is no checkpoint's name."""
    found = _CHECKPOINT.fullmatch(name)
    if found is None:
        return None
    began, number, worker, digest, signature = found.groups()
    return CheckpointName(int(began), int(number), worker, digest, signature or "")


def check_worker_id(wid: object) -> str:
    """`wid`, if it can be a worker's id.

    Raises:
        ConfigurationError: it is not 1 to 40 characters of ``A-Z a-z 0-9 _ -``, or a device of
            Windows: no file can be called ``con.job1.txt`` there.
    """
    if not isinstance(wid, str) or not _WORKER.fullmatch(wid):
        raise ConfigurationError(
            f"wid={wid!r} can't be a worker id: use letters, digits, '_' and '-' only"
            " (the first '.' of a claim ends the id)."
        )
    if len(wid) > MAX_WORKER_BYTES:
        raise ConfigurationError(
            f"wid={wid!r} is {len(wid)} characters long: use at most {MAX_WORKER_BYTES}."
        )
    if problem := windows_problem(wid):
        raise ConfigurationError(
            f"wid={wid!r} can't be a worker id: use another one, for {problem}."
        )
    return wid


def next_incarnation(worker: str, tag: str) -> str:
    """A later name of `worker`, made unique by `tag` (its first 4 characters)."""
    return f"{base_id(worker)}~{tag[:4]}"


def base_id(incarnation: str) -> str:
    """The worker id that an incarnation belongs to."""
    return incarnation.partition("~")[0]


def claim_name(worker: str, job: str) -> str:
    return f"{worker}.{job}"


def parse_claim(name: str) -> ClaimName | None:
    """Worker and job of a claim; None if `name` is not one."""
    worker, dot, job = name.partition(".")
    if not dot or not job or not _INCARNATION.fullmatch(worker):
        return None
    return ClaimName(worker, job)


def staged_claim(worker: str, job: str, tag: str) -> str:
    """The name inside ``00_waiting`` by which `worker` takes `job` out of the race."""
    return f"~{worker}~{tag}.{job}"


def staged_return(worker: str, claim: str, tag: str) -> str:
    """The name inside ``01_running`` by which `worker` takes a claim on its way back."""
    return f"~{worker}~{tag}.{claim}"


def parse_staged(name: str) -> ClaimName | None:
    """Who staged `name` (`staged_claim` or `staged_return`), and what; None if nobody."""
    who, dot, rest = name[1:].partition(".")
    worker, tilde, tag = who.rpartition("~")
    if name[:1] != "~" or not dot or not rest or not tilde or not tag:
        return None
    return ClaimName(worker, rest) if _INCARNATION.fullmatch(worker) else None


def staged_upload(tag: str) -> str:
    return f"~{tag}.part"


def classify(folder: str, entry: Entry) -> JobFile | None:
    """What an entry of one of the five folders of jobs is; None if it is no job.

    A folder, a link or a device never is; nor is an upload that has not got its name yet,
    or what people's programs leave in a folder.
    """
    if entry.kind is not FileKind.FILE:
        return None
    name, worker, stager = entry.name, "", ""
    staged = parse_staged(name)
    if staged is not None:
        stager, name = staged
    if folder in (RUNNING, PARKED):
        claim = parse_claim(name)
        if claim is None:
            return None
        worker, name = claim
    elif staged is None and not is_job_name(name):
        return None
    return JobFile(folder, entry.name, Entry(name, entry.mtime, entry.size), worker, stager)


def job_files(folder: str, listing: Iterable[Entry]) -> Iterator[JobFile]:
    """The jobs in one of the five folders, as listed."""
    return filter(None, (classify(folder, entry) for entry in listing))


def may_be_removed(path: str) -> bool:
    """Whether `path` can't be a job: a heartbeat, an order, a checkpoint, an upload that never
    got its name, or what somebody has put into the trash."""
    folder, name = split(path)
    if folder == TRASH:
        return unsafe_name(name) is None
    if split(folder)[0] == KEEP:
        return parse_checkpoint(name) is not None
    if folder == WORKERS:
        return name.endswith(".json") or name == "~pause" or name.startswith("~drain.")
    tag, _, rest = name.partition(".")
    own_name = tag[:1] == "~" and tag.count("~") == 1 and rest == "part"
    return folder in (WAITING, QUEUE) and own_name


def is_job_name(name: str) -> bool:
    """False for what people's programs leave in a folder: hidden files, partial
    downloads, editors' backups, conflict copies, staged names."""
    if _ORDINARY.fullmatch(name):
        return True
    return not _HOUSEKEEPING.fullmatch(name) and not is_left_behind(name)


def is_left_behind(name: str) -> bool:
    """Whether a name is one of those that are no jobs, and may look like one to a person: of
    an unfinished upload, or of a sync client's copy."""
    return not _HOUSEKEEPING.fullmatch(name) and bool(_LEFT_BEHIND.fullmatch(name))


def is_call(job: str) -> bool:
    """Whether a job's name is that of a call of `dirjobs.Executor`."""
    return _CALL.fullmatch(job) is not None


def numbered(job: str, number: int) -> str:
    """``job1.txt`` -> ``job1~2.txt``: the name for a newcomer to an occupied one."""
    stem, dot, suffix = job.rpartition(".")
    return f"{stem}~{number}.{suffix}" if dot and stem else f"{job}~{number}"


def queue_around(folder: str) -> str | None:
    """The queue in which a folder of this machine is, or which it is itself; None if there is
    none."""
    while not all(os.path.isdir(os.path.join(folder, name)) for name in (WAITING, RUNNING)):
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above
    return folder


def names_in_turn(job: str) -> Iterator[str]:
    """``job1.txt``, ``job1~2.txt``, ``job1~3.txt``, ...: as long as they are occupied."""
    yield job
    for number in itertools.count(2):
        yield numbered(job, number)


def too_long_to_claim(wid: str, job: str) -> str | None:
    """Why worker `wid` leaves a job alone: it could claim it, and never give it back; None if
    it need not."""
    room = MAX_BYTES - len(wid) - len("~abcd.")
    if len(job) <= room // 4 or (length := len(job.encode())) <= room:
        return None
    return f"it is {length} bytes long, and {wid} can take names of up to {room}"


def check_new_job(name: object) -> str:
    """`name`, if a job of this name works on every backend.

    Raises:
        InvalidName: it doesn't; the message says why.
    """
    if not isinstance(name, str):
        raise InvalidName(f"job name {name!r} must be a string.")
    problem = unportable_name(name)
    room = MAX_BYTES - MAX_WORKER_BYTES - len("~abcd.")
    if problem is None and len(name.encode()) > room:
        problem = f"it is {len(name.encode())} bytes long; a job's name has room for {room}"
    if problem is None and not is_job_name(name):
        problem = "names like this are left by other programs and never taken for jobs"
    if problem:
        shown = name if len(name) <= 60 else f"{name[:57]}..."
        raise InvalidName(f"job name {shown!r} can't be used: {problem}.")
    return name
