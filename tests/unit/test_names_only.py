"""Jobs that were listed by their names only: when that is enough, and what is looked up later."""

import sys
from dataclasses import replace

import pytest

from dirjobs.backends.memory import MemoryStore
from dirjobs.backends.posix import store as posix
from dirjobs.layers import Layer
from dirjobs.policy import Mode, Order, Policy
from dirjobs.protocol.candidates import Candidates
from dirjobs.protocol.intents import State
from dirjobs.protocol.me import Me
from dirjobs.protocol.parts import Parts
from dirjobs.store import Entry, Guarantees
from tests.unit.lives import POLICY, World
from tests.unit.script import MINE, SHARE, D, F, R, W, ls, play, ren, there

NAME_ONLY = Entry("job")
LISTED = Entry("w2.job", 100.0, 7)
OLDER_RUN = Entry("job", 1.0, 7)
SAME_RUN = Entry("job", 100.0, 7)
STAGED = Entry("~w2~tag.job", 100.0, 7)
PROMISES = Guarantees(atomic_rename=True, rename_keeps_mtime=True, visible_after=0)


def worker(mode, promises=PROMISES):
    sync_time = 10.0 if mode is Mode.SYNC else 0.0
    return Parts(SHARE, Me("w2", Policy(mode, sync_time), promises, lambda: "tag"))


def held_in_trust():
    """A claim made in mode trust, whose queue has become more careful since."""
    parts = worker(Mode.TRUST)
    assert play(lambda: parts.claimer.claim(NAME_ONLY), ren(f"{W}/job", MINE)).path == MINE
    parts.me.adopt(Policy(Mode.SYNC, 10.0))
    return parts


@pytest.mark.parametrize(
    ("mode", "promises", "enough"),
    [
        (Mode.TRUST, PROMISES, True),
        (Mode.VERIFY, PROMISES, False),
        (Mode.SYNC, PROMISES, False),
        (Mode.TRUST, replace(PROMISES, atomic_rename=False), False),
        (Mode.TRUST, replace(PROMISES, rename_keeps_mtime=False), False),
    ],
)
def test_names_are_enough_where_nothing_else_decides(mode, promises, enough):
    assert worker(mode, promises).me.needs_names_only is enough


@pytest.mark.skipif(sys.platform == "win32", reason="the mounts of Linux")
@pytest.mark.parametrize(
    ("mounts", "suffice"),
    [
        ("1 0 0:1 / / rw - ext4 /dev/sda rw\n", True),
        ("1 0 0:1 / / rw - nfs4 server:/ rw\n", False),
        ("1 0 0:1 / / rw - fuse.sshfs host: rw\n", False),
        ("", False),  # nobody knows
    ],
)
def test_names_suffice_where_every_answer_arrives(tmp_path, monkeypatch, mounts, suffice):
    """A worker that does not know what became of a claim tells by its size whose file has
    its name: with names only, two of 33,378 simulated runs on stores that lose answers gave
    back what an earlier worker had left."""
    monkeypatch.setattr(posix, "_mountinfo", lambda: mounts)
    store = posix.PosixStore(tmp_path)
    assert store.names_suffice is suffice
    assert not Layer(store).names_suffice
    assert not MemoryStore().names_suffice


@pytest.mark.parametrize("older", [OLDER_RUN, SAME_RUN])
def test_a_more_careful_claim_looks_the_job_up_before_it_asks(older):
    parts = worker(Mode.VERIFY)
    script = [ls(W, SAME_RUN), ren(f"{W}/job", f"{W}/~w2~tag.job"), ren(f"{W}/~w2~tag.job", MINE)]
    script += [ls(R, LISTED), there(f"{D}/job"), ls(D, older)]
    if older == OLDER_RUN:
        held = play(lambda: parts.claimer.claim(NAME_ONLY), *script, there(f"{F}/job", False))
        assert held.job == SAME_RUN
    else:
        assert (
            play(lambda: parts.claimer.claim(NAME_ONLY), *script, ren(MINE, "_queue/parked/w2.job"))
            is None
        )


def test_a_job_that_went_away_meanwhile_is_asked_for_all_the_same():
    parts = worker(Mode.SYNC)
    script = [ls(W), ren(f"{W}/job", MINE)]
    assert play(lambda: parts.claimer.claim(NAME_ONLY), *script, ls(R)) is None


def test_a_job_given_back_is_not_taken_for_an_older_run():
    parts = held_in_trust()
    half, back = f"{W}/~w2~tag.job", f"{R}/~w2~tag.w2.job"
    script = [ls(R, LISTED), ren(MINE, back), ren(back, half), ls(W, STAGED)]
    script += [ls(R), ls(D, OLDER_RUN), ls(F), ren(half, f"{W}/job")]
    assert play(lambda: parts.exits.release(MINE, NAME_ONLY), *script)


def test_a_swept_job_is_not_taken_for_an_older_run():
    parts = held_in_trust()
    parts.intents.leave_in_doubt(MINE)
    half, back = f"{W}/~w2~tag.job", f"{R}/~w2~tag.w2.job"
    script = [ls(R, LISTED), ls(R, LISTED), ls(D, OLDER_RUN), ls(F)]
    script += [ren(MINE, back), ren(back, half), ls(W, STAGED)]
    script += [ls(R), ls(D, OLDER_RUN), ls(F), ren(half, f"{W}/job")]
    assert play(lambda: parts.sweeper.sweep((R,)), *script) == 1
    assert parts.intents.state(MINE) is State.IN_DOUBT


class Asked(Layer):
    """Remembers how ``00_waiting`` was listed."""

    def __init__(self, store):
        super().__init__(store)
        self.how = set()

    def list(self, folder):
        if folder == W:
            self.how.add("in full")
        return self.store.list(folder)

    def names_of_files(self, folder):
        if folder == W:
            self.how.add("by name")
        return self.store.names_of_files(folder)


@pytest.mark.parametrize(
    ("mode", "waiting", "how"),
    [
        (Mode.TRUST, {}, {"by name"}),
        (Mode.TRUST, {"order": Order.RANDOM}, {"by name"}),
        (Mode.TRUST, {"order": Order.OLDEST}, {"in full"}),
        (Mode.TRUST, {"min_age": 5.0}, {"in full"}),
        (Mode.VERIFY, {}, {"in full"}),
    ],
)
def test_how_a_worker_lists_what_waits(mode, waiting, how):
    world = World()
    world.store = Asked(world.store)
    world.job()
    life = world.life("w1", policy=replace(POLICY, mode=mode)).start()
    life.worker.candidates = Candidates(**waiting)
    life.worker.names_suffice = True
    world.store.how.clear()
    assert life.next().job.name == "job.txt"
    assert world.store.how == how


def test_a_worker_that_becomes_more_careful_goes_on_with_its_list():
    world = World()
    for name in ("a.txt", "b.txt"):
        world.job(name)
    life = world.life("w1").start()
    life.worker.names_suffice = True
    assert life.next().job == Entry("a.txt")
    life.me.adopt(replace(life.me.policy, mode=Mode.VERIFY))
    held = life.next()
    assert (held.job.name, held.job.size) == ("b.txt", 4)
    assert held.job.mtime is not None
