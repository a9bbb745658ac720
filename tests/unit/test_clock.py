"""What all waiting is measured with."""

from __future__ import annotations

from dirjobs import clock


def test_the_clock_runs():
    assert clock.monotonic() <= clock.monotonic()
