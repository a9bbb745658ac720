"""Each promise of `Guarantees`, raced.  A promise not made is skipped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Self

import pytest

from dirjobs.store import Store
from dirjobs.testing.conformance.base import Base, Reopen
from dirjobs.testing.racing import Told, race_processes, race_threads

Place = Callable[[int, int], str]


def move_across(store: Store, racer: int, turn: int) -> None:
    store.rename(f"from/job{turn}", f"to/w{racer}.job{turn}")


def move_inside(store: Store, racer: int, turn: int) -> None:
    store.rename(f"from/job{turn}", f"from/~w{racer}.job{turn}")


def move_to_one(store: Store, racer: int, turn: int) -> None:
    store.rename(f"from/w{racer}.job{turn}", f"to/job{turn}")


def make_folder(store: Store, racer: int, turn: int) -> None:  # noqa: ARG001
    store.mkdir(f"to/folder{turn}")


def content(name: str) -> bytes:
    return f"the whole content of {name} | ".encode() * 40


class RaceTests(Base):
    """The rules of a race: whoever is told yes has it, at most one is told yes, and who is
    told no has nothing.  Who is told that nobody knows (AmbiguousResult) may have it."""

    def promised(self, store: Store, promise: str) -> None:
        if not getattr(store.guarantees, promise):
            pytest.skip(f"the store doesn't promise {promise}")

    @contextmanager
    def racers(self, store: Store) -> Iterator[list[Store]]:
        with ExitStack() as stack:
            yield [stack.enter_context(store.another()) for _ in range(self.RACERS)]

    def prepare(self, store: Store, sources: list[str]) -> None:
        store.mkdir("from")
        store.mkdir("to")
        for name in sources:
            store.write(f"from/{name}", content(name))

    # -- one source, many destinations ---------------------------------------------------

    def test_atomic_rename_raced_by_threads(self, store: Store) -> None:
        self.promised(store, "atomic_rename")
        self.prepare(store, [f"job{turn}" for turn in range(self.ROUNDS)])
        with self.racers(store) as stores, _Watch(store, "to") as watch:
            told = race_threads(stores, self.ROUNDS, move_across)
        self.one_winner(store, told, "to", "w{}.job{}", watch.seen)

    def test_atomic_rename_raced_by_processes(self, store: Store, reopen: Reopen | None) -> None:
        self.promised(store, "atomic_rename")
        told = self._processes(store, reopen, move_across)
        self.one_winner(store, told, "to", "w{}.job{}")

    def test_atomic_rename_in_folder_raced_by_threads(self, store: Store) -> None:
        self.promised(store, "atomic_rename_in_folder")
        self.prepare(store, [f"job{turn}" for turn in range(self.ROUNDS)])
        with self.racers(store) as stores, _Watch(store, "from") as watch:
            told = race_threads(stores, self.ROUNDS, move_inside)
        self.one_winner(store, told, "from", "~w{}.job{}", watch.seen)

    def test_atomic_rename_in_folder_raced_by_processes(
        self, store: Store, reopen: Reopen | None
    ) -> None:
        self.promised(store, "atomic_rename_in_folder")
        told = self._processes(store, reopen, move_inside)
        self.one_winner(store, told, "from", "~w{}.job{}")

    def _processes(
        self, store: Store, reopen: Reopen | None, move: Callable[[Store, int, int], None]
    ) -> list[list[Told]]:
        if reopen is None:
            pytest.skip("nobody else can reach this store")
        self.prepare(store, [f"job{turn}" for turn in range(self.PROCESS_ROUNDS)])
        return race_processes(reopen, self.PROCESSES, self.PROCESS_ROUNDS, move)

    def one_winner(
        self,
        store: Store,
        told: list[list[Told]],
        folder: str,
        pattern: str,
        seen: frozenset[str] = frozenset(),
    ) -> None:
        left = self.names(store, folder)
        sources = self.names(store, "from")
        for turn, answers in enumerate(told):
            names = [pattern.format(racer, turn) for racer in range(len(answers))]
            there = [racer for racer, name in enumerate(names) if name in left]
            appeared = [racer for racer, name in enumerate(names) if name in left | seen]
            winners = [racer for racer, answer in enumerate(answers) if answer.answer == "yes"]
            story = f"round {turn}: told {answers}, there {there}, appeared {appeared}"
            assert len(winners) <= 1, f"several were told yes: {story}"
            assert len(there) == 1, f"not exactly one name is there: {story}"
            assert there == appeared, f"a loser's name appeared: {story}"
            assert answers[there[0]].answer != "no", f"who has it was told no: {story}"
            assert winners in ([], there), f"who was told yes has nothing: {story}"
            assert f"job{turn}" not in sources, f"the source is still there: {story}"
            whole = store.read(f"{folder}/{names[there[0]]}") == content(f"job{turn}")
            assert whole, f"the bytes changed: {story}"

    # -- many sources, one destination ---------------------------------------------------

    def test_no_replace_raced_by_threads(self, store: Store) -> None:
        self.promised(store, "no_replace")
        turns = range(self.ROUNDS)
        self.prepare(store, [f"w{r}.job{t}" for r in range(self.RACERS) for t in turns])
        with self.racers(store) as stores:
            told = race_threads(stores, self.ROUNDS, move_to_one)
        sources = self.names(store, "from")
        for turn, answers in enumerate(told):
            result = store.read(f"to/job{turn}")
            for racer, answer in enumerate(answers):
                name = f"w{racer}.job{turn}"
                story = f"round {turn}: told {answers}"
                if result == content(name):
                    assert answer.answer != "no", f"who got through was told no: {story}"
                    assert name not in sources, f"the winner is still there as well: {story}"
                else:
                    assert answer.answer != "yes", f"who was told yes was replaced: {story}"
                    assert name in sources, f"a loser's file is lost: {story}"
                    assert store.read(f"from/{name}") == content(name)
            assert result in {content(f"w{racer}.job{turn}") for racer in range(len(answers))}

    def test_exclusive_mkdir_raced_by_threads(self, store: Store) -> None:
        self.promised(store, "exclusive_mkdir")
        self.prepare(store, [])
        with self.racers(store) as stores:
            told = race_threads(stores, self.ROUNDS, make_folder)
        for turn, answers in enumerate(told):
            yes = [answer.answer for answer in answers].count("yes")
            unknown = [answer.answer for answer in answers].count("unknown")
            assert yes == 1 or (yes == 0 and unknown), f"round {turn}: told {answers}"
            assert store.exists(f"to/folder{turn}")

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
                    (partial(store.rename, "a/file", "b/file"), set(), {"file"}),
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

    def test_mtimes_are_as_precise_as_promised(self, store: Store) -> None:
        precision = store.guarantees.mtime_precision
        if precision is None:
            pytest.skip("the store promises no mtime_precision")
        for _ in range(3):
            store.write("first", b"1")
            self.let_time_pass(store, precision)
            store.write("second", b"2")
            assert store.mtime("second") > store.mtime("first")


class _Watch:
    """Collects every name that a folder ever shows meanwhile."""

    def __init__(self, store: Store, folder: str) -> None:
        self._store, self._folder = store.another(), folder
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.seen: frozenset[str] = frozenset()

    def _look(self) -> None:
        while not self._stop.is_set():
            self.seen |= {entry.name for entry in self._store.list(self._folder)}
            self._stop.wait(0.001)  # the racers need the processor too

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._store.close()
