"""Ending claims, request by request: renaming, numbering, putting back, parking."""

import json
from dataclasses import replace

import pytest

from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    Busy,
    ClaimLost,
    Denied,
    FileStays,
    NotFound,
    Unavailable,
    Unsupported,
)
from dirjobs.policy import Mode, Policy
from dirjobs.protocol.attempts import GIVEN_BACK
from dirjobs.protocol.exits import Claim
from dirjobs.protocol.intents import State
from dirjobs.protocol.me import Me
from dirjobs.protocol.parts import Parts
from dirjobs.protocol.resolve import Outcome
from dirjobs.store import Entry, Guarantees
from tests.simulation.requests import Read, Remove, Write
from tests.unit.script import (
    JOB,
    MINE,
    NOT_FINISHED,
    SHARE,
    D,
    F,
    P,
    R,
    W,
    ls,
    mkdir,
    play,
    ren,
    there,
)

DONE = f"{D}/job"
UNSURE = Guarantees(visible_after=0)
"""Whoever says that a source is not there may have asked for the rename twice."""
PARKED = f"{P}/w2.job"
REFUSALS = [Denied, Unavailable, Unsupported]
HELD = Claim("w2", JOB, MINE)


@pytest.fixture
def parts():
    return worker(Mode.TRUST)


def worker(mode, promises=None):
    promises = promises or Guarantees(
        atomic_rename=mode is Mode.TRUST, final_refusals=True, visible_after=0
    )
    policy = Policy(mode, 10.0 if mode is Mode.SYNC else 0.0)
    parts = Parts(SHARE, Me("w2", policy, promises, lambda: "tag"))
    parts.intents.ask(MINE, "w2", JOB)
    parts.intents.hold(MINE)
    return parts


# -- rename -----------------------------------------------------------------------------------

LOST_ANSWER = ren(MINE, DONE, AmbiguousResult)
NO_SOURCE, TAKEN = ren(MINE, DONE, NotFound), ren(MINE, DONE, AlreadyExists)
BUSY = ren(MINE, DONE, Busy)


def rename(parts, *script, dst=DONE):
    return play(lambda: parts.resolver.rename(MINE, dst, JOB), *script)


@pytest.mark.parametrize(
    ("script", "moved"),
    [
        ([ren(MINE, DONE)], Outcome.RENAMED),
        ([TAKEN], Outcome.TAKEN),
        # A 404 may be about the folder: ours to make, if the source is still there.
        ([NO_SOURCE, there(MINE, False)], Outcome.GONE),
        ([NO_SOURCE, there(MINE), mkdir(D), ren(MINE, DONE)], Outcome.RENAMED),
        ([NO_SOURCE, there(MINE), mkdir(D, AlreadyExists), ren(MINE, DONE)], Outcome.RENAMED),
        ([LOST_ANSWER, there(MINE, False)], Outcome.GONE_IN_DOUBT),
        ([LOST_ANSWER, there(MINE), LOST_ANSWER, there(MINE, False)], Outcome.GONE_IN_DOUBT),
        ([LOST_ANSWER, there(MINE), ren(MINE, DONE)], Outcome.RENAMED),
        ([LOST_ANSWER, there(MINE), NO_SOURCE], Outcome.GONE_IN_DOUBT),
        (
            # Our own copy, whose delete is due: it is no stranger's file.
            [LOST_ANSWER, there(MINE), TAKEN, ls(R)],
            Outcome.GONE_IN_DOUBT,
        ),
        (
            [LOST_ANSWER, there(MINE), TAKEN, ls(R, "w2.job"), ls(D, Entry("job", 1.0, 8))],
            Outcome.TAKEN,
        ),
        ([BUSY, BUSY, BUSY, ren(MINE, DONE)], Outcome.RENAMED),
        ([BUSY, TAKEN], Outcome.TAKEN),
        ([LOST_ANSWER, there(MINE), BUSY, NO_SOURCE], Outcome.GONE_IN_DOUBT),
    ],
)
def test_rename(parts, script, moved):
    assert rename(parts, *script) is moved


@pytest.mark.parametrize("error", REFUSALS)
def test_rename_refused(parts, error):
    assert isinstance(rename(parts, ren(MINE, DONE, error)), error)


def test_rename_waits_a_while_for_a_file_that_is_open(parts):
    assert isinstance(rename(parts, *[BUSY] * 4), Busy)


def test_rename_gives_up_in_the_end_and_remembers_the_doubt(parts):
    script = [LOST_ANSWER, there(MINE)] * 6
    assert isinstance(rename(parts, *script), AmbiguousResult)
    assert rename(parts, NO_SOURCE) is Outcome.GONE_IN_DOUBT


@pytest.mark.parametrize("outcome", [ren(MINE, DONE), NO_SOURCE])
def test_a_doubt_that_is_settled_is_forgotten(parts, outcome):
    assert isinstance(rename(parts, LOST_ANSWER, (there(MINE)[0], Unavailable)), Unavailable)
    assert list(parts.intents.doubts) == [MINE]
    rename(parts, outcome)
    assert parts.intents.doubts == {}


@pytest.fixture
def copying():
    """A server that copies across folders; nothing grows for 1 s: it never will."""
    parts = worker(Mode.VERIFY)
    parts.me.adopt(replace(parts.me.policy, heartbeat=0.25, timeout=0.25))
    return parts


def copy(size, mtime=101.0):
    """A look at the claim and at what stands where it was to go."""
    return [ls(R, "w2.job"), ls(D, Entry("job", mtime, size))]


TO_A_COPY = [LOST_ANSWER, there(MINE), TAKEN]


def test_a_copy_that_grows_is_waited_for_and_never_asked_for_again(copying):
    grows = [*copy(0), *copy(2), *copy(4)]
    assert isinstance(rename(copying, *TO_A_COPY, *grows, *copy(6)), AmbiguousResult)
    assert rename(copying, *copy(7), ls(R)) is Outcome.GONE_IN_DOUBT
    assert copying.intents.doubts == {}


def test_a_copy_that_does_not_grow_any_more_is_torn(copying):
    assert rename(copying, *TO_A_COPY, *copy(3) * 4) is Outcome.TAKEN


def test_an_older_file_is_a_strangers(copying):
    assert rename(copying, *TO_A_COPY, *copy(7, mtime=99.0)) is Outcome.TAKEN


def test_a_job_that_waits_already_is_no_copy_of_what_is_on_its_last_step_back(copying):
    half, waiting = f"{W}/~w2~tag.job", f"{W}/job"
    lost = [ren(half, waiting, AmbiguousResult), there(half), ren(half, waiting, AlreadyExists)]
    look = ls(W, "~w2~tag.job", Entry("job", 101.0, 7))
    parked = [ren(half, PARKED)]
    assert play(lambda: copying.exits.restore_name(half, JOB), *lost, look, look, *parked)


def test_a_copy_whose_source_stays_ends_the_job_under_one_name(copying, caplog):
    """A lock on the source, or a folder from which the server must not delete."""
    assert finish(copying, *TO_A_COPY, *copy(7) * 4) == "job"
    assert caplog.text.count("dirjobs goes on trying to park the claim") == 1
    assert set(copying.intents.in_state(State.IN_DOUBT)) == {MINE}


def test_a_folder_that_is_none_and_cannot_be_made_is_told(parts):
    script = [NO_SOURCE, there(MINE), mkdir(D, AlreadyExists)] * 6
    outcome = rename(parts, *script)
    assert isinstance(outcome, NotFound)
    assert str(outcome) == "'02_done' can't be used as a folder: move away what is there"


@pytest.mark.parametrize(
    ("there_now", "outcome"), [(True, Outcome.GONE_IN_DOUBT), (False, Outcome.GONE)]
)
def test_a_half_way_name_is_looked_for_where_a_proxy_may_have_asked_twice(there_now, outcome):
    parts, beside = worker(Mode.VERIFY, UNSURE), f"{R}/~w2~tag.w2.job"
    script = [ren(MINE, beside, NotFound), there(MINE, False), there(beside, there_now)]
    script += [ls(R, "~w2~tag.w2.job")] if there_now else []
    assert rename(parts, *script, dst=beside) is outcome


def test_a_404_inside_one_folder_is_about_the_source(parts):
    beside = f"{R}/x"
    assert rename(parts, ren(MINE, beside, NotFound), dst=beside) is Outcome.GONE


def test_a_404_of_a_proxy_is_about_nothing_if_the_source_is_there():
    parts, beside = worker(Mode.VERIFY, UNSURE), f"{R}/x"
    refused = [ren(MINE, beside, NotFound), there(MINE)]
    assert rename(parts, *refused, ren(MINE, beside), dst=beside) is Outcome.RENAMED
    assert parts.intents.refused == {}
    assert isinstance(rename(parts, *refused * 6, dst=beside), FileStays)


@pytest.mark.parametrize("error", [Unavailable, AmbiguousResult, Denied])
@pytest.mark.parametrize(
    "before",
    [
        [LOST_ANSWER, there(MINE)],
        [LOST_ANSWER, there(MINE), TAKEN, ls(R, "w2.job")],
        [LOST_ANSWER, there(MINE), TAKEN, ls(R, "w2.job"), ls(D, "job")],
        [NO_SOURCE, there(MINE)],
        [NO_SOURCE, there(MINE), mkdir(D, Denied), ls("")],
    ],
)
def test_rename_when_its_looks_fail(parts, before, error):
    script = [*before[:-1], (before[-1][0], error)]
    assert isinstance(rename(parts, *script), error)


@pytest.mark.parametrize(
    ("script", "moved"),
    [
        ([LOST_ANSWER, ls(R, "w1.job")], Outcome.GONE_IN_DOUBT),
        ([LOST_ANSWER, ls(R, "w2.job"), ren(MINE, DONE)], Outcome.RENAMED),
        # The listing may show a source that is gone: it is asked only if the folder is missing.
        ([NO_SOURCE, there(D)], Outcome.GONE),
        ([NO_SOURCE, there(D, False), ls(R)], Outcome.GONE),
        (
            [NO_SOURCE, there(D, False), ls(R, "w2.job"), mkdir(D), ren(MINE, DONE)],
            Outcome.RENAMED,
        ),
    ],
)
def test_rename_by_listing_where_single_names_lag(script, moved):
    assert rename(worker(Mode.SYNC), *script) is moved


# -- finish -----------------------------------------------------------------------------------


def finish(parts, *script, folder=D, expired=False):
    def lease_may_have_expired(claim):
        assert claim is HELD
        return expired

    return play(lambda: parts.exits.finish(HELD, folder, lease_may_have_expired), *script)


@pytest.mark.parametrize("folder", [D, F])
@pytest.mark.parametrize(("taken", "name"), [(0, "job"), (1, "job~2"), (2, "job~3")])
def test_finish_numbers_a_newcomer(parts, folder, taken, name):
    names = ["job", "job~2", "job~3"]
    script = [ren(MINE, f"{folder}/{one}", AlreadyExists) for one in names[:taken]]
    script.append(ren(MINE, f"{folder}/{name}"))
    assert finish(parts, *script, folder=folder) == name
    assert parts.intents.in_state(State.HELD) == {}
    assert not parts.intents.ask(MINE, "w2", JOB)


GONE = [NO_SOURCE, there(MINE, False)]
GONE_IN_SYNC = [NO_SOURCE, there(D)]
IN_DOUBT = [LOST_ANSWER, there(MINE, False)]


def notes(*attempts):
    """The notes on the job: who had it, and why that attempt ended."""
    told = [{"worker": worker, "reason": reason} for worker, reason in attempts]
    data = json.dumps({"format": 1, "attempts": told}).encode()
    return Read("_queue/attempts/job.json"), data if attempts else NotFound


@pytest.mark.parametrize(
    ("mode", "script", "has_expired", "committed"),
    [
        (Mode.TRUST, GONE, False, False),
        (Mode.TRUST, GONE, True, False),
        (Mode.TRUST, [*IN_DOUBT, notes()], False, True),
        (Mode.TRUST, [*IN_DOUBT, notes(("w2", GIVEN_BACK))], False, False),
        (Mode.TRUST, [*IN_DOUBT, notes(("w2~ab2c", GIVEN_BACK), ("w2", "why"))], False, True),
        (Mode.TRUST, IN_DOUBT, True, False),
        (Mode.VERIFY, [*IN_DOUBT, notes()], False, True),
        (Mode.VERIFY, IN_DOUBT, True, False),
        (Mode.VERIFY, GONE, True, False),
        (Mode.VERIFY, GONE, False, False),
        (Mode.SYNC, GONE_IN_SYNC, False, False),
        (Mode.SYNC, [LOST_ANSWER, ls(R), notes()], False, True),
    ],
)
def test_finish_when_the_claim_is_gone(mode, script, has_expired, committed):
    finished(worker(mode), script, has_expired, committed)


OLDER = there(DONE), ls(D, Entry("job", 98.0, 7))


def it_is(time, removed=None):
    """The store's clock is looked up."""
    return [(Write, None), ls("_queue", Entry("~tag.part", time, 7)), (Remove, removed)]


@pytest.mark.parametrize(
    ("mode", "script", "has_expired", "committed"),
    [
        (Mode.TRUST, [*GONE, there(DONE), ls(D, "job"), notes()], False, True),
        (Mode.TRUST, [*GONE, there(DONE), ls(D, "job")], True, False),
        (Mode.TRUST, [*GONE, there(DONE, False)], False, False),
        (Mode.TRUST, [TAKEN, there(MINE, False), there(DONE), ls(D, "job"), notes()], False, True),
        (Mode.TRUST, [TAKEN, there(MINE, False), there(DONE), ls(D, "job")], True, False),
        # Another job of that name, and an older one; unless all that is written now looks older.
        (Mode.TRUST, [*GONE, there(DONE), ls(D, Entry("job", 100.0, 8))], False, False),
        (Mode.TRUST, [*GONE, *OLDER, *it_is(100.0)], False, False),
        (Mode.TRUST, [*GONE, *OLDER, *it_is(None)], False, False),
        (Mode.TRUST, [*GONE, *OLDER, (Write, Denied), (Remove, NotFound)], False, False),
        (Mode.TRUST, [*GONE, *OLDER, *it_is(99.0), notes()], False, True),
        (
            Mode.VERIFY,
            [TAKEN, there(MINE, False), *OLDER, *it_is(99.0, Unavailable), notes()],
            False,
            True,
        ),
        (Mode.VERIFY, [*GONE, there(DONE), ls(D, "job"), notes()], False, True),
        # Somebody was given the job, and did it.
        (
            Mode.VERIFY,
            [*GONE, there(DONE), ls(D, "job"), notes(("w2", GIVEN_BACK))],
            False,
            False,
        ),
        (Mode.VERIFY, [*GONE, there(DONE, False)], False, False),
        (Mode.SYNC, [*GONE_IN_SYNC, *[ls(D, "job")] * 2, notes()], False, True),
        (Mode.SYNC, [*GONE_IN_SYNC, ls(D)], False, False),
    ],
)
def test_finish_where_a_proxy_may_have_asked_twice(mode, script, has_expired, committed):
    finished(worker(mode, UNSURE), script, has_expired, committed)


def test_a_name_asked_for_in_vain_is_looked_for_when_an_outage_is_over():
    """Seen in the simulation: whoever came again asked for the first name only."""
    parts, second = worker(Mode.TRUST, UNSURE), f"{D}/job~2"
    taken = [TAKEN, there(MINE)]
    outage = [ren(MINE, second, NotFound), there(MINE, Unavailable)]
    assert isinstance(finish(parts, *taken, *outage), Unavailable)
    assert finish(parts, *GONE, there(second), ls(D, "job~2"), notes()) == "job"
    assert parts.intents.refused == {}


def test_the_own_file_is_looked_for_again_if_the_time_could_not_be_looked_up():
    parts = worker(Mode.VERIFY, UNSURE)
    fails = [(Write, AmbiguousResult), (Remove, None)]
    assert isinstance(finish(parts, *GONE, *OLDER, *fails), AmbiguousResult)
    assert finish(parts, *GONE, *OLDER, *it_is(99.0), notes()) == "job"


def finished(parts, script, has_expired, committed):
    if committed:
        assert finish(parts, *script, expired=has_expired) == "job"
    else:
        with pytest.raises(ClaimLost, match="discard this result"):
            finish(parts, *script, expired=has_expired)
    assert parts.intents.in_state(State.HELD) == {}


@pytest.mark.parametrize(("error", "tries"), [*((error, 1) for error in REFUSALS), (Busy, 4)])
def test_a_claim_stays_ours_while_finishing_is_refused(parts, error, tries):
    assert isinstance(finish(parts, *[ren(MINE, DONE, error)] * tries), error)
    assert set(parts.intents.in_state(State.HELD)) == {MINE}
    assert finish(parts, ren(MINE, DONE)) == "job"


# -- back and aside ---------------------------------------------------------------------------

BACK, HALF = f"{R}/~w2~tag.w2.job", f"{W}/~w2~tag.job"
WHOLE = ls(W, "~w2~tag.job")


def release(parts, *script):
    return play(lambda: parts.exits.release(MINE, JOB), *script)


def nobody_has_it(mode):
    finished = (ls(D), ls(F)) if mode is Mode.SYNC else NOT_FINISHED
    return [WHOLE, ls(R, "w1.bigjob", "~w1~tag.w1.job"), *finished]


@pytest.mark.parametrize(
    ("script", "back"),
    [
        ([ren(MINE, f"{W}/job")], True),
        ([ren(MINE, f"{W}/job", AlreadyExists), ren(MINE, PARKED)], True),
        (
            [
                ren(MINE, f"{W}/job", AlreadyExists),
                ren(MINE, PARKED, AlreadyExists),
                ren(MINE, f"{PARKED}~2"),
            ],
            True,
        ),
        ([ren(MINE, f"{W}/job", NotFound), there(MINE, False)], False),
    ],
)
def test_release_in_trust(parts, script, back):
    assert release(parts, *script) is back
    assert parts.intents.in_state(State.HELD) == {}
    assert not parts.intents.ask(MINE, "w2", JOB)


NOT_HALF_WAY = [ren(MINE, BACK), ren(BACK, HALF, NotFound)]


@pytest.mark.parametrize("mode", [Mode.VERIFY, Mode.SYNC])
@pytest.mark.parametrize(
    ("script", "back", "in_doubt"),
    [
        ([nobody_has_it, ren(HALF, f"{W}/job")], True, set()),
        ([nobody_has_it, ren(HALF, f"{W}/job", AlreadyExists), ren(HALF, PARKED)], True, set()),
        # A copy that is not whole is nobody's to claim: the sweep will see.
        ([ls(W, Entry("~w2~tag.job", 1.0, 3))], True, {BACK, HALF}),
        # Nor is one of a job that somebody has.
        ([WHOLE, ls(R, "w1.job")], True, {BACK, HALF}),
        ([WHOLE, ls(R, "w2~ab2c.job")], True, {BACK, HALF}),
    ],
)
def test_release_elsewhere_is_exclusive_and_shows_nobody_a_copy_that_must_not_run(
    mode, script, back, in_doubt
):
    parts = worker(mode)
    if script[0] is nobody_has_it:
        script = nobody_has_it(mode) + script[1:]
    outcome = release(parts, ren(MINE, BACK), ren(BACK, HALF), *script)
    assert outcome is back
    assert set(parts.intents.in_state(State.IN_DOUBT)) == in_doubt
    assert parts.intents.in_state(State.HELD) == {}
    assert not parts.intents.ask(MINE, "w2", JOB)


def test_a_release_of_a_claim_that_is_gone_leaves_its_names_to_the_sweep():
    parts = worker(Mode.VERIFY)
    assert release(parts, ren(MINE, BACK, NotFound)) is False
    assert set(parts.intents.in_state(State.IN_DOUBT)) == {BACK, HALF}
    assert not parts.intents.ask(MINE, "w2", JOB)


@pytest.mark.parametrize("folder", [D, F])
def test_a_copy_of_a_job_that_was_finished_meanwhile_is_parked(folder):
    """Made by a rename that copies, it is younger than the finished job; we knew better."""
    parts = worker(Mode.VERIFY, Guarantees(visible_after=0))
    late = Entry("job", 101.0, 7)
    looks = {
        D: [there(DONE), ls(D, late)],
        F: [there(DONE, False), there(f"{F}/job"), ls(F, late)],
    }
    script = [
        ren(MINE, BACK),
        ren(BACK, HALF),
        WHOLE,
        ls(R),
        *looks[folder],
        WHOLE,
        ren(HALF, PARKED),
    ]
    assert release(parts, *script) is True
    assert parts.intents.in_state(State.IN_DOUBT) == {}


def test_once_the_clock_was_set_back_a_copy_of_a_finished_job_is_parked():
    """The copy is older than its job: a job that looks older still may have ended later."""
    parts = worker(Mode.VERIFY, Guarantees(visible_after=0))
    parts.evidence.copying, parts.evidence.copying_tested = True, 0.0
    copy = ls(W, Entry("~w2~tag.job", 50.0, 7))
    ended = [there(DONE), ls(D, Entry("job", 40.0, 7))]
    script = [ren(MINE, BACK), ren(BACK, HALF), copy, ls(R), *ended, copy, ren(HALF, PARKED)]
    assert release(parts, *script) is True


@pytest.mark.parametrize(
    ("mode", "script"),
    [
        (Mode.VERIFY, [*NOT_HALF_WAY, there(BACK, False)]),
        (Mode.SYNC, [*NOT_HALF_WAY, there(W)]),
    ],
)
def test_a_release_of_which_the_half_is_gone_is_left_to_the_sweep(mode, script):
    parts = worker(mode)
    assert release(parts, *script) is False
    assert set(parts.intents.in_state(State.IN_DOUBT)) == {BACK, HALF}
    assert parts.intents.in_state(State.HELD) == {}


@pytest.mark.parametrize("mode", [Mode.VERIFY, Mode.SYNC])
@pytest.mark.parametrize("at", range(7))
@pytest.mark.parametrize("error", [Unavailable, Denied])
def test_a_release_that_is_cut_short_leaves_its_names_to_the_sweep(mode, at, error):
    parts = worker(mode)
    script = [ren(MINE, BACK), ren(BACK, HALF), *nobody_has_it(mode), ren(HALF, f"{W}/job")]
    script = script[: at + 1]
    script[at] = script[at][0], error
    assert isinstance(release(parts, *script), error)
    assert set(parts.intents.in_state(State.IN_DOUBT)) == {BACK, HALF}
