"""A queue on each of the two stores that need no server."""

import os

import pytest

from dirjobs import DirJobs
from dirjobs.backends.memory import MemoryStore
from dirjobs.backends.posix.store import PosixStore

FOLDERS = ("00_waiting", "01_running", "02_done", "99_failed")


class Place:
    """A store, the queues opened on it, and what a person sees there."""

    def __init__(self, store):
        self.store = store
        self._queues = []

    def open(self, wid="w1", **options):
        queue = DirJobs(self.store, wid=wid, **options)
        self._queues.append(queue)
        return queue

    def put(self, *names, folder="00_waiting", data=b"data"):
        """What a person does who copies files into the queue."""
        for path in (part for part in ("", folder) if not self.store.exists(part)):
            self.store.mkdir(path)
        for name in names:
            self.store.write(f"{folder}/{name}", data)

    def names(self, folder):
        return sorted(entry.name for entry in self.store.list(folder))

    def jobs(self):
        """What is in the four folders; empty ones left out."""
        found = {folder: self.names(folder) for folder in FOLDERS}
        return {folder: names for folder, names in found.items() if names}

    def close(self):
        for queue in self._queues:
            queue.close()


@pytest.fixture(params=["memory", "posix"])
def place(request, tmp_path):
    store = MemoryStore() if request.param == "memory" else PosixStore(tmp_path / "jobs")
    place = Place(store)
    yield place
    place.close()


@pytest.fixture
def local(tmp_path):
    """A place in a local folder, at ``local.folder``."""
    place = Place(PosixStore(tmp_path / "jobs"))
    place.folder = os.fspath(tmp_path / "jobs")
    yield place
    place.close()
