"""Whatever is read that others wrote: only the errors that the contract names, and soon."""

from __future__ import annotations

import secrets

import pytest

from tests.amounts import amount
from tests.fuzz.kinds import KINDS, Kind
from tests.fuzz.run import TooSlow, run


@pytest.mark.parametrize("kind", KINDS)
def test_odd_inputs(kind: str) -> None:
    # Another seed each time; the report says which.
    report = run(kind, secrets.token_hex(4), amount(10_000, 1_000_000), amount(1, 600))
    assert not report.faults, str(report)
    assert report.inputs
    print(report)


def test_faults_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(data: int) -> None:
        if data == 3:
            raise ValueError("three")
        while data == 5:
            pass

    monkeypatch.setattr("tests.fuzz.run.SECONDS", 0.05)
    monkeypatch.setitem(KINDS, "numbers", Kind(lambda dice: dice.randrange(7), read, (KeyError,)))
    report = run("numbers", "1", 100)
    assert sorted(why.split()[0] for why in report.faults) == ["TooSlow", "ValueError"]
    assert sorted(report.faults.values()) == ["3", "5"]
    assert TooSlow.__name__ in str(report)
