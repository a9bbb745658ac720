"""Several callers that do the same at the same time, as threads or as processes."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple, cast

from dirjobs.check.scratch import Below
from dirjobs.errors import AmbiguousResult, StoreError
from dirjobs.store import Store

Reopen = Callable[[], Store]
"""Opens the store once more; picklable where processes race."""

_CHILD = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer);"
    " from dirjobs.check.racers import serve; serve()"
)
_SPIN = 0.0003
_STATUS = re.compile(r"\((\d{3})\)|answered with (\d{3})")


class Turn(NamedTuple):
    """What one racer does once: a verb of `Store` and its arguments."""

    verb: str
    args: tuple[str | bytes, ...]


Turns = Sequence[Turn | None]
"""What one racer does; None is a turn left out."""


class Told(NamedTuple):
    """How one turn ended.

    Attributes:
        answer: ``yes``, ``no``, or ``unknown``.
        how: the error, in two words; empty for a yes.
        began: when it was sent, in seconds on the machine's monotonic clock.
        ended: when the answer was there.
    """

    answer: str
    how: str
    began: float
    ended: float


Answers = list[Told | None]


def take_turns(store: Store, turns: Turns, start: float, period: float) -> Answers:
    """Take one turn every `period` seconds from `start` on; a late one at once."""
    told: Answers = []
    for number, turn in enumerate(turns):
        if turn is None:
            told.append(None)
            continue
        _wait_until(start + number * period)
        began = time.monotonic()
        answer, how = "yes", ""
        try:
            getattr(store, turn.verb)(*turn.args)
        except AmbiguousResult as error:
            answer, how = "unknown", _in_short(error)
        except StoreError as error:
            answer, how = "no", _in_short(error)
        told.append(Told(answer, how, began, time.monotonic()))
    return told


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


class Crew:
    """Threads, each with a store of its own.

    Args:
        stores: the scratch folder, once for each; they are closed in the end.
    """

    kind = "threads"

    def __init__(self, stores: Sequence[Store]) -> None:
        self._stores = stores
        self.size = len(stores)
        self._pool = ThreadPoolExecutor(self.size)

    def race(self, turns: Sequence[Turns], period: float) -> list[Answers]:
        """Let all take their turns, which begin at the same times.

        Args:
            turns: for each racer, as many.
            period: seconds between two turns.

        Returns:
            what each was told.
        """
        start = time.monotonic() + 0.01
        tasks = [
            self._pool.submit(take_turns, store, mine, start, period)
            for store, mine in zip(self._stores, turns, strict=True)
        ]
        return [task.result() for task in tasks]

    def share(self, turns: Sequence[Turn]) -> list[Turn]:
        """Get work done as fast as the crew can; returns what was refused."""
        longest = -(-len(turns) // self.size)
        shares: list[list[Turn | None]] = [[*turns[n :: self.size]] for n in range(self.size)]
        for mine in shares:
            mine += [None] * (longest - len(mine))
        failed = []
        for mine, told in zip(shares, self.race(shares, 0.0), strict=True):
            outcomes = zip(mine, told, strict=True)
            failed += [turn for turn, one in outcomes if turn and one and one.answer != "yes"]
        return failed

    def close(self) -> None:
        """Let them go."""
        self._pool.shutdown(cancel_futures=True)
        for store in self._stores:
            store.close()


class ProcessCrew(Crew):
    """Processes, each with a store of its own.

    Args:
        reopen: opens the store, once for each.
        folder: the scratch folder in it.

    Raises:
        StoreError: a process could not be started, or could not open the store.
    """

    kind = "processes"

    def __init__(self, reopen: Sequence[Reopen], folder: str) -> None:
        self.size = len(reopen)
        self._children: list[subprocess.Popen[bytes]] = []
        # By a pipe: a password must not be seen in a list of processes.
        letters = [pickle.dumps((each, folder)) for each in reopen]
        try:
            for letter in letters:
                child = subprocess.Popen(
                    [sys.executable, "-c", _CHILD],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is for us, who then let them go
                )
                self._children.append(child)
                assert child.stdin is not None
                child.stdin.write(pickle.dumps(sys.path) + letter)
                child.stdin.flush()
            for child in self._children:
                _answer(child)
        except BaseException:
            self.close()
            raise

    def race(self, turns: Sequence[Turns], period: float) -> list[Answers]:
        start = time.monotonic() + 0.02
        for child, mine in zip(self._children, turns, strict=True):
            assert child.stdin is not None
            pickle.dump((mine, start, period), child.stdin)
            child.stdin.flush()
        return [cast("Answers", _answer(child)) for child in self._children]

    def close(self) -> None:
        for child in self._children:
            with suppress(OSError):
                child.communicate()  # the end of its input is its end


def _answer(child: subprocess.Popen[bytes]) -> object:
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
        reopen, folder = pickle.load(letters)  # noqa: S301 - our own parent's
        store = Below(reopen(), folder)
        with store:
            reply(None)
            while True:
                try:
                    turns, start, period = pickle.load(letters)  # noqa: S301
                except EOFError:
                    return
                reply(take_turns(store, turns, start, period))
    except Exception as error:  # noqa: BLE001 - told to the parent, which raises it
        reply(StoreError(f"a racing process failed ({type(error).__name__}: {error})."))
