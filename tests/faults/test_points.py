"""Each kind of fault at each request of each operation, in each mode."""

from __future__ import annotations

import itertools

import pytest

from dirjobs.backends.memory import MemoryStore
from dirjobs.backends.posix.store import PosixStore
from dirjobs.layers import Layer
from dirjobs.policy import Mode, Policy
from dirjobs.registry import open_store
from dirjobs.store import Entry, FileKind, split
from dirjobs.testing import Fault, Lossy
from tests.fake_webdav import FakeWebDAV
from tests.fake_webdav import Fault as ServerFault
from tests.fake_webdav.tree import Blob, File, Folder
from tests.faults.points import OF_WORKERS, OPERATIONS, Scene, numbers, play

MOST = 80
LATER = 1_000_000


class AtN(Lossy):
    """Lossy at one request only, counted from `arm`."""

    def __init__(self, store, fault, delay=1):
        self._fault, self._n, self._calls = fault, 0, 0
        super().__init__(store, iter(self._next, None), delay=delay)

    def _next(self):
        self._calls += 1
        return self._fault if self._calls == self._n else Fault.NONE

    def arm(self, n):
        self._calls, self._n = 0, n

    def disarm(self):
        """Execute what is late; whether the fault has come to pass."""
        self._n = 0
        self.flush_late()
        return bool(self.faults)


KINDS = {
    "fails before": (Fault.REFUSED, 1),
    "hangs": (Fault.LOST_REQUEST, 1),
    "answer lost": (Fault.LOST_ANSWER, 1),
    "late": (Fault.LATE, 1),
    "very late": (Fault.LATE, LATER),
}


def policy(mode):
    """With a lease of a few heartbeats: most of a run is watching others live or die."""
    return Policy(Mode(mode), 5.0 if mode == "sync" else 0.0, 10, lease=50, timeout=5, max_pause=10)


@pytest.fixture(autouse=True)
def no_power_is_cut(monkeypatch):
    """The disk needn't be waited for: no fault here is a loss of power."""
    monkeypatch.setattr("os.fsync", lambda fd: None)


def through_all(scene_of, operation, every):
    for n in every:
        assert n < MOST
        if not play(scene_of(n), operation, n):
            assert n > 1
            break


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("medium", ["memory", "posix"])
def test_every_request(medium, mode, kind, operation, tmp_path):
    def scene(n):
        clock = [1000.0]
        if medium == "memory":
            store = MemoryStore(lambda: clock[0])
        else:
            store = PosixStore(str(tmp_path / str(n)))
        fault, delay = KINDS[kind]
        made = Scene(store, AtN(store, fault, delay), policy(mode))
        clock[0] = made.world.now
        store.__dict__.update(_clock=lambda: made.world.now) if medium == "memory" else None
        return made

    every = itertools.count(1) if medium == "memory" else numbers(operation, mode, kind)
    through_all(scene, operation, every)


class Served(Layer):
    """A store on the fake server, whose requests meet what is planned."""

    def __init__(self, store, server, **fault):
        super().__init__(store)
        self._server, self._plan, self._fault = server, fault, None

    def arm(self, n):
        self._fault = self._server.faults.add(ServerFault(nth=n, **self._plan))

    def disarm(self):
        fired = bool(self._fault.fired)
        self._fault.release()
        self._server.faults.clear()
        return fired


class Behind(Layer):
    """The same folder without requests: those who meet no fault look at each other so often
    that their requests would take nearly all of the time."""

    def __init__(self, store, tree, root):
        super().__init__(store)
        self._tree, self._root = tree, root

    def _folder(self, path):
        return self._tree.folder((self._root, *filter(None, path.split("/"))))

    def list(self, folder):
        with self._tree.lock:
            there = self._folder(folder)
            if there is not None:
                return [as_entry(name, node) for name, node in there.children.items()]
        return self.store.list(folder)

    def read(self, path):
        folder, name = split(path)
        with self._tree.lock:
            there = self._folder(folder)
            file = there.children.get(name) if there else None
            if isinstance(file, File):
                return bytes(file.blob)
        return self.store.read(path)

    def write(self, path, data):
        folder, name = split(path)
        with self._tree.lock:
            there = self._folder(folder)
            if there is not None and not isinstance(there.children.get(name), Folder):
                there.children[name] = File(Blob(data), self._tree.clock())
                return
        self.store.write(path, data)


def as_entry(name, node):
    if isinstance(node, Folder):
        return Entry(name, node.modified, None, FileKind.FOLDER)
    return Entry(name, node.modified, node.blob.size)


SERVER_KINDS = {
    "fails before": {"kind": "status", "status": 503, "when": "before"},
    "fails after": {"kind": "status", "status": 500, "when": "after"},
    "hangs": {"kind": "request_lost"},
    "answer lost": {"kind": "answer_lost"},
    "late": {"kind": "late"},
}


@pytest.fixture(scope="module")
def server():
    clock = {"now": 1000.0}
    with FakeWebDAV(clock=lambda: clock["now"]) as server:
        server.moment = clock
        yield server


@pytest.mark.parametrize("operation", OF_WORKERS)
@pytest.mark.parametrize("kind", SERVER_KINDS)
@pytest.mark.parametrize("mode", [Mode.TRUST, Mode.VERIFY])
def test_every_request_to_a_server(server, mode, kind, operation):
    stores = []

    def scene(n):
        root = f"{mode.value}-{kind}-{operation}-{n}".replace(" ", "-")
        store, other = (open_store(f"{server.url}/{root}") for _ in range(2))
        stores.extend((store, other))
        faulty = Served(other, server, **SERVER_KINDS[kind])
        return Scene(Behind(store, server._tree, root), faulty, policy(mode))

    try:
        through_all(scene, operation, numbers(operation, mode, kind))
    finally:
        for store in stores:
            store.close()
