"""A check catches stores that lie about renames, and records what they are worth."""

from __future__ import annotations

import json

import pytest

from dirjobs.backends.memory import MemoryStore
from dirjobs.check import check
from dirjobs.check.file_semantics import Clock
from dirjobs.check.record import record
from tests.conformance.liars import (
    GenerousLiar,
    GenerousMkdirLiar,
    OverwritingLiar,
    Phantom,
    ReplacingLiar,
)

SEVERAL, NOTHING = "several were told yes", "who was told yes has nothing"


@pytest.mark.parametrize(
    ("liar", "race", "failures"),
    [
        (GenerousLiar, "across", {SEVERAL, NOTHING}),  # as rclone: the listing refutes a yes
        (ReplacingLiar, "collisions", {SEVERAL, "a file is lost"}),  # as FTP
        (OverwritingLiar, "collisions", {SEVERAL, "a file is lost"}),  # looks first: fsspec's mv
    ],
)
def test_a_store_that_lies_about_renames_is_not_trusted(liar, race, failures):
    store = liar(MemoryStore())
    done = check(store, rounds=12, short=True)
    found = getattr(done.findings, race)
    assert failures & set(found.failures)
    assert found.failed > 0
    assert done.verdict.mode == "verify"
    told = record(store, done)
    assert told.mode == "verify"
    agreed = json.loads(store.read("_queue/queue.json"))
    assert agreed["mode"] == "verify"
    checked = agreed["checked"]
    assert checked["failed" if race == "across" else "collisions_failed"] > 0


def test_a_yes_to_a_rename_that_was_not_done_says_nothing_about_times():
    store = Phantom(MemoryStore())
    times = Clock(store, "clock", "tag").read()
    assert times.kept is None
    assert times.offset is not None


def test_an_mkdir_that_tells_everybody_yes_is_nothing_that_a_mode_rests_on():
    done = check(GenerousMkdirLiar(MemoryStore()), rounds=10, short=True)
    assert done.verdict.mode == "trust"
    assert done.findings.across.failed == done.findings.collisions.failed == 0
