"""The grammar of the names on the share: pure functions, no store.

    00_waiting/job1.txt                   a job
    00_waiting/~w1~k3x9q2.job1.txt        half way to its claim (mode verify)
    00_waiting/~k3x9q2.part               being added
    01_running/w1.job1.txt                a claim: worker, dot, job
    01_running/~w1~k3x9q2.w1.job1.txt     half way back (mode verify)

Names beginning with ``~`` are never jobs.  A worker's id never contains a dot, so the
first dot ends it, and never a ``~``, so ``w1~7f3k`` is unmistakably a later life of w1.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from typing import NamedTuple

from dirjobs.errors import ConfigurationError, InvalidName

WAITING, RUNNING, DONE, FAILED = "00_waiting", "01_running", "02_done", "99_failed"
QUEUE = "_queue"
WORKERS, PARKED, ATTEMPTS = f"{QUEUE}/workers", f"{QUEUE}/parked", f"{QUEUE}/attempts"
AGREEMENT = f"{QUEUE}/queue.json"
LOGS, RESULTS = "logs", "results"
FOLDERS = (WAITING, RUNNING, DONE, FAILED, QUEUE, WORKERS, PARKED, ATTEMPTS)

MAX_WORKER_BYTES = 40
MAX_CLAIM_BYTES = 199
"""`<worker>.<job>` stays under 200 bytes: staged names around it must fit into 255."""

_WORKER = re.compile(r"[A-Za-z0-9_-]+")
_INCARNATION = re.compile(r"[A-Za-z0-9_-]{1,40}(?:~[a-z0-9]{4})?")
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"

# What editors, file managers, sync clients and servers leave behind (from the lists of
# Nextcloud, rsync, Samba, Syncthing, Dropbox and the browsers).
_NOT_A_JOB = re.compile(
    r"""\. .* | ~ .* | .* ~ | \#recycle | @eadir | lost\+found | thumbs\.db | desktop\.ini
      | .*\.(?:part|partial|filepart|crdownload|tmp|swp)
      | .*\.sync-conflict-.* | .*conflicted\ copy.*
      | .*_[^_]+_[a-z]{3}-\d\d-\d{4,6}_\d+(?:\.[^.]*)?""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_ORDINARY = re.compile(r"\w+\.(?:txt|json|csv|ya?ml|toml|sh|py)", re.ASCII)  # most, most quickly
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\..*)?", re.IGNORECASE)
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,100}")
_FORBIDDEN = re.compile(r'["<>\\:*?|;/]')


class Claim(NamedTuple):
    """A name in ``01_running`` taken apart."""

    worker: str
    job: str


def check_worker_id(wid: object) -> str:
    """`wid`, if it can be a worker's id.

    Raises:
        ConfigurationError: it is not 1 to 40 characters of ``A-Z a-z 0-9 _ -``.
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
    return wid


def nonce(length: int = 6) -> str:
    """A random name that nobody else comes up with at the same time."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def later_life(worker: str, tag: str) -> str:
    """The name of a later life of `worker`, made unique by `tag` (its first 4 characters)."""
    return f"{base_id(worker)}~{tag[:4]}"


def base_id(incarnation: str) -> str:
    """The worker id that an incarnation belongs to."""
    return incarnation.partition("~")[0]


def claim_name(worker: str, job: str) -> str:
    return f"{worker}.{job}"


def parse_claim(name: str) -> Claim | None:
    """Worker and job of a claim; None if `name` is not one."""
    worker, dot, job = name.partition(".")
    if not dot or not job or not _INCARNATION.fullmatch(worker):
        return None
    return Claim(worker, job)


def staged_claim(worker: str, job: str, tag: str) -> str:
    """The name inside ``00_waiting`` by which `worker` takes `job` out of the race."""
    return f"~{worker}~{tag}.{job}"


def staged_return(worker: str, claim: str, tag: str) -> str:
    """The name inside ``01_running`` by which `worker` takes a claim on its way back."""
    return f"~{worker}~{tag}.{claim}"


def parse_staged(name: str) -> Claim | None:
    """Who staged `name` (`staged_claim` or `staged_return`), and what; None if nobody."""
    who, dot, rest = name[1:].partition(".")
    worker, tilde, tag = who.rpartition("~")
    if name[:1] != "~" or not dot or not rest or not tilde or not tag:
        return None
    return Claim(worker, rest) if _INCARNATION.fullmatch(worker) else None


def staged_upload(tag: str) -> str:
    return f"~{tag}.part"


def is_job_name(name: str) -> bool:
    """False for what people's programs leave in a folder: hidden files, partial
    downloads, editors' backups, conflict copies, staged names."""
    return bool(_ORDINARY.fullmatch(name)) or not _NOT_A_JOB.fullmatch(name)


def numbered(job: str, number: int) -> str:
    """``job1.txt`` -> ``job1~2.txt``: the name for a newcomer to an occupied one."""
    stem, dot, suffix = job.rpartition(".")
    return f"{stem}~{number}.{suffix}" if dot and stem else f"{job}~{number}"


def same_name(one: str, other: str) -> bool:
    """Whether two names are one to a person: Unicode's normal forms are not told apart,
    since file systems change them on the way."""
    return one == other or (
        not (one.isascii() and other.isascii())
        and unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other)
    )


def unsafe_name(name: str) -> str | None:
    """Why no store at all may be asked for a segment of this name; None if one may."""
    if _PLAIN.fullmatch(name):
        return None  # most names, most quickly
    if not name or name in (".", ".."):
        return "it is not a file name"
    for char in name:
        if char in "/\\" or unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp"):
            return f"it contains {char!r}"
        if char in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069":
            return f"it contains the text direction control {char!r}"
    if len(name.encode()) > MAX_CLAIM_BYTES:
        return f"it is {len(name.encode())} bytes long; at most {MAX_CLAIM_BYTES} are safe"
    return None


def unportable_name(name: str) -> str | None:
    """Why some backend could not carry a segment of this name; None if all can."""
    problem = unsafe_name(name)
    if problem:
        return problem
    if found := _FORBIDDEN.search(name):
        return f"it contains {found.group()!r}, which Windows shares or WebDAV servers mangle"
    if name[-1] in ". ":
        return f"it ends with {name[-1]!r}, which Windows drops"
    if name[0] == " ":
        return "it begins with a space, which some servers drop"
    if _DEVICE.fullmatch(name):
        return "it is a device on Windows"
    return None


def check_new_job(name: object) -> str:
    """`name`, if a job of this name works on every backend.

    Raises:
        InvalidName: it doesn't; the message says why.
    """
    if not isinstance(name, str):
        raise InvalidName(f"job name {name!r} must be a string.")
    problem = unportable_name(name)
    room = MAX_CLAIM_BYTES - MAX_WORKER_BYTES - len("~abcd.")
    if problem is None and len(name.encode()) > room:
        problem = f"it is {len(name.encode())} bytes long; a job's name has room for {room}"
    if problem is None and not is_job_name(name):
        problem = "names like this are left by other programs and never taken for jobs"
    if problem:
        shown = name if len(name) <= 60 else f"{name[:57]}..."
        raise InvalidName(f"job name {shown!r} can't be used: {problem}.")
    return name
