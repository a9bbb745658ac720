"""Sweeping up what late requests of ours brought about, and nothing else."""

from dataclasses import replace

import pytest

from dirjobs.errors import AmbiguousResult, Busy, Denied, Unavailable
from dirjobs.policy import Mode, Policy
from dirjobs.protocol.intents import State
from dirjobs.protocol.me import Me
from dirjobs.protocol.parts import Parts
from dirjobs.store import Entry, Guarantees
from tests.unit.script import (
    CLOCK,
    JOB,
    MINE,
    NOT_FINISHED,
    SHARE,
    D,
    P,
    R,
    W,
    ls,
    play,
    ren,
    there,
)

DONE = f"{D}/job"
PARKED = f"{P}/w2.job"


@pytest.fixture
def parts():
    return worker(Mode.TRUST)


def worker(mode, promises=None):
    promises = promises or Guarantees(atomic_rename=mode is Mode.TRUST, visible_after=0)
    policy = Policy(mode, 10.0 if mode is Mode.SYNC else 0.0)
    parts = Parts(SHARE, Me("w2", policy, promises, lambda: "tag"))
    parts.intents.ask(MINE, "w2", JOB)
    parts.intents.hold(MINE)
    return parts


@pytest.fixture
def late(parts):
    parts.intents.leave_in_doubt(MINE)
    return parts


def sweep_at(parts, time, *script):
    def call():
        CLOCK.now = time
        return parts.sweeper.sweep()

    return play(call, *script)


def test_nothing_unsettled_needs_no_request(parts):
    assert play(lambda: parts.sweeper.sweep()) == 0


def test_a_late_claim_is_put_back_and_its_name_never_used_again(late):
    assert play(lambda: late.sweeper.sweep(), ls(R, "w2.job", "w1.job"), ren(MINE, f"{W}/job")) == 1
    assert not late.intents.ask(MINE, "w2", JOB)
    # The same request may be executed once more.
    assert play(lambda: late.sweeper.sweep(), ls(R, "w2.job"), ren(MINE, f"{W}/job")) == 1


def test_names_that_were_never_asked_for_are_not_touched(late):
    others = ("w2.other", "w1.job", "w2~ab2c.job", "~w2~tag.w2.job")
    assert play(lambda: late.sweeper.sweep(), ls(R, *others)) == 0


def test_a_late_copy_is_given_time_to_grow_and_then_parked(late):
    torn = ls(R, Entry("w2.job", 1.0, 3))
    late.evidence.copying = True
    late.me.adopt(replace(late.me.policy, heartbeat=2.0, timeout=8.0))
    assert [sweep_at(late, time, torn) for time in (0.0, 10.0, 19.0)] == [0, 0, 0]
    grown = ls(R, Entry("w2.job", 1.0, 5))
    assert [sweep_at(late, time, grown) for time in (30.0, 49.0)] == [0, 0]
    assert sweep_at(late, 51.0, grown, ls(W, "job"), ren(MINE, PARKED)) == 1


def test_a_late_claim_of_a_finished_job_is_parked():
    parts = worker(Mode.VERIFY)
    parts.intents.leave_in_doubt(MINE)
    script = [ls(R, "w2.job"), there(DONE), ls(D, "job"), ls(R, "w2.job"), ren(MINE, PARKED)]
    assert play(lambda: parts.sweeper.sweep(), *script) == 1


EARLIER, STILL_EARLIER = 50.0, 40.0
"""Times by a clock that was set back since JOB was written."""


def test_once_the_clock_was_set_back_a_late_claim_of_a_finished_job_is_parked():
    """A copy that is older than its source shows that; the end looks older still."""
    parts = worker(Mode.VERIFY)
    parts.evidence.copying, parts.evidence.copying_tested = True, 0.0
    parts.intents.leave_in_doubt(MINE)
    late = ls(R, Entry("w2.job", EARLIER, 7))
    ended = [there(DONE), ls(D, Entry("job", STILL_EARLIER, 7))]
    assert play(lambda: parts.sweeper.sweep(), late, *ended, late, ren(MINE, PARKED)) == 1


def test_once_the_clock_was_set_back_a_copy_of_a_finished_job_is_parked_on_its_way_back():
    parts, half = worker(Mode.VERIFY), f"{W}/~w2~tag.job"
    parts.evidence.copying, parts.evidence.copying_tested = True, 0.0
    parts.intents.ask(half, "w2", JOB)
    parts.intents.leave_in_doubt(half)
    staged = ls(W, Entry("~w2~tag.job", EARLIER, 7))
    ended = [there(DONE), ls(D, Entry("job", STILL_EARLIER, 7))]
    script = [staged, ls(R), *ended, staged, ren(half, PARKED)]
    assert play(lambda: parts.sweeper.sweep(), *script) == 1


def test_a_copy_on_its_way_back_waits_until_nobody_has_its_job():
    parts, half = worker(Mode.VERIFY), f"{W}/~w2~tag.job"
    parts.intents.ask(half, "w2", JOB)
    parts.intents.leave_in_doubt(half)
    staged = ls(W, "~w2~tag.job")
    assert play(lambda: parts.sweeper.sweep(), staged, ls(R, "w1.job")) == 0
    assert play(lambda: parts.sweeper.sweep(), staged, ls(R, "w1~ab2c.job")) == 0
    assert (
        play(lambda: parts.sweeper.sweep(), staged, ls(R), *NOT_FINISHED, ren(half, f"{W}/job"))
        == 1
    )
    finished = [there(DONE), ls(D, "job"), staged, ren(half, PARKED)]
    assert play(lambda: parts.sweeper.sweep(), staged, ls(R), *finished) == 1


@pytest.mark.parametrize("error", [Unavailable, Denied, AmbiguousResult])
def test_a_sweep_that_fails_is_done_again(late, error):
    assert isinstance(play(lambda: late.sweeper.sweep(), (ls(R)[0], error)), error)
    if error is not Denied:
        outcome = play(
            lambda: late.sweeper.sweep(), ls(R, "w2.job"), ren(MINE, f"{W}/job", Unavailable)
        )
        assert isinstance(outcome, Unavailable)
    assert set(late.intents.in_state(State.IN_DOUBT)) == {MINE}


@pytest.mark.parametrize(("error", "tries"), [(Denied, 1), (Busy, 4)])
def test_a_file_that_is_in_use_does_not_hold_up_the_others(late, error, tries, caplog):
    other = f"{R}/w2.other"
    late.intents.ask(other, "w2", Entry("other", 100.0, 7))
    late.intents.leave_in_doubt(other)
    listing = ls(R, "w2.job", "w2.other")
    refused = [ren(MINE, f"{W}/job", error)] * tries
    for _ in range(2):
        assert play(lambda: late.sweeper.sweep(), listing, *refused, ren(other, f"{W}/other")) == 1
    assert set(late.intents.in_state(State.IN_DOUBT)) == {MINE, other}
    assert caplog.text.count("can't be taken back now") == 1
