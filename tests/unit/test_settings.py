"""What a user may ask for, and the one sentence for each thing that makes no sense."""

import dataclasses
import math

import pytest
from dirjobs.settings import Settings

from dirjobs import ConfigurationError, DirJobs, Guarantees
from dirjobs.backends.memory import MemoryStore
from dirjobs.policy import Mode, Order, Terms, check_lease, warranted

DEFAULTS = {
    "wid": "w1",
    "rnd_job": False,
    "job_ext": ".txt",
    "worker_sync": None,
    "sync_time": None,
    "job_filter": None,
    "mode": None,
    "order": None,
    "min_age": 0.0,
    "heartbeat": 30.0,
    "lease": 300.0,
    "timeout": 30.0,
    "max_pause": 60.0,
}
ATOMIC = Guarantees(atomic_rename=True, visible_after=0)
NO_TIMES = (-1, -0.001, math.nan, math.inf, -math.inf, "70s", "70", b"1", [], {}, True, 1j)


def settings(**changed):
    return Settings(**{**DEFAULTS, **changed})


@pytest.mark.parametrize(
    "changed",
    [
        *({"wid": wid} for wid in ("", "w.1", "a/b", "w~1", "x" * 100, None, 3)),
        *({"job_ext": ext} for ext in (None, 3, b".txt", (".txt",))),
        *({"job_filter": value} for value in ("*.txt", 3, {})),
        *({"worker_sync": value} for value in ("yes", 2, "False", [])),
        *({"mode": value} for value in ("fast", "", "TRUST", "Mode.SYNC")),
        *({"order": value} for value in ("name", "", "newest")),
        {"mode": "trust", "worker_sync": True},
        {"mode": "verify", "worker_sync": True},
        *({"sync_time": value} for value in NO_TIMES),
        *({"min_age": value} for value in (*NO_TIMES, None)),
        *({"heartbeat": value} for value in (*NO_TIMES, None, 0)),
        *({"timeout": value} for value in (*NO_TIMES, None, 0)),
        *({"max_pause": value} for value in (*NO_TIMES, None)),
        *({"lease": value} for value in (*NO_TIMES, None, 0, 209)),
        {"heartbeat": 90},
        {"worker_sync": True, "sync_time": 100},
        {"mode": "sync", "sync_time": 1e9},
    ],
    ids=repr,
)
def test_what_makes_no_sense_is_refused_in_one_sentence(changed):
    with pytest.raises(ConfigurationError) as caught:
        settings(**changed).terms(ATOMIC)
    message = str(caught.value)
    assert message.endswith((".", ")."))
    assert "\n" not in message
    assert any(key in message for key in changed)
    with pytest.raises(ConfigurationError):
        DirJobs(MemoryStore(), **changed)


@pytest.mark.parametrize("value", [[], {}, 3, b"sync"])
@pytest.mark.parametrize("key", ["mode", "order"])
def test_what_is_no_word_is_refused_too(key, value):
    with pytest.raises(ConfigurationError, match=rf"^{key}="):
        settings(**{key: value})


@pytest.mark.parametrize(
    ("promises", "changed", "mode", "wait"),
    [
        (ATOMIC, {}, Mode.TRUST, 0),
        (ATOMIC, {"sync_time": 5}, Mode.TRUST, 0),
        (ATOMIC, {"worker_sync": False}, Mode.TRUST, 0),
        (ATOMIC, {"worker_sync": True}, Mode.SYNC, 70),
        (ATOMIC, {"worker_sync": True, "sync_time": 5}, Mode.SYNC, 5),
        (ATOMIC, {"mode": "verify"}, Mode.VERIFY, 0),
        (ATOMIC, {"mode": "sync", "worker_sync": True}, Mode.SYNC, 70),
        (Guarantees(), {}, Mode.VERIFY, 0),
        (Guarantees(), {"mode": "trust"}, Mode.TRUST, 0),
        (Guarantees(atomic_rename=True), {}, Mode.VERIFY, 0),
        (Guarantees(atomic_rename=True, visible_after=1), {}, Mode.VERIFY, 0),
        (Guarantees(atomic_rename_in_folder=True, visible_after=0), {}, Mode.VERIFY, 0),
    ],
)
def test_the_mode_follows_from_the_wish_and_the_promises(promises, changed, mode, wait):
    terms = settings(**changed).terms(promises)
    assert (terms.mode, terms.wait) == (mode, wait)
    assert changed or terms.mode is warranted(promises)


@pytest.mark.parametrize(
    ("changed", "order"),
    [
        ({}, Order.NATURAL),
        ({"rnd_job": True}, Order.RANDOM),
        ({"order": "oldest"}, Order.OLDEST),
        ({"order": "natural", "rnd_job": True}, Order.NATURAL),
    ],
)
def test_order(changed, order):
    assert settings(**changed).picks is order


def test_the_shortest_lease_is_named_and_then_accepted():
    terms = Terms(mode=Mode.SYNC, sync_time=100, lease=1)
    with pytest.raises(ConfigurationError, match=f"use at least {terms.shortest_lease:g} seconds"):
        check_lease(terms)
    enough = dataclasses.replace(terms, lease=terms.shortest_lease)
    assert check_lease(enough) == enough


MODES = [Terms(mode, wait) for mode in Mode for wait in (0.0, 5.0, 70.0)]


@pytest.mark.parametrize("one", MODES)
@pytest.mark.parametrize("other", MODES)
def test_agreeing_makes_nobody_less_careful(one, other):
    both = one.at_least(other.mode, other.sync_time)
    assert both == other.at_least(one.mode, one.sync_time)
    assert not one.more_careful_than(both)
    assert not other.more_careful_than(both)
    assert both.wait >= max(one.wait, other.wait)
    assert not (one.more_careful_than(other) and other.more_careful_than(one))
