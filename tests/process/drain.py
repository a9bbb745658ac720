"""Draining a queue with worker processes, and accounting for every job."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import dirjobs
from dirjobs.layout import DONE, FAILED, FOLDERS, PARKED, RUNNING, WAITING
from tests.amounts import PATIENCE
from tests.servers.child import die_with_parent

WORKER = Path(__file__).with_name("drain_worker.py")
_SUPPLY = 60
"""Jobs that wait at least while the workers are to be busy."""


def payload(name: str) -> bytes:
    """What the job `name` must still contain at its end; some longer than one read."""
    return name.encode() * (1 + sum(name.encode()) % 50 * (100 if name.endswith("7.txt") else 1))


def wait_until(condition: Callable[[], object], told: Callable[[], object] = str) -> None:
    """Return when `condition` holds; fail with what `told` says if it never does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"it did not come to pass:\n{told()}"
        time.sleep(0.02)


@dataclass(frozen=True)
class Python:
    """What a worker is run with.

    Args:
        command: of the interpreter.
        environment: is added to this process's.
        spelled: a path as the interpreter knows it.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    spelled: Callable[[Path], str] = str


THIS_PYTHON = Python([sys.executable], {"PYTHONPATH": str(Path(dirjobs.__file__).parents[1])})


class Drain:
    """Worker processes on one queue.

    Args:
        folder: local, for what the workers record.
        root: where the server keeps the queue.
        settings: of `DirJobs`, for each worker.

    Attributes:
        supplied: the jobs that were put by `busy_until`.
    """

    def __init__(self, folder: Path, root: Path, **settings: object) -> None:
        self.folder = folder
        self.root = root
        self._settings = settings
        self._stop = folder / "stop"
        self.supplied: list[str] = []
        self.workers: list[subprocess.Popen[bytes]] = []
        for name in FOLDERS:
            (root / name).mkdir(parents=True, exist_ok=True)

    def put(self, *names: str) -> None:
        """Make jobs behind the server's back, each whole at once."""
        for name in names:
            staged = self.root / name
            staged.write_bytes(payload(name))
            staged.rename(self.root / WAITING / name)

    def busy_until(self, condition: Callable[[], object]) -> None:
        """Return when `condition` holds; until then the workers never run out of jobs."""

        def holds_among_jobs() -> object:
            missing = _SUPPLY - len(self.names(WAITING))
            names = [f"job{len(self.supplied) + n}.txt" for n in range(missing)]
            self.supplied += names
            self.put(*names)
            return condition()

        wait_until(holds_among_jobs, self.log)

    def start(
        self, count: int, *, reads: bool = True, by: Python = THIS_PYTHON, **settings: object
    ) -> None:
        """Start `count` workers, w1, w2, ..."""
        for number in range(len(self.workers) + 1, len(self.workers) + count + 1):
            told = {
                "wid": f"w{number}",
                "stop": by.spelled(self._stop),
                "reads": reads,
                "record": by.spelled(self.folder / f"w{number}.record"),
                **self._settings,
                **settings,
            }
            with (self.folder / f"w{number}.log").open("ab") as log:
                worker = subprocess.Popen(
                    [*by.command, by.spelled(WORKER)],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **by.environment},
                    preexec_fn=die_with_parent,
                )
            self.workers.append(worker)
            assert worker.stdin is not None
            worker.stdin.write(json.dumps(told).encode())
            worker.stdin.close()

    def wait_until_ready(self) -> None:
        """Return when all workers have begun and found nothing more."""

        def are_ready() -> bool:
            assert all(worker.poll() is None for worker in self.workers), self.log()
            return self.records().count(["ready"]) == len(self.workers)

        wait_until(are_ready, self.log)

    def may_end(self) -> None:
        """Let the workers end as soon as they find nothing."""
        self._stop.touch()

    def end(self) -> None:
        """Wait until all workers have ended, and well."""
        self.may_end()
        for number, worker in enumerate(self.workers, 1):
            assert worker.wait(PATIENCE) == 0, f"w{number}:\n{self.log()}"

    # -- what came of it ------------------------------------------------------------------

    def records(self) -> list[list[str]]:
        paths = self.folder.glob("*.record")
        return [line.split() for path in paths for line in path.read_text().splitlines()]

    def starts(self) -> Counter[str]:
        """How often each job was started."""
        return Counter(words[1] for words in self.records() if words[0] == "start")

    def log(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    def names(self, folder: str) -> list[str]:
        return sorted(os.listdir(self.root / folder))

    def left(self) -> dict[str, list[str]]:
        """What is not done, by folder."""
        return {f: self.names(f) for f in (WAITING, RUNNING, FAILED, PARKED) if self.names(f)}

    def check(self, *names: str, mode: str = "trust") -> None:
        """Each job was started once, is done, and contains what it did."""
        told = [words for words in self.records() if words[0] == "done"]
        assert {words[1] for words in self.records() if words[0] == "mode"} == {mode}
        assert not self.left(), f"{self.left()}\n{self.log()}"
        assert self.names(DONE) == sorted(names)
        assert self.starts() == Counter(names), self.log()
        assert Counter(words[1] for words in told) == Counter(names)
        for name in names:
            assert (self.root / DONE / name).read_bytes() == payload(name)
        read = {words[1]: words[2] for words in told}
        assert read == {name: hashlib.sha256(payload(name)).hexdigest() for name in names}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            with contextlib.suppress(ProcessLookupError):
                worker.kill()
            worker.wait()
