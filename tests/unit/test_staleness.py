"""Death is a heartbeat unchanged for the whole lease of the observer's own clock."""

from __future__ import annotations

import pytest

from dirjobs.recovery.staleness import Staleness
from dirjobs.store import Entry
from tests.unit.lives import entry


@pytest.fixture
def staleness():
    return Staleness(longest_gap=20)


def test_time_counts_from_the_first_sight(staleness):
    staleness.look([entry("a")], 100, 101)
    assert staleness.unchanged_for("a", 101) == 0
    staleness.look([entry("a")], 110, 111)
    assert staleness.unchanged_for("a", 115) == 14


def test_any_change_starts_anew(staleness):
    staleness.look([entry("a", mtime=5.0)], 0, 1)
    staleness.look([entry("a", mtime=4.0)], 10, 11)  # the server's clock went back: a change too
    assert staleness.unchanged_for("a", 11) == 0
    staleness.look([entry("a", mtime=4.0, size=2)], 20, 21)
    assert staleness.unchanged_for("a", 21) == 0


def test_clocks_of_the_server_play_no_part(staleness):
    for now in range(0, 100, 10):
        staleness.look([entry("a", mtime=1e9)], now, now)
    assert staleness.unchanged_for("a", 90) == 90


def test_an_outage_starts_every_clock_anew(staleness):
    staleness.look([entry("a"), entry("b")], 0, 1)
    staleness.look([entry("a"), entry("b")], 10, 11)
    staleness.look([entry("a"), entry("b")], 31, 32)  # 22 s after the listing before was begun
    assert staleness.unchanged_for("a", 32) == staleness.unchanged_for("b", 32) == 0


def test_a_slow_listing_counts_from_its_beginning_to_the_end_of_the_next(staleness):
    staleness.look([entry("a")], 0, 15)
    staleness.look([entry("a")], 16, 20)
    assert staleness.unchanged_for("a", 20) == 5
    staleness.look([entry("a")], 30, 37)  # began at 16: that is too far apart
    assert staleness.unchanged_for("a", 37) == 0


def test_a_vanished_file_is_only_a_change(staleness):
    staleness.look([entry("a")], 0, 0)
    staleness.look([], 10, 10)
    assert staleness.unchanged_for("a", 10) == 0
    staleness.look([], 20, 20)
    assert staleness.unchanged_for("a", 20) == 10
    staleness.look([entry("a")], 30, 30)
    assert staleness.unchanged_for("a", 30) == 0


def test_what_was_never_seen_is_not_dead(staleness):
    assert staleness.unchanged_for("never", 1e9) == 0


def test_without_an_mtime_only_the_content_tells(staleness):
    staleness.look([Entry("a", None, 300), entry("b")], 0, 0)
    assert not staleness.tells_time("a")
    assert staleness.tells_time("b")
    staleness.look([Entry("a", None, 300)], 10, 10)
    staleness.saw_change("a", 10)
    assert staleness.unchanged_for("a", 10) == 0
    assert staleness.tells_time("b")  # it vanished: that needs no content


def test_forgotten(staleness):
    staleness.look([entry("a")], 0, 0)
    staleness.forget("a")
    staleness.forget("a")
    assert staleness.unchanged_for("a", 50) == 0
