"""The protocol without its input and output.

The claim protocol is written as generators that *yield* what they want done (`List`,
`Rename`, `Wait`, ...) and get the answer, or the store's error, back at that point.
`Driver` does it on a real store; the simulation does it on a virtual one, in any order it
likes, with any answer lost.  Both run the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, BinaryIO, NamedTuple, TypeAlias, TypeVar

from dirjobs.layout import WAITING, WORKERS
from dirjobs.store import Entry, Store, split

T = TypeVar("T")


class List(NamedTuple):
    """The entries of a folder."""

    folder: str

    def on(self, driver: Driver) -> list[Entry]:
        entries = driver.store.list(self.folder)
        return entries if isinstance(entries, list) else list(entries)


class ListNames(NamedTuple):
    """The names of the files in a folder, where mtimes and sizes decide nothing."""

    folder: str

    def on(self, driver: Driver) -> list[str]:
        return [*driver.store.names_of_files(self.folder)]


class Rename(NamedTuple):
    """One native rename, sent once."""

    src: str
    dst: str

    def on(self, driver: Driver) -> None:
        driver.store.rename(*self)


class Exists(NamedTuple):
    """Whether a path is there."""

    path: str

    def on(self, driver: Driver) -> bool:
        return driver.store.exists(self.path)


class Read(NamedTuple):
    """The content of a small file."""

    path: str

    def on(self, driver: Driver) -> bytes:
        return driver.store.read(self.path)


class Write(NamedTuple):
    """Create or replace a small file of ours."""

    path: str
    data: bytes

    def on(self, driver: Driver) -> None:
        driver.store.write(self.path, self.data)


class Upload(NamedTuple):
    """Create or replace a file of ours from a stream."""

    path: str
    source: BinaryIO

    def on(self, driver: Driver) -> None:
        driver.store.upload(self.path, self.source)


class Mkdir(NamedTuple):
    """Make a folder."""

    path: str

    def on(self, driver: Driver) -> None:
        driver.store.mkdir(self.path)


class Forget(NamedTuple):
    """Remove a heartbeat, an order or an unfinished upload: no other file is ever removed."""

    path: str

    def on(self, driver: Driver) -> None:
        driver.forget(self.path)


class Wait(NamedTuple):
    """Let seconds pass."""

    seconds: float

    def on(self, driver: Driver) -> None:
        driver.sleep(self.seconds)


Request: TypeAlias = (
    List | ListNames | Rename | Exists | Read | Write | Upload | Mkdir | Forget | Wait
)
Steps: TypeAlias = Generator[Request, Any, T]


class Driver:
    """Does what a generator asks for, on a store.

    Args:
        store: where.
        sleep: lets seconds pass.
    """

    def __init__(self, store: Store, sleep: Callable[[float], None]) -> None:
        self.store = store
        self.sleep = sleep

    def forget(self, path: str) -> None:
        """Remove a heartbeat file, an order to workers or an unfinished upload.

        Raises:
            ValueError: it is any other file.
        """
        if not may_be_removed(path):
            raise ValueError(f"dirjobs never removes {path!r}")
        self.store.remove(path)

    def run(self, steps: Steps[T]) -> T:
        """Drive `steps` to their end and return their value."""
        try:
            request = next(steps)
            while True:
                try:
                    answer = request.on(self)
                except BaseException as error:  # noqa: BLE001 - it is raised in there
                    # Ctrl-C as well: only the protocol can note that it does not know what
                    # became of the request, or tidy up.
                    request = steps.throw(error)
                else:
                    request = steps.send(answer)
        except StopIteration as stop:
            value: T = stop.value
            return value


def may_be_removed(path: str) -> bool:
    """Whether `path` can't be a job: a heartbeat, an order, or an upload that never got its
    name."""
    folder, name = split(path)
    if folder == WORKERS:
        return name.endswith(".json") or name == "~pause" or name.startswith("~drain.")
    tag, _, rest = name.partition(".")
    return folder == WAITING and tag[:1] == "~" and tag.count("~") == 1 and rest == "part"
