"""Races: what several callers were told, and what is true afterwards."""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from dirjobs.check.racers import Crew, Told, Turn
from dirjobs.errors import NotFound, StoreError
from dirjobs.protocol.look import differ
from dirjobs.store import Entry, Store

_CHUNK = 25
_FIRST_CHUNK = 8
_LATE = 1.0
_SHORTEST = 0.001
_READ = 20

Progress = Callable[[float], None]
"""Is told which part of a task is done, from 0 to 1."""


@dataclass
class Race:
    """What came of racing for one promise.

    Attributes:
        rounds: how often it was tried.
        contested: in how many rounds at least two callers were at it at the same time.
        failures: what went wrong in how many rounds, by what it was.
        example: one failed round in detail.
        losers: how often losers were told what.
        unanswered: rounds in which who has it was told that nobody knows.
    """

    rounds: int = 0
    contested: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    example: str = ""
    losers: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0
    failed: int = 0

    @property
    def holds(self) -> bool:
        """Whether no round failed, and at least one was contested."""
        return self.contested > 0 and not self.failed

    @property
    def bound(self) -> float | None:
        """What part of all rounds may fail, at most, with 95 % confidence; None if some did.

        The rule of three: after n rounds without a failure it is 3/n.
        """
        return min(1.0, 3 / self.contested) if self.holds else None

    def note(self, faults: Sequence[str], story: str) -> None:
        """Take in what was wrong with one round."""
        self.failures.update(faults)
        self.failed += bool(faults)
        if faults and not self.example:
            self.example = story

    def to_json(self) -> dict[str, object]:
        return {
            "rounds": self.rounds,
            "contested": self.contested,
            "failed": self.failed,
            "bound": self.bound,
            "failures": dict(self.failures),
            "example": self.example,
            "losers": dict(self.losers),
            "unanswered_winners": self.unanswered,
        }


class Track:
    """The place of races in the scratch folder, and the crew that runs them.

    Args:
        here: the scratch folder.
        crew: who races.
        tag: what every name has to contain.
        lag: seconds after which a listing shows what is true.
    """

    def __init__(self, here: Store, crew: Crew, tag: str, lag: float) -> None:
        self.here, self.crew, self.tag, self.lag = here, crew, tag, lag

    def rename(self, src: str, dst: str, rounds: int, seconds: float, progress: Progress) -> Race:
        """Race for files: each caller renames one source to a name of its own.

        Args:
            src: the folder of the sources; made here.
            dst: the folder of the destinations; may be the same.
            rounds: how many contested ones are wanted; at most twice as many are run.
            seconds: after these no further rounds are begun.
            progress: is told how far it is.
        """
        for folder in dict.fromkeys((src, dst)):
            self.here.mkdir(folder)

        def source(turn: int) -> str:
            return f"{src}/j{turn}.{self.tag}"

        def begin(first: int, count: int) -> None:
            turns = range(first, first + count)
            self.share([Turn("write", (source(t), content(f"j{t}"))) for t in turns])

        def target(racer: int, turn: int) -> str:
            return f"w{racer}.j{turn}.{self.tag}"

        def turn_of(racer: int, turn: int) -> Turn:
            return Turn("rename", (source(turn), f"{dst}/{target(racer, turn)}"))

        with _watching(self.here, dst) as seen:
            told = self._run(begin, turn_of, rounds, seconds, progress)
        time.sleep(self.lag)
        left = self._entries(dst)
        sources = left if src == dst else self._entries(src)
        race = Race()
        for number, answers in enumerate(told):
            names = [target(racer, number) for racer in range(self.crew.size)]
            there = [racer for racer, name in enumerate(names) if name in left]
            ghosts = [r for r, name in enumerate(names) if name in seen and r not in there]
            data = content(f"j{number}")
            torn = [r for r in there if differ(left[names[r]].size, len(data))]
            source_left = f"j{number}.{self.tag}" in sources
            faults = [*_faults(answers, there, ghosts, source_left=source_left)]
            faults += ["a copy is torn or empty"] * bool(torn)
            if not torn and there and (faults or number < _READ):
                faults += self._misread(f"{dst}/{names[there[0]]}", data)
            _count(race, answers, there)
            race.note(faults, f"told {_story(answers)}; there: {len(there)} of {len(names)} names")
        return race

    def share(self, turns: Sequence[Turn]) -> None:
        """Get work done by the whole crew, as fast as it can.

        Raises:
            StoreError: the share refuses.
        """
        for verb, args in self.crew.share(turns):
            getattr(self.here, verb)(*args)  # which tries more than once, and says why not

    def _misread(self, path: str, expected: bytes) -> list[str]:
        try:
            return [] if self.here.read(path) == expected else ["the content was changed"]
        except NotFound:
            return ["a file that is listed can't be read"]

    def mkdir(self, folder: str, rounds: int, seconds: float, progress: Progress) -> Race:
        """Race for folders: all make one of the same name."""
        self.here.mkdir(folder)
        told = self._run(
            None,
            lambda _, turn: Turn("mkdir", (f"{folder}/d{turn}.{self.tag}",)),
            rounds,
            seconds,
            progress,
        )
        race = Race()
        for answers in told:
            yes = [one.answer for one in answers].count("yes")
            _count(race, answers, [r for r, one in enumerate(answers) if one.answer == "yes"])
            faults = ["several were told that they made one folder"] * (yes > 1)
            race.note(faults, f"told {_story(answers)}")
        return race

    def write(self, folder: str, rounds: int, seconds: float, progress: Progress) -> Race:
        """Race for one name: all write it, each something else.  What is there afterwards
        must be what one of them wrote."""
        self.here.mkdir(folder)

        def written(racer: int, turn: int) -> bytes:
            return content(f"w{racer}.{turn}")

        told = self._run(
            None,
            lambda racer, turn: Turn(
                "write", (f"{folder}/f{turn}.{self.tag}", written(racer, turn))
            ),
            rounds,
            seconds,
            progress,
        )
        race = Race()
        for number, answers in enumerate(told):
            _count(race, answers, [r for r, one in enumerate(answers) if one.answer == "yes"])
            possible = {written(racer, number) for racer in range(self.crew.size)}
            faults = []
            with suppress(NotFound):
                if self.here.read(f"{folder}/f{number}.{self.tag}") not in possible:
                    faults = ["what was written at once is mixed or torn"]
            race.note(faults, f"told {_story(answers)}")
        return race

    def _entries(self, folder: str) -> dict[str, Entry]:
        return {entry.name: entry for entry in self.here.list(folder)}

    def _run(
        self,
        begin: Callable[[int, int], None] | None,
        turn_of: Callable[[int, int], Turn],
        rounds: int,
        seconds: float,
        progress: Progress,
    ) -> list[list[Told]]:
        """What each was told, by round: until so many rounds were contested, or for as
        long as there is time."""
        told: list[list[Told]] = []
        until = time.monotonic() + seconds
        late = self.lag > _LATE
        period, chunk, contested = 0.02, rounds if late else min(_FIRST_CHUNK, rounds), 0
        racers = range(self.crew.size)
        while contested < rounds and len(told) < 2 * rounds:
            if told and (late or time.monotonic() > until):
                break
            first, last = len(told), len(told) + chunk
            if begin is not None:
                begin(first, chunk)
                time.sleep(self.lag)  # until everybody can see what they race for
            turns = [[turn_of(racer, turn) for turn in range(first, last)] for racer in racers]
            answers = self.crew.race(turns, period)
            latest = [[one for one in each if one] for each in zip(*answers, strict=True)]
            told += latest
            contested += sum(map(is_contested, latest))
            # The next begin when the slowest of these have mostly ended: not later, for
            # nobody else waits either, nor earlier, or the callers fall out of step.
            took = [max(t.ended for t in each) - min(t.began for t in each) for each in latest]
            period = max(_SHORTEST, 1.2 * statistics.quantiles([*took, *took], n=10)[8])
            chunk = min(_CHUNK, max(1, rounds - contested))
            progress(min(1.0, contested / rounds))
        return told


def is_contested(answers: Sequence[Told]) -> bool:
    """Whether at least two calls of a round were under way at the same time."""
    first_end = min(one.ended for one in answers)
    return sum(one.began < first_end for one in answers) > 1


def content(name: str) -> bytes:
    """Some kilobytes that tell what they are."""
    return f"the whole content of {name} | ".encode() * 40


def _faults(
    answers: Sequence[Told], there: Sequence[int], ghosts: Sequence[int], *, source_left: bool
) -> Iterator[str]:
    winners = [racer for racer, one in enumerate(answers) if one.answer == "yes"]
    if len(winners) > 1:
        yield "several were told yes"
    if len(there) > 1:
        yield "several have a copy"
    if any(racer not in there for racer in winners):
        yield "who was told yes has nothing"
    if any(answers[racer].answer == "no" for racer in there):
        yield "who was told no has it"
    if ghosts:
        yield "a loser's copy was seen for a while"
    if there and source_left:
        yield "the source is there as well"
    if not there and not source_left:
        yield "the file is lost"


def _count(race: Race, answers: Sequence[Told], winners: Sequence[int]) -> None:
    race.rounds += 1
    race.contested += bool(winners) and is_contested(answers)
    race.losers.update(one.how or "yes" for r, one in enumerate(answers) if r not in winners)
    race.unanswered += any(answers[r].answer == "unknown" for r in winners)


def _story(answers: Sequence[Told]) -> str:
    return ", ".join(one.how or "yes" for one in answers)


@contextmanager
def _watching(here: Store, folder: str) -> Iterator[set[str]]:
    """Collects the names that a folder shows meanwhile: a copy may come and go."""
    seen: set[str] = set()
    stop = threading.Event()
    store = here.another()

    def look() -> None:
        pause = 0.0
        while not stop.wait(pause):
            began = time.monotonic()
            with suppress(StoreError):  # the listing that counts is made afterwards
                seen.update(entry.name for entry in store.list(folder))
            pause = 5 * (time.monotonic() - began)  # the racers need the server too

    thread = threading.Thread(target=look, name="dirjobs-check", daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()
        store.close()
