"""``python -m tests.fuzz --inputs 1000000 [KIND...]``: the report of many inputs."""

from __future__ import annotations

import argparse
import secrets
import sys

from tests.fuzz.kinds import KINDS
from tests.fuzz.run import run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--inputs", type=int, default=100_000, help="of each kind")
    parser.add_argument("--seconds", type=float, help="for each kind, at most")
    parser.add_argument("--seed", default=secrets.token_hex(4))
    options = parser.parse_args()
    if unknown := set(options.kinds) - set(KINDS):
        parser.error(f"there is no kind {', '.join(sorted(unknown))}")
    faults = 0
    for kind in options.kinds or KINDS:
        report = run(kind, options.seed, options.inputs, options.seconds)
        print(report, flush=True)
        faults += len(report.faults)
    return 1 if faults else 0


sys.exit(main())
