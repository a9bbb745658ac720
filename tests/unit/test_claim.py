"""Claiming a job, request by request: what is asked next, and what is known of the names then."""

import pytest

from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    Busy,
    Denied,
    NotFound,
    Unavailable,
    Unsupported,
)
from dirjobs.layout import QUEUE
from dirjobs.policy import Mode, Policy
from dirjobs.protocol.intents import State
from dirjobs.protocol.me import Me
from dirjobs.protocol.parts import Parts
from dirjobs.protocol.share import Share
from dirjobs.store import Entry, FileKind, Guarantees
from dirjobs.testing.faults import Copying
from tests.simulation.requests import List, Remove, Rename, Write
from tests.unit.lives import World
from tests.unit.script import JOB, MINE, NOT_FINISHED, SHARE, D, F, P, R, W, ls, play, ren, there

HALF = f"{W}/~w2~tag.job"
BACK = f"{R}/~w2~tag.w2.job"
PARKED = f"{P}/w2.job"
ATOMIC = Guarantees(atomic_rename=True, final_refusals=True, visible_after=0)
UNSURE = Guarantees(visible_after=0)


def worker(mode, promises=None, sync_time=0.0, **times):
    promises = promises or (ATOMIC if mode is Mode.TRUST else Guarantees(visible_after=0))
    me = Me("w2", Policy(mode, sync_time, **times), promises, lambda: "tag")
    return Parts(SHARE, me)


def claim(parts, *script):
    return play(lambda: parts.claimer.claim(JOB), *script)


def holds(parts, outcome, state):
    """The claim is ours exactly if it was returned, and its name is in this state."""
    assert (outcome is not None and outcome.path == MINE) is (state is State.HELD)
    assert parts.intents.state(MINE) is state
    assert parts.intents.in_state(State.PENDING) == {}


# -- trust ------------------------------------------------------------------------------------

ASK = ren(f"{W}/job", MINE)


@pytest.mark.parametrize(
    ("script", "state"),
    [
        ([ASK], State.HELD),
        ([ren(*ASK[0], NotFound)], None),
        ([ren(*ASK[0], AlreadyExists)], State.RETIRED),
        ([ren(*ASK[0], AmbiguousResult), there(MINE)], State.HELD),
        ([ren(*ASK[0], AmbiguousResult), there(MINE, False)], State.IN_DOUBT),
    ],
)
def test_trust(script, state):
    parts = worker(Mode.TRUST)
    holds(parts, claim(parts, *script), state)


@pytest.mark.parametrize(("executed", "state"), [(True, State.HELD), (False, None)])
def test_trust_where_a_proxy_may_have_asked_twice(executed, state):
    parts = worker(Mode.TRUST, UNSURE)
    look = [ls(R, "w2.job") if executed else ls(R)]
    holds(parts, claim(parts, ren(*ASK[0], NotFound), *look), state)
    # The other order of the two looks that a server may make.
    parts = worker(Mode.TRUST, UNSURE)
    script = [ren(*ASK[0], AlreadyExists), there(f"{W}/job", not executed)]
    script += look if executed else []
    holds(parts, claim(parts, *script), State.HELD if executed else State.RETIRED)


@pytest.mark.parametrize("refusal", [NotFound, AlreadyExists])
def test_an_older_claim_by_the_own_name_is_not_taken_for_ones_own(refusal):
    """An earlier process of the same id left it."""
    parts = worker(Mode.TRUST, UNSURE)
    gone = [there(f"{W}/job", False)] if refusal is AlreadyExists else []
    look = [ls(R, Entry("w2.job", 99.0, 7))]
    assert claim(parts, ren(*ASK[0], refusal), *gone, *look) is None
    assert parts.intents.in_state(State.HELD) == {}


@pytest.mark.parametrize("size", [0, 3, 9])
def test_a_claim_that_was_refused_and_is_there_torn_or_saved_anew_is_the_sweeps(size):
    """Where renames copy though a check found them exclusive, a loser may have a torn copy; who
    asks in mode verify waits for it to go."""
    parts = worker(Mode.TRUST, UNSURE)
    torn = ls(R, Entry("w2.job", 103.0, size))
    holds(parts, claim(parts, ren(*ASK[0], NotFound), torn), State.IN_DOUBT)


@pytest.mark.parametrize("error", [Unavailable, Denied])
def test_a_look_after_a_404_that_fails_leaves_the_name_to_the_sweep(error):
    parts = worker(Mode.TRUST, UNSURE)
    outcome = claim(parts, ren(*ASK[0], NotFound), (List(R), error))
    assert isinstance(outcome, error)
    assert set(parts.intents.in_state(State.IN_DOUBT)) == {MINE}
    assert parts.intents.is_unanswered(MINE)


@pytest.mark.parametrize("error", [Busy, Denied, Unavailable, Unsupported])
def test_trust_refused(error):
    parts = worker(Mode.TRUST)
    assert isinstance(claim(parts, ren(*ASK[0], error)), error)
    assert parts.intents.state(MINE) is None


@pytest.mark.parametrize("error", [Busy, Denied, Unavailable, AmbiguousResult, NotFound])
def test_trust_when_the_look_fails_too_the_sweep_must_look(error):
    parts = worker(Mode.TRUST)
    outcome = claim(parts, ren(*ASK[0], AmbiguousResult), there(MINE, error))
    assert isinstance(outcome, error)
    assert set(parts.intents.in_state(State.IN_DOUBT)) == {MINE}


@pytest.mark.parametrize("mode", Mode)
def test_a_name_is_asked_for_once(mode):
    parts = worker(mode)
    parts.intents.ask(MINE, "w2", JOB)
    assert claim(parts) is None


# -- verify -----------------------------------------------------------------------------------

FIRST, ACROSS = ren(f"{W}/job", HALF), ren(HALF, MINE)
BOTH = (FIRST, ACROSS)
NO_DOUBT = pytest.mark.parametrize("unclear", [False, True])


@pytest.mark.parametrize("first", [None, AmbiguousResult])
@pytest.mark.parametrize("across", [None, AmbiguousResult])
def test_verify_uncontended_is_five_requests_whatever_the_answers(first, across):
    parts = worker(Mode.VERIFY)
    script = [ren(*FIRST[0], first), ren(*ACROSS[0], across), ls(R, "w2.job"), *NOT_FINISHED]
    holds(parts, claim(parts, *script), State.HELD)
    # A rename without answer may be executed yet; a name that is certain is forgotten.
    doubt = first or across
    assert parts.intents.state(HALF) is (State.IN_DOUBT if doubt else None)


def test_verify_where_a_proxy_may_have_asked_twice():
    parts = worker(Mode.VERIFY)
    listed = ls(R, "w2.job")
    twice = [ren(*FIRST[0], NotFound), there(HALF), ren(*ACROSS[0], NotFound)]
    holds(parts, claim(parts, *twice, listed, listed, *NOT_FINISHED), State.HELD)
    assert parts.intents.state(HALF) is None
    parts = worker(Mode.VERIFY)
    twice = [ren(*FIRST[0], AlreadyExists), there(f"{W}/job", False), there(HALF)]
    twice += [ren(*ACROSS[0], AlreadyExists), there(HALF, False)]
    holds(parts, claim(parts, *twice, listed, listed, *NOT_FINISHED), State.HELD)


def test_a_claim_by_the_own_name_is_a_twins_if_there_was_nothing_to_rename():
    parts = worker(Mode.VERIFY)
    script = [ren(*FIRST[0], AmbiguousResult), ren(*ACROSS[0], NotFound)]
    holds(parts, claim(parts, *script), State.IN_DOUBT)


def test_a_source_that_outlives_its_copy_is_parked_when_the_job_is_finished():
    """Seen in the simulation: the copy was there, was ours, and was done, before the server
    came to delete its source, which it then left."""
    parts = worker(Mode.VERIFY)
    script = [FIRST, ren(*ACROSS[0], AmbiguousResult), ls(R, "w2.job"), *NOT_FINISHED]
    held = claim(parts, *script)
    left = ls(W, "~w2~tag.job")
    assert play(lambda: parts.sweeper.sweep((W,)), left, ls(R, "w2.job")) == 0  # not while it runs
    done = ren(MINE, f"{D}/job")
    assert play(lambda: parts.exits.finish(held, D, lambda _: False), done) == "job"
    finished = [ls(R), there(f"{D}/job"), ls(D, JOB), left, ren(HALF, PARKED)]
    assert play(lambda: parts.sweeper.sweep((W,)), left, *finished) == 1


@pytest.mark.parametrize(
    ("script", "state", "half"),
    [
        ([ren(*FIRST[0], NotFound), there(HALF, False)], None, State.IN_DOUBT),
        ([ren(*FIRST[0], AlreadyExists), there(f"{W}/job")], None, State.RETIRED),
        (
            [FIRST, ren(*ACROSS[0], NotFound), ls(R)],
            State.IN_DOUBT,
            State.IN_DOUBT,
        ),
        ([*BOTH, ls(R)], State.IN_DOUBT, State.IN_DOUBT),
        ([*BOTH, ls(R, "w1.job", "w3.job")], State.IN_DOUBT, State.IN_DOUBT),
        (
            [FIRST, ren(*ACROSS[0], AlreadyExists), there(HALF), ren(HALF, f"{W}/job")],
            State.RETIRED,
            State.IN_DOUBT,
        ),
        (
            [*BOTH, ls(R, "w2.job"), there(f"{D}/job"), ls(D, "job"), ren(MINE, PARKED)],
            State.RETIRED,
            State.IN_DOUBT,
        ),
        (
            [
                *BOTH,
                ls(R, "w2.job"),
                there(f"{D}/job", False),
                there(f"{F}/job"),
                ls(F, "job"),
                ren(MINE, PARKED),
            ],
            State.RETIRED,
            State.IN_DOUBT,
        ),
        (
            [
                *BOTH,
                ls(R, "w2.job", "w1.job"),
                *NOT_FINISHED,
                ren(MINE, BACK),
                ren(BACK, HALF),
                ls(W, "~w2~tag.job"),
                ls(R),
                *NOT_FINISHED,
                ren(HALF, f"{W}/job"),
            ],
            State.RETIRED,
            None,
        ),
    ],
)
def test_verify_lost(script, state, half):
    parts = worker(Mode.VERIFY)
    outcome = claim(parts, *script)
    assert outcome is None
    assert parts.intents.state(MINE) is state
    assert half is None or parts.intents.state(HALF) is half
    assert parts.intents.in_state(State.PENDING) == {}


@pytest.mark.parametrize("error", [Busy, Denied, Unavailable, Unsupported])
@pytest.mark.parametrize("across", [False, True])
def test_verify_refused(error, across):
    parts = worker(Mode.VERIFY)
    script = [FIRST, ren(*ACROSS[0], error)] if across else [ren(*FIRST[0], error)]
    assert isinstance(claim(parts, *script), error)
    assert parts.intents.in_state(State.PENDING) == parts.intents.in_state(State.HELD) == {}
    # The job is under its staged name now: the sweep must bring it back.
    assert set(parts.intents.in_state(State.IN_DOUBT)) == ({HALF} if across else set())


@pytest.mark.parametrize("error", [Unavailable, AmbiguousResult, Denied])
@pytest.mark.parametrize("at", range(3))
def test_a_look_that_fails_leaves_all_to_the_sweep(error, at):
    parts = worker(Mode.VERIFY)
    looks = [ls(R, "w2.job"), *NOT_FINISHED][: at + 1]
    looks[at] = looks[at][0], error
    assert isinstance(claim(parts, *BOTH, *looks), error)
    assert set(parts.intents.in_state(State.IN_DOUBT)) == {MINE, HALF}


# -- the looks --------------------------------------------------------------------------------


def test_a_larger_worker_is_waited_for():
    parts = worker(Mode.VERIFY)
    look = (ls(R, "w2.job", "w3.job"), *NOT_FINISHED)
    script = [*BOTH, *look, *look, *look, ls(R, "w2.job"), *NOT_FINISHED]
    holds(parts, claim(parts, *script), State.HELD)
    assert parts.me.decided["larger worker's claim: waited"] == 3


def test_a_larger_worker_is_not_waited_for_for_ever():
    parts = worker(Mode.VERIFY, heartbeat=0.04, lease=9.0)
    look = (ls(R, "w2.job", "w3.job"), *NOT_FINISHED)
    back = [ren(MINE, BACK), ren(BACK, HALF), ls(W, "~w2~tag.job"), ls(R, "w3.job")]
    assert claim(parts, *BOTH, *look, *look, *back) is None
    assert parts.claimer.skipped_until == {"job": pytest.approx(9.1)}
    assert parts.intents.in_state(State.HELD) == {}


@pytest.mark.parametrize(
    "other", ["w1.bigjob", "w1.job2", "w1.job.txt", "job", "~w1~abc.job", "w1"]
)
def test_other_names_are_no_rivals(other):
    parts = worker(Mode.VERIFY)
    script = [*BOTH, ls(R, "w2.job", other), *NOT_FINISHED]
    holds(parts, claim(parts, *script), State.HELD)


def test_a_folder_of_a_rivals_name_is_no_rival():
    parts = worker(Mode.VERIFY)
    script = [*BOTH, ls(R, "w2.job", Entry("w1.job", 1.0, None, FileKind.FOLDER)), *NOT_FINISHED]
    holds(parts, claim(parts, *script), State.HELD)


LOOKS_FOR_A_TIMEOUT = 10


def found_to_copy(parts, copies=True):
    """It was tried before whether renames across folders copy."""
    parts.evidence.copying, parts.evidence.copying_tested = copies, 0.0


def test_a_copy_that_grows_is_waited_for():
    parts = worker(Mode.VERIFY, heartbeat=2.0, timeout=8.0)
    found_to_copy(parts)
    looks = [ls(R, Entry("w2.job", 100.0, size)) for size in (0, 3, 3, 3, 3, 3, 5, 7)]
    holds(parts, claim(parts, *BOTH, *looks, *NOT_FINISHED), State.HELD)


@pytest.mark.parametrize(("size", "whole"), [(0, 7), (6, 7), (8, 9), (9, 9)])
def test_a_copy_that_stays_torn_is_parked_and_never_given_back(size, whole):
    parts = worker(Mode.VERIFY, heartbeat=2.0, timeout=8.0)
    found_to_copy(parts)
    looks = [ls(R, Entry("w2.job", 100.0, size))] * LOOKS_FOR_A_TIMEOUT
    whole_elsewhere = ls(W, Entry("~w2~tag.job", 100.0, whole))
    assert claim(parts, *BOTH, *looks, whole_elsewhere, ren(MINE, PARKED)) is None
    assert parts.intents.in_state(State.HELD) == {}
    assert parts.intents.state(MINE) is State.RETIRED


SAVED_ANEW = ls(R, Entry("w2.job", 103.0, 9))
USED_AGAIN = ls(R, Entry("w2.job", 103.0, 7))
FINISHED = (there(f"{D}/job"), ls(D, "job"))
NOT_SINCE = (*FINISHED, there(f"{F}/job", False))


@pytest.mark.parametrize(
    ("looks", "size"),
    [([SAVED_ANEW] * 3 + [*NOT_FINISHED] * 2, 9), ([USED_AGAIN, *FINISHED, *NOT_SINCE], 7)],
)
def test_a_file_that_was_put_there_after_the_listing_is_a_job_of_its_own(looks, size):
    """Saved anew by an editor, or a name used again: it is no copy of what was listed."""
    parts = worker(Mode.VERIFY)
    found_to_copy(parts, copies=False)
    held = claim(parts, *BOTH, *looks)
    holds(parts, held, State.HELD)
    assert held.job == parts.intents.in_state(State.HELD)[MINE].job == Entry("job", 103.0, size)


def test_where_renames_copy_a_second_copy_looks_like_a_newer_job_and_is_parked():
    parts = worker(Mode.VERIFY)
    found_to_copy(parts)
    assert claim(parts, *BOTH, USED_AGAIN, *FINISHED, ren(MINE, PARKED)) is None


@pytest.mark.parametrize(
    "others",
    [
        [SAVED_ANEW, ls(W), ls(P), ls(D, Entry("job", 99.0, 9)), ls(F)],
        # Of a larger worker, who withdraws, torn, and of the job as it was listed.
        [
            ls(R, Entry("w2.job", 103.0, 9), Entry("w3.job", 103.0, 9)),
            ls(W),
            ls(P, Entry("w1.job", 103.0, 3)),
            ls(D, Entry("job", 104.0, 7)),
            ls(F),
        ],
    ],
)
def test_where_renames_copy_a_file_of_another_size_is_a_job_if_no_other_can_be_the_whole_one(
    others,
):
    parts = worker(Mode.VERIFY, heartbeat=2.0, timeout=8.0)
    found_to_copy(parts)
    looks = [SAVED_ANEW] * LOOKS_FOR_A_TIMEOUT + [ls(W), *others] + [*NOT_FINISHED] * 2
    holds(parts, claim(parts, *BOTH, *looks), State.HELD)


def test_a_whole_copy_that_comes_back_between_the_looks_is_seen():
    """It was in ``01_running`` when ``00_waiting`` was listed, and the other way round."""
    parts = worker(Mode.VERIFY, heartbeat=2.0, timeout=8.0)
    found_to_copy(parts)
    torn = ls(R, Entry("w2.job", 103.0, 0))
    looks = [torn] * LOOKS_FOR_A_TIMEOUT + [ls(W), torn, ls(W, "~w1~tag.job"), ren(MINE, PARKED)]
    assert claim(parts, *BOTH, *looks) is None


def test_whether_renames_copy_is_tried_on_a_file_of_our_own():
    parts = worker(Mode.VERIFY)
    for src, dst, copies in ((3.0, 3.0, False), (3.0, 5.0, True)):
        script = [
            (Write("_queue/~tag.part", b"whether a rename keeps this file's time"), None),
            ls("_queue", Entry("~tag.part", src, 39)),
            ren("_queue/~tag.part", f"{W}/~tag.part"),
            ls(W, Entry("~tag.part", dst, 39)),
            (Remove(f"{W}/~tag.part"), None),
            (Remove("_queue/~tag.part"), NotFound),
        ]
        parts.evidence.copying = None
        parts.evidence.test_files.clear()
        assert play(parts.audit.copying.copies, *script) is copies
        assert play(parts.audit.copying.copies) is copies


def test_a_test_file_that_may_be_written_late_is_not_used_again():
    """Its new time would look like a copy's."""
    parts = worker(Mode.VERIFY)
    script = [
        (Write("_queue/~tag.part", b"whether a rename keeps this file's time"), AmbiguousResult),
        ls("_queue"),
        ren("_queue/~tag.part", f"{W}/~tag.part", NotFound),
        ls(W),
        (Remove(f"{W}/~tag.part"), NotFound),
        (Remove("_queue/~tag.part"), NotFound),
    ]
    assert isinstance(play(parts.audit.copying.copies, *script), AmbiguousResult)
    assert parts.evidence.test_files == []


def test_two_threads_may_try_at_once_whether_renames_copy():
    world = World()
    world.store = Copying(world.store)
    parts = world.life("w1").parts
    of_others = []

    def wait(seconds):
        world.now += seconds
        if not of_others:
            other = parts.over(Share(world.store, world.pass_time, lambda: world.now))
            of_others.append(other.audit.copying.copies())

    mine = parts.over(Share(world.store, wait, lambda: world.now))
    assert mine.audit.copying.copies() is True
    assert of_others == [True]
    assert not [name for name in world.names(QUEUE) if name.endswith(".part")]


@pytest.mark.parametrize(
    ("entry", "keeps", "finished"),
    [
        (Entry("job", 100.0, 7), True, True),
        (Entry("job", 99.0, 7), True, False),
        (Entry("job", 101.0, 7), True, False),
        (Entry("job", 101.0, 7), False, True),
        (Entry("job", 99.0, 7), False, False),
        (Entry("job", 100.0, 8), True, False),
        (Entry("job", None, 7), True, True),
        (Entry("job", 100.0, None), True, True),
    ],
)
def test_what_counts_as_finished(entry, keeps, finished):
    parts = worker(Mode.VERIFY, Guarantees(rename_keeps_mtime=keeps, visible_after=0))
    look = [there(f"{D}/job"), ls(D, entry)] + ([] if finished else [there(f"{F}/job", False)])
    assert play(lambda: parts.look.is_finished(JOB), *look) is finished


def test_finished_jobs_are_looked_for_up_to_the_first_gap():
    parts = worker(Mode.VERIFY, Guarantees(rename_keeps_mtime=True))
    old = [Entry(name, 1.0, 7) for name in ("job", "job~2")]
    new = Entry("job~3", 100.0, 7)
    assert play(lambda: parts.look.is_finished(JOB), there(f"{D}/job"), ls(D, *old, new)) is True
    gap = [there(f"{D}/job"), ls(D, old[0], new), there(f"{F}/job", False)]
    assert play(lambda: parts.look.is_finished(JOB), *gap) is False


# -- sync -------------------------------------------------------------------------------------

LOOK = (ls(D), ls(F))
WAITS = {"sync_time": 10.0}
ON_ITS_WAY_BACK = [ren(MINE, BACK), ren(BACK, HALF), ls(W, "~w2~tag.job"), ls(R), *LOOK]


def test_sync_looks_twice_and_never_asks_for_a_single_name():
    parts = worker(Mode.SYNC, **WAITS)
    mine = ls(R, "w2.job")
    holds(parts, claim(parts, ASK, mine, *LOOK, *LOOK, mine), State.HELD)


@pytest.mark.parametrize("told", [None, AmbiguousResult])
@pytest.mark.parametrize(
    "looks",
    [
        [ls(R)],
        [ls(R, "w1.job")],
        [ls(R, "w2.job"), *LOOK, *LOOK, ls(R)],
        [ls(R, "w2.job"), ls(D, "job"), ren(MINE, PARKED)],
        [ls(R, "w2.job"), *LOOK, ls(D, "job"), ls(R, "w2.job"), ren(MINE, PARKED)],
        [ls(R, "w2.job"), *LOOK, ls(D), ls(F, "job"), ls(R, "w2.job"), ren(MINE, PARKED)],
        [ls(R, "w2.job", "w1.job"), *LOOK, *ON_ITS_WAY_BACK, ren(HALF, f"{W}/job")],
        [
            ls(R, "w2.job", "w1.job"),
            *LOOK,
            *ON_ITS_WAY_BACK,
            ren(HALF, f"{W}/job", AlreadyExists),
            ls(W, "job", "~w2~tag.job"),
            ren(HALF, PARKED),
        ],
    ],
)
def test_sync_lost(told, looks):
    parts = worker(Mode.SYNC, **WAITS)
    outcome = claim(parts, ren(*ASK[0], told), *looks)
    # Only what may still be executed, or was never seen, is the sweep's.
    gone = isinstance(looks[-1][0], Rename) and told is None
    holds(parts, outcome, State.RETIRED if gone else State.IN_DOUBT)
    assert (MINE in parts.intents.in_state(State.IN_DOUBT)) is not gone


def test_a_404_may_be_wrong_where_the_rename_is_not_exclusive():
    parts = worker(Mode.SYNC, **WAITS)
    holds(parts, claim(parts, ren(*ASK[0], NotFound), ls(R)), State.IN_DOUBT)
    assert set(parts.intents.in_state(State.IN_DOUBT)) == {MINE}
