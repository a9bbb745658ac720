"""One of two processes that take the same id at the same moment, again and again.

Each line on standard input is the next thing to do; what came of it is one line of JSON
on standard output.  "begin" is answered by "in" or "refused", "work" by what was done.
"""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import replace

import dirjobs.queue
from dirjobs import DirJobs
from dirjobs.errors import WorkerIdInUse
from dirjobs.recovery.process import this_process


def main(orders):
    logging.basicConfig(filename=orders["log"], level=logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)

    def told_to(command):
        assert sys.stdin.readline() == f"{command}\n"

    def answer(what):
        print(json.dumps(what), flush=True)

    if orders["host"]:  # as if it ran on another machine
        here = replace(this_process(), machine=orders["host"])
        dirjobs.queue.this_process = lambda: here
    answer("ready")
    for url in orders["urls"]:
        with DirJobs(url, "w1", create=True, **orders["options"]) as queue:
            told_to("begin")
            try:
                job = queue.next_and_lock()
            except WorkerIdInUse as error:
                job = None
                answer(["refused", str(error)])
            else:
                answer(["in", ""])
            told_to("work")
            done = []
            while job is not None:
                done.append([job.name(), job.full_name(), job.read_text()])
                job.done()
                job = queue.next_and_lock()
            answer(done)
            told_to("end")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
