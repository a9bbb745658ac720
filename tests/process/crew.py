"""Worker processes, where they work, and what they tell of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from dirjobs import DirJobs
from dirjobs.layout import DONE, FAILED, PARKED, RUNNING, WAITING
from dirjobs.recovery.heartbeat import Heartbeat
from tests.amounts import PATIENCE, amount
from tests.servers.child import die_with_parent

UNIT = amount(1, 4)  # whoever measures times wants them to be long against a busy machine's
H, W, P = 0.4 * UNIT, 0.4 * UNIT, 0.4 * UNIT
TIMES = {"heartbeat": H, "timeout": W, "max_pause": P, "lease": 300.0}
LEASE = 2.8 * UNIT
"""Seconds, for tests that wait until somebody is taken for dead; on a busy machine that may be
somebody who is not.  Elsewhere the lease is too long for that."""
assert LEASE >= 2 * H + 3 * W + P
ROOT = Path(__file__).parents[2]


class Place:
    """A queue that worker processes share.

    Args:
        url: of the queue.
        root: where its files are on this machine, to look at behind the server's back.
        options: `storage_options`.
        login: environment variables that let the command line in.
    """

    def __init__(self, url, root, options=None, login=None):
        self.url, self.root, self.login = url, Path(root), login or {}
        self.options = {**TIMES, "storage_options": options}
        self.jobs = 0

    def queue(self, wid, **more):
        return DirJobs(self.url, wid, create=True, **{**self.options, **more})

    def fill(self, number):
        self.jobs = number
        with self.queue("adder") as queue:
            for n in range(number):
                queue.add(f"job{n}.txt", f"content of {n}")

    def files(self, folder):
        return sorted(entry.name for entry in os.scandir(self.root / folder))

    def assert_each_done_once(self, jobs):
        for folder in (WAITING, RUNNING, FAILED, PARKED):
            assert self.files(folder) == [], folder
        assert self.files(DONE) == sorted(f"job{n}.txt" for n in range(jobs))
        for n in range(jobs):
            assert (self.root / DONE / f"job{n}.txt").read_text() == f"content of {n}"

    def beats(self):
        """The heartbeat files as they are now, by worker."""
        found = {}
        for path in (self.root / "_queue/workers").glob("*.json"):
            if beat := Heartbeat.from_bytes(path.read_bytes()):  # none: it is just being written
                found[beat.worker] = beat
        return found

    def deaths(self):
        """How often a worker died at each job, as noted for people."""
        notes = {}
        for path in (self.root / "_queue/attempts").iterdir():
            attempts = json.loads(path.read_text())["attempts"]
            notes[path.name.removesuffix(".json")] = sum(a["died"] for a in attempts)
        return notes


class Crew:
    """Worker processes that never outlive the test."""

    def __init__(self, place, folder):
        self.place, self.folder = place, folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, wid, **orders):
        options = {**self.place.options, **orders.pop("options", {})}
        tag = f"{wid}-{len(self.processes)}"
        orders |= {
            "url": self.place.url,
            "wid": wid,
            "jobs": self.place.jobs,
            "options": options,
            "journal": str(self.folder / f"{tag}.journal"),
        }
        with (self.folder / f"{tag}.errors").open("wb") as errors:
            self.processes[tag] = subprocess.Popen(
                [sys.executable, "-m", "tests.process.worker", json.dumps(orders)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stderr=errors,
                preexec_fn=die_with_parent if sys.platform == "linux" else None,
            )
        return tag

    def signal(self, tag, number):
        if self.processes[tag].poll() is None:
            self.processes[tag].send_signal(number)

    def stop(self, tag):
        """Stop it; once this returns it does nothing any more.  False if it has ended."""
        self.signal(tag, signal.SIGSTOP)
        process = self.processes[tag]
        return until(lambda: process.poll() is not None or _state(process.pid) == "T") and (
            process.poll() is None
        )

    def kill(self, tag):
        """Kill -9; the process is gone, and nobody can doubt that."""
        self.signal(tag, signal.SIGKILL)
        self.processes[tag].wait(PATIENCE)

    def wait(self, tag, seconds=PATIENCE):
        return self.processes[tag].wait(seconds)

    def journal(self, tag=None):
        """What happened, in order; of all workers unless one is named."""
        events = []
        for path in self.folder.glob(f"{tag or '*'}.journal"):
            for line in path.read_text().splitlines():
                events.append({**json.loads(line), "tag": path.stem})
        return sorted(events, key=lambda event: event["at"])

    def told(self, what, tag=None):
        """How often the logs say it."""
        return sum(p.read_text().count(what) for p in self.folder.glob(f"{tag or '*'}.log"))

    def errors(self, tag=None):
        return "".join(p.read_text() for p in self.folder.glob(f"{tag or '*'}.errors"))

    def end(self):
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            process.wait()


def _state(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[0]


def until(true, seconds=PATIENCE, pause=0.02):
    """Wait for something that must come; the limit only keeps a failing test from hanging."""
    deadline = time.monotonic() + seconds
    while not (result := true()):
        assert time.monotonic() < deadline, f"{true} did not come true"
        time.sleep(pause)
    return result
