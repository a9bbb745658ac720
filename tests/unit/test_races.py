"""The harness of races: racers that die, fail or hang are told of, and rounds are judged."""

import functools
import os
import threading
import time
from contextlib import closing

import pytest

from dirjobs.backends.memory import MemoryStore
from dirjobs.backends.posix.store import PosixStore
from dirjobs.errors import StoreError
from dirjobs.layers import Layer
from dirjobs.testing.races import Answer, Move, ProcessRacers, RaceTrack, ThreadRacers, is_contested


class Odd(PosixStore):
    """Its requests end in other ways than a store's."""

    def exists(self, path):
        return {"dies": lambda: os._exit(7), "hangs": lambda: time.sleep(60)}[path]()


def refuse():
    raise ConnectionError("no server")


def racing(reopen, path):
    with closing(ProcessRacers([reopen] * 2)) as racers:
        racers.race([[Move("exists", (path,))]] * 2, 0.0)


@pytest.mark.parametrize(
    ("path", "why"), [("dies", "ended with code 7"), ("fails", r"failed \(KeyError: 'fails'\)")]
)
def test_a_process_that_does_not_end_its_race(tmp_path, path, why):
    with pytest.raises(StoreError, match=why):
        racing(functools.partial(Odd, str(tmp_path)), path)


def test_processes_that_hang_are_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("dirjobs.testing.races._LONGEST", 3.0)
    with pytest.raises(StoreError, match=r"ended with code (-9|1)\."):
        racing(functools.partial(Odd, str(tmp_path)), "hangs")


def test_a_process_that_can_not_open_the_store():
    with pytest.raises(StoreError, match=r"failed \(ConnectionError: no server\)"):
        ProcessRacers([refuse] * 2)


def test_a_process_that_can_not_be_started(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.executable", str(tmp_path / "missing"))
    with pytest.raises(StoreError, match="a process for a race can't be started"):
        ProcessRacers([refuse] * 2)


def test_who_meets_whom():
    assert is_contested([Answer("yes", "", 1.0, 3.0), Answer("no", "NotFound", 2.0, 4.0)])
    assert not is_contested([Answer("yes", "", 1.0, 2.0), Answer("no", "NotFound", 2.0, 4.0)])


class Loses(Layer):
    """Deletes what it should rename."""

    def rename(self, src, dst):
        self.store.remove(src)


@pytest.mark.parametrize(
    ("layer", "failures"),
    [
        (Layer, {}),
        (Loses, {"the file is lost", "who was told yes has nothing"}),
    ],
)
@pytest.mark.parametrize("dst", ["from", "to"])
def test_a_round_is_judged_by_what_is_true_afterwards(layer, failures, dst):
    store = layer(MemoryStore())
    with closing(ThreadRacers([store] * 3)) as racers:
        race = RaceTrack(store, racers, "txt", thorough=True).rename("from", dst, 5)
    assert set(race.failures) == set(failures)
    assert race.failed == (race.rounds if failures else 0)
    assert race.won == race.rounds - race.failed
    assert bool(race.example) is bool(failures)


class Replaces(Layer):
    """Renames over what is there."""

    lock = threading.Lock()

    def rename(self, src, dst):
        with self.lock:
            if self.store.exists(dst):
                self.store.remove(dst)
            self.store.rename(src, dst)


class SaysYes(Layer):
    """Renames nothing."""

    def rename(self, src, dst):
        """Nothing."""


class SaysNo(Layer):
    """Renames, and says that it doesn't."""

    def rename(self, src, dst):
        self.store.rename(src, dst)
        raise StoreError("no")


@pytest.mark.parametrize(
    ("layer", "failures"),
    [
        (Layer, set()),
        (Replaces, {"several were told yes", "a file is lost"}),
        (SaysYes, {"several were told yes", "who was told yes has nothing"}),
        (SaysNo, {"who was told no has it"}),
        (Loses, {"several were told yes", "a file is lost"}),
    ],
)
def test_a_race_for_a_name_is_judged_by_what_is_true_afterwards(layer, failures):
    memory = MemoryStore()
    with closing(ThreadRacers([layer(memory) for _ in range(3)])) as racers:
        race = RaceTrack(memory, racers, "txt", thorough=True).replace("from", "to", 5)
    assert set(race.failures) == failures
    assert race.failed == (race.rounds if failures else 0)
    assert bool(race.example) is bool(failures)
