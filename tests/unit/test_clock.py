"""What all waiting is measured with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

from dirjobs import clock


def test_the_clock_runs():
    assert clock.monotonic() <= clock.monotonic()


def test_pauses_grow_up_to_the_longest():
    assert list(islice(clock.growing_pauses(0.5, 3), 5)) == [0.5, 1.0, 2.0, 3, 3]


def test_the_date_has_a_time_zone_and_no_fractions():
    told = datetime.fromisoformat(clock.utc_now())
    assert told.tzinfo is UTC
    assert told.microsecond == 0
    assert abs(datetime.now(UTC) - told) < timedelta(seconds=60)
