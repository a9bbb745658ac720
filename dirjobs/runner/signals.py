"""SIGINT, SIGTERM, SIGHUP and the end of a console: an exception, or calls of a listener."""

from __future__ import annotations

import _thread
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from types import FrameType
from typing import Self

from dirjobs import threads
from dirjobs.runner.console_events import ConsoleEvents


class Interrupted(BaseException):
    """Somebody asked this program to end.

    Not an `Exception`, as KeyboardInterrupt isn't: a job that is interrupted did not fail.
    """

    def __init__(self, number: int, name: str = "") -> None:
        super().__init__(name or signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """What shells expect: 130 after SIGINT, 143 after SIGTERM."""
        return 128 + self.number


class Interruption:
    """Turns SIGINT, SIGTERM and SIGHUP into `Interrupted`, raised in the main thread; on Windows
    also Ctrl-Break, and that the console is closed.

    Used as a context manager.  SIGHUP stays ignored where it was (nohup).
    """

    def __init__(self) -> None:
        self.first: int | None = None
        """The signal that came first."""
        self.last_seconds = ""
        """Why the system ends this process in some seconds; empty if it does not."""
        self._console = ConsoleEvents(self._console_ends)
        self._patience = 0
        self._listener: Callable[[int], None] | None = None
        self._before: dict[int, signal.Handlers] = {}

    def __enter__(self) -> Self:
        for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
            number = getattr(signal, name, None)
            if number is None:
                continue
            before = signal.getsignal(number)
            if name == "SIGHUP" and before is signal.SIG_IGN:
                continue
            self._before[number] = before  # type: ignore[assignment]
            signal.signal(number, self._arrived)
        self._console.begin()
        return self

    def __exit__(self, *error: object) -> None:
        self._console.end()
        for number, before in self._before.items():
            signal.signal(number, before)

    def _arrived(self, number: int, _frame: FrameType | None) -> None:
        self.first = self.first or number
        if self._listener is not None:
            self._listener(number)
        elif self._patience:
            self._patience -= 1
        else:
            raise self.interrupted(self.first)

    def _console_ends(self, name: str) -> None:
        if sys.platform == "win32":
            self.last_seconds = name
            _thread.interrupt_main(signal.SIGBREAK)

    def interrupted(self, otherwise: int = signal.SIGTERM) -> Interrupted:
        """What is to be raised; `otherwise` is the signal that it names if none came."""
        return Interrupted(self.first or otherwise, self.last_seconds)

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Let a short step end first: one signal is only noted, the next one raises.

        Follow it with `check` where going on would be wrong.
        """
        self._patience = 1
        try:
            yield
        finally:
            self._patience = 0

    def check(self) -> None:
        """Raise `Interrupted` if a signal came."""
        if self.first is not None:
            raise self.interrupted()

    @contextmanager
    def told_to(self, listener: Callable[[int], None]) -> Iterator[None]:
        """For a block, call `listener` with each signal's number instead of raising.

        It is called in the main thread at any moment, so it may do little: a
        `queue.SimpleQueue` may be put into.
        """
        self._listener = listener
        try:
            yield
        finally:
            self._listener = None


def interrupt_at_the_end_of(file: int) -> None:
    """Be interrupted, as by SIGTERM, when the other end of a pipe is closed: whoever has it has
    ended, however that came.

    Args:
        file: the number of an open file that nobody else reads.

    Raises:
        OSError: this machine has no room for another thread.
    """

    def read() -> None:
        while os.read(file, 1 << 16):
            pass
        _thread.interrupt_main(signal.SIGTERM)

    threads.start(Thread(target=read, name="dirjobs-parent", daemon=True))
