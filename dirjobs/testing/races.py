"""Races: several callers do the same at the same moment; then a look at what is true.

`StoreTests` races the promises of a backend with it, ``dirjobs check`` those of a share.
"""

from __future__ import annotations

import pickle
import re
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, cast

from dirjobs.errors import AmbiguousResult, NotFound, StoreError
from dirjobs.store import Entry, Store

Reopen = Callable[[], Store]
"""Opens the store once more; picklable where processes race."""

Progress = Callable[[float], None]
"""Is told which part of a task is done, from 0 to 1."""

_CHILD = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer);"
    " from dirjobs.testing.races import serve; serve()"
)
_LONGEST = 600.0  # seconds; processes that race for longer are killed
_SPIN = 0.0003  # seconds before a move in which a racer no longer sleeps
_STATUS = re.compile(r"\((\d{3})\)|answered with (\d{3})")
_CHUNK, _FIRST_CHUNK = 25, 8  # rounds between two looks at the time
_SHORTEST, _FIRST_PERIOD = 0.001, 0.02  # seconds from one move to the next
_LATE = 1.0  # with a longer lag all rounds are run at once
_READ = 20  # files that a gentle track reads again


class Move(NamedTuple):
    """What one racer does once: a verb of `Store` and its arguments."""

    verb: str
    args: tuple[str | bytes, ...]


class Answer(NamedTuple):
    """How one move ended.

    Attributes:
        said: ``yes``, ``no``, or ``unknown``.
        error: in two words; empty for a yes.
        began: when it was sent, in seconds on the machine's monotonic clock.
        ended: when the answer was there.
    """

    said: str
    error: str
    began: float
    ended: float


# -- who races ---------------------------------------------------------------------------


class Racers(Protocol):
    """Callers, each with a store of its own; they are let go by `close`.

    Attributes:
        kind: ``threads`` or ``processes``.
        size: how many.
    """

    kind: str
    size: int

    def race(self, moves: Sequence[Sequence[Move]], period: float) -> list[list[Answer]]:
        """Let each racer make its moves, all at the same moments.

        Args:
            moves: of each racer.
            period: seconds between two moves of one racer.
        """

    def close(self) -> None: ...


class ThreadRacers:
    """Threads.

    Args:
        stores: one for each; closed in the end.
    """

    kind = "threads"

    def __init__(self, stores: Sequence[Store]) -> None:
        self._stores, self.size = stores, len(stores)
        self._pool = ThreadPoolExecutor(self.size)

    def race(self, moves: Sequence[Sequence[Move]], period: float) -> list[list[Answer]]:
        start = time.monotonic() + 0.01
        tasks = [
            self._pool.submit(_make_moves, store, mine, start, period)
            for store, mine in zip(self._stores, moves, strict=True)
        ]
        return [task.result() for task in tasks]

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        for store in self._stores:
            store.close()


class ProcessRacers:
    """Processes.

    Args:
        reopen: opens the store, once for each.

    Raises:
        StoreError: a process could not be started, or could not open the store.
    """

    kind = "processes"

    def __init__(self, reopen: Sequence[Reopen]) -> None:
        self.size = len(reopen)
        self._children: list[subprocess.Popen[bytes]] = []
        # By a pipe: a password must not be seen in a list of processes.
        letters = [pickle.dumps(sys.path) + pickle.dumps(each) for each in reopen]
        try:
            for letter in letters:
                child = _start()
                self._children.append(child)
                _send(child, letter)
            self._received()
        except BaseException:
            self.close()
            raise

    def race(self, moves: Sequence[Sequence[Move]], period: float) -> list[list[Answer]]:
        start = time.monotonic() + 0.02
        for child, mine in zip(self._children, moves, strict=True):
            _send(child, pickle.dumps((mine, start, period)))
        return cast("list[list[Answer]]", self._received())

    def _received(self) -> list[object]:
        """What each has sent."""
        killer = threading.Timer(_LONGEST, self._kill)
        killer.start()
        try:
            return [_receive(child) for child in self._children]
        finally:
            killer.cancel()

    def _kill(self) -> None:
        for child in self._children:
            child.kill()

    def close(self) -> None:
        for child in self._children:
            with suppress(OSError):
                child.communicate()  # the end of its input is its end


def _start() -> subprocess.Popen[bytes]:
    try:
        # We may be in a folder of a queue, where others put files: no module is one.
        return subprocess.Popen(
            [sys.executable, "-P", "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us, who then let them go
        )
    except OSError as error:
        raise StoreError(f"a process for a race can't be started ({error.strerror})") from error


def _send(child: subprocess.Popen[bytes], letter: bytes) -> None:
    assert child.stdin is not None
    child.stdin.write(letter)
    child.stdin.flush()


def _receive(child: subprocess.Popen[bytes]) -> object:
    assert child.stdout is not None
    try:
        answer = pickle.load(child.stdout)  # noqa: S301 - our own child's
    except EOFError:
        raise StoreError(f"a racing process ended with code {child.wait()}.") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def serve() -> None:
    """Be one of the processes."""
    letters, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr

    def reply(answer: object) -> None:
        pickle.dump(answer, answers)
        answers.flush()

    try:
        with pickle.load(letters)() as store:  # noqa: S301 - our own parent's
            reply(None)
            while True:
                try:
                    moves, start, period = pickle.load(letters)  # noqa: S301
                except EOFError:
                    return
                reply(_make_moves(store, moves, start, period))
    except Exception as error:  # noqa: BLE001 - told to the parent, which raises it
        reply(StoreError(f"a racing process failed ({type(error).__name__}: {error})."))


def _make_moves(store: Store, moves: Sequence[Move], start: float, period: float) -> list[Answer]:
    """Make one move every `period` seconds from `start` on; a late one at once."""
    answers = []
    for number, move in enumerate(moves):
        _wait_until(start + number * period)
        began = time.monotonic()
        said, error = "yes", ""
        try:
            getattr(store, move.verb)(*move.args)
        except AmbiguousResult as raised:
            said, error = "unknown", _in_short(raised)
        except StoreError as raised:
            said, error = "no", _in_short(raised)
        answers.append(Answer(said, error, began, time.monotonic()))
    return answers


def _wait_until(moment: float) -> None:
    left = moment - time.monotonic()
    if left > _SPIN:
        time.sleep(left - _SPIN)
    while time.monotonic() < moment:
        pass  # a sleep ends too late by more than a local rename takes


def _in_short(error: StoreError) -> str:
    status = _STATUS.search(str(error))
    name = type(error).__name__
    return f"{name} ({status[1] or status[2]})" if status else name


# -- what came of it ---------------------------------------------------------------------


@dataclass
class Race:
    """What came of racing for one promise.

    Attributes:
        rounds: how often it was tried.
        contested: in how many rounds at least two callers were at it at the same time.
        won: in how many rounds somebody has it.
        failed: in how many rounds something went wrong.
        failures: in how many rounds each thing went wrong.
        losers: how often losers were told what.
        example: one failed round in detail.
    """

    rounds: int = 0
    contested: int = 0
    won: int = 0
    failed: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    losers: Counter[str] = field(default_factory=Counter)
    example: str = ""

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

    def note(self, answers: Sequence[Answer], winners: Sequence[int], faults: list[str]) -> None:
        """Take in one round.

        Args:
            answers: of each racer.
            winners: the racers that have it.
            faults: what is wrong with it.
        """
        self.rounds += 1
        self.contested += bool(winners) and is_contested(answers)
        self.won += bool(winners)
        self.losers.update(one.error or "yes" for r, one in enumerate(answers) if r not in winners)
        self.failures.update(faults)
        self.failed += bool(faults)
        if faults and not self.example:
            said = ", ".join(one.error or "yes" for one in answers)
            self.example = f"round {self.rounds}: told {said}; racers {[*winners]} have it"

    def to_json(self) -> dict[str, object]:
        return {
            "rounds": self.rounds,
            "contested": self.contested,
            "failed": self.failed,
            "bound": self.bound,
            "failures": dict(self.failures),
            "losers": dict(self.losers),
        }


def is_contested(answers: Sequence[Answer]) -> bool:
    """Whether at least two calls of a round were under way at the same time."""
    first_end = min(one.ended for one in answers)
    return sum(one.began < first_end for one in answers) > 1


def content(name: str) -> bytes:
    """Some kilobytes that tell what they are."""
    return f"the whole content of {name} | ".encode() * 40


class RaceTrack:
    """Where races are run.

    The rules: whoever is told yes has it, at most one is told yes, and who is told no has
    nothing.  Who is told that nobody knows (`AmbiguousResult`) may have it.

    Args:
        here: the folder.
        racers: who races.
        tag: what every name contains.
        lag: seconds after which a listing shows what is true.
        thorough: read every file afterwards and list without a rest, not as gently as
            somebody's server may expect.
    """

    def __init__(
        self, here: Store, racers: Racers, tag: str, *, lag: float = 0.0, thorough: bool = False
    ) -> None:
        self.here, self.racers, self.tag, self.lag = here, racers, tag, lag
        self._thorough = thorough

    def rename(
        self,
        src: str,
        dst: str,
        rounds: int,
        seconds: float = float("inf"),
        progress: Progress = lambda _: None,
    ) -> Race:
        """Race for files: each racer claims one source under a name of its own.

        Args:
            src: the folder of the sources; made here.
            dst: the folder of the destinations; may be the same.
            rounds: how many contested ones are wanted; at most twice as many are run.
            seconds: after these no further rounds are begun.
            progress: is told how far it is.
        """
        for folder in dict.fromkeys((src, dst)):
            self.here.mkdir(folder)
        prefix = "~w" if src == dst else "w"  # as the protocol calls what it stages and claims

        def source(turn: int) -> str:
            return f"{src}/j{turn}.{self.tag}"

        def target(racer: int, turn: int) -> str:
            return f"{prefix}{racer}.j{turn}.{self.tag}"

        def prepare(turns: range) -> None:
            self.share([Move("write", (source(turn), content(f"j{turn}"))) for turn in turns])

        def move(racer: int, turn: int) -> Move:
            return Move("claim", (source(turn), f"{dst}/{target(racer, turn)}"))

        with self._seen_meanwhile(dst) as seen:
            answers = self.run(rounds, move, prepare, seconds, progress)
        time.sleep(self.lag)
        left = self._entries(dst)
        sources = left if src == dst else self._entries(src)
        race = Race()
        for turn, told in enumerate(answers):
            names = [target(racer, turn) for racer in range(self.racers.size)]
            there = [racer for racer, name in enumerate(names) if name in left]
            transient = any(name in seen and name not in left for name in names)
            source_left = f"j{turn}.{self.tag}" in sources
            faults = [*_faults(told, there, transient_copies=transient, source_left=source_left)]
            data = content(f"j{turn}")
            if any(left[names[racer]].size not in (None, len(data)) for racer in there):
                faults.append("a copy is torn or empty")
            elif there and (faults or turn < _READ or self._thorough):
                faults += self._misread(f"{dst}/{names[there[0]]}", data)
            race.note(told, there, faults)
        return race

    def replace(
        self,
        src: str,
        dst: str,
        rounds: int,
        seconds: float = float("inf"),
        progress: Progress = lambda _: None,
    ) -> Race:
        """Race for names: the racers rename a source each to one name.  Whoever is told yes has
        it, the others still have their sources, and no file is gone.

        Args:
            src: the folder of the sources; made here.
            dst: the folder of the destinations, another one; made here.
            rounds, seconds, progress: as of `rename`.
        """
        for folder in (src, dst):
            self.here.mkdir(folder)
        size = self.racers.size

        def source(racer: int, turn: int) -> str:
            return f"w{racer}.j{turn}.{self.tag}"

        def prepare(turns: range) -> None:
            names = [source(racer, turn) for turn in turns for racer in range(size)]
            self.share([Move("write", (f"{src}/{name}", content(name))) for name in names])

        def move(racer: int, turn: int) -> Move:
            return Move("rename", (f"{src}/{source(racer, turn)}", f"{dst}/j{turn}.{self.tag}"))

        answers = self.run(rounds, move, prepare, seconds, progress)
        time.sleep(self.lag)
        left, there = self._entries(src), self._entries(dst)
        race = Race()
        for turn, told in enumerate(answers):
            target = f"j{turn}.{self.tag}"
            gone = [racer for racer in range(size) if source(racer, turn) not in left]
            faults = [*_replaced(told, gone, is_there=target in there)]
            winners = gone if target in there else []
            if winners and (faults or turn < _READ or self._thorough):
                expected = [content(source(racer, turn)) for racer in winners]
                faults += self._misread(f"{dst}/{target}", *expected)
            race.note(told, winners, faults)
        return race

    def write(self, folder: str, rounds: int, seconds: float, progress: Progress) -> Race:
        """Race for one name: all write it, each something else.  What is there afterwards
        must be what one of them wrote."""
        self.here.mkdir(folder)

        def written(racer: int, turn: int) -> bytes:
            return content(f"w{racer}.{turn}")

        def move(racer: int, turn: int) -> Move:
            return Move("write", (f"{folder}/f{turn}.{self.tag}", written(racer, turn)))

        race = Race()
        for turn, told in enumerate(self.run(rounds, move, None, seconds, progress)):
            possible = {written(racer, turn) for racer in range(self.racers.size)}
            faults = []
            with suppress(NotFound):
                if self.here.read(f"{folder}/f{turn}.{self.tag}") not in possible:
                    faults = ["what was written at once is mixed or torn"]
            race.note(told, [r for r, one in enumerate(told) if one.said == "yes"], faults)
        return race

    def run(
        self,
        rounds: int,
        move: Callable[[int, int], Move],
        prepare: Callable[[range], None] | None = None,
        seconds: float = float("inf"),
        progress: Progress = lambda _: None,
    ) -> list[list[Answer]]:
        """What the racers were told, by round.

        Args:
            rounds: how many contested ones are wanted; at most twice as many are run.
            move: what a racer does in a round.
            prepare: makes what so many rounds need.
            seconds: after these no further rounds are begun.
            progress: is told how far it is.
        """
        answers: list[list[Answer]] = []
        until = time.monotonic() + seconds
        late = self.lag > _LATE
        chunk = rounds if late else min(_FIRST_CHUNK, rounds)
        period, contested = _FIRST_PERIOD, 0
        while contested < rounds and len(answers) < 2 * rounds:
            if answers and (late or time.monotonic() > until):
                break
            turns = range(len(answers), len(answers) + chunk)
            if prepare is not None:
                prepare(turns)
                time.sleep(self.lag)  # until everybody can see what they race for
            moves = [[move(racer, turn) for turn in turns] for racer in range(self.racers.size)]
            told = [[*each] for each in zip(*self.racers.race(moves, period), strict=True)]
            answers += told
            contested += sum(map(is_contested, told))
            # The next begin when the slowest of these have mostly ended: not later, for
            # nobody else waits either, nor earlier, or the racers fall out of step.
            took = [
                max(one.ended for one in each) - min(one.began for one in each) for each in told
            ]
            period = max(_SHORTEST, 1.2 * statistics.quantiles([*took, *took], n=10)[8])
            chunk = min(_CHUNK, max(1, rounds - contested))
            progress(min(1.0, contested / rounds))
        return answers

    def share(self, moves: Sequence[Move]) -> None:
        """Get work done by all racers, as fast as they can.

        Raises:
            StoreError: the share refuses.
        """
        size = self.racers.size
        shares = [moves[racer::size] for racer in range(size)]
        for mine, answers in zip(shares, self.racers.race(shares, 0.0), strict=True):
            for move, answer in zip(mine, answers, strict=True):
                if answer.said != "yes":  # `here` may try more than once, and says why not
                    getattr(self.here, move.verb)(*move.args)

    def _entries(self, folder: str) -> dict[str, Entry]:
        return {entry.name: entry for entry in self.here.list(folder)}

    def _misread(self, path: str, *expected: bytes) -> list[str]:
        try:
            return [] if self.here.read(path) in expected else ["the content was changed"]
        except NotFound:
            return ["a file that is listed can't be read"]

    @contextmanager
    def _seen_meanwhile(self, folder: str) -> Iterator[set[str]]:
        """Collects the names that a folder ever shows: a copy may come and go."""
        seen: set[str] = set()
        stop = threading.Event()
        store = self.here.another()

        def look() -> None:
            pause = 0.0
            while not stop.wait(pause):
                began = time.monotonic()
                with suppress(StoreError):  # the listing that counts is made afterwards
                    seen.update(entry.name for entry in store.list(folder))
                took = time.monotonic() - began
                pause = 0.001 if self._thorough else 5 * took  # the racers need the server too

        thread = threading.Thread(target=look, name="dirjobs-race", daemon=True)
        thread.start()
        try:
            yield seen
        finally:
            stop.set()
            thread.join()
            store.close()


def _faults(
    answers: Sequence[Answer], there: Sequence[int], *, transient_copies: bool, source_left: bool
) -> Iterator[str]:
    winners = [racer for racer, one in enumerate(answers) if one.said == "yes"]
    if len(winners) > 1:
        yield "several were told yes"
    if len(there) > 1:
        yield "several have a copy"
    if any(racer not in there for racer in winners):
        yield "who was told yes has nothing"
    if any(answers[racer].said == "no" for racer in there):
        yield "who was told no has it"
    if transient_copies:
        yield "a loser's copy was seen for a while"
    if there and source_left:
        yield "the source is there as well"
    if not there and not source_left:
        yield "the file is lost"


def _replaced(answers: Sequence[Answer], gone: Sequence[int], *, is_there: bool) -> Iterator[str]:
    """What is wrong with a round in which all wanted one name.

    Args:
        answers: of each racer.
        gone: the racers whose source is not there any more.
        is_there: whether a file has the name.
    """
    winners = [racer for racer, one in enumerate(answers) if one.said == "yes"]
    if len(winners) > 1:
        yield "several were told yes"
    if any(racer not in gone for racer in winners):
        yield "who was told yes has nothing"
    if any(answers[racer].said == "no" for racer in gone):
        yield "who was told no has it"
    if len(gone) > is_there:
        yield "a file is lost"
    if is_there and not gone:
        yield "the source is there as well"
