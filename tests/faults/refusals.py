"""Everything is refused for a while: in each way, on each kind of store.

A way is what a server answers, what a store says, or what becomes of the queue's folder.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from dirjobs.backends.memory import MemoryStore
from dirjobs.backends.posix.errnos import refusal
from dirjobs.backends.posix.store import PosixStore
from dirjobs.errors import (
    Denied,
    LogonRefused,
    NoSpace,
    NotFound,
    StoreError,
    TooLarge,
    Unsupported,
)
from dirjobs.layers import Layer
from dirjobs.policy import Policy
from dirjobs.protocol.agreement import to_bytes
from dirjobs.registry import open_store
from dirjobs.store import Store
from tests.fake_webdav import FakeWebDAV
from tests.fake_webdav import Fault as ServerFault
from tests.servers import apache, nginx
from tests.servers.forwarding import Answer, forwarding
from tests.servers.samba import Samba

PATIENCE = {"timeout": 5.0}
LOGIN_PAGE = b"<!doctype html><title>Welcome</title><form>please log in</form>"


@dataclass(frozen=True)
class Way:
    """One way of refusing.

    Attributes:
        answer: of a server, or a proxy before it, to every request.
        error: of a store to every call.
        away: what becomes of the queue's folder.
        tries: how many requests are refused if it lasts.
    """

    answer: Answer | None = None
    error: Callable[[], StoreError] | None = None
    away: str = ""
    tries: int = 5


def _status(code: int, **headers: str) -> Way:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Way(Answer(code, headers=named))


def _said(kind: type[StoreError], text: str) -> Way:
    return Way(error=lambda: kind(text), tries=2 if kind is LogonRefused else 5)


def _errno(code: int) -> Way:
    return Way(error=lambda: refusal(code, "the queue"))


HTTP = {
    # A login is tried three times in all.
    "401": Way(Answer(401, headers={"WWW-Authenticate": 'Basic realm="x"'}), tries=2),
    **{str(code): _status(code) for code in (403, 404, 405, 413, 507)},
    "404, though done": Way(Answer(404, when="after")),
    "302": _status(302, Location="http://127.0.0.1:9/login"),
    "login page": Way(Answer(200, LOGIN_PAGE, {"Content-Type": "text/html; charset=utf-8"})),
}
SAID = {
    "401": _said(LogonRefused, "the user or the password is wrong"),
    "403": _said(Denied, "the server does not allow it"),
    "404": _said(NotFound, "there is no such file"),
    "405, 302": _said(Unsupported, "the server can't do it"),
    "413": _said(TooLarge, "the file is too large for the server"),
    "507": _said(NoSpace, "the disk of the server is full"),
    "login page": _said(StoreError, "the server sent something else"),
}
SMB = {
    "no logon": SAID["401"],
    "no access": SAID["403"],
    "no such share": _said(Denied, "There is no share of that name"),
    "path not found": SAID["404"],
    "not supported": SAID["405, 302"],
    "disk full": SAID["507"],
}
ERRNO = {name: _errno(getattr(errno, name)) for name in ("EACCES", "ENOTCONN", "ESTALE", "ENOSPC")}
AWAY = {name: Way(away=name) for name in ("renamed", "empty folder", "another queue")}
UNMOUNTED = {"unmounted": Way(away="unmounted")}


class Trouble:
    """One way of refusing, from a request on, for so many requests.

    Args:
        way: the way.
        lasts: how many requests are refused.
        begin, end: what is done to the folder.
    """

    def __init__(
        self,
        way: Way,
        lasts: int,
        begin: Callable[[], None] = lambda: None,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        self.way, self._lasts = way, lasts
        self._begin, self._end = begin, end
        self._lock = threading.Lock()
        self._n = self._count = self._left = 0
        self._is_on = self._is_asleep = False
        self.fired = False

    def arm(self, n: int) -> None:
        self._count, self._n = 0, n

    @contextmanager
    def asleep(self) -> Iterator[None]:
        """While this lasts, no request is refused, or counted."""
        self._is_asleep = True
        try:
            yield
        finally:
            self._is_asleep = False

    def meets(self) -> bool:
        """Whether the request that begins now is refused."""
        with self._lock:
            if self._is_asleep:
                return False
            self._count += 1
            if self._n and self._count == self._n:
                self.fired, self._is_on, self._left = True, True, self._lasts
                self._begin()
            if self._is_on and not self._left:
                self._lift()
            self._left -= self._is_on
            return self._is_on

    def disarm(self) -> bool:
        """Lift it; whether it has come to pass."""
        with self._lock:
            self._n = 0
            if self._is_on:
                self._lift()
            return self.fired

    def _lift(self) -> None:
        self._is_on = False
        self._end()


NO_TROUBLE = Trouble(Way(), 0)


class Refusing(Layer):
    """A store whose calls meet trouble."""

    def __init__(self, store, trouble):
        super().__init__(store)
        self._trouble = trouble

    def call(self, verb, paths, action):
        if self._trouble.meets() and self._trouble.way.error is not None:
            raise self._trouble.way.error()
        return action()


class Untroubled(Layer):
    """The same store for whoever only looks."""

    def __init__(self, store, trouble):
        super().__init__(store)
        self._trouble = trouble

    def call(self, verb, paths, action):
        with self._trouble.asleep():
            return action()


@dataclass(frozen=True)
class Case:
    """One queue that meets trouble once.

    Attributes:
        truth: what is really there.
        faulty: the same, as the worker gets to it.
        trouble: what it meets.
        made: says which files were made where the queue was not.
    """

    truth: Store
    faulty: Store
    trouble: Trouble
    made: Callable[[], list[str]] = list


@dataclass(frozen=True)
class Place:
    """One kind of store.

    Attributes:
        ways: those in which it can refuse.
        case: a new queue there; given a way, and how many requests it lasts.
    """

    ways: Mapping[str, Way]
    case: Callable[[Way, int], AbstractContextManager[Case]]


def in_memory(folder):
    @contextmanager
    def case(way, lasts):
        trouble = Trouble(way, lasts)
        store = MemoryStore()
        yield Case(store, Refusing(store, trouble), trouble)

    yield Place(SAID, case)


def on_the_fake(folder):
    """A fake server in this process, which refuses by itself."""
    numbers = itertools.count(1)
    with FakeWebDAV() as server:

        @contextmanager
        def case(way, lasts):
            trouble = Trouble(way, lasts)
            fault = _fault(way.answer)
            url = f"{server.url}/q{next(numbers)}"
            server.faults.match = lambda _: fault if trouble.meets() else None
            with open_store(url, PATIENCE) as truth, open_store(url, PATIENCE) as far:
                yield Case(Untroubled(truth, trouble), far, trouble)
            server.reset_log()

        yield Place(HTTP, case)


def _fault(answer):
    when = "after" if answer.when == "after" else "before"
    if answer.status == 302:
        return ServerFault("redirect", status=302, location=answer.headers["Location"], times=None)
    if answer.status == 200:
        kind = answer.headers["Content-Type"]
        return ServerFault("body", body=answer.body, content_type=kind, times=None)
    status = {"status": answer.status, "headers": answer.headers}
    return ServerFault("status", when=when, times=None, **status)


def on_disk(folder):
    yield Place({**ERRNO, **AWAY}, _cases_in(folder, lambda name: PosixStore(folder / name)))


def on_a_mount(folder):
    share, place = folder / "share", folder / "mount"
    for one in (share, place):
        one.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0 or not mount(share, place):
        pytest.skip("only root may mount")
    try:
        yield Place(
            UNMOUNTED, _cases_in(place, lambda name: PosixStore(place / name), mounted=share)
        )
    finally:
        unmount(place)


def on_apache(folder):
    with apache.running(auth=None) as server:
        yield from _behind_a_proxy(server, server.port)


def on_nginx(folder):
    """Apache behind nginx: the proxy between the two refuses."""
    with apache.running(auth=None) as server:
        yield from _behind_a_proxy(server, server.port, nginx.running)


def _behind_a_proxy(server, port, front=None):
    troubles = [NO_TROUBLE]
    path = server.url.partition(str(port))[2]

    def answer():
        trouble = troubles[-1]
        return trouble.way.answer if trouble.meets() else None

    with ExitStack() as stack:
        at = stack.enter_context(forwarding(port, answer))
        if front is not None:
            at = stack.enter_context(front(at)).port
        url = f"http://127.0.0.1:{at}{path}"
        yield Place(
            {**HTTP, **AWAY},
            _cases_in(
                server.root,
                lambda name: open_store(f"{url}/{name}", PATIENCE),
                met_on_the_way=troubles.append,
            ),
        )


def on_samba(folder):
    with Samba() as server:
        yield Place(
            {**SMB, **AWAY},
            _cases_in(
                server.root,
                lambda name: open_store(f"{server.url}/{name}", {**server.options, **PATIENCE}),
            ),
        )


def _cases_in(folder, opened, *, met_on_the_way=None, mounted=None):
    """Queues in folders of this machine, whoever serves them.

    Args:
        folder: the folder above.
        opened: opens the queue of a name, as the worker gets to it.
        met_on_the_way: is told of the trouble that requests meet; else calls meet it.
        mounted: what is mounted there, if it is a mount.
    """
    numbers = itertools.count(1)

    @contextmanager
    def case(way, lasts):
        queue = folder / f"q{next(numbers)}"
        queue.mkdir(mode=0o777)
        away = Away(queue, way.away, mounted)
        trouble = Trouble(way, lasts, away.begin, away.end)
        handle = os.open(queue, os.O_RDONLY)  # the very folder, wherever it is moved to
        try:
            with PosixStore(f"/proc/self/fd/{handle}") as truth, opened(queue.name) as store:
                if met_on_the_way is None:
                    store = Refusing(store, trouble)
                else:
                    met_on_the_way(trouble)
                yield Case(truth, store, trouble, lambda: away.made)
        finally:
            os.close(handle)
            trouble.disarm()
            shutil.rmtree(queue)

    return case


class Away:
    """What becomes of a queue's folder for a while."""

    def __init__(self, queue, how, mounted):
        self._queue, self._how, self._mounted = queue, how, mounted
        self._elsewhere = queue.with_name(f"{queue.name}.elsewhere")
        self._seen = queue.parent if how == "unmounted" else queue
        self._before: set[str] = set()
        self.made: list[str] = []

    def begin(self):
        if not self._how:
            return
        if self._how == "unmounted":
            unmount(self._queue.parent)
        else:
            os.rename(self._queue, self._elsewhere)
        if self._how in ("empty folder", "another queue"):
            os.mkdir(self._queue)
        if self._how == "another queue":
            another_queue(self._queue)
        self._before = self._tree()

    def end(self):
        if not self._how:
            return
        self.made = sorted(self._tree() ^ self._before)
        if self._how == "unmounted":
            assert mount(self._mounted, self._queue.parent)
        else:
            shutil.rmtree(self._queue, ignore_errors=True)
            os.rename(self._elsewhere, self._queue)

    def _tree(self):
        return {os.path.join(at, name) for at, _, files in os.walk(self._seen) for name in files}


def another_queue(folder):
    """A queue with an id of its own, in which a job was done."""
    for name in ("00_waiting", "01_running", "02_done", "99_failed", "_queue/workers"):
        os.makedirs(folder / name)
    (folder / "02_done" / "foreign").write_bytes(b"foreign")
    (folder / "_queue" / "queue.json").write_bytes(to_bytes(Policy(), {"id": "another"}))


_MS_BIND, _MNT_DETACH = 4096, 2


def mount(source, target):
    """Bind-mount a folder; whether the system lets us."""
    libc = ctypes.CDLL(None)
    return libc.mount(os.fsencode(source), os.fsencode(target), None, _MS_BIND, None) == 0


def unmount(target):
    ctypes.CDLL(None).umount2(os.fsencode(target), _MNT_DETACH)


PLACES = {
    "memory": in_memory,
    "fake": on_the_fake,
    "disk": on_disk,
    "mount": on_a_mount,
    "apache": on_apache,
    "nginx": on_nginx,
    "samba": on_samba,
}
