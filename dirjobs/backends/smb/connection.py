"""One connection to one share: logging on, compounds, deadlines, giving up.

smbprotocol's own client keeps its connections in one cache for the whole process, keyed
by host and port only, and waits for ever for a server that has stopped answering.  A
`Connection` belongs to one thread, and no request outlives its deadline: answers are
waited for with a timeout, and what smbprotocol waits for without one (logging on, a full
send buffer) ends because a watchdog shuts the socket.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any, NamedTuple

from smbprotocol.exceptions import SMBConnectionClosed, SMBResponseException

from dirjobs.backends.smb import wire
from dirjobs.backends.smb.config import Config
from dirjobs.backends.smb.integrity import ConnectionCache, ForgedAnswer
from dirjobs.backends.smb.session import connect, hang_up, log_on, watchdog
from dirjobs.backends.smb.status import PENDING
from dirjobs.errors import StoreError, Unavailable

_SMALL = 32768
"""Bytes that fit into any send buffer: sending them can't block."""


class Broken(Exception):
    """The connection is of no more use.

    Args:
        reason: half a sentence for people.
        sent: False if surely nothing of the request has left this machine.
    """

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent


class Answer(NamedTuple):
    status: int
    body: bytes


class Connection:
    """A connection of one thread, logged on and connected to the share.

    Raises:
        Unavailable: the server can't be reached; surely nothing was executed.
        Denied: it does not let us in.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self.pid = os.getpid()
        self._smb = connect(config)
        self._cache = ConnectionCache(functools.partial(connect, config))
        self._cache[f"{config.host.lower()}:{config.port}"] = self._smb
        with self._logging_on():
            share = log_on(config, self._smb, self._cache)
        self._tree, self.root, self.rename_root = share
        served_by = self._smb = self._tree.session.connection
        self.max_read: int = served_by.max_read_size
        self.max_write: int = served_by.max_write_size
        self.max_list: int = served_by.max_transact_size
        # A thread that ends without a close() leaves this to the garbage collector,
        # which can't have it while smbprotocol's receiving thread holds the connection.
        self._end = weakref.finalize(self, _hang_up, self.pid, self._cache)
        self._end.atexit = False

    @property
    def alive(self) -> bool:
        """False if the connection is known to be broken; True proves nothing."""
        return bool(self._smb.transport.connected) and self._smb._t_exc is None

    def close(self) -> None:
        """Hang up; the server lets go of everything that it had open."""
        self._end()

    def exchange(self, *messages: wire.Message) -> list[Answer]:
        """Send all messages as one related compound and wait for all answers.

        Raises:
            Broken: the connection failed, or the deadline passed; it is closed.
        """
        deadline = time.monotonic() + self._config.timeout
        self._afford(sum(message.credits for message in messages))
        requests = self._send(messages)
        return [self._receive(request, deadline) for request in requests]

    def can_afford(self, credits_wanted: int) -> bool:
        """Whether the server grants so many credits (64 KiB each) at once."""
        if self._credits() < credits_wanted:
            self._ask_for_credits(credits_wanted)
        return self._credits() >= credits_wanted

    def _credits(self) -> int:
        window = self._smb.sequence_window
        return int(window["high"] - window["low"])

    def _afford(self, credits_wanted: int) -> None:
        # smbprotocol notices a lack of credits in the middle of a compound, when some of
        # its messages are numbered already: that connection could never be used again.
        if not self.can_afford(credits_wanted):
            self.close()
            raise Broken("the server grants too few credits", sent=False)

    def _ask_for_credits(self, wanted: int) -> None:
        session = self._tree.session
        try:
            with self._watchdog(self._config.timeout):
                self._smb.echo(
                    sid=session.session_id,
                    timeout=self._config.timeout,
                    credit_request=wanted - self._credits() + 16,
                )
        except Exception as error:
            self.close()
            raise Broken(_reason(error), sent=False) from error

    def _send(self, messages: Sequence[wire.Message]) -> list[Any]:
        smb, tree = self._smb, self._tree
        size = sum(map(len, messages))
        guard = contextlib.nullcontext() if size <= _SMALL else self._watchdog(self._config.timeout)
        try:
            with guard:
                requests: list[Any] = smb.send_compound(
                    list(messages),
                    sid=tree.session.session_id,
                    tid=tree.tree_connect_id,
                    related=len(messages) > 1,
                )
        except Exception as error:
            # Raised before a byte is written: the receiving thread had seen the end.
            unsent = isinstance(error, SMBConnectionClosed) or error is smb._t_exc
            self.close()
            raise Broken(_reason(error), sent=not unsent) from error
        return requests

    def _receive(self, request: Any, deadline: float) -> Answer:
        try:
            wait_for_answer(request, deadline, lambda: self.alive)
            header = self._smb.receive(request, timeout=0, resolve_symlinks=False)
        except SMBResponseException as error:
            header = error.header
        except Exception as error:
            header = request.response  # it may have come before the connection broke
            if header is None or header["status"].get_value() == PENDING:
                self.close()
                raise Broken(_reason(error), sent=True) from error
        return Answer(header["status"].get_value(), header["data"].get_value())

    def _watchdog(self, seconds: float) -> contextlib.AbstractContextManager[threading.Event]:
        return watchdog(seconds, lambda: list(self._cache.values()))

    @contextlib.contextmanager
    def _logging_on(self) -> Iterator[None]:
        config = self._config
        try:
            with self._watchdog(config.timeout) as barked:
                yield
        except BaseException as error:
            _hang_up(self.pid, self._cache)
            if isinstance(error, StoreError) or not isinstance(error, Exception):
                raise
            why = f"no answer in {config.timeout:g} s" if barked.is_set() else _reason(error)
            raise Unavailable(f"Can't log on to {config.where}: {why}.") from error


def wait_for_answer(request: Any, deadline: float, is_alive: Callable[[], bool]) -> None:
    """Wait for an answer, or for the end of the connection.

    smbprotocol's own wait begins anew with each "not yet", which anybody on the way can send:
    it brings nothing, and so is not signed.

    Args:
        request: smbprotocol's.
        deadline: when to give up, by the monotonic clock.
        is_alive: whether anything may still come.

    Raises:
        TimeoutError: it did not come in time.
    """
    while request.response_event.wait(max(deadline - time.monotonic(), 0)):
        with request.response_event_lock:
            answer = request.response
            if answer is None or answer["status"].get_value() != PENDING:
                return
            request.response_event.clear()
        if not is_alive():
            return
    raise TimeoutError("timeout")


def _hang_up(pid: int, cache: MutableMapping[str, Any]) -> None:
    """Close the connections, or in a forked child only our copies of their sockets."""
    for connection in list(cache.values()):
        if pid == os.getpid():
            hang_up(connection)
        else:
            # Anything more would end the parent's connection.
            connection.transport._sock.close()
    cache.clear()


def _reason(error: BaseException) -> str:
    if isinstance(error, ForgedAnswer):
        return f"{error}; somebody changes what the server says"
    if isinstance(error, SMBResponseException):
        # Its text takes the server's details apart, and fails where they make no sense.
        return f"the server says NTSTATUS {error.status:#010x}"
    if "timeout" in str(error).lower():
        return "the server did not answer in time"
    return "the connection broke"
