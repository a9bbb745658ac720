"""What a job costs on object storage, in requests: ``python -m benchmarks.objects [JOBS]``.

Counted at a server in this process, which speaks S3: so many are sent, whoever answers them.
"""

from __future__ import annotations

import sys
from collections import Counter

from dirjobs import DirJobs
from tests.servers import heedless

DOLLARS = {"PUT": 5e-6, "LIST": 5e-6, "HEAD": 4e-7, "GET": 4e-7, "DELETE": 0.0}
"""Amazon's prices of one request, in 2026."""


def kinds(asked: list[tuple[str, str]]) -> Counter[str]:
    """The requests by kind: to list is to get the bucket."""
    return Counter(
        "LIST" if method == "GET" and path == "lab" else method for method, path in asked
    )


def show(what: str, asked: list[tuple[str, str]], jobs: int) -> None:
    found = kinds(asked)
    price = sum(DOLLARS[kind] * number for kind, number in found.items()) / jobs * 1000
    told = ", ".join(f"{number / jobs:.2f} {kind}" for kind, number in sorted(found.items()))
    print(f"{what}: {told} for each job; {price:.3f} $ for 1,000")
    asked.clear()


def main() -> None:
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with (
        heedless.running(heeds=True) as server,
        DirJobs("s3://lab/jobs", storage_options=server.options, create=True) as dj,
    ):
        server.asked.clear()
        for number in range(jobs):
            dj.add(f"job{number}.txt", "content")
        show("add", server.asked, jobs)
        for job in dj:
            job.done()
        show("claim and end", server.asked, jobs)
        dj.status()
        show("status", server.asked, 1)


if __name__ == "__main__":
    main()
