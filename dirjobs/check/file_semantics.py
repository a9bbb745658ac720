"""Times, names and unfinished uploads: what a share makes of files."""

from __future__ import annotations

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    Denied,
    NotFound,
    StoreError,
    Unsupported,
)
from dirjobs.layout import is_job_name
from dirjobs.names import ALL_CHANGEABLE, CHANGEABLE, nonce, same_name, unportable_name
from dirjobs.store import Store
from dirjobs.testing.names import ODD_NAMES
from dirjobs.testing.races import content

_LENGTHS = (255, 240, 220, 199, 150, 100)
_SECOND = 1.05
_UPLOAD = 2 << 20
_PATIENCE, _HALF_SENT = 30.0, 0.5


@dataclass
class Names:
    """What became of odd names.

    Attributes:
        fine: listed, renamed and read as they were written.
        refused: could not be written, or are refused by the backend.
        mangled: what was told to be written is not what is there.
        longest: bytes of the longest name that works.
        case_sensitive: whether ``a`` and ``A`` are two names; None if unknown.
    """

    fine: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    mangled: list[str] = field(default_factory=list)
    longest: int = 0
    case_sensitive: bool | None = None

    @property
    def dangerous(self) -> list[str]:
        """What dirjobs would take for the name of a job that works."""
        names = {what: ODD_NAMES[what].format("x") for what in self.mangled}
        return [
            what for what, name in names.items() if is_job_name(name) and not unportable_name(name)
        ]

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def try_names(here: Store, folder: str, tag: str) -> Names:
    """Write files of odd names, rename and read them."""
    renamed = f"{folder}2"
    for each in (folder, renamed):
        here.mkdir(each)
    found = Names()
    written: dict[str, str] = {}
    for what, pattern in ODD_NAMES.items():
        name = pattern.format(tag)
        if here.name_problem(name) or not _write(here, f"{folder}/{name}", content(what)):
            found.refused.append(what)
        else:
            written[what] = name
    there = {entry.name for entry in here.list(folder)}
    for name in written.values():
        try:
            here.rename(f"{folder}/{name}", f"{renamed}/{name}")
        except StoreError:
            continue  # the listing of what came of it shows it
    moved = {entry.name for entry in here.list(renamed)}
    for what, name in written.items():
        whole = _is_as(name, there) and _is_as(name, moved)
        whole = whole and _reads(here, f"{renamed}/{name}", content(what))
        (found.fine if whole else found.mangled).append(what)
    _try_length(here, folder, tag, found)
    _try_case(here, folder, tag, found)
    return found


def find_changed_names(here: Store, folder: str, tag: str, lag: float) -> list[str]:
    """Which of `CHANGEABLE` do not arrive as they were sent, or not at all, when a file is
    renamed; few requests where all do.  Listings are late by `lag` seconds."""
    here.mkdir(folder)
    if _arrives(here, folder, tag, ALL_CHANGEABLE, lag):
        return []
    return [
        kind for kind, (text, _) in CHANGEABLE.items() if not _arrives(here, folder, tag, text, lag)
    ]


def _arrives(here: Store, folder: str, tag: str, text: str, lag: float) -> bool:
    number = nonce()
    src, dst = f"{tag}-{number}{text}.txt", f"{tag}_{number}{text}.txt"
    try:
        here.write(f"{folder}/{src}", b"")
        here.rename(f"{folder}/{src}", f"{folder}/{dst}")
    except (AlreadyExists, Denied, NotFound, Unsupported):
        return False
    except AmbiguousResult:
        pass  # the listing shows it
    if here.exists(f"{folder}/{dst}"):
        return True
    time.sleep(lag)
    return _is_as(dst, {entry.name for entry in here.list(folder)})


def _is_as(name: str, there: set[str]) -> bool:
    return any(same_name(name, other) for other in there)


def _write(here: Store, path: str, data: bytes) -> bool:
    try:
        here.write(path, data)
    except (StoreError, ValueError):
        return False
    return True


def _reads(here: Store, path: str, data: bytes) -> bool:
    try:
        return here.read(path) == data
    except StoreError:
        return False


def _try_length(here: Store, folder: str, tag: str, found: Names) -> None:
    for length in _LENGTHS:
        name = tag + "x" * (length - len(tag))
        path = f"{folder}/{name}"
        if _write(here, path, b"long") and name in {entry.name for entry in here.list(folder)}:
            found.longest = length
            return


def _try_case(here: Store, folder: str, tag: str, found: Names) -> None:
    small, capital = f"{folder}/c.{tag}", f"{folder}/C.{tag}"
    if _write(here, small, b"small") and _write(here, capital, b"capital"):
        found.case_sensitive = _reads(here, small, b"small")


@dataclass
class Times:
    """Whose clock it is, and what becomes of it.

    Attributes:
        precision: seconds; 1 where only whole ones are told, None if no times are told.
        offset: how far the store's clock is ahead of ours, in seconds.
        kept: whether a rename to another folder keeps the time: where it is a copy, the
            time is another one.
    """

    precision: float | None = None
    offset: float | None = None
    kept: bool | None = None

    def to_json(self) -> dict[str, object]:
        return asdict(self)


class Clock:
    """A file written early in the check, so that time passes before it is renamed."""

    def __init__(self, here: Store, folder: str, tag: str) -> None:
        self._here = here
        self._src, self._dst = f"{folder}1/clock.{tag}", f"{folder}2/clock.{tag}"
        for each in (f"{folder}1", f"{folder}2"):
            here.mkdir(each)
        before = time.time()
        here.write(self._src, content("clock"))
        self._written = (before + time.time()) / 2
        self._at = time.monotonic()

    def read(self) -> Times:
        """Rename the file, and compare."""
        try:
            stamp = self._here.mtime(self._src)
        except StoreError:
            return Times()  # the store tells no times
        whole = stamp == int(stamp)
        time.sleep(max(0.0, self._at + _SECOND - time.monotonic()))
        self._here.rename(self._src, self._dst)
        kept = None
        with suppress(NotFound):  # it was not renamed, whatever was said
            kept = self._here.mtime(self._dst) == stamp
        return Times(
            precision=1.0 if whole else 0.001,
            offset=round(stamp + whole / 2 - self._written, 1),
            kept=kept,
        )


class Nowhere(StrEnum):
    """What comes of a rename into a folder that is not there."""

    REFUSED = "refused"
    IGNORED = "ignored"
    MADE = "made"
    LOST = "lost"


def rename_into_nowhere(here: Store, folder: str, tag: str, lag: float) -> Nowhere:
    """Try it, and look for the file when everybody must see it."""
    here.mkdir(folder)
    path, nowhere = f"{folder}/homeless.{tag}", f"{folder}/missing/homeless.{tag}"
    here.write(path, content("homeless"))
    answer = Nowhere.IGNORED
    try:
        here.rename(path, nowhere)
    except StoreError:
        answer = Nowhere.REFUSED
    time.sleep(lag)
    if here.exists(path):
        return answer
    return Nowhere.MADE if here.exists(nowhere) else Nowhere.LOST


class _Slow(io.BytesIO):
    """A file whose second half does not come before it is let go."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.go_on = threading.Event()
        self.half = threading.Event()

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > len(self.getbuffer()) // 2:
            self.half.set()
            self.go_on.wait()
        return super().read(size)


class Partial(StrEnum):
    """What others can do with a file that is still being uploaded."""

    HIDDEN = "hidden"
    VISIBLE = "visible"
    MOVABLE = "movable"


def try_partial_upload(here: Store, folder: str, tag: str, lag: float) -> Partial:
    """Whether others see a file while it is being uploaded, and can claim it.

    Args:
        here: the scratch folder.
        folder: what is made for it.
        tag: what every name has to contain.
        lag: seconds by which listings are late.
    """
    here.mkdir(folder)
    path, claim = f"{folder}/upload.{tag}", f"{folder}/claim.{tag}"
    source = _Slow(bytes(_UPLOAD))
    found = Partial.HIDDEN
    with here.another() as uploader, ThreadPoolExecutor(1) as pool:
        done = pool.submit(uploader.upload, path, source)
        try:
            source.half.wait(_PATIENCE)
            until = time.monotonic() + _HALF_SENT + lag
            while time.monotonic() < until and not done.done() and found is Partial.HIDDEN:
                if any(f"{folder}/{entry.name}" == path for entry in here.list(folder)):
                    found = Partial.VISIBLE
            if found is Partial.VISIBLE:
                with suppress(StoreError):
                    here.rename(path, claim)
                    found = Partial.MOVABLE
        finally:
            source.go_on.set()
        with suppress(StoreError):  # its file was taken away
            done.result()
    return found
