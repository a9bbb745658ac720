"""Heartbeats and the agreement: round trips, and files that say something else."""

import dataclasses
import json
import random

import pytest

from dirjobs.errors import ConfigurationError
from dirjobs.policy import Mode, Policy
from dirjobs.protocol.agreement import from_bytes as agreement_from_bytes
from dirjobs.protocol.agreement import to_bytes as agreement_to_bytes
from dirjobs.recovery.heartbeat import Heartbeat, heartbeat_path, worker_of
from dirjobs.recovery.process import Process, this_process
from dirjobs.store import split

HEARTBEATS = [
    Heartbeat("w1", 1, Policy()),
    Heartbeat("w1~ab2c", 7, Policy(Mode.SYNC, 70.0), this_process(), ended=True, unsettled=3),
    Heartbeat("w2", 1, Policy(), this_process(), starting=True),
    Heartbeat(
        "w",
        0,
        Policy(Mode.VERIFY),
        Process("hä\n", pid=3),
        running={"a": 7, "hä\n": 0, "unknown": None},
        groups=(1, 2),
    ),
]


@pytest.mark.parametrize("heartbeat", HEARTBEATS)
def test_a_heartbeat_is_read_as_it_was_written(heartbeat):
    assert Heartbeat.from_bytes(heartbeat.to_bytes()) == heartbeat


@pytest.mark.parametrize("heartbeat", HEARTBEATS)
def test_a_torn_heartbeat_is_none(heartbeat):
    data = heartbeat.to_bytes()
    for length in range(len(data) - 1):
        assert Heartbeat.from_bytes(data[:length]) is None


GARBAGE = [b"", b"{", b"[]", b"null", b"3", b'"x"', b"{}", b"\xff\xfe\x00", b"\0" * 100]


@pytest.mark.parametrize("data", GARBAGE)
def test_what_is_no_heartbeat_is_none(data):
    assert Heartbeat.from_bytes(data) is None


def changed_heartbeat(**changed):
    record = json.loads(HEARTBEATS[1].to_bytes())
    terms = changed.pop("terms", {})
    return json.dumps({**record, **changed, "terms": {**record["terms"], **terms}}).encode()


@pytest.mark.parametrize(
    "changed",
    [
        *({"counter": value} for value in ("x", None, [], {})),
        *({"running": value} for value in (3, None, "job", ["job"], [["job", 7]])),
        *({"groups": value} for value in (["x"], 3)),
        *({"process": value} for value in (None, [], {"pid": "x"})),
        *({"terms": {"mode": value}} for value in ("fast", None, [])),
    ],
    ids=repr,
)
def test_a_heartbeat_with_nonsense_in_it_is_none(changed):
    assert Heartbeat.from_bytes(changed_heartbeat(**changed)) is None


@pytest.mark.parametrize("changed", [{"shoe": 3}, {"process": {"shoe": 3}}, {"terms": {"shoe": 3}}])
def test_what_a_later_version_says_beside_is_left_alone(changed):
    assert Heartbeat.from_bytes(changed_heartbeat(**changed)) is not None


@pytest.mark.parametrize(
    "changed",
    [
        {"counter": float("inf")},
        *(
            {"terms": {key: value}}
            for key in ("lease", "sync_time", "heartbeat")
            for value in ("300", None, float("nan"), -1)
        ),
    ],
    ids=repr,
)
def test_a_heartbeat_with_impossible_numbers_is_none(changed):
    assert Heartbeat.from_bytes(changed_heartbeat(**changed)) is None


@pytest.mark.parametrize(
    "read", [Heartbeat.from_bytes, lambda d: agreement_from_bytes(d, Policy())]
)
def test_deep_nesting_is_no_crash(read):
    try:
        assert read(b"[" * 100_000) is None
    except ConfigurationError as error:
        assert str(error)


def test_random_damage_is_a_heartbeat_or_none():
    rng = random.Random(1)
    for _ in range(2000):
        data = bytearray(HEARTBEATS[1].to_bytes())
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        heartbeat = Heartbeat.from_bytes(bytes(data))
        assert heartbeat is None or isinstance(heartbeat.counter, int)


def test_whose_a_file_is():
    for worker in ("w1", "w1~ab2c"):
        assert worker_of(split(heartbeat_path(worker, "k3x9q2"))[1]) == worker
    for name in ("w1", "w1.json", "notes.txt", "w 1.abc.json", ".~draft.json", "w1.abc.json~"):
        assert worker_of(name) is None


# -- the agreement ----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("wait", [0.0, 0.5, 70.0])
def test_an_agreement_is_read_as_it_was_written(mode, wait):
    policy = Policy(mode, wait, heartbeat=10.0, lease=500.0)
    assert agreement_from_bytes(agreement_to_bytes(policy), Policy()) == policy


def test_what_an_agreement_leaves_out_is_as_before():
    defaults = Policy(Mode.VERIFY, 3.0, 20.0, 400.0, 5.0, 6.0)
    assert agreement_from_bytes(b'{"mode": "sync", "later": 1}', defaults) == dataclasses.replace(
        defaults, mode=Mode.SYNC
    )


@pytest.mark.parametrize(
    "data",
    [
        *GARBAGE,
        *(b'{"mode": %s}' % mode for mode in (b'"fast"', b'["sync"]', b"null", b"3", b"{}")),
        *(
            b'{"mode": "sync", "%s": %s}' % (key, value)
            for key in (b"sync_time", b"heartbeat", b"lease")
            for value in (b'"70s"', b"-1", b"NaN", b"Infinity", b"null", b"[]", b"true")
        ),
        b'{"mode": "\xff"}',
        b'{"mode": "sync",}',
        b'{"mode": "sync"} // by hand',
    ],
)
def test_an_agreement_edited_by_hand_into_nonsense_is_one_sentence(data):
    with pytest.raises(ConfigurationError, match=r"^_queue/queue\.json can't be .*\.$") as caught:
        agreement_from_bytes(data, Policy())
    assert "\n" not in str(caught.value)
