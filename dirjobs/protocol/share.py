"""The share as the protocol sees it: every request, and every wait, goes through here.

The simulation gives this one object a store and a clock of its own, and so runs the very
code that workers run.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from dirjobs import clock
from dirjobs.errors import NotFound, Unavailable
from dirjobs.layout import JobFile, job_files, may_be_removed
from dirjobs.store import Entry, FileKind, Store, split

T = TypeVar("T")


class Share:
    """A store and a clock.

    Args:
        store: where the queue is; its verbs are sent as they are.
        sleep: lets seconds pass; may raise what ends the wait early.
        now: seconds that never go back and, where possible, count while suspended.
        gives_up: whether whoever waits for a store that can't be reached is to wait no longer.
    """

    def __init__(
        self,
        store: Store,
        sleep: Callable[[float], None] | None = None,
        now: Callable[[], float] | None = None,
        gives_up: Callable[[], bool] | None = None,
    ) -> None:
        self.gives_up = gives_up
        self.sleep = sleep or clock.sleep
        self.now = now or clock.monotonic
        self.use(store)

    def use(self, store: Store) -> None:
        """Go on over another connection."""
        self.store = store
        # Bound once: a local job costs microseconds, and a call between is one of them.
        self.rename = store.rename
        self.claim = store.claim
        self.exists = store.exists
        self.read = store.read
        self.write = store.write
        self.upload = store.upload
        self.mkdir = store.mkdir

    def list(self, folder: str) -> Sequence[Entry]:
        """The entries of a folder.

        Raises:
            NotFound: there is no such folder.
        """
        entries = self.store.list(folder)
        return entries if isinstance(entries, list) else [*entries]

    def listed(self, folder: str) -> Sequence[Entry]:
        """The entries of a folder; a folder that somebody moved away is an empty one.

        Raises:
            Unavailable: a folder was said not to be there that is.
        """
        return self._listed(folder, self.list)

    def _listed(self, folder: str, ask: Callable[[str], Sequence[T]]) -> Sequence[T]:
        try:
            return ask(folder)
        except NotFound as error:
            if not self._is_there(folder):
                return []
            try:
                return ask(folder)  # somebody may have made it at that moment
            except NotFound:
                shown = self.store.full_path(folder)
                raise Unavailable(
                    f"{shown!r} is there, but was said not to be: try again."
                ) from error

    def _is_there(self, folder: str) -> bool:
        """Whether the folder above lists a folder.  A server, or a proxy before it, may say for one
        request that it is gone: nobody takes that for an empty one."""
        above, name = split(folder)
        try:
            found = self.list(above)
        except NotFound:
            return False
        return any(entry.name == name and entry.kind is FileKind.FOLDER for entry in found)

    def jobs_in(self, folder: str) -> builtins.list[JobFile]:
        """The jobs in one of the five folders, unsorted.  One request."""
        return [*job_files(folder, self.listed(folder))]

    def names_of_files(self, folder: str) -> Sequence[str]:
        """The names of the files in a folder; none if somebody moved it away.

        Raises:
            Unavailable: as `listed`.
        """
        return self._listed(folder, lambda one: [*self.store.names_of_files(one)])

    def remove(self, path: str) -> None:
        """Remove a heartbeat, an order to workers, a checkpoint, an unfinished upload, or what
        is in the trash.

        Raises:
            NotFound: it is not there.
            ValueError: it is any other file; dirjobs removes no job of the queue.
        """
        if not may_be_removed(path):
            raise ValueError(f"dirjobs never removes {path!r}")
        self.store.remove(path)

    @contextmanager
    def waiting_by(self, sleep: Callable[[float], None]) -> Iterator[None]:
        """While this lasts, wait in another way; only one thread may use this share then."""
        before, self.sleep = self.sleep, sleep
        try:
            yield
        finally:
            self.sleep = before
