"""Each promise of `Guarantees`, raced.  A promise not made is skipped."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import partial

import pytest

from dirjobs.store import Store
from dirjobs.testing.conformance.base import NO_REOPEN, Base
from dirjobs.testing.races import (
    Move,
    ProcessRacers,
    Racers,
    RaceTrack,
    Reopen,
    ThreadRacers,
    content,
)

TAG = "txt"


class RaceTests(Base):
    """The rules of a race are those of `RaceTrack`."""

    def promised(self, store: Store, promise: str) -> None:
        if not getattr(store.guarantees, promise):
            pytest.skip(f"the store doesn't promise {promise}")

    def threads(self, store: Store) -> ThreadRacers:
        return ThreadRacers([store.another() for _ in range(self.RACERS)])

    def processes(self, reopen: Reopen | None) -> ProcessRacers:
        if reopen is None:
            pytest.skip(NO_REOPEN)
        return ProcessRacers([reopen] * self.PROCESSES)

    # -- one source, many destinations ---------------------------------------------------

    def test_atomic_rename_raced_by_threads(self, store: Store) -> None:
        self.promised(store, "atomic_rename")
        with closing(self.threads(store)) as racers:
            self.one_winner(store, racers, "to", self.ROUNDS)

    def test_atomic_rename_raced_by_processes(self, store: Store, reopen: Reopen | None) -> None:
        self.promised(store, "atomic_rename")
        with closing(self.processes(reopen)) as racers:
            self.one_winner(store, racers, "to", self.PROCESS_ROUNDS)

    def test_atomic_rename_in_folder_raced_by_threads(self, store: Store) -> None:
        self.promised(store, "atomic_rename_in_folder")
        with closing(self.threads(store)) as racers:
            self.one_winner(store, racers, "from", self.ROUNDS)

    def test_atomic_rename_in_folder_raced_by_processes(
        self, store: Store, reopen: Reopen | None
    ) -> None:
        self.promised(store, "atomic_rename_in_folder")
        with closing(self.processes(reopen)) as racers:
            self.one_winner(store, racers, "from", self.PROCESS_ROUNDS)

    def one_winner(self, store: Store, racers: Racers, dst: str, rounds: int) -> None:
        race = RaceTrack(store, racers, TAG, thorough=True).rename("from", dst, rounds)
        went_wrong = ", ".join(f"{what} ({n})" for what, n in race.failures.items())
        assert not race.failed, f"{race.failed} of {race.rounds}: {went_wrong}; {race.example}"
        assert race.won == race.rounds, f"not exactly one name is there: {race}"

    # -- many sources, one destination ---------------------------------------------------

    def test_no_replace_raced_by_threads(self, store: Store) -> None:
        self.promised(store, "no_replace")
        with closing(self.threads(store)) as racers:
            track = RaceTrack(store, racers, TAG, thorough=True)
            race = track.replace("from", "to", self.ROUNDS)
        went_wrong = ", ".join(f"{what} ({n})" for what, n in race.failures.items())
        assert not race.failed, f"{race.failed} of {race.rounds}: {went_wrong}; {race.example}"
        assert race.won == race.rounds, f"nobody's file has the name: {race}"

    def test_exclusive_mkdir_raced_by_threads(self, store: Store) -> None:
        self.promised(store, "exclusive_mkdir")
        with closing(self.threads(store)) as racers:
            told = RaceTrack(store, racers, TAG).run(
                self.ROUNDS, lambda _, turn: Move("mkdir", (f"folder{turn}",))
            )
        for turn, answers in enumerate(told):
            said = [answer.said for answer in answers]
            yes, unknown = said.count("yes"), said.count("unknown")
            assert yes == 1 or (yes == 0 and unknown), f"round {turn}: told {answers}"
            assert store.exists(f"folder{turn}")

    # -- many contents, one name ---------------------------------------------------------

    def test_exclusive_create_raced_by_threads(self, store: Store) -> None:
        self.promised(store, "exclusive_create")
        with closing(self.threads(store)) as racers:
            self.one_creates(store, racers, self.ROUNDS)

    def test_exclusive_create_raced_by_processes(self, store: Store, reopen: Reopen | None) -> None:
        self.promised(store, "exclusive_create")
        with closing(self.processes(reopen)) as racers:
            self.one_creates(store, racers, self.PROCESS_ROUNDS)

    def one_creates(self, store: Store, racers: Racers, rounds: int) -> None:
        store.mkdir("to")

        def move(racer: int, turn: int) -> Move:
            return Move("create", (f"to/job{turn}", content(f"w{racer}")))

        told = RaceTrack(store, racers, TAG).run(rounds, move)
        for turn, answers in enumerate(told):
            there = store.read(f"to/job{turn}")
            for racer, answer in enumerate(answers):
                story = f"round {turn}, racer {racer} was told {answer.said} {answer.error}"
                if there == content(f"w{racer}"):
                    assert answer.said != "no", f"who created it was told no: {story}"
                else:
                    assert answer.said != "yes", f"who was told yes did not create it: {story}"
            assert there in {content(f"w{racer}") for racer in range(racers.size)}

    # -- times ---------------------------------------------------------------------------

    def test_changes_are_visible_in_time(self, store: Store, reopen: Reopen | None) -> None:
        bound = store.guarantees.visible_after
        if bound is None:
            pytest.skip("the store promises no bound for visible_after")
        store.mkdir("a")
        store.mkdir("b")
        with (reopen or store.another)() as other:
            for turn in range(10):
                assert self.names(other, "a") == self.names(other, "b") == set()
                steps: list[tuple[Callable[[], None], set[str], set[str]]] = [
                    (partial(store.write, "a/file", b"one"), {"file"}, set()),
                    (partial(self.move, store, "a/file", "b/file"), set(), {"file"}),
                    (partial(store.mkdir, f"folder{turn}"), set(), {"file"}),
                    (partial(store.remove, "b/file"), set(), set()),
                ]
                for change, a, b in steps:
                    change()
                    if bound:
                        self.let_time_pass(store, bound)
                    seen = self.names(other, "a"), self.names(other, "b")
                    assert seen == (a, b), f"a change was not visible after {bound} s"
                    assert other.exists("a/file") == bool(a)
                    assert other.exists("b/file") == bool(b)
                assert f"folder{turn}" in self.names(other, "")

    @pytest.mark.parametrize("target", ["a/new", "b/new"])
    def test_rename_keeps_the_mtime(self, store: Store, target: str) -> None:
        self.promised(store, "rename_keeps_mtime")
        store.mkdir("a")
        store.mkdir("b")
        store.write("a/old", b"data")
        self.make_old(store, "a/old")
        before = store.mtime("a/old")
        store.rename("a/old", target)
        assert store.mtime(target) == before
        folder, _, name = target.partition("/")
        listed = {entry.name: entry.mtime for entry in store.list(folder)}
        assert listed[name] in (None, before)
