"""``python -m tests.simulation --runs 200000 [--lives]``: the report of many runs."""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import sys
from concurrent.futures import ProcessPoolExecutor

from .rules import never_decided
from .runs import Report, run_many
from .scenarios import any_scenario, lives


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--seed", default=secrets.token_hex(4))
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--lives", action="store_true", help="workers crash, stop, come back")
    options = parser.parse_args()
    logging.getLogger("dirjobs").setLevel(logging.CRITICAL)
    piece = max(1, min(500, options.runs // (4 * options.processes)))
    total = Report()
    family = lives if options.lives else any_scenario
    with ProcessPoolExecutor(options.processes) as pool:
        jobs = [
            pool.submit(run_many, options.seed, first, min(first + piece, options.runs), family)
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
    never = [] if options.lives else never_decided(total.decided)
    for rule in never:
        print(f"  {0:8} {rule}")
    print(f"{len(total.violations)} violations")
    for name, violation in list(total.violations.items())[:10]:
        print(f"  run {name}: {violation}")
    return 1 if total.violations or never else 0


if __name__ == "__main__":
    sys.exit(main())
