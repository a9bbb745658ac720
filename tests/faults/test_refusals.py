"""Each refusal at each request of each operation, for one request and until it is lifted.

What the worker was told must be true, each job is done once, and what was said to be stored is:
`tests.faults.points` looks.  All of it takes minutes on real servers: each day there is a sample.
"""

from __future__ import annotations

import itertools
import os

import pytest

from dirjobs.policy import Mode, Policy
from dirjobs.protocol.outage import Presence, SameQueue
from tests.amounts import PATIENCE, THOROUGH, amount
from tests.faults.points import OF_RUNNERS, OF_WORKERS, Scene, play
from tests.faults.refusals import PLACES

MOST = 80
SAMPLE = 24
"""One of so many cases is tried each day on a real server."""
EACH_DAY = ("done", "results")

UNSEEN = {("another queue", "add"), ("another queue", "claim")}
"""Whoever looks for jobs, or adds one, in the very moment in which another queue takes the
place of his own can't tell: the requests that are under way go there."""


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """No fault here is a loss of power, and nobody makes room."""
    monkeypatch.setattr("os.fsync", lambda fd: None)
    monkeypatch.setattr("dirjobs.files.upload._PAUSE", 0.001)
    monkeypatch.setattr("dirjobs.files.upload._LONGEST_PAUSE", 0.001)


@pytest.fixture(scope="module", params=PLACES)
def place(request, tmp_path_factory):
    before = os.umask(0)  # servers of other users work in our folders
    try:
        yield from PLACES[request.param](tmp_path_factory.mktemp(request.param))
    finally:
        os.umask(before)


class Met(SameQueue):
    """A queue that meets trouble, as a worker sees it."""

    def __init__(self, case):
        super().__init__(case.faulty, Presence(patience=1e9))
        self._trouble = case.trouble

    def arm(self, n):
        self._trouble.arm(n)

    def disarm(self):
        return self._trouble.disarm()


@pytest.mark.timeout(10 * PATIENCE)
@pytest.mark.parametrize("operation", [*OF_WORKERS, *OF_RUNNERS])
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "lasting"])
@pytest.mark.parametrize("mode", [Mode.TRUST, Mode.VERIFY])
def test_every_request(place, mode, lasting, operation, request, figures):
    name = request.node.callspec.params["place"]
    is_sample = not THOROUGH and name != "memory"
    if is_sample and (mode is not Mode.TRUST or operation not in EACH_DAY):
        pytest.skip("DIRJOBS_THOROUGH=1 does this")
    if not THOROUGH and lasting is (mode is Mode.TRUST) and name == "memory":
        pytest.skip("DIRJOBS_THOROUGH=1 does this")
    policy = Policy(mode, 0.0, 10, lease=50, timeout=5, max_pause=10)
    every = SAMPLE if is_sample else amount(3, 1)
    cases, violations = 0, []
    for number, (name, way) in enumerate(place.ways.items()):
        for n in itertools.count(1):
            assert n < MOST
            if n > 1 and (number + n) % every:
                continue
            with place.case(way, way.tries if lasting else 1) as case:
                try:
                    fired = play(Scene(case.truth, Met(case), policy), operation, n, hurried=True)
                    # A request under way meets whatever is there; no other one follows it.
                    assert operation == "start" or way.away == "another queue" or not case.made()
                except Exception as error:  # noqa: BLE001 - all violations are told at once
                    fired = case.trouble.fired
                    if (name, operation) not in UNSEEN:
                        violations.append(f"{name} at request {n}: {error!r}")
            if not fired:
                break
            cases += 1
    figures(f"{cases} cases, {len(violations)} violations")
    assert not violations
