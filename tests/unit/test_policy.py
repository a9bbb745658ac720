"""What a user may ask for, and the one sentence for each thing that makes no sense."""

import dataclasses
import math

import pytest

from dirjobs import ConfigurationError, DirJobs, Guarantees
from dirjobs.backends.memory import MemoryStore
from dirjobs.layers import Layer
from dirjobs.layout import AGREEMENT
from dirjobs.policy import (
    DEFAULT_SYNC_TIME,
    Mode,
    Order,
    Policy,
    Settings,
    UnknownLag,
    cautious,
    check_lease,
    warranted,
)
from dirjobs.protocol.agreement import to_bytes

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
UNKNOWN = Guarantees()
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
        settings(**changed).policy(ATOMIC)
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
        (UNKNOWN, {"mode": "trust"}, Mode.TRUST, 0),
        (UNKNOWN, {"mode": "verify"}, Mode.VERIFY, 0),
        (UNKNOWN, {"mode": "sync"}, Mode.SYNC, 70),
        (UNKNOWN, {"worker_sync": True}, Mode.SYNC, 70),
        (UNKNOWN, {"sync_time": 5}, Mode.SYNC, 5),
        (UNKNOWN, {"worker_sync": False, "sync_time": 5}, Mode.SYNC, 5),
        (Guarantees(atomic_rename=True), {"sync_time": 5}, Mode.SYNC, 5),
        (Guarantees(atomic_rename=True, visible_after=1), {}, Mode.SYNC, 70),
        (Guarantees(visible_after=80), {}, Mode.SYNC, 89),
        (Guarantees(visible_after=4), {"sync_time": 5}, Mode.SYNC, 5),
        (Guarantees(atomic_rename_in_folder=True, visible_after=0), {}, Mode.VERIFY, 0),
    ],
)
def test_the_mode_follows_from_the_wish_and_the_promises(promises, changed, mode, wait):
    policy = settings(**changed).policy(promises)
    assert (policy.mode, policy.wait) == (mode, wait)
    assert changed or (policy.mode, policy.wait) == warranted(promises)


@pytest.mark.parametrize("atomic", [False, True])
@pytest.mark.parametrize(
    ("lag", "sync_time", "wait"),
    [
        *((0, sync_time, 0.0) for sync_time in (None, 0.0, 5.0)),
        (0.5, None, DEFAULT_SYNC_TIME),
        (DEFAULT_SYNC_TIME, None, 78.0),
        (1000.0, None, 1101.0),
        (4.0, 5.0, 5.0),
        (None, 5.0, 5.0),
        (None, 0.0, 0.0),
    ],
)
def test_what_a_store_warrants(atomic, lag, sync_time, wait):
    promises = Guarantees(atomic_rename=atomic, visible_after=lag)
    mode = (Mode.TRUST if atomic else Mode.VERIFY) if lag == 0 else Mode.SYNC
    assert warranted(promises, sync_time) == (mode, pytest.approx(wait))
    if lag:
        assert wait > lag


@pytest.mark.parametrize("changed", [{}, {"worker_sync": False}, {"order": "oldest"}], ids=repr)
@pytest.mark.parametrize("promises", [UNKNOWN, Guarantees(atomic_rename=True)])
def test_a_store_of_which_nobody_knows_the_lag_is_refused_in_one_sentence(promises, changed):
    for ask in (lambda: warranted(promises), lambda: settings(**changed).policy(promises)):
        with pytest.raises(UnknownLag, match=r"nobody knows .* sync_time=SECONDS.*\.$") as caught:
            ask()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sync_time", [0.0, 3.0, 4.0])
@pytest.mark.parametrize("changed", [{}, {"worker_sync": True}, {"mode": "sync"}], ids=repr)
def test_a_sync_time_that_is_no_longer_than_the_lag_is_refused(sync_time, changed):
    promises = Guarantees(visible_after=4.0)
    with pytest.raises(ConfigurationError, match=rf"^sync_time={sync_time:g} is too short: .*\.$"):
        settings(**changed, sync_time=sync_time).policy(promises)


def test_who_changes_a_queue_by_hand_goes_by_the_strictest_mode_where_nobody_knows():
    assert cautious(ATOMIC) == Policy()
    policy = cautious(UNKNOWN)
    assert (policy.mode, policy.wait) == (Mode.SYNC, DEFAULT_SYNC_TIME)
    policy = cautious(Guarantees(visible_after=1000.0))
    assert policy.wait > 1000
    assert policy.lease >= policy.shortest_lease


class Lagging(Layer):
    """A store that promises nothing."""

    guarantees = UNKNOWN
    closed = 0

    def close(self):
        self.closed += 1
        super().close()


def test_where_nobody_knows_the_lag_the_user_or_the_queue_has_to_say():
    store = Lagging(MemoryStore())
    with pytest.raises(UnknownLag):
        DirJobs(store)
    assert store.closed == 1
    assert not [*store.list("")]
    with DirJobs(store, sync_time=5) as queue:
        assert queue.mode == "sync"
    store.write(AGREEMENT, to_bytes(Policy(Mode.VERIFY)))
    with DirJobs(store) as queue:
        assert queue.mode == "verify"


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
    policy = Policy(mode=Mode.SYNC, sync_time=100, lease=1)
    with pytest.raises(ConfigurationError, match=f"use at least {policy.shortest_lease:g} seconds"):
        check_lease(policy)
    enough = dataclasses.replace(policy, lease=policy.shortest_lease)
    assert check_lease(enough) == enough


MODES = [Policy(mode, wait) for mode in Mode for wait in (0.0, 5.0, 70.0)]


@pytest.mark.parametrize("one", MODES)
@pytest.mark.parametrize("other", MODES)
def test_agreeing_makes_nobody_less_strict(one, other):
    both = one.at_least_as_strict_as(other.mode, other.sync_time)
    assert both == other.at_least_as_strict_as(one.mode, one.sync_time)
    assert not one.is_stricter_than(both)
    assert not other.is_stricter_than(both)
    assert both.wait >= max(one.wait, other.wait)
    assert not (one.is_stricter_than(other) and other.is_stricter_than(one))


def test_a_store_whose_lag_asks_for_a_longer_lease_works_out_of_the_box():
    """Nobody asked for a lease, so none is refused."""
    policy = Settings().policy(Guarantees(visible_after=500))
    assert (policy.mode, policy.wait) == (Mode.SYNC, 551)
    assert policy.lease == policy.shortest_lease > 300
    with pytest.raises(ConfigurationError, match="lease=301 is too short"):
        Settings(lease=301).policy(Guarantees(visible_after=500))


def test_a_wait_that_a_command_records_gets_the_lease_that_it_needs():
    """`dirjobs init --sync-time 120` has no option for the lease."""
    policy = Settings(mode="sync", sync_time=120).legal_policy(Guarantees(visible_after=0))
    assert policy.lease == policy.shortest_lease == 330
