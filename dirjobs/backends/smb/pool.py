"""The connections of a store: one for each thread, none shared with another process."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import TypeVar

from dirjobs.backends.smb import wire
from dirjobs.backends.smb.config import Config
from dirjobs.backends.smb.connection import Answer, Broken, Connection
from dirjobs.backends.smb.status import OBJECT_NAME_NOT_FOUND, SESSION_GONE, require
from dirjobs.errors import AmbiguousResult, StoreError, Unavailable

T = TypeVar("T")


class _Process:
    """The connections of one process."""

    def __init__(self) -> None:
        self.mine = threading.local()
        self._known: list[weakref.ref[Connection]] = []

    def connections(self) -> list[Connection]:
        """Of all threads that have not ended."""
        return [found for found in (known() for known in list(self._known)) if found is not None]

    def add(self, connection: Connection) -> None:
        """Make `connection` the one of this thread."""
        self._known = [*(known for known in self._known if known()), weakref.ref(connection)]
        self.mine.connection = connection


class Pool:
    """Sends requests over the calling thread's own connection, made when first needed."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.timeout = config.timeout
        """Seconds that one request may take."""
        # By process id: a forked child finds none of its own and never touches its
        # parent's.  No lock, which might have been held at the moment of the fork.
        self._processes: dict[int, _Process] = {}

    def mine(self) -> Connection:
        """This thread's connection; a new one if there is none or it is known to be broken.

        Raises:
            Unavailable, Denied: there is no getting in; surely nothing was executed.
        """
        process = self._process()
        connection: Connection | None = getattr(process.mine, "connection", None)
        if connection is None or not connection.alive:
            if connection is not None:
                connection.close()
            connection = Connection(self._config)
            process.add(connection)
        return connection

    def _process(self) -> _Process:
        pid = os.getpid()
        if pid not in self._processes:
            for other in [other for other in self._processes if other != pid]:
                for connection in self._processes.pop(other).connections():
                    connection.close()
        return self._processes.setdefault(pid, _Process())

    def send(self, what: str, *messages: wire.Message, changes: bool) -> list[Answer]:
        """Send one request and return its answers; it is never sent twice.

        Args:
            what: what it does, in words, for errors: ``rename 'a' to 'b'``.
            messages: what to send as one compound.
            changes: False if it only looks, so that a lost answer leaves no doubt.

        Raises:
            Unavailable: surely nothing was changed.
            AmbiguousResult: the answer was lost.
        """
        try:
            answers = self.mine().exchange(*messages)
        except Broken as broken:
            if broken.sent:
                raise _lost(broken, what, changes=changes) from broken.__cause__
            # It was broken before and nobody had noticed: nothing left this machine.
            answers = _exchange(self.mine(), what, messages, changes=changes)
        if any(answer.status in SESSION_GONE for answer in answers):
            self.mine().close()
        return answers

    def open_to_look(self, what: str, *messages: wire.Message) -> list[Answer]:
        """As `send`, for a file that is opened to look at it; at "no such file" once more.

        Samba says so in the instant in which somebody replaces the file (in 1 of some
        3,000 looks while it is rewritten all the time).
        """
        answers = self.send(what, *messages, changes=False)
        if answers[0].status == OBJECT_NAME_NOT_FOUND:
            answers = self.send(what, *messages, changes=False)
        require(answers[0].status, what, first=True)
        return answers

    def can_afford(self, what: str, credits_wanted: int) -> bool:
        """Whether the server answers so much at once; see `Connection.can_afford`."""
        try:
            return self.mine().can_afford(credits_wanted)
        except Broken as broken:
            raise _lost(broken, what, changes=False) from broken.__cause__

    @contextlib.contextmanager
    def opened(self, create: wire.Message, what: str, *, changes: bool) -> Iterator[Handle]:
        """Open a file for several requests; it is closed at the end, whatever happens.

        Raises:
            StoreError: as the server's answer to `create` says.
        """
        created, *_ = self.send(what, create, changes=changes)
        require(created.status, what, first=True)
        handle = Handle(
            self.mine(), taken_apart(wire.created, created, what), what, changes=changes
        )
        try:
            yield handle
        finally:
            handle.close()

    def close(self) -> None:
        """Hang up in all threads of this process; they connect again when they send."""
        process = self._processes.pop(os.getpid(), None)
        for connection in process.connections() if process else ():
            connection.close()


class Handle:
    """A file opened over one connection; it dies with the connection."""

    def __init__(
        self, connection: Connection, created: wire.Created, what: str, *, changes: bool
    ) -> None:
        self._connection = connection
        self._what = what
        self._changes = changes
        self._open = True
        self.id = created.handle
        self.size = created.size

    def send(self, *messages: wire.Message) -> list[Answer]:
        """Send `messages`, which name this handle; see `Pool.send`."""
        try:
            return _exchange(self._connection, self._what, messages, changes=self._changes)
        except Unavailable as error:
            if not self._changes:
                raise
            # These messages never left, but the one that opened the file did.
            raise AmbiguousResult(f"Left half done: {self._what} ({error}).") from error

    def finish(self, *last: wire.Message) -> list[Answer]:
        """Send `last` and a CLOSE in one compound."""
        self._open = False
        return self.send(*last, wire.close())

    def close(self) -> None:
        """Let go of the file if nobody has; without its connection the server already has."""
        if self._open and self._connection.alive:
            self._open = False
            self.send(wire.close(self.id))


def taken_apart(parse: Callable[[bytes], T], answer: Answer, what: str) -> T:
    """What an answer says.

    Raises:
        AmbiguousResult: it is not built as [MS-SMB2] says.
    """
    try:
        return parse(answer.body)
    except ValueError as error:
        raise AmbiguousResult(f"Can't {what}: {error}.") from error


def _exchange(
    connection: Connection, what: str, messages: tuple[wire.Message, ...], *, changes: bool
) -> list[Answer]:
    try:
        return connection.exchange(*messages)
    except Broken as broken:
        raise _lost(broken, what, changes=changes) from broken.__cause__


def _lost(broken: Broken, what: str, *, changes: bool) -> StoreError:
    if broken.sent and changes:
        return AmbiguousResult(f"Nobody knows whether this was done: {what} ({broken.reason}).")
    return Unavailable(f"Can't {what}: {broken.reason}.")
