"""Odd files of many kinds for every folder of a queue, as others on the share may leave them.

Half of them have names of nobody, the others aim: they have the name that a heartbeat, an order, a
note, a claim, a result of this very moment has or will have, or take the place of a listed job.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from dirjobs.signing import subject

FOLDERS = (
    *("00_waiting", "01_running", "02_done", "99_failed", "_queue", "_queue/workers"),
    *("_queue/attempts", "_queue/journal", "_queue/parked", "_queue/signatures"),
    *("_queue/keep", "_queue/keep/JOB", "_queue/trash", "logs", "results", "results/JOB"),
)
Make = Callable[[Path], object]
TERMS = {
    "mode": "trust",
    "sync_time": 0,
    "heartbeat": 30,
    "lease": 300,
    "timeout": 9,
    "max_pause": 9,
}
SECRET = "precious"
"""What the victim's files say: nobody prints it."""
NOBODY = (65534, 65534) if hasattr(os, "geteuid") and os.geteuid() == 0 else (-1, -1)
"""Whom the victim's files are given, where that may be done."""
_LONGEST = 255
"""Bytes of a name: no disk takes more."""
_LISTED_BY = 2.0
"""Seconds that a job to be exchanged may wait for its claim: the queue may be paused."""
HUGE = 1 << 42
"""Bytes of a sparse file: whoever reads all of it, or makes a copy, is found out."""


def make_victim(folder: Path) -> None:
    """Somebody's files, beside the queue."""
    (folder / "inner").mkdir(parents=True)
    for name in ("thesis.txt", "package.json", "result.json", "inner/deep.txt"):
        (folder / name).write_text(SECRET)
        os.utime(folder / name, (1_500_000_000, 1_500_000_000))
    os.chmod(folder / "thesis.txt", 0o640)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, *NOBODY)


def seen(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Mode, mtime and content of everything in `folder`, and of itself."""
    paths = [folder, *sorted(folder.rglob("*"))]
    return {
        str(path): (
            (at := path.lstat()).st_mode,
            at.st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in paths
    }


def _content(data: bytes) -> Make:
    return lambda path: path.write_bytes(data)


def _sparse(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(HUGE)


def _socket(path: Path) -> None:
    """Made under a short name first: the address of a socket is at most 107 bytes."""
    folder = os.open(path.parent, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(f"/proc/self/fd/{folder}/~s")
        (path.parent / "~s").rename(path)
    finally:
        os.close(folder)


def _mode(mode: int) -> Make:
    def make(path: Path) -> None:
        path.write_bytes(b"{}")
        path.chmod(mode)

    return make


def _aged(seconds: float) -> Make:
    def make(path: Path) -> None:
        path.write_bytes(b"{}")
        os.utime(path, (seconds, seconds))

    return make


def _full_folder(path: Path) -> None:
    (path / "a" / "b").mkdir(parents=True)
    (path / "a" / "result.json").write_text("{}")


def _json(value: object) -> Make:
    return _content(json.dumps(value).encode())


def _natures(victim: Path) -> dict[str, Make]:
    """What a file may be, under an ordinary name."""
    beat = {"format": 1, "wid": "w7", "counter": 1}
    return {
        "link to a file": lambda path: path.symlink_to(victim / "thesis.txt"),
        "link to a folder": lambda path: path.symlink_to(victim),
        "link to nowhere": lambda path: path.symlink_to("nowhere"),
        "link to a new name outside": lambda path: path.symlink_to(victim / "new.json"),
        "link to itself": lambda path: path.symlink_to(path.name),
        "link to a device": lambda path: path.symlink_to("/dev/zero"),
        "link to the queue": lambda path: path.symlink_to("../.."),
        "hard link": lambda path: os.link(victim / "package.json", path),
        "FIFO": os.mkfifo,
        "socket": _socket,
        "empty folder": os.mkdir,
        "full folder": _full_folder,
        "sparse": _sparse,
        "unreadable": _mode(0),
        "write only": _mode(0o222),
        "set-uid": _mode(0o4755),
        "empty": _content(b""),
        "zeros": _content(bytes(4096)),
        "not UTF-8": _content(b"\xff\xfe\x80{"),
        "half": _content(b'{"format": 1, "co'),
        "deep lists": _content(b"[" * 100_000),
        "deep objects": _content(b'{"a":' * 50_000),
        "many digits": _content(b'{"counter": ' + b"9" * 6000 + b"}"),
        "not a number": _content(b'{"counter": NaN, "policy": Infinity}'),
        "two megabytes": _content(b'{"x": "' + b"y" * (2 << 20) + b'"}'),
        "a list": _json([1, 2]),
        "null": _json(None),
        "controls in it": _json({"x\x1b[2J": "\x1b]52;c;aGk=\x07\u202e", "at": "\x9b31m"}),
        "raw controls": _content(b"\x1b[2J\x9b31m\x07\n"),
        "heartbeat without a policy": _json(beat),
        "heartbeat of other types": _json({**beat, "counter": [], "running": 3, "policy": "x"}),
        "heartbeat with odd jobs": _json(
            {**beat, "counter": 1, "terms": {**TERMS, "lease": "x"}, "running": [7], "pace": 3}
        ),
        "heartbeat of another": _json({**beat, "worker": "\x1b[2Jw8", "terms": TERMS}),
        "half a pair of surrogates": _json({"id": "\ud800", "worker": "\ud800", "x": "\udfff"}),
        "heartbeat of a later format": _json({**beat, "format": 99}),
        "notes of other types": _json({"format": 1, "attempts": [None, 3, {"at": []}]}),
        "notes with controls": _json(
            {"format": 1, "attempts": [dict.fromkeys(("worker", "at", "reason"), "\x1b[2J\u202e")]}
        ),
        "notes that are no list": _json({"format": 1, "attempts": "x"}),
        "agreement of other times": _json({"mode": "sync", "sync": 1e12, "heartbeat": 0}),
        "future": _aged(2**33),
        "ancient": _aged(1),
        "before 1970": _aged(-(10**9)),
    }


NAMES: dict[str, str | bytes] = {
    "copy of the agreement": "queue (1).json",
    "conflict of the agreement": "queue.sync-conflict-20260101-101010-ABCDEFG.json",
    "agreement": "queue.json",
    "order to all, nearly": "~pause.txt",
    "order to one, nearly": "~drain.w1",
    "staged": "~w9~k3x9q2.odd.txt",
    "staged by nobody": "~~k3x9q2.odd.txt",
    "being added": "~k3x9q2.part",
    "claim of nobody": "w9.odd.txt",
    "claim of an incarnation": "w9~7f3k.odd.txt",
    "claim of no job": "w9.",
    "claim without a worker": ".odd.txt",
    "heartbeat of nobody": "w9.abcdef.json",
    "heartbeat beside a worker's": "w1.abcdef.json.tmp",
    "other case": "W9.ODD.TXT",
    "second copy": "odd~2.txt",
    "conflict of Dropbox": "odd (somebody's conflicted copy 2026-01-01).txt",
    "conflict of Seafile": "odd (SFConflict x@y 2026-01-01-10-10-10).txt",
    "upload": "odd.txt.filepart",
    "ANSI": "odd\x1b[2J\x1b]52;c;aGk=\x07.txt",
    "C1": "odd\x9b31m.txt",
    "direction": "odd\u202etxt.exe",
    "zero width": "odd\u200b.txt",
    "invisible": "odd\u200b\u2066.txt",
    "lines": "odd\n   done: all\r.txt",
    "shell": "odd$(touch PWNED);`id`|&'\".txt",
    "option": "-rf",
    "glob": "odd*?[a].txt",
    "backslash": "odd\\..\\x.txt",
    "device of Windows": "NUL.txt",
    "colon": "odd:stream.txt",
    "spaces": " odd. ",
    "decomposed": "odd-u\u0308.txt",
    "not UTF-8": b"odd\xff\xfe.txt",
    "long": "odd" + "x" * 230 + ".txt",
    "long in bytes": "odd" + "\U0001f600" * 60,
    "percent": "odd%2e%2e%2f%00.txt",
    "placeholder": "odd{name}{}.txt",
    "formula": "=HYPERLINK(1).txt",
}


NO_FILES = (
    *("link to a file", "link to a folder", "link to nowhere", "link to a new name outside"),
    *("link to itself", "link to a device", "FIFO", "socket", "empty folder"),
)
"""Natures that are no files: no order, no signature, no job."""
NO_HEARTBEATS = (
    *("link to a file", "FIFO", "unreadable", "sparse", "two megabytes", "not UTF-8", "half"),
    *("deep lists", "many digits", "a list", "null", "heartbeat without a policy"),
    *("heartbeat of other types", "heartbeat with odd jobs", "heartbeat of another"),
    *("half a pair of surrogates", "empty folder", "notes of other types", "empty"),
)

NO_NOTES = ("notes with controls", "notes of other types", "notes that are no list", "a list")


CHECKPOINT = f"1999999999999.1.w9.{hashlib.sha256(b'').hexdigest()[:32]}.tar"
"""A name that belongs to a later attempt than any."""


class Hostile:
    """Puts odd files into a queue and takes them away, by chance.

    Args:
        queue: the queue's folder.
        victim: made by `make_victim`; links lead to it.
        chance: decides everything.
    """

    def __init__(self, queue: Path, victim: Path, chance: random.Random) -> None:
        self._queue, self._chance = queue, chance
        self._natures = _natures(victim)
        self._here: list[bytes] = []
        self._left_over: dict[str, list[str]] = {}
        self.kinds: set[str] = set()

    def put(self) -> None:
        """One more, or one that aims; nothing where something is already."""
        if self._chance.random() < 0.5:
            self._aim()
            return
        folder = self._queue / self._chance.choice(FOLDERS)
        folder.mkdir(parents=True, exist_ok=True)
        if self._chance.random() < 0.5:
            kind = self._chance.choice(list(self._natures))
            endings = (".txt", ".json", ".abcdef.json", ".txt.json", ".txt.w1.log")
            name: str | bytes = f"odd{self._chance.randrange(10**6)}{self._chance.choice(endings)}"
            make = self._natures[kind]
        else:
            kind = self._chance.choice(list(NAMES))
            name, make = NAMES[kind], self._natures[self._chance.choice(list(self._natures))]
            kind = f"named: {kind}"
        self._put(folder / os.fsdecode(name), make, kind)

    def _put(self, path: Path, make: Make, kind: str) -> None:
        if os.path.lexists(path) or path.parent.is_symlink():
            return
        if len(os.fsencode(path.name)) > _LONGEST:
            return
        # A worker was quicker, or something else that is odd is where the folder would be.
        with suppress(FileNotFoundError, FileExistsError, NotADirectoryError):
            path.parent.mkdir(parents=True, exist_ok=True)
            make(path)
        self._here.append(os.fsencode(path))
        self.kinds.add(kind)

    # -- what is there at this moment --------------------------------------------------------

    def _aim(self) -> None:
        """By the name of something of ours; what has no name just now gets nothing."""
        target = self._chance.choice(list(self._targets))
        for path, natures in self._targets[target]():
            nature = self._next(target, natures)
            self._put(path, self._natures[nature], f"{target}: {nature}")

    def _next(self, target: str, natures: Sequence[str]) -> str:
        """One that this target has not had, as long as there are any."""
        if not set(left := self._left_over.setdefault(target, [])) & set(natures):
            left += self._chance.sample(natures, len(natures))
        found = next(nature for nature in left if nature in natures)
        left.remove(found)
        return found

    @property
    def _targets(self) -> dict[str, Callable[[], Iterator[tuple[Path, Sequence[str]]]]]:
        return {
            "heartbeat of a worker's other start": self._heartbeat,
            "order to a worker": self._order,
            "claim of a worker": self._claim,
            "notes on a job": lambda: self._about("_queue/attempts/{}.json", list(self._natures)),
            "results of a job": lambda: self._left(
                "results/{}", ["link to a folder", "link to nowhere", "FIFO"]
            ),
            "result of a job": lambda: self._left(
                "results/{}/result.json", ["link to a file", "hard link", "FIFO", "link to nowhere"]
            ),
            "checkpoints of a job": lambda: self._about("_queue/keep/{}", list(self._natures)),
            "checkpoint of a job": lambda: self._about(
                f"_queue/keep/{{}}/{CHECKPOINT}", list(self._natures)
            ),
            "notes on a job that failed": self._failed,
            "journal of a worker": self._journal,
            "log of a job": self._log,
            "signature of a job": self._signature,
            "job that was listed": self._swap,
        }

    def _one(self, pattern: str) -> Iterator[Path]:
        """A file of this moment, if there is any."""
        found = sorted(self._queue.glob(pattern))
        if found:
            yield self._chance.choice(found)

    def _heartbeat(self) -> Iterator[tuple[Path, Sequence[str]]]:
        for path in self._one("_queue/workers/[wrs]*.json"):
            worker = path.name.partition(".")[0]
            tag = "".join(self._chance.choices("abcdefghij", k=6))
            yield path.with_name(f"{worker}.{tag}.json"), NO_HEARTBEATS

    def _order(self) -> Iterator[tuple[Path, Sequence[str]]]:
        yield self._queue / "_queue/workers/~pause", NO_FILES
        for path in self._one("_queue/workers/[wrs]*.json"):
            yield path.with_name(f"~drain.{path.name.removesuffix('.json')}"), NO_FILES

    def _claim(self) -> Iterator[tuple[Path, Sequence[str]]]:
        for path in self._one("_queue/workers/[wrs]*.json"):
            worker = path.name.partition(".")[0]
            name = f"odd{self._chance.randrange(10**6)}.txt"
            staged = self._chance.choice(["", f"~{worker}~", "~"])
            nonce = "k3x9q2." if staged else ""
            yield self._queue / f"01_running/{staged}{nonce}{worker}.{name}", list(self._natures)

    def _about(self, place: str, natures: Sequence[str]) -> Iterator[tuple[Path, Sequence[str]]]:
        """About a job that waits, but for the honest ones, whose results nobody may hinder."""
        for path in self._one("00_waiting/odd*"):
            yield self._queue / place.format(path.name), natures

    def _left(self, place: str, natures: Sequence[str]) -> Iterator[tuple[Path, Sequence[str]]]:
        """Where a job, which comes then, is going to leave something."""
        name = f"rodd{self._chance.randrange(10**6)}.txt"
        yield self._queue / place.format(name), natures
        yield self._queue / "00_waiting" / name, ["empty"]

    def _failed(self) -> Iterator[tuple[Path, Sequence[str]]]:
        name = f"odd{self._chance.randrange(10**6)}.txt"
        yield self._queue / "99_failed" / name, ["empty"]
        yield self._queue / f"_queue/attempts/{name}.json", NO_NOTES

    def _log(self) -> Iterator[tuple[Path, Sequence[str]]]:
        for beat in self._one("_queue/workers/[wrs]*.json"):
            worker = beat.name.partition(".")[0]
            yield from self._about(f"logs/{{}}.{worker}.log", list(self._natures))

    def _journal(self) -> Iterator[tuple[Path, Sequence[str]]]:
        """One that is there no more, or comes next."""
        for beat in self._one("_queue/workers/[wrs]*.json"):
            worker, number = beat.name.partition(".")[0], self._chance.randrange(1, 5)
            yield self._queue / f"_queue/journal/{worker}.{number}.jsonl", list(self._natures)

    def _signature(self) -> Iterator[tuple[Path, Sequence[str]]]:
        """Of a job that whoever has the key did not sign."""
        try:
            queue_id = json.loads((self._queue / "_queue/queue.json").read_bytes())["id"]
        except (OSError, ValueError, KeyError):
            return
        name = f"odds{self._chance.randrange(10**6)}.txt"
        what = subject(queue_id, name, io.BytesIO(b""))
        signature = f"_queue/signatures/{hashlib.sha256(what).hexdigest()}"
        yield self._queue / signature, (*NO_FILES, "sparse", "unreadable", "empty", "zeros")
        yield self._queue / "00_waiting" / name, ["empty"]

    def _swap(self) -> Iterator[tuple[Path, Sequence[str]]]:
        """Jobs become something else between a listing and their claim: as soon as the first of
        them is claimed somebody has listed the last."""
        first = self._chance.randrange(10**6)
        paths = [self._queue / f"00_waiting/odd{first + more}.txt" for more in range(12)]
        for path in paths:
            self._put(path, self._natures["empty"], "job")
        until = time.monotonic() + _LISTED_BY
        while paths[0].exists() and time.monotonic() < until:
            time.sleep(0.001)
        for path in reversed(paths):
            if not path.exists():
                continue
            nature = self._next("job that was listed", ["link to a file", "FIFO", "socket"])
            aside = self._queue / f"~{path.name}"
            self._natures[nature](aside)
            os.rename(aside, path)
            self.kinds.add(f"job that was listed: {nature}")
        yield from ()

    def take(self) -> None:
        """One less, unless somebody moved it."""
        if not self._here:
            return
        path = Path(os.fsdecode(self._here.pop(self._chance.randrange(len(self._here)))))
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
            return
        with suppress(NotADirectoryError):
            path.unlink(missing_ok=True)


def kinds(victim: Path) -> int:
    """How many there are."""
    return len(_natures(victim)) + len(NAMES)
