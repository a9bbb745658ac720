"""Many callers at once, as threads or as processes, and what each was told."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import NamedTuple, Protocol, cast

from dirjobs.errors import AmbiguousResult, StoreError
from dirjobs.store import Store

Move = Callable[[Store, int, int], None]
"""What racer number `racer` does in round number `turn`; picklable for processes."""

WAIT = 60.0
"""Seconds after which a race that doesn't come to an end is an error."""


class _Receiver(Protocol):
    def poll(self, timeout: float) -> bool: ...
    def recv(self) -> object: ...


class Told(NamedTuple):
    """How a racer's call ended: ``yes``, ``unknown`` or ``no``, and the error's name."""

    answer: str
    error: str = ""


def attempt(move: Move, store: Store, racer: int, turn: int) -> Told:
    try:
        move(store, racer, turn)
    except AmbiguousResult as error:
        return Told("unknown", repr(error))
    except StoreError as error:
        return Told("no", repr(error))
    return Told("yes")


def race_threads(stores: Sequence[Store], rounds: int, move: Move) -> list[list[Told]]:
    """What each thread, with a store of its own, was told: one list per round.

    The threads start each round together.
    """
    start = threading.Barrier(len(stores))

    def run(racer: int) -> list[Told]:
        told = []
        try:
            for turn in range(rounds):
                start.wait(WAIT)
                told.append(attempt(move, stores[racer], racer, turn))
        except BaseException:
            start.abort()  # the others would wait for us
            raise
        return told

    with ThreadPoolExecutor(len(stores)) as pool:
        racers = [pool.submit(run, number) for number in range(len(stores))]
    _raise_the_cause([racer.exception() for racer in racers])
    return _by_round([racer.result() for racer in racers])


def race_processes(
    reopen: Callable[[], Store], racers: int, rounds: int, move: Move
) -> list[list[Told]]:
    """What each process was told: one list per round.

    The processes start together and then run freely; losing is quicker than winning, so
    they meet at most rounds.
    """
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(racers)
    running = []
    for racer in range(racers):
        here, there = context.Pipe(duplex=False)
        process = context.Process(
            target=_run_process, args=(reopen, racer, rounds, move, start, there), daemon=True
        )
        process.start()
        there.close()
        running.append((process, here))
    try:
        told = [_answer_of(here, racer, start) for racer, (_, here) in enumerate(running)]
    finally:
        for process, here in running:
            here.close()
            process.join(1)
            if process.is_alive():
                process.kill()
                process.join()
    return _by_round(_all_told(told))


def _run_process(
    reopen: Callable[[], Store],
    racer: int,
    rounds: int,
    move: Move,
    start: Barrier,
    result: Connection,
) -> None:
    try:
        with reopen() as store:
            start.wait(WAIT)
            told: object = [attempt(move, store, racer, turn) for turn in range(rounds)]
    except BaseException as error:
        start.abort()  # the others would wait for us
        result.send(f"{type(error).__name__}: {error}")
        raise
    result.send(told)


def _answer_of(here: _Receiver, racer: int, start: Barrier) -> object:
    """What the racer has sent; a sentence if that is not what it was told."""
    if not here.poll(2 * WAIT):
        start.abort()
        return f"racer {racer} didn't come to an end"
    try:
        told = here.recv()
    except EOFError:
        start.abort()  # the others would wait for it
        told = "it was killed"
    return f"racer {racer} died: {told}" if isinstance(told, str) else told


def _all_told(answers: list[object]) -> list[list[Told]]:
    died = [answer for answer in answers if isinstance(answer, str)]
    causes = [answer for answer in died if threading.BrokenBarrierError.__name__ not in answer]
    for answer in causes or died:
        raise AssertionError(answer)
    return cast("list[list[Told]]", answers)


def _raise_the_cause(errors: list[BaseException | None]) -> None:
    raised = [error for error in errors if error is not None]
    causes = [error for error in raised if not isinstance(error, threading.BrokenBarrierError)]
    for error in causes or raised:
        raise error


def _by_round(by_racer: list[list[Told]]) -> list[list[Told]]:
    return [list(told) for told in zip(*by_racer, strict=True)]
