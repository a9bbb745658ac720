"""Worker processes drain queues on object storage, and are killed meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import dirjobs
from dirjobs import DirJobs
from dirjobs.backends.objects import open_store
from dirjobs.layout import RUNNING, WAITING
from tests.amounts import PATIENCE, amount
from tests.process.drain import WORKER, payload
from tests.servers import azurite, seaweedfs
from tests.servers.child import die_with_parent

WORKERS = amount(4, 8)
JOBS = amount(80, 1000)
QUICK = {"heartbeat": 1.0, "lease": 120.0, "timeout": 30.0, "max_pause": 20.0}
"""Who was killed is seen to be gone, on this machine: nobody waits for the lease."""
BETWEEN_KILLS = 2.0
"""Seconds."""


class Crew:
    """Worker processes, of which each that is killed is followed by another one."""

    def __init__(self, folder: Path, settings: dict[str, object]) -> None:
        self._folder, self._settings = folder, settings
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.killed: set[str] = set()
        self._number = 0

    def start(self) -> None:
        self._number += 1
        wid = f"w{self._number}"
        told = {
            "wid": wid,
            "stop": str(self._folder / "stop"),
            "reads": True,
            "record": str(self._folder / f"{wid}.record"),
            **self._settings,
        }
        with (self._folder / f"{wid}.log").open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(Path(dirjobs.__file__).parents[1])},
                preexec_fn=die_with_parent if sys.platform == "linux" else None,
            )
        assert worker.stdin is not None
        worker.stdin.write(json.dumps(told).encode())
        worker.stdin.close()
        self._running[wid] = worker

    def kill_one(self, rng: random.Random) -> None:
        """Let the one that has worked for longest, or another one, be no more."""
        busy = [wid for wid in self._running if (self._folder / f"{wid}.record").exists()]
        if busy:
            wid = rng.choice(busy)
            worker = self._running.pop(wid)
            worker.kill()
            worker.wait()
            self.killed.add(wid)
            self.start()

    def end(self) -> None:
        """Let all end when nothing is left, and see that they end well."""
        (self._folder / "stop").touch()
        for wid, worker in self._running.items():
            code = worker.wait(PATIENCE)
            assert code == 0, f"{wid}:\n{(self._folder / f'{wid}.log').read_text()}"

    def kill_all(self) -> None:
        for worker in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                worker.kill()
            worker.wait()

    def told(self, what: str) -> Counter[str]:
        """How often workers said of each job that it was started, done, or lost."""
        return Counter(
            words[1]
            for path in self._folder.glob("*.record")
            for words in map(str.split, path.read_text().splitlines())
            if words[0] == what
        )


def drain(server, folder, figures):
    url, options = f"{server.url}/drained", server.options
    names = [f"job{number}.txt" for number in range(JOBS)]
    began = time.monotonic()
    crew = Crew(folder, {"jobsdir": url, "storage_options": options, **QUICK})
    try:
        with DirJobs(url, wid="boss", storage_options=options, create=True, **QUICK) as boss:
            for name in names[: JOBS // 2]:
                boss.add(name, payload(name))
            for _ in range(WORKERS):
                crew.start()
            rng, last = random.Random(1), time.monotonic()
            for name in names[JOBS // 2 :]:
                boss.add(name, payload(name))
                if time.monotonic() - last > BETWEEN_KILLS:
                    crew.kill_one(rng)
                    last = time.monotonic()
            while (left := boss.status()).waiting + left.running:
                assert time.monotonic() - began < PATIENCE, f"{left}"
                time.sleep(0.2)
                if time.monotonic() - last > BETWEEN_KILLS:
                    crew.kill_one(rng)
                    last = time.monotonic()
            crew.end()
            spent = time.monotonic() - began
            status = boss.status()
            assert (status.done, status.waiting, status.running) == (JOBS, 0, 0)
            assert (status.failed, status.parked) == (0, 0)
    finally:
        crew.kill_all()
    starts, done = crew.told("start"), crew.told("done")
    assert max(done.values()) == 1, "two were told that they ended a job"
    again = sum(starts.values()) - len(starts)
    assert set(starts) == set(names)
    assert again <= len(crew.killed), "more jobs were started again than workers were killed"
    with open_store(url, options) as store:
        there = {entry.name: entry for entry in store.list("02_done")}
        assert sorted(name.rpartition("~")[0] for name in there) == sorted(names)
        for name in there:
            assert store.read(f"02_done/{name}") == payload(name.rpartition("~")[0])
        for left_in in (RUNNING, WAITING):
            assert [*store.list(left_in)] == [], "something is left"
    figures(
        f"{JOBS} jobs, {WORKERS} processes, {len(crew.killed)} killed, {again} started again:"
        f" {JOBS / spent:.0f} jobs/s"
    )


def test_seaweedfs(tmp_path, figures):
    with seaweedfs.running() as server:
        drain(server, tmp_path, figures)


@pytest.mark.timeout(900)
def test_azurite(tmp_path, figures):
    with azurite.running() as server:
        drain(server, tmp_path, figures)
