"""What a backend's author fills in, and what the tests need besides."""

from __future__ import annotations

import os
import time

import pytest

from dirjobs.errors import NotFound
from dirjobs.store import Store, check_path
from dirjobs.testing.races import Reopen

NO_REOPEN = "the fixture 'reopen' is not overridden: no other process can open this store"


class Base:
    """See `StoreTests`."""

    ROUNDS = 60
    """How often each promise is raced by threads."""

    RACERS = 8
    """Threads in a race."""

    PROCESS_ROUNDS = 200
    PROCESSES = 4

    MANY = 1000
    """Entries of the big listing."""

    MEGABYTES = 3
    """Size of the streamed file."""

    @pytest.fixture
    def store(self) -> Store:
        """A store on an empty, existing root."""
        raise NotImplementedError("override the fixture 'store' with a store on an empty root")

    @pytest.fixture(autouse=True)
    def _empty_root(self, store: Store) -> None:
        """Tell at once that `store` is not as the tests need it, not in each by a riddle."""
        try:
            found = next((entry.name for entry in store.list("")), None)
        except NotFound:
            pytest.fail(
                f"{store!r} has no root: make it in the fixture, store.mkdir('')", pytrace=False
            )
        if found is not None:
            pytest.fail(f"{store!r} is not empty: {found!r} is in it already", pytrace=False)

    @pytest.fixture
    def reopen(self) -> Reopen | None:
        """A picklable function that opens the place of `store`, also in another process.

        None for a store that nobody else can reach.
        """
        return None

    @pytest.fixture
    def secrets(self) -> tuple[str, ...]:
        """Passwords and tokens that `store` was given."""
        return ()

    def let_time_pass(self, store: Store, seconds: float) -> None:  # noqa: ARG002
        """Wait until the store's clock has gone on by `seconds`; a virtual one is stepped."""
        time.sleep(seconds)

    def make_old(self, store: Store, path: str) -> None:
        """Let the last change of `path` be clearly in the past."""
        local = store.local_path(check_path(path))
        if local is None:
            self.let_time_pass(store, 3.1)
        else:
            os.utime(local, (1_000_000_000, 1_000_000_000))

    def move(self, store: Store, src: str, dst: str) -> None:
        """Give a file another name: by the store's rename."""
        store.rename(src, dst)

    @staticmethod
    def names(store: Store, folder: str) -> set[str]:
        return {entry.name for entry in store.list(folder)}
