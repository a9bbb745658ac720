"""The protocol holds in simulated runs, and mutants of it don't.

The seeds are fixed, so that the outcome is; for others, ``python -m tests.simulation``.
"""

from __future__ import annotations

import os

import pytest

from tests.simulation.world import Kind

from .all_mutants import MUTANTS
from .claim_mutants import twins
from .mutants import Mutant, in_place
from .replay import check_replay
from .rules import DRAWN_BY, all_rules, never_decided
from .runs import ENOUGH_RUNS, run_many, run_one
from .scenarios import FAMILIES, Family, any_scenario, leavers, lives, scenario

pytestmark = pytest.mark.timeout(900)  # only to end a hang: these are seconds of pure work

BROAD = (
    "lives",
    "within_bounds",
    "leavers",
    "people",
    "recorded",
    "used_names",
)
"""Families of many kinds of trouble; the others have one each, and a mutant that shows it."""
RUNS = int(os.environ.get("DIRJOBS_SIMULATION_RUNS", "4000"))
TRIED = MUTANTS if RUNS >= ENOUGH_RUNS else MUTANTS[::5]


def test_no_run_breaks_an_invariant() -> None:
    report = run_many("fixed", 0, RUNS)
    assert not report.violations
    if RUNS >= ENOUGH_RUNS:
        assert never_decided(report.decided) == []


@pytest.mark.parametrize(
    ("family", "seed"),
    [
        # What an earlier process left is nobody's; an answer is missing, or the look after it.
        ("any", "1486a7a8 any/13855"),
        ("any", "db22df63 any/28951"),
        # A claim takes a minute; the next job of the same listing is another one by then.
        ("any", "1486a7a8 any/18036"),
        # Two threads of a worker try at once whether renames copy.
        ("refuted", "q/12"),
        ("refuted", "q/310"),
        # A claim in mode trust is refused, and a torn copy is there.
        ("refuted", "q refuted/472"),
        # Two ask for a job that was saved anew, where renames copy: one or both have it whole.
        ("used_names", "sima1 used_names/2094"),
        ("used_names", "sima1 used_names/2409"),
        # Two jobs of one name and size are added within one second, the first ends as ``~3``.
        ("used_names", "sima5 used_names/2162"),
        # Two threads of a worker park one file of a dead one.
        ("leavers", "sima2 leavers/114"),
        ("attempts", "0983fd1d attempts/555"),
        # Who takes over dies between the note of a death and the rename; two observers know of
        # another process of the dead one's name; a torn copy of a dead one's is parked.
        ("attempts", "13d51aa0 attempts/444"),
        ("attempts", "b80158c1 attempts/756"),
        ("attempts", "13d51aa0 attempts/830"),
        # Another thread closes a worker that is at a claim, and a copy waits for what comes of it.
        ("closers", "eedbe649 closers/2932"),
        ("closers", "eedbe649 closers/3395"),
        # The clock is set forward, a visitor takes all for silent, and one of them claims a job.
        ("within_bounds", "ed0c77e0 within_bounds/5704"),
        # Two processes of one id, one after the other, hit upon the same later name.
        ("within_bounds", "ed0c77e0 within_bounds/458"),
        # A copy that still grows is parked by somebody else, while its worker ends.
        ("leavers", "c47d6633 leavers/909"),
        # A machine wakes up while its worker's id is taken by another process.
        ("resumed", "eedbe649 resumed/449"),
        # A person removes the heartbeat of a worker that begins, and that can't read another's.
        ("lives", "sima5 lives/426"),
    ],
)
def test_what_one_run_in_thousands_has_found(family: str, seed: str) -> None:
    run_one(seed, FAMILIES[family])


ONE_BY_ONE = """
import logging, sys
from tests.simulation.runs import run_one
from tests.simulation.scenarios import FAMILIES
logging.disable(logging.CRITICAL)
for name in sys.argv[1:]:
    run = run_one(f"replay {name}", FAMILIES[name])
    print(name, run.steps, run.now, ascii(run.picture()))
"""


def test_a_run_is_replayed_by_its_seed_alone() -> None:
    """...whatever the process did before, and however it hashes."""
    check_replay(ONE_BY_ONE, list(FAMILIES))


@pytest.mark.parametrize("rule", list(DRAWN_BY))
def test_a_rule_decides_in_the_family_that_draws_it(rule: str) -> None:
    assert rule in all_rules()
    assert run_many("fixed", 0, 40, FAMILIES[DRAWN_BY[rule]]).decided[rule]


@pytest.mark.parametrize("kind", list(Kind))
def test_each_kind_of_share(kind: Kind) -> None:
    report = run_many(f"kind {kind}", 0, RUNS // 20, lambda rng: scenario(rng, kind))
    assert not report.violations


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "any"])
def test_jobs_survive_their_workers(name: str) -> None:
    """Crashes, pauses, outages, lost heartbeats; then all heals, and every job ends.  Or all
    workers end well, and nothing is left half way.  Or people give commands meanwhile."""
    share = 8 if name in BROAD else 200
    assert not run_many("fixed", 0, RUNS // share, FAMILIES[name]).violations


def test_every_mutant_is_a_change_of_the_source() -> None:
    for mutant in MUTANTS:
        with in_place(mutant):
            pass


@pytest.mark.parametrize("mutant", TRIED, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_mutant_is_found_out(mutant: Mutant) -> None:
    """...within the runs that the real protocol survives."""
    with in_place(mutant):
        report = run_many(mutant.seed, 0, 3000, mutant.family, until_violation=True)
    assert report.violations, f"{mutant.name}: survived {report.runs} runs"
    if mutant.patches:  # the others are about the scenario, not about the code
        number = int(next(iter(report.violations)).rpartition("/")[2])
        assert not run_many(mutant.seed, number, number + 1, mutant.family).violations


@pytest.mark.parametrize("family", [any_scenario, leavers, lives])
def test_the_protocol_compiled_anew_is_still_right(family: Family) -> None:
    """Else every mutant would be found out, whatever it does."""
    with in_place(Mutant("no change", family)):
        assert not run_many("fixed", 0, 100, family).violations


def test_twins_are_harmless_with_the_nonce() -> None:
    assert not run_many("twins", 0, 500, twins).violations


def test_rules_are_read_from_the_source() -> None:
    assert len(all_rules()) > 15
