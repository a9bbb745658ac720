"""What is known of the names asked for, after every order of events that happens."""

import itertools
import threading

import pytest

from dirjobs.protocol.intents import Ledger, State
from dirjobs.store import Entry

PATH, JOB = "01_running/w1.job", Entry("job", 1.0, 1)


@pytest.fixture
def ledger():
    return Ledger()


@pytest.mark.parametrize(
    ("events", "state", "may_ask_again"),
    [
        ([], None, True),
        (["ask"], State.ASKING, False),
        (["ask", "hold"], State.HELD, False),
        (["ask", "forget"], None, True),
        (["ask", "doubt", "forget"], None, True),
        (["ask", "unsettle"], State.UNSETTLED, False),
        (["ask", "abandon"], State.UNSETTLED, False),
        (["ask", "hold", "abandon"], State.HELD, False),
        (["ask", "settled"], None, True),
        (["ask", "doubt", "settled"], State.UNSETTLED, False),
        (["ask", "hold", "spend"], State.UNSETTLED, False),
        (["ask", "doubt", "hold", "spend"], State.UNSETTLED, False),
        (["ask", "unsettle", "take_unsettled"], State.ASKING, False),
        (["ask", "unsettle", "take_unsettled", "unsettle"], State.UNSETTLED, False),
        (["doubt"], None, True),
        (["abandon"], None, True),
        (["forget"], None, True),
        (["settled"], None, True),
        (["spend"], State.UNSETTLED, False),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_what_is_known_after(ledger, events, state, may_ask_again):
    for event in events:
        if event == "ask":
            assert ledger.ask(PATH, "w1", JOB)
        else:
            getattr(ledger, event)(PATH)
    assert ledger.state(PATH) is state
    assert ledger.ask(PATH, "w1", JOB) is may_ask_again


def test_a_spent_name_is_swept_only_if_a_request_for_it_may_still_be_executed(ledger):
    for path, doubted in (("certain", False), ("doubtful", True)):
        ledger.ask(path, "w1", JOB)
        if doubted:
            ledger.doubt(path)
        ledger.hold(path)
        ledger.spend(path)
    assert set(ledger.in_state(State.UNSETTLED)) == {"doubtful"}


def test_a_request_under_way_is_nobodys_to_sweep(ledger):
    ledger.ask(PATH, "w1", JOB)
    assert not ledger.take_unsettled(PATH)
    assert not ledger.take_unsettled("never asked for")
    ledger.hold(PATH)
    assert not ledger.take_unsettled(PATH)


def test_one_caller_alone_gets_an_unsettled_name(ledger):
    ledger.ask(PATH, "w1", JOB)
    ledger.unsettle(PATH)
    taken = []
    barrier = threading.Barrier(8)

    def take():
        barrier.wait()
        taken.append(ledger.take_unsettled(PATH))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert taken.count(True) == 1


def test_whatever_happens_a_used_name_stays_used(ledger):
    events = ("hold", "doubt", "abandon", "settled", "spend", "forget")
    for number, order in enumerate(itertools.permutations(events, 3)):
        path = f"{PATH}{number}"
        ledger.ask(path, "w1", JOB)
        ledger.unsettle(path)
        for event in order:
            if event == "hold" and ledger.state(path) is State.UNSETTLED:
                continue  # only what is asked for is held
            getattr(ledger, event)(path)
        assert not ledger.ask(path, "w1", JOB)


def test_who_asks_for_what(ledger):
    ledger.ask("a", "w1", JOB)
    ledger.ask("b", "w1~ab2c", JOB)
    ledger.spend("a")
    assert {path: asked.worker for path, asked in ledger.in_state(State.ASKING).items()} == {
        "b": "w1~ab2c"
    }
