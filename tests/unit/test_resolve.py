"""Renames of files that somebody has open, or that two threads rename: nothing is guessed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dirjobs.errors import AmbiguousResult, Busy, NotFound, Unavailable
from dirjobs.layers import Layer
from dirjobs.layout import DONE, RUNNING, WAITING
from dirjobs.protocol.folders import make_folder
from dirjobs.protocol.resolve import Outcome
from dirjobs.protocol.share import Share
from dirjobs.store import Entry
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


# -- two threads of one worker give back one file of a dead one -------------------------------


class Interrupted(Layer):
    """Runs `meanwhile` right before a look at `looked_at`, once, and may lose an answer."""

    meanwhile = looked_at = None
    loses = 0

    @property
    def guarantees(self):
        return replace(self.store.guarantees, final_refusals=False, atomic_rename=False)

    def rename(self, src, dst):
        if self.loses:
            self.loses -= 1
            raise AmbiguousResult("Nobody knows whether this was done.")
        super().rename(src, dst)

    def look(self, path):
        meanwhile = self.meanwhile
        if path == self.looked_at and meanwhile is not None:
            self.meanwhile = None
            meanwhile()

    def exists(self, path):
        self.look(path)
        return super().exists(path)

    def list(self, folder):
        self.look(folder)
        return super().list(folder)


SRC, DST = f"{RUNNING}/w9.job.txt", f"{DONE}/job.txt"


@pytest.fixture
def pair():
    """A store, and the renames of two threads of one worker on it."""
    world = World()
    world.store = store = Interrupted(world.store)
    world.claim_of("w9")
    store.write(DST, b"another")
    mine = world.life("w1").parts
    other = mine.over(Share(store, world.pass_time, lambda: world.now))
    job = Entry("job.txt", 1000.0, 4)
    return (
        store,
        lambda: mine.resolver.rename(SRC, DST, job),
        (lambda: other.resolver.rename(SRC, DST, job)),
    )


def test_two_threads_may_both_find_a_name_taken(pair):
    store, mine, other = pair
    outcomes = []
    store.looked_at, store.meanwhile = SRC, lambda: outcomes.append(other())
    assert mine() is Outcome.TAKEN
    assert outcomes == [Outcome.TAKEN]


def test_two_threads_may_both_wait_for_a_copy_that_goes(pair):
    store, mine, other = pair
    outcomes = []

    def meanwhile():
        store.remove(DST)
        outcomes.append(other())

    store.loses, store.looked_at, store.meanwhile = 1, DONE, meanwhile
    assert mine() is Outcome.GONE_IN_DOUBT
    assert outcomes == [Outcome.RENAMED]


def test_a_wait_for_another_thing_is_told_of(world, caplog):
    errors = [Unavailable("no route"), Busy("it is open."), Busy("it is open.")]
    first = errors.pop(0)

    def call():
        if errors:
            raise errors.pop(0)
        return "done"

    assert retry_through_outages(world.share, call, first) == "done"
    assert [record.getMessage() for record in caplog.records] == [
        "the store can't be reached (no route); waiting until it can",
        "it is open.  Trying on.",
        "it is done; going on",
    ]
