"""Filesystems, each with a thread that alone uses it, and a bound for each request.

fsspec's paramiko hangs when two threads share a client, and most of its libraries wait for ever
for a server that has stopped answering.  So each call is made by the thread of one filesystem,
and waited for with a time-out.  A call that is given up goes on in its thread, which nobody uses
any more, and which ends with it.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from fsspec.spec import AbstractFileSystem

from dirjobs import threads
from dirjobs.backends.fsspec.status import Late, NotConnected, is_answer
from dirjobs.errors import Unavailable

T = TypeVar("T")

Connect = Callable[[], AbstractFileSystem]
_Call = tuple["Future[Any]", Callable[[], Any]]


class Connection:
    """One filesystem and its thread; for one user at a time.

    Args:
        connect: makes the filesystem; called in the thread, at the first call.
        seconds: for each call.

    Attributes:
        broken: it is of no more use: it does not answer, or nobody knows what its answer means.

    Raises:
        OSError: this machine has no room for another thread.
    """

    def __init__(self, connect: Connect, seconds: float) -> None:
        self._connect = connect
        self._seconds = seconds
        self._filesystem: AbstractFileSystem | None = None
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self.broken = False
        # A daemon: a server that does not answer must not keep the interpreter from ending.
        threads.start(Thread(target=self._run, name="dirjobs-fsspec", daemon=True))

    def ask(self, action: Callable[[AbstractFileSystem], T]) -> T:
        """What comes of `action` on the filesystem; see `run`."""
        return self.run(lambda: action(self._connected()))

    def run(self, function: Callable[[], T]) -> T:
        """What comes of `function`, called in the thread.

        Raises:
            Late: it takes too long; it may be done yet, unless it says otherwise.
            NotConnected: there is no filesystem.
            Exception: whatever `function` raises.
        """
        future: Future[T] = Future()
        answered = False
        self._calls.put((future, function))
        try:
            done, _ = wait([future], self._seconds)
            if not done:
                raise Late(self._seconds, sent=not future.cancel())
            error = future.exception()
            answered = error is None or is_answer(error)
            return future.result()
        finally:
            self.broken = self.broken or not answered  # also by Ctrl-C, while it is waited for

    def end(self) -> None:
        """Let the thread hang up and end, when it has done what it is doing."""
        self._calls.put(None)

    def _connected(self) -> AbstractFileSystem:
        if self._filesystem is None:
            raise NotConnected("the connection was closed")
        return self._filesystem

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            self._answer(*call)
            del call  # its error knows the store, which must not live as long as this thread
        _hang_up(self._filesystem)
        self._filesystem = None

    def _answer(self, future: Future[Any], function: Callable[[], Any]) -> None:
        try:
            if self._filesystem is None:
                self._filesystem = self._connect()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            if future.set_running_or_notify_cancel():
                future.set_exception(NotConnected(error))
            return
        if not future.set_running_or_notify_cancel():
            return  # given up while we connected: surely not sent
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            future.set_exception(error)
        else:
            future.set_result(result)


def _hang_up(filesystem: AbstractFileSystem | None) -> None:
    """Close what a filesystem has opened, where it says how: paramiko's client, ftplib's."""
    for holder in (filesystem, getattr(filesystem, "client", None)):
        close = getattr(holder, "close", None)
        if callable(close):
            close()
            return


class Connections:
    """Those of one store: as many as are used at once.

    Args:
        connect: makes a filesystem.
        seconds: for each call.
    """

    def __init__(self, connect: Connect, seconds: float) -> None:
        self._connect = connect
        self._seconds = seconds
        # By process: connections, threads and event loops do not survive a fork.
        self._idle: dict[int, list[Connection]] = {}
        # Whoever forgets to close a store leaves threads, which nobody else would end.
        weakref.finalize(self, _end_all, self._idle).atexit = False

    @contextmanager
    def one(self) -> Iterator[Connection]:
        """A connection that nobody else uses meanwhile.

        Raises:
            Unavailable: this machine has no room for another thread.
        """
        idle = self._idle.setdefault(os.getpid(), [])
        try:
            connection = idle.pop()
        except IndexError:
            try:
                connection = Connection(self._connect, self._seconds)
            except OSError as error:
                raise Unavailable(str(error)) from error
        try:
            yield connection
        finally:
            if connection.broken:
                connection.end()
            else:
                idle.append(connection)

    def close(self) -> None:
        """Give back those that nobody uses."""
        _end_all(self._idle)


def _end_all(idle: dict[int, list[Connection]]) -> None:
    """End the idle connections of this process; others' are not ours to end."""
    mine = idle.pop(os.getpid(), [])
    while mine:
        mine.pop().end()
