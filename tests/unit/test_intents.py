"""What is known of the names asked for, after every order of events that happens."""

import itertools
import threading

import pytest

from dirjobs.errors import ClaimLost, JobClosed
from dirjobs.protocol.intents import Intents, State
from dirjobs.store import Entry

PATH, JOB = "01_running/w1.job", Entry("job", 1.0, 1)


@pytest.fixture
def intents():
    return Intents()


@pytest.mark.parametrize(
    ("events", "state", "may_ask_again"),
    [
        ([], None, True),
        (["ask"], State.PENDING, False),
        (["ask", "hold"], State.HELD, False),
        (["ask", "forget"], None, True),
        (["ask", "note_no_answer", "forget"], None, True),
        (["ask", "leave_in_doubt"], State.IN_DOUBT, False),
        (["ask", "leave_if_pending"], State.IN_DOUBT, False),
        (["ask", "hold", "leave_if_pending"], State.HELD, False),
        (["ask", "resolve"], None, True),
        (["ask", "note_no_answer", "resolve"], State.IN_DOUBT, False),
        (["ask", "hold", "retire"], State.RETIRED, False),
        (["ask", "note_no_answer", "hold", "retire"], State.IN_DOUBT, False),
        (["ask", "leave_in_doubt", "take"], State.PENDING, False),
        (["ask", "leave_in_doubt", "take", "leave_in_doubt"], State.IN_DOUBT, False),
        (["ask", "hold", "forget"], None, True),
        (["ask", "hold", "resolve"], None, True),
        (["ask", "hold", "leave_in_doubt"], State.IN_DOUBT, False),
        (["ask", "retire"], State.RETIRED, False),
        (["ask", "note_no_answer", "retire"], State.IN_DOUBT, False),
        (["ask", "leave_in_doubt", "forget"], State.RETIRED, False),
        (["ask", "leave_in_doubt", "resolve"], State.RETIRED, False),
        (["ask", "leave_in_doubt", "retire"], State.RETIRED, False),
        (["ask", "note_no_answer", "leave_in_doubt", "resolve"], State.IN_DOUBT, False),
        (["ask", "note_no_answer", "leave_in_doubt", "retire"], State.IN_DOUBT, False),
        (["note_no_answer"], None, True),
        (["leave_if_pending"], None, True),
        (["forget"], None, True),
        (["resolve"], None, True),
        (["retire"], State.RETIRED, False),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_what_is_known_after(intents, events, state, may_ask_again):
    for event in events:
        if event == "ask":
            assert intents.ask(PATH, "w1", JOB)
        else:
            getattr(intents, event)(PATH)
    assert intents.state(PATH) is state
    assert intents.ask(PATH, "w1", JOB) is may_ask_again


def test_a_retired_name_is_swept_only_if_a_request_for_it_may_still_be_executed(intents):
    for path, unanswered in (("certain", False), ("doubtful", True)):
        intents.ask(path, "w1", JOB)
        if unanswered:
            intents.note_no_answer(path)
        intents.hold(path)
        intents.retire(path)
    assert set(intents.in_state(State.IN_DOUBT)) == {"doubtful"}


def test_a_request_under_way_is_nobodys_to_sweep(intents):
    intents.ask(PATH, "w1", JOB)
    assert not intents.take(PATH)
    assert not intents.take("never asked for")
    intents.hold(PATH)
    assert not intents.take(PATH)


def test_one_caller_alone_gets_a_name_in_doubt(intents):
    intents.ask(PATH, "w1", JOB)
    intents.leave_in_doubt(PATH)
    taken = []
    barrier = threading.Barrier(8)

    def take():
        barrier.wait()
        taken.append(intents.take(PATH))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert taken.count(True) == 1


def test_whatever_happens_a_used_name_stays_used(intents):
    events = ("hold", "note_no_answer", "leave_if_pending", "resolve", "retire", "forget")
    for number, order in enumerate(itertools.permutations(events, 3)):
        path = f"{PATH}{number}"
        intents.ask(path, "w1", JOB)
        intents.leave_in_doubt(path)
        for event in order:
            if event == "hold" and intents.state(path) in (State.IN_DOUBT, State.RETIRED):
                continue  # only what is asked for is held
            getattr(intents, event)(path)
        assert not intents.ask(path, "w1", JOB)


def test_who_asks_for_what(intents):
    intents.ask("a", "w1", JOB)
    intents.ask("b", "w1~ab2c", JOB)
    intents.retire("a")
    assert {path: intent.worker for path, intent in intents.in_state(State.PENDING).items()} == {
        "b": "w1~ab2c"
    }


# -- who may end a claim ----------------------------------------------------------------------


def test_one_thread_alone_ends_a_claim(intents):
    intents.ask(PATH, "w1", JOB)
    intents.hold(PATH)
    with intents.end_alone(PATH):
        with pytest.raises(JobClosed), intents.end_alone(PATH):
            pass
        assert intents.state(PATH) is State.ENDING
        assert not intents.take(PATH)
    assert intents.state(PATH) is State.HELD  # it could not be ended
    with intents.end_alone(PATH):
        intents.retire(PATH)
    assert intents.state(PATH) is State.RETIRED
    with intents.end_alone(PATH):  # a second try, after an answer that settled nothing
        pass


def test_a_worker_that_ends_gives_back_what_no_thread_is_ending(intents):
    ending, held, asked, late = (f"{PATH}{number}" for number in range(4))
    for path in (ending, held, asked):
        intents.ask(path, "w1", JOB)
    for path in (ending, held):
        intents.hold(path)
    with intents.end_alone(ending):
        assert list(intents.end_worker()) == [held]
        with pytest.raises(ClaimLost), intents.end_alone(held):
            pass
        intents.retire(ending)
    intents.retire(held)
    for path in (ending, held):
        with pytest.raises(ClaimLost), intents.end_alone(path):
            pass
    intents.hold(asked)
    with intents.end_alone(asked):  # whoever was claiming it gives it back
        intents.retire(asked)
    assert not intents.ask(late, "w1", JOB)


def test_nothing_is_claimed_as_an_incarnation_that_is_over(intents):
    intents.ask(PATH, "w1", JOB)
    assert not intents.end_incarnation("w1")
    intents.hold(PATH)
    assert not intents.end_incarnation("w1")
    with intents.end_alone(PATH):
        assert not intents.end_incarnation("w1")
    intents.retire(PATH)
    assert intents.end_incarnation("w1")
    assert not intents.ask(f"{PATH}2", "w1", JOB)
    assert intents.ask(f"{PATH}2", "w1~ab2c", JOB)
    with intents.staged("w1", JOB, "half way"):  # what is to be given back may be so
        assert intents.state("half way") is State.PENDING


def test_what_is_unsettled_at_the_end_is_all_that_may_still_change(intents):
    for path in ("held", "asked", "in doubt", "retired"):
        intents.ask(path, "w1", JOB)
    intents.hold("held")
    intents.leave_in_doubt("in doubt")
    intents.retire("retired")
    assert intents.unsettled("w1", ended=False) == 1
    assert intents.unsettled("w1", ended=True) == 3
    assert intents.unsettled("w2", ended=True) == 0
