"""SIGINT, SIGTERM and SIGHUP as an exception, or as calls of a listener."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self


class Interrupted(BaseException):
    """Somebody asked this program to end.

    Not an `Exception`, as KeyboardInterrupt isn't: a job that is interrupted did not fail.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """What shells expect: 130 after SIGINT, 143 after SIGTERM."""
        return 128 + self.number


class Interruption:
    """Turns SIGINT, SIGTERM and SIGHUP into `Interrupted`, raised in the main thread.

    Used as a context manager.  SIGHUP stays ignored where it was (nohup).
    """

    def __init__(self) -> None:
        self.first: int | None = None
        """The signal that came first."""
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
        return self

    def __exit__(self, *error: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _arrived(self, number: int, _frame: FrameType | None) -> None:
        self.first = self.first or number
        if self._listener is not None:
            self._listener(number)
        elif self._patience:
            self._patience -= 1
        else:
            raise Interrupted(self.first)

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
            raise Interrupted(self.first)

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
