"""How much trouble each walk of the model has."""

from __future__ import annotations

from tests.model.markers import MUTANTS, Limits

BY_NAME = {
    "two": Limits(),
    "two, used again": Limits(reuses=1),
    "two, two faults": Limits(faults=2, tries=1, reuses=1),
    "two, three faults": Limits(faults=3, crashes=0, tries=1),
    "three": Limits(workers=3, faults=1, crashes=0, robberies=1, tries=1),
    "three, crash": Limits(workers=3, faults=1, crashes=1, robberies=0, tries=1),
    "three, no faults": Limits(workers=3, faults=0, crashes=1, robberies=2, tries=1, reuses=1),
    "movers": Limits(workers=2, faults=2, crashes=1, movers=True, reuses=1, tries=2),
    "three movers": Limits(workers=3, faults=1, crashes=1, movers=True, reuses=1, tries=1),
}
EXHAUSTIVE = tuple(BY_NAME)
QUICK = ("two",)

KILLERS = {mutant: Limits(reuses=1) for mutant in MUTANTS} | {
    "takeover replaces the claim": Limits(workers=3, crashes=1, robberies=1, faults=0),
}
"""The trouble in which the protocol without a rule goes wrong."""
