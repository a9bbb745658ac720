"""The future of a call."""

from __future__ import annotations

import concurrent.futures
import html
from concurrent.futures._base import CANCELLED, CANCELLED_AND_NOTIFIED, FINISHED, RUNNING
from contextlib import suppress
from typing import Any, Protocol

from dirjobs.errors import DirJobsError


class CallFailed(DirJobsError):
    """A call has ended without a value and without an exception that could be handed on: its
    process was killed, it was given up, or what it gave can't be pickled.

    Attributes:
        job: the name of the call's job.
        reason: why.
        traceback: as Python printed it where the call ran; empty if there is none.
    """

    def __init__(self, job: str, reason: str, traceback: str = "") -> None:
        super().__init__(job, reason, traceback)
        self.job = job
        self.reason = reason
        self.traceback = traceback

    def __str__(self) -> str:
        return f"call {self.job!r} failed: {self.reason}"


class RemoteTraceback(Exception):
    """The cause of an exception that a call has raised: where, and how it came to that."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._text = text

    def __str__(self) -> str:
        return self._text


class Owner(Protocol):
    """What a future asks of its executor."""

    def withdraw(self, future: Future) -> bool:
        """Take a call back that nobody has begun; False if somebody has."""

    def log_of(self, future: Future) -> str:
        """What a call has printed."""


class Future(concurrent.futures.Future[Any]):
    """What will come of a call; `concurrent.futures.Future` with a job.

    Attributes:
        job: the name of the call's job file; empty until that is known.
        host: the machine on which it ran; empty until that is known.
        seconds: how long it ran; None until that is known.
        stored: whether the value was there before, of an earlier run of the program.
    """

    def __init__(self, owner: Owner, shown: str) -> None:
        super().__init__()
        self.job = ""
        self.host = ""
        self.log_path = ""
        self.seconds: float | None = None
        self.stored = False
        self._owner = owner
        self._shown = shown

    def log(self) -> str:
        """What the call has printed, so far as that is on the share: every half minute, on a disk
        at once, and when it has ended.

        Raises:
            StoreError: the store can't be reached, or refuses.
        """
        return self._owner.log_of(self)

    def cancel(self) -> bool:
        """Take the call back, if no worker has begun it: its job goes to ``99_failed``, and is
        noted there as cancelled.

        Returns:
            whether it is cancelled.

        Raises:
            StoreError: it is not known; call it again.
        """
        with self._condition:
            if self._state in (CANCELLED, CANCELLED_AND_NOTIFIED):
                return True
            if self._state in (RUNNING, FINISHED):
                return False
        return self._owner.withdraw(self) and self.be_cancelled()

    def be_cancelled(self) -> bool:
        """It was cancelled, by whomever."""
        with self._condition:
            if self._state == RUNNING:  # by another program: this one has seen it at work
                self._state = "PENDING"
        if not super().cancel():
            return False
        with self._condition:
            if self._state == CANCELLED:  # and no other thread has told those who wait
                self.set_running_or_notify_cancel()
        return True

    def be_running(self) -> None:
        """A worker has begun it."""
        with self._condition:
            if self._state in (CANCELLED, CANCELLED_AND_NOTIFIED, RUNNING, FINISHED):
                return
        with suppress(RuntimeError):  # it was cancelled, or has ended, at this moment
            self.set_running_or_notify_cancel()

    def be_done(self, values: list[Any]) -> None:
        """It has a value: the last of `values`, which is taken from there, so that nobody holds it
        any more but whoever asks for it."""
        self.be_running()
        with suppress(concurrent.futures.InvalidStateError):  # it was cancelled at this moment
            self.set_result(values.pop())

    def be_failed(self, error: BaseException) -> None:
        """It has an exception."""
        self.be_running()
        with suppress(concurrent.futures.InvalidStateError):
            self.set_exception(error)

    def __repr__(self) -> str:
        return f"<Future of {self._shown}: {self._words()}>"

    def _words(self) -> str:
        with self._condition:
            state = str(self._state).lower().replace("cancelled_and_notified", "cancelled")
        if state == "finished":
            state = "done" if self.exception() is None else "failed"
        where = f" on {self.host}" if self.host else ""
        took = "" if self.seconds is None else f" in {self.seconds:.3g} s"
        return f"{state}{took}{where}"

    def _repr_html_(self) -> str:
        words = html.escape(self._words())
        why = ""
        if self.done() and not self.cancelled() and (error := self.exception()) is not None:
            told = html.escape(f"{type(error).__name__}: {error}")
            why = f"<br><span style='color:#b3261e'>{told}</span>"
        job = f"<br><small>{html.escape(self.job)}</small>" if self.job else ""
        return f"<div><code>{html.escape(self._shown)}</code> {words}{why}{job}</div>"
