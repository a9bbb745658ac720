"""Odd files of many kinds for every folder of a queue, as others on the share may leave them."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

FOLDERS = (
    *("00_waiting", "01_running", "02_done", "99_failed", "_queue", "_queue/workers"),
    *("_queue/attempts", "_queue/parked", "_queue/signatures", "logs", "results", "results/JOB"),
)
Make = Callable[[Path], object]
HUGE = 1 << 36
"""Bytes of a sparse file: whoever reads all of it is found out."""


def make_victim(folder: Path) -> None:
    """Somebody's files, beside the queue."""
    (folder / "inner").mkdir(parents=True)
    for name in ("thesis.txt", "package.json", "result.json", "inner/deep.txt"):
        (folder / name).write_text("precious")
        os.utime(folder / name, (1_500_000_000, 1_500_000_000))
    os.chmod(folder / "thesis.txt", 0o640)


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
        "heartbeat of a later format": _json({**beat, "format": 99}),
        "notes of other types": _json({"format": 1, "attempts": [None, 3, {"at": []}]}),
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
        self.kinds: set[str] = set()

    def put(self) -> None:
        """One more; nothing where something is already."""
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
        path = folder / os.fsdecode(name)
        if os.path.lexists(path):
            return
        make(path)
        self._here.append(os.fsencode(path))
        self.kinds.add(kind)

    def take(self) -> None:
        """One less, unless somebody moved it."""
        if not self._here:
            return
        path = Path(os.fsdecode(self._here.pop(self._chance.randrange(len(self._here)))))
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def kinds(victim: Path) -> int:
    """How many there are."""
    return len(_natures(victim)) + len(NAMES)
