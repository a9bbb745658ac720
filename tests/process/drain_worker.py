"""One worker of a drain, as a program of its own.

Gets its settings as JSON on standard input (there may be a password in them) and records
in a local file what it starts and ends, and its mode and "ready" when it has first found nothing
more.
Works until nothing is waiting and the file `stop` is there.
"""

import hashlib
import json
import logging
import os
import sys
import time

from dirjobs import ClaimLost, DirJobs
from dirjobs.protocol import candidates


def main() -> None:
    settings = json.load(sys.stdin)
    logging.basicConfig(format="%(asctime)s %(name)s %(message)s", level=logging.WARNING)
    stop, reads = settings.pop("stop"), settings.pop("reads")
    if not reads:  # what jobs cost is counted: listings come with age, the slower the more
        candidates._LISTING_USED_SECONDS = 3600.0
    with (
        open(settings.pop("record"), "a", buffering=1) as record,
        DirJobs(create=True, **settings) as dj,
    ):
        ready = False
        while True:
            # Asked before looking: what was added until then is seen.
            last = os.path.exists(stop)
            for job in dj:
                record.write(f"start {job.name()}\n")
                try:
                    content = job.read_bytes() if reads else b""
                    job.done()
                except ClaimLost:
                    record.write(f"lost {job.name()}\n")
                else:
                    record.write(f"done {job.name()} {hashlib.sha256(content).hexdigest()}\n")
            if not ready:
                record.write(f"mode {dj.mode}\nready\n")
                ready = True
            if last:
                return
            time.sleep(0.05)


if __name__ == "__main__":
    main()
