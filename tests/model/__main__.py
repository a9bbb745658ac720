"""``python -m tests.model``: all states of the marker protocol, then each mutant's counterexample.

With two workers it takes some minutes; three take longer, and some gigabytes.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.model.configurations import BY_NAME, EXHAUSTIVE, KILLERS
from tests.model.markers import MUTANTS, Model, explore


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help=f"of {', '.join(BY_NAME)}; all by default")
    parser.add_argument("--mutants", action="store_true", help="only the mutants")
    parser.add_argument("--traces", action="store_true", help="show how each mutant fails")
    given = parser.parse_args()
    failed = False
    if not given.mutants:
        for name in given.only or EXHAUSTIVE:
            began = time.monotonic()
            states, violation = explore(Model(BY_NAME[name]))
            spent = time.monotonic() - began
            told = "no violation" if violation is None else violation.what
            print(f"{name:28} {states:>10,} states  {spent:6.0f} s  {told}", flush=True)
            if violation is not None:
                failed = True
                print(*violation.trace, sep="\n    ")
    if not given.only:
        for mutant in MUTANTS:
            states, violation = explore(Model(KILLERS[mutant], mutant))
            failed = failed or violation is None
            told = "SURVIVES" if violation is None else violation.what
            print(f"{mutant:48} {states:>10,} states  {told}", flush=True)
            if violation is not None and given.traces:
                print("", *violation.trace, sep="\n    ")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
