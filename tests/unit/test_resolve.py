"""Files that somebody has open: their renames are tried again, and nothing is guessed."""

from __future__ import annotations

import pytest

from dirjobs.errors import Busy, NotFound
from dirjobs.layers import Layer
from dirjobs.layout import DONE, RUNNING, WAITING
from dirjobs.protocol.folders import make_folder
from dirjobs.worker import retry_through_outages
from tests.unit.lives import World


class HeldOpen(Layer):
    """Refuses renames out of `folder` so many times, as if somebody had the file open."""

    def __init__(self, store, folder, times):
        super().__init__(store)
        self.folder, self.times = folder, times

    def rename(self, src, dst):
        if src.startswith(self.folder) and self.times:
            self.times -= 1
            raise Busy(f"Can't rename {src!r} to {dst!r}: somebody has it open.")
        super().rename(src, dst)


def names(world, folder):
    return [entry.name for entry in world.store.list(folder)]


@pytest.fixture
def world():
    world = World()
    world.store = HeldOpen(world.store, RUNNING, 0)
    return world


def test_a_claim_that_is_open_for_a_moment_is_ended_all_the_same(world):
    """On SMB, a loser of the race for a job may have it open when the winner is done."""
    world.job()
    life = world.life("w1").start()
    held = life.next()
    world.store.times = 2
    assert life.done(held) == "job.txt"
    assert names(world, DONE) == ["job.txt"]


def test_a_claim_that_stays_open_is_told_and_kept(world):
    world.job()
    life = world.life("w1").start()
    held = life.next()
    world.store.times = 1000
    with pytest.raises(Busy):
        life.done(held)
    assert names(world, RUNNING) == ["w1.job.txt"]
    world.store.times = 0
    assert life.done(held) == "job.txt"


def test_a_worker_waits_for_a_claim_that_somebody_has_open(world, caplog):
    world.job()
    life = world.life("w1").start()
    held = life.next()
    world.store.times = 50
    with pytest.raises(Busy) as busy:
        life.done(held)
    assert retry_through_outages(life.share, lambda: life.done(held), busy.value) == "job.txt"
    assert "somebody has it open" in caplog.text
    assert "can't be reached" not in caplog.text


def test_a_claim_that_is_open_is_given_back_later(world):
    world.job()
    life = world.life("w1").start()
    held = life.next()
    world.store.times = 2
    assert life.worker.release(held)
    assert names(world, WAITING) == ["job.txt"]


class Caching(Layer):
    """A mount: a folder that another machine makes is refused, and then turns up."""

    def __init__(self, store, looks):
        super().__init__(store)
        self.looks = looks

    def mkdir(self, path):
        raise NotFound(f"{path!r}: no such file or directory")

    def list(self, folder):
        self.looks -= 1
        if self.looks == 0:
            self.store.mkdir("made_elsewhere")
        return super().list(folder)


def test_a_folder_that_a_mount_does_not_know_yet_turns_up():
    world = World()
    world.store = Caching(world.store, 3)
    make_folder(world.share, "made_elsewhere")
    assert world.store.exists("made_elsewhere")


def test_a_folder_that_never_turns_up_is_told():
    world = World()
    world.store = Caching(world.store, 100)
    with pytest.raises(NotFound):
        make_folder(world.share, "made_elsewhere")
