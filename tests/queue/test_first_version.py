"""A queue that the version before the rebuild has written, and was killed over, goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from dirjobs.admin import control
from dirjobs.admin.inspect import Inspector
from dirjobs.backends.memory import MemoryStore
from dirjobs.layout import DONE, FAILED, FOLDERS, PARKED, RUNNING, WAITING
from dirjobs.policy import Mode, Policy
from dirjobs.protocol import attempts
from tests.unit.lives import World

LEFT = Path(__file__).parent / "first_version"
"""Mode verify, paused; w1 was killed with job3, w2 has ended with job9 half way back."""


@pytest.fixture
def world():
    store = MemoryStore(lambda: world.now)
    world = World(store)
    for path in sorted(LEFT.rglob("*")):
        if path.is_file():
            store.write(path.relative_to(LEFT).as_posix(), path.read_bytes())
    return world


def test_it_is_shown_as_it_was(world):
    assert {folder for folder in FOLDERS if (LEFT / folder).is_dir()} >= {WAITING, RUNNING}
    found = Inspector(world.process("desk"), clock=lambda: world.now).look(world.share)
    assert (found.waiting, found.running, found.done, found.failed) == (4, 1, 1, 1)
    assert found.paused
    (worker,) = found.workers
    assert (worker.id, worker.host, worker.mode) == ("w1", "pc-7", "verify")
    assert [job.job for job in worker.jobs] == ["job3.txt"]
    assert found.failures[0].reason == "exit 3: out of memory"
    (given_back,) = attempts.read(world.share, "job4.txt")
    assert given_back["by_hand"]


def test_it_goes_on_to_its_end(world):
    life = world.life("w3", policy=Policy()).start()
    assert life.me.policy.mode is Mode.VERIFY
    assert (life.me.policy.heartbeat, life.worker.control.paused) == (1.0, True)
    assert control.resume(world.share)
    life.beat()
    began = world.now
    while world.now - began < 3 * life.me.policy.lease:
        world.now += life.me.policy.heartbeat
        life.beat()
        while (claim := life.next()) is not None:
            life.done(claim)
    life.end()
    assert world.names(DONE) == [f"job{number}.txt" for number in (1, 3, 4, 5, 6, 9)]
    assert world.store.read(f"{DONE}/job3.txt") == b"lr=0.3\n"
    assert world.names(FAILED) == ["job2.txt"]
    assert world.names(WAITING) == world.names(RUNNING) == world.names(PARKED) == []
    (death,) = attempts.read(world.share, "job3.txt")
    assert death["died"]
    assert death["worker"] == "w1"
