"""``python -m tests.simulation --runs 200000 [--family lives]``: the report of many runs."""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from . import thread_runs
from .all_mutants import MUTANTS, table_row
from .rules import never_decided
from .runs import ENOUGH_RUNS, Report, run_many
from .scenarios import FAMILIES, any_scenario


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--seed", default=secrets.token_hex(4))
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument(
        "--family",
        choices=[*FAMILIES, "threads"],
        default="any",
        help="what befalls workers; lives: they crash, stop, come back; leavers: they end when"
        " they find nothing; people: commands are given meanwhile; recorded: renames trusted by a"
        " record; threads: several of one DirJobs, which is closed, forked, forgotten"
        "  (default: %(default)s: nothing)",
    )
    parser.add_argument(
        "--mutants",
        action="store_true",
        help="instead: after how many runs each mutant of the protocol is found out",
    )
    options = parser.parse_args()
    logging.getLogger("dirjobs").setLevel(logging.CRITICAL)
    if options.mutants:
        return _print_mutants(options.runs, options.processes)
    piece = max(1, min(500, options.runs // (4 * options.processes)))
    total = Report()
    call = partial(run_many, family=FAMILIES.get(options.family, any_scenario))
    if options.family == "threads":
        call = partial(thread_runs.run_many)
    with ProcessPoolExecutor(options.processes) as pool:
        jobs = [
            pool.submit(call, options.seed, first, min(first + piece, options.runs))
            for first in range(0, options.runs, piece)
        ]
        for job in jobs:
            total += job.result()
    print(f"{total.runs} runs, {total.steps} steps, seed {options.seed}")
    for kind, count in sorted(total.kinds.items()):
        print(f"  {count:8} {kind}")
    print("how often each rule decided")
    for rule, count in sorted(total.decided.items()):
        print(f"  {count:8} {rule}")
    never = never_decided(total.decided) if options.family == "any" else []
    for rule in never:
        print(f"  {0:8} {rule}")
    print(f"{len(total.violations)} violations")
    for name, violation in list(total.violations.items())[:10]:
        print(f"  run {name}: {violation}")
    # Some rules decide once in a thousand runs.
    return 1 if total.violations or (never and total.runs >= ENOUGH_RUNS) else 0


def _print_mutants(most_runs: int, processes: int) -> int:
    with ProcessPoolExecutor(processes) as pool:
        rows = [pool.submit(_row, number, most_runs) for number in range(len(MUTANTS))]
        survivors = 0
        for row in rows:
            found, words = row.result()
            survivors += not found
            print(words, flush=True)
    print(f"{len(MUTANTS)} mutants, {survivors} of them survive")
    return 1 if survivors else 0


def _row(number: int, most_runs: int) -> tuple[bool, str]:
    logging.getLogger("dirjobs").setLevel(logging.CRITICAL)
    return table_row(MUTANTS[number], most_runs)


if __name__ == "__main__":
    sys.exit(main())
