"""Workers in processes of their own that drain a queue and write down what they start.

    python -m tests.process.webdav_worker    (what to do as JSON on standard input)

What a worker starts goes into a local file at once, so that a run that ends badly is
seen as well; what it was told goes to standard output.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dirjobs import DirJobs
from dirjobs.policy import Policy
from dirjobs.protocol import candidates
from tests.amounts import PATIENCE

ROOT = Path(__file__).parents[2]


@dataclass
class Drained:
    """What the workers of one run did.

    Attributes:
        started: how often each job was started.
        torn: jobs whose content was not what their name says, for any other reason.
        unfinished: jobs that were listed too short, and taken with just that size.
        decided: how often each rule decided something, summed over all workers.
    """

    started: Counter[str] = field(default_factory=Counter)
    torn: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    decided: Counter[str] = field(default_factory=Counter)

    @property
    def doubles(self) -> int:
        return sum(times > 1 for times in self.started.values())


def content(name: str) -> bytes:
    """What a job of this name contains; more than one packet for some."""
    block = hashlib.sha256(name.encode()).digest()
    return block * (1 + 100 * (block[0] % 4))


@contextmanager
def workers(
    folder: Path, url: str, count: int, first: int = 1, *, reads: bool = True, **settings: Any
) -> Iterator[Callable[[], Drained]]:
    """Run `count` workers; the function given waits for their end.

    Without `reads` they don't look into their jobs.  They end when nothing is waiting any
    more and ``all_added`` is in `folder`.
    """
    children = []
    try:
        for number in range(first, first + count):
            wid = f"w{number}"
            with (folder / f"{wid}.err").open("wb") as errors:
                child = subprocess.Popen(
                    [sys.executable, "-m", "tests.process.webdav_worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    cwd=ROOT,
                )
            children.append((wid, child))
            assert child.stdin is not None
            job = {"url": url, "wid": wid, "folder": str(folder), "parent": os.getpid()}
            job |= {"reads": reads, "settings": settings}
            child.stdin.write(json.dumps(job).encode())
            child.stdin.close()

        def finish() -> Drained:
            drained = Drained()
            until = time.monotonic() + PATIENCE
            for wid, child in children:
                child.wait(max(0.1, until - time.monotonic()))
                assert child.stdout is not None
                told = child.stdout.read()
                assert child.returncode == 0, (folder / f"{wid}.err").read_text()
                drained.decided.update(json.loads(told))
                for line in (folder / f"{wid}.started").read_text().splitlines():
                    name, digest, unfinished = json.loads(line)
                    drained.started[name] += 1
                    if digest != hashlib.sha256(content(name)).hexdigest():
                        (drained.unfinished if unfinished else drained.torn).append(name)
            return drained

        yield finish
    finally:
        for _, child in children:
            child.kill()
            child.wait()
            if child.stdout is not None:
                child.stdout.close()


def drain(
    url: str, wid: str, folder: Path, parent: int, reads: bool, settings: dict[str, Any]
) -> Counter[str]:
    """Take jobs until the producer has added all and nothing is waiting."""
    with (
        DirJobs(url, wid=wid, job_ext="", create=True, **settings) as queue,
        (folder / f"{wid}.started").open("a") as started,
    ):
        while True:
            all_added = (folder / "all_added").exists()
            for job in queue:
                data = job.read_bytes() if reads else content(job.name())
                digest = hashlib.sha256(data).hexdigest()
                unfinished = len(data) == job.size() and len(data) < len(content(job.name()))
                started.write(json.dumps([job.name(), digest, unfinished]) + "\n")
                started.flush()
                job.done()
                if os.getppid() != parent:
                    break  # nobody is waiting for us any more
            if all_added or os.getppid() != parent:
                return queue.decided
            time.sleep(0.05)


def main() -> None:
    given = json.load(sys.stdin)
    given["folder"] = Path(given["folder"])
    if not given["reads"]:  # what jobs cost is counted: listings come with age, the slower the more
        candidates._LISTING_USED_SECONDS = 3600.0
    print(json.dumps(drain(**given)))


if __name__ == "__main__":
    # A torn copy is waited for at a worker's end, for two minutes with the usual times.
    Policy.longest_standstill = 3.0  # type: ignore[assignment, misc]
    main()
