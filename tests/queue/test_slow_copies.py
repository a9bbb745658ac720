"""Servers that copy across folders: slowly, or without being able to delete the source."""

import logging

import pytest

from dirjobs import DirJobs, Guarantees
from dirjobs.backends.memory import MemoryStore
from dirjobs.errors import AlreadyExists, AmbiguousResult
from dirjobs.layers import Layer
from dirjobs.store import Entry, split

WHOLE = b"x" * 6000
TIMES = {"heartbeat": 0.4, "timeout": 0.2, "max_pause": 1.0, "lease": 60.0}


class Slow(Layer):
    """Copies `job` across folders a piece with each look at it, and sends no answer meanwhile.

    Attributes:
        pieces: how many looks it takes.
        locked: folders out of which the source can't be deleted.
    """

    pieces, locked = 4, ()

    def __init__(self, store):
        super().__init__(store)
        self.copying = {}

    @property
    def guarantees(self):
        return Guarantees(visible_after=0)

    def rename(self, src, dst):
        if split(src)[0] == split(dst)[0] or not dst.endswith("job.txt"):
            return self.store.rename(src, dst)
        if self.store.exists(dst):
            raise AlreadyExists(dst)
        self.store.write(dst, self.store.read(src))
        self.copying[dst] = (0, src)
        raise AmbiguousResult("no answer in time")

    def list(self, folder):
        for entry in self.store.list(folder):
            path = f"{folder}/{entry.name}"
            piece, src = self.copying.get(path, (self.pieces, ""))
            yield Entry(entry.name, entry.mtime, (entry.size or 0) * piece // self.pieces)
            if path in self.copying:
                self.copying[path] = (piece + 1, src)
                if piece + 1 == self.pieces:
                    del self.copying[path]
                    if split(src)[0] not in self.locked:
                        self.store.remove(src)


@pytest.fixture
def store():
    return Slow(MemoryStore())


def names(store, folder):
    return [entry.name for entry in store.store.list(folder)]


def test_a_copy_that_takes_longer_than_a_request_may_is_waited_for(store, caplog):
    with DirJobs(store, "a", **TIMES) as worker, caplog.at_level(logging.WARNING):
        worker.add("job.txt", WHOLE)
        job = worker.next_and_lock()
        assert job.read_bytes() == WHOLE
        job.done()
        assert names(store, "02_done") == ["job.txt"]
    for folder in ("00_waiting", "01_running", "_queue/parked"):
        assert names(store, folder) == []


def test_a_source_that_the_server_can_not_delete_leaves_one_name(store):
    store.locked, store.pieces = ("01_running",), 1
    with DirJobs(store, "a", **TIMES) as worker:
        worker.add("job.txt", WHOLE)
        worker.next_and_lock().done()
        assert names(store, "02_done") == ["job.txt"]
        assert worker.next_and_lock() is None
    assert names(store, "02_done") == ["job.txt"]
    assert names(store, "00_waiting") == []
