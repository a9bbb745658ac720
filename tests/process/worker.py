"""A worker process for the tests: works until all jobs are done, and keeps a journal.

The journal is a line of JSON for each event; it is written before the event's
consequences, so that a kill in between is told rather than hidden.
"""

from __future__ import annotations

import json
import logging
import random
import sys
import time
from pathlib import Path

from dirjobs import ClaimLost, DirJobs, clock
from dirjobs.errors import NotFound, Unavailable
from tests.amounts import PATIENCE


def main(orders):
    journal = Path(orders["journal"])
    logging.basicConfig(filename=journal.with_suffix(".log"), level=logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)

    def note(event, **facts):
        with journal.open("a") as file:
            file.write(json.dumps({"event": event, "at": time.monotonic(), **facts}) + "\n")

    if orders.get("ahead"):
        clock.monotonic = running_ahead(Path(orders["ahead"]))
    with begun(orders) as queue:
        while True:
            job = queue.next_and_lock()
            if job is None:
                # What is neither waiting nor running may be on its way from one to the other.
                status = queue.status()
                if status.done + status.failed >= orders["jobs"]:
                    return
                time.sleep(0.1)
                continue
            note("start", job=job.name(), claim=job.full_name())
            try:
                content = job.read_bytes()
                hold = orders.get("until")
                while hold and not Path(hold).exists():
                    time.sleep(0.02)
                time.sleep(random.uniform(0, orders.get("work", 0)))
                job.done()
            except (ClaimLost, NotFound) as error:
                note("lost", job=job.name(), why=str(error))
            else:
                note("done", job=job.name(), content=content.decode())


def begun(orders):
    """The queue; on a busy machine a server may be too slow for the short timeouts of tests, and
    who begins does not wait for it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return DirJobs(orders["url"], orders["wid"], create=True, **orders["options"])
        except Unavailable:
            if time.monotonic() > deadline:
                raise


def running_ahead(file, real=clock.monotonic):
    """A clock that is ahead by as many seconds as `file` says, once it is there."""
    return lambda: real() + (float(file.read_text()) if file.exists() else 0.0)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
