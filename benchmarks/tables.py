"""`results` and `list` of many ended jobs on Apache: requests, seconds and memory.

    python -m benchmarks.tables [--jobs 50000] [--rounds 2]

Each command is a process, on a queue whose attempts left records in the journal, and on the
same one without them, where each job's own files are asked for, as it was before there was a
journal.  The best of several rounds counts, all in one run, in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

from dirjobs.layout import DONE, FAILED, FOLDERS, JOURNAL, RESULTS
from dirjobs.protocol.journal import RECORDS_IN_FILE
from tests.servers import apache
from tests.servers.apache import Apache

COMMANDS = {
    "results": ["results", "--csv"],
    "results --where": ["results", "--where", "lr < 0.5 and seed == 3"],
    "list": ["list"],
    "list --failed --reason": ["list", "--failed", "--reason"],
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--jobs", type=int, default=50_000)
    arguments.add_argument("--rounds", type=int, default=2)
    given = arguments.parse_args()
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    print(f"{machine}; {given.jobs:,} ended jobs, best of {given.rounds} rounds")
    print(f"{'':<24}{'journal':>8}{'requests':>10}{'jobs/request':>14}{'seconds':>9}{'MB':>6}")
    with apache.running(auth=None) as server:
        for has_journal in (True, False):
            queue = server.root / ("journal" if has_journal else "bare")
            fill(queue, given.jobs, has_journal)
        for name, command in COMMANDS.items():
            for place in ("journal", "bare"):
                requests, seconds, memory = best(server, command, place, given.rounds)
                print(
                    f"{name:<24}{'yes' if place == 'journal' else 'no':>8}{requests:>10,}"
                    f"{given.jobs / requests:>14.1f}{seconds:>9.1f}{memory:>6.0f}",
                    flush=True,
                )


def fill(queue: Path, jobs: int, has_journal: bool) -> None:
    """Jobs that ended, one in ten of them failed, at attempts of 50 workers."""
    for folder in FOLDERS:
        (queue / folder).mkdir(parents=True, exist_ok=True)
    records: dict[str, list[str]] = {}
    for number in range(jobs):
        job, worker = f"lr{number / jobs:g}_seed{number % 5}.json", f"w{number % 50}"
        failed = number % 10 == 9
        params = {"lr": number / jobs, "seed": number % 5}
        result = {"loss": number * 0.001, "accuracy": 0.9}
        (queue / (FAILED if failed else DONE) / job).write_text(json.dumps(params))
        folder = queue / RESULTS / job / worker
        if not has_journal:
            folder.mkdir(parents=True)
            (folder / "result.json").write_text(json.dumps(result))
        record: dict[str, object] = {"job": job, "attempt": 1, "worker": worker, "host": "node17"}
        record |= {"started": "2026-11-01T10:00:00Z", "ended": "2026-11-01T10:01:00Z"}
        record |= {"end": "failed" if failed else "done", "seconds": 60.0, "exit_code": +failed}
        record |= {"command": ["python", "train.py"], "params": params, "result": result}
        record |= {"reason": "exit code 1: out of memory"} if failed else {}
        record |= {"log": f"logs/{job}.{worker}.log", "files": f"results/{job}/{worker}"}
        records.setdefault(worker, []).append(json.dumps(record))
    for worker, lines in records.items() if has_journal else ():
        for first in range(0, len(lines), RECORDS_IN_FILE):
            path = queue / JOURNAL / f"{worker}.{first // RECORDS_IN_FILE + 1}.jsonl"
            path.write_text("\n".join(lines[first : first + RECORDS_IN_FILE]) + "\n")


def best(server: Apache, command: list[str], place: str, rounds: int) -> tuple[int, float, float]:
    """Requests, seconds and megabytes of a command."""
    fastest = memory = float("inf")
    for _ in range(rounds):
        begun = time.perf_counter()
        with open(os.devnull, "wb") as nothing:
            name, *options = command
            called = [sys.executable, "-m", "dirjobs", name, f"{server.url}/{place}", *options]
            child = subprocess.Popen(called, stdout=nothing)
            _, status, usage = os.wait4(child.pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        fastest = min(fastest, time.perf_counter() - begun)
        memory = min(memory, megabytes(usage))
        requests = len(server.requests())
        server.forget()
        server.start()
    return requests, fastest, memory


def megabytes(usage: resource.struct_rusage) -> float:
    """The memory of a process at its largest."""
    return usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


if __name__ == "__main__":
    main()
