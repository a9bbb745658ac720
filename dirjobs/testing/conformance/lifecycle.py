"""Closing, threads, forks, and what a store says about itself."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from dirjobs.errors import StoreError
from dirjobs.store import Guarantees, Store
from dirjobs.testing.conformance.base import NO_REOPEN, Base
from dirjobs.testing.races import Reopen


class LifecycleTests(Base):
    def test_close_twice_and_use_afterwards(self, store: Store) -> None:
        store.write("file", b"data")
        store.close()
        store.close()
        assert store.read("file") == b"data"
        with store as same:
            assert same is store
        assert store.exists("file")

    def test_another_is_the_same_place(self, store: Store) -> None:
        store.write("file", b"data")
        other = store.another()
        assert other.read("file") == b"data"
        assert type(other) is type(store)
        assert other.url == store.url
        assert other.guarantees == store.guarantees
        other.write("file", b"changed")
        other.close()
        assert store.read("file") == b"changed"

    def test_reopen_is_the_same_place(self, store: Store, reopen: Reopen | None) -> None:
        if reopen is None:
            pytest.skip(NO_REOPEN)
        store.write("file", b"data")
        with pickle.loads(pickle.dumps(reopen))() as other:  # noqa: S301
            assert other.read("file") == b"data"

    def test_guarantees_are_data(self, store: Store) -> None:
        promised = store.guarantees
        assert isinstance(promised, Guarantees)
        assert promised.visible_after is None or promised.visible_after >= 0
        assert promised.atomic_rename_in_folder or not promised.atomic_rename

    def test_no_secret_is_shown(self, store: Store, secrets: tuple[str, ...]) -> None:
        with pytest.raises(StoreError) as caught:
            store.read("missing")
        shown = [repr(store), str(store), store.url, store.full_path("a/b"), str(caught.value)]
        shown += [repr(caught.value), repr(store.another())]
        for secret in secrets:
            assert not any(secret in text for text in shown)
        assert store.url in repr(store) or repr(store.url) in repr(store)

    def test_full_path_ends_with_the_path(self, store: Store) -> None:
        assert store.full_path("folder/file").replace("\\", "/").endswith("/folder/file")
        store.mkdir("folder")
        store.write("folder/file", b"data")
        if local := store.local_path("folder/file"):
            with open(local, "rb") as file:
                assert file.read() == b"data"

    def test_threads_share_a_store(self, store: Store) -> None:
        store.mkdir("shared")
        start = threading.Barrier(self.RACERS)

        def work(number: int) -> None:
            start.wait(60)
            for turn in range(5):
                path = f"shared/{number}-{turn}"
                store.write(path, path.encode() * 50)
                assert store.read(path) == path.encode() * 50
                assert f"{number}-{turn}" in {entry.name for entry in store.list("shared")}
                self.move(store, path, f"{path}.done")
                store.remove(f"{path}.done")

        with ThreadPoolExecutor(self.RACERS) as pool:
            list(pool.map(work, range(self.RACERS)))
        assert self.names(store, "shared") == set()

    def test_a_forked_child_starts_afresh(self, store: Store, reopen: Reopen | None) -> None:
        if sys.platform == "win32":
            pytest.skip("this system has no fork")
        store.write("parent", b"data")
        with warnings.catch_warnings():  # Python 3.12 warns of other threads' locks
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            code = 1
            try:
                store.write("child", store.read("parent"))
                store.close()
                code = 0
            except BaseException:
                traceback.print_exc()  # nobody else will tell
                raise
            finally:
                os._exit(code)
        assert _exit_code(child, 30) == 0, "the child could not use the store"
        store.write("after", b"data")
        assert store.read("parent") == b"data"
        if reopen is not None:
            assert store.read("child") == b"data"


def _exit_code(child: int, seconds: float) -> int:
    if sys.platform == "win32":
        raise NotImplementedError("only who forks has children")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    pytest.fail(f"the forked child hung for {seconds} s")
