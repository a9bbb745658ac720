"""The notes on a job: bounded, whoever wrote them."""

from __future__ import annotations

import json
import logging

import pytest

from dirjobs.backends.memory import MemoryStore
from dirjobs.layout import ATTEMPTS
from dirjobs.protocol import attempts
from dirjobs.protocol.folders import make_folders
from dirjobs.protocol.share import Share
from dirjobs.store import MAX_READ

PATH = f"{ATTEMPTS}/job.json"


@pytest.fixture
def share():
    share = Share(MemoryStore())
    make_folders(share)
    return share


def nested(depth):
    return json.loads("[" * depth + "]" * depth)


NONSENSE = {
    "nothing": b"",
    "a list": b"[]",
    "too deep": b"[" * 100_000,
    "a deep worker": json.dumps({"attempts": [{"worker": nested(600), "reason": "x"}]}).encode(),
    "a deep key": json.dumps({"attempts": [{"more": nested(600)}]}).encode(),
    "a number without end": b'{"attempts": [{"more": %s}]}' % (b"1" * 4000),
    "longer than any": b'{"attempts": []}' + b" " * MAX_READ,
}


@pytest.mark.parametrize("data", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_is_told_and_written_over(share, caplog, data):
    caplog.set_level(logging.WARNING, "dirjobs")
    share.store.write(PATH, data)
    assert attempts.read(share, "job") == []
    assert "the notes on job 'job' can't be read" in caplog.text
    assert attempts.note(share, "job", "w1", "why", died=True) == 1
    [noted] = attempts.read(share, "job")
    assert (noted["worker"], noted["reason"]) == ("w1", "why")


@pytest.mark.parametrize("odd", [7, {"died": "yes"}, {"reason": "x" * 5000}])
def test_a_note_that_makes_no_sense_hides_no_others(share, caplog, odd):
    caplog.set_level(logging.WARNING, "dirjobs")
    share.store.write(PATH, json.dumps({"attempts": [{"worker": "w1"}, odd]}).encode())
    assert attempts.read(share, "job") == [{"worker": "w1"}]
    assert "a note on job 'job' makes no sense" in caplog.text


@pytest.mark.parametrize("letter", ["x", "\x01", "\U0001f600", "\udcff", "\u20ac"])
def test_what_is_noted_can_be_read_again(share, letter):
    """However many notes, and however JSON spells them."""
    for number in range(60):
        assert attempts.note(share, "job", f"w{number}", letter * 5000, died=True) > 0
    assert len(share.read(PATH)) <= MAX_READ
    noted = attempts.read(share, "job")
    assert len(noted) > 10
    assert noted[-1]["worker"] == "w59"
    assert noted[-1]["reason"] == letter * 4000


def test_what_a_later_version_notes_besides_is_kept(share):
    share.store.write(PATH, b'{"attempts": [{"worker": "w1", "reason": "x", "core": [1, 2]}]}')
    attempts.note(share, "job", "w2", "why")
    assert [noted.get("core") for noted in attempts.read(share, "job")] == [[1, 2], None]
