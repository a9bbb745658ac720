"""The contract, on a filesystem of fsspec."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, BinaryIO, TypeVar

from fsspec.spec import AbstractFileSystem

from dirjobs.backends import _config as option
from dirjobs.backends.fsspec.connection import Connections
from dirjobs.backends.fsspec.known import Rename
from dirjobs.backends.fsspec.status import Secrets, translated
from dirjobs.errors import AlreadyExists, AmbiguousResult, Denied, NotFound, StoreError
from dirjobs.names import unportable_name, unsafe_name
from dirjobs.store import Entry, FileKind, Guarantees, SmallFile, Store, check_path, split

T = TypeVar("T")
log = logging.getLogger(__name__)

PIECE = 1 << 20
"""Bytes of a payload in memory at a time."""

_TIMES = ("mtime", "modified", "LastModified", "last_modified", "updated", "created")


class FsspecStore(Store):
    """A folder on an fsspec filesystem.

    Args:
        connect: makes the connections of one store.
        root: the folder, as this filesystem spells its paths.
        rename: renames one file by one native operation.
        url: what people see; must hold no secret.
        guarantees: what is known of this very place.
        secrets: are in no message.
    """

    def __init__(
        self,
        connect: Callable[[], Connections],
        root: str,
        *,
        rename: Rename,
        url: str,
        guarantees: Guarantees,
        secrets: Secrets,
    ) -> None:
        self._connect = connect
        self._connections = connect()
        self._root = root.rstrip("/")
        self._rename = rename
        self._url = url
        self._guarantees = guarantees
        self._secrets = secrets

    @property
    def url(self) -> str:
        return self._url

    @property
    def guarantees(self) -> Guarantees:
        return self._guarantees

    def name_problem(self, name: str) -> str | None:
        return unportable_name(name)

    def another(self) -> FsspecStore:
        return FsspecStore(
            self._connect,
            self._root,
            rename=self._rename,
            url=self._url,
            guarantees=self._guarantees,
            secrets=self._secrets,
        )

    def close(self) -> None:
        self._connections.close()

    __reduce__ = option.refuse_pickling

    def _path(self, path: str) -> str:
        return f"{self._root}/{path}" if check_path(path) else self._root or "/"

    # -- what the protocol asks: list, rename, exists ---------------------------------

    def list(self, folder: str) -> Iterable[Entry]:
        place = self._path(folder)

        def ls(filesystem: AbstractFileSystem) -> list[Mapping[str, Any]]:
            filesystem.invalidate_cache()
            return list(filesystem.ls(place, detail=True))

        found = self._ask("list", folder, ls)
        inside = place.strip("/")
        entries: list[Entry] = []
        for info in found:
            parent, name = split(str(info["name"]).strip("/"))
            own = f"{parent}/{name}".strip("/") == inside
            if own and info.get("type") == "file":
                raise NotFound(f"{self.full_path(folder)} is a file, not a folder.")
            if own or parent != inside:
                continue
            problem = unsafe_name(name)
            if problem and not problem.startswith("it is "):  # long names may be seen
                log.warning("%s: ignored %s: %s", self.full_path(folder), ascii(name), problem)
                continue
            entries.append(_entry(name, info))
        return entries

    def rename(self, src: str, dst: str) -> None:
        source, target = self._path(src), self._path(dst)
        # Nothing that they all share refuses an existing destination.
        if self.exists(dst):
            raise AlreadyExists(f"{self.full_path(dst)} is there already.")
        if not self._is_folder(split(dst)[0]):
            raise NotFound(f"there is no folder {self.full_path(split(dst)[0])}.")
        if self._info(src).get("type") != "file":
            raise Denied(f"{self.full_path(src)} is a folder, and only files are renamed.")
        self._ask("rename", src, lambda fs: self._rename(fs, source, target), changes=True)

    def exists(self, path: str) -> bool:
        try:
            self._info(path)
        except NotFound:
            return False
        return True

    def mtime(self, path: str) -> float:
        info = self._info(path)
        time = _time(info)
        if time is None:
            raise StoreError(f"the filesystem tells no time of {self.full_path(path)}.")
        return time

    def _info(self, path: str) -> Mapping[str, Any]:
        place = self._path(path)

        def info(filesystem: AbstractFileSystem) -> Mapping[str, Any]:
            filesystem.invalidate_cache()
            return dict(filesystem.info(place))

        return self._ask("look at", path, info)

    def _is_folder(self, path: str) -> bool:
        try:
            return self._info(path).get("type") == "directory"
        except NotFound:
            return False

    # -- contents and housekeeping -----------------------------------------------------

    def read(self, path: str) -> bytes:
        small = SmallFile(repr(self.full_path(path)))
        with closing(self._pieces(path)) as pieces:
            for piece in pieces:
                small.write(piece)
        return small.content()

    def download(self, path: str, target: BinaryIO) -> None:
        with closing(self._pieces(path)) as pieces:
            for piece in pieces:
                target.write(piece)

    def _pieces(self, path: str) -> Generator[bytes, None, None]:
        """The content of a file; each piece is one call."""
        place, told = self._path(path), partial(self._translated, "read", path)
        with self._connections.one() as connection:
            with told():
                file = connection.ask(lambda fs: fs.open(place, "rb"))
            try:
                while True:
                    with told():
                        piece: bytes = connection.run(lambda: file.read(PIECE))
                    if not piece:
                        return
                    yield piece
            finally:
                if not connection.broken:
                    with told():
                        connection.run(file.close)

    def write(self, path: str, data: bytes) -> None:
        place = self._path(path)
        self._require_folder(path)
        self._ask("write", path, lambda fs: fs.pipe_file(place, data), changes=True)

    def upload(self, path: str, source: BinaryIO) -> None:
        place, told = self._path(path), partial(self._translated, "write", path, changes=True)
        self._require_folder(path)
        with self._connections.one() as connection:
            with told():
                file = connection.ask(lambda fs: fs.open(place, "wb"))
            try:
                while piece := source.read(PIECE):
                    with told():
                        connection.run(partial(file.write, piece))
            finally:
                if not connection.broken:
                    with told():
                        connection.run(file.close)

    def remove(self, path: str) -> None:
        place = self._path(path)
        if self._info(path).get("type") == "directory":
            raise Denied(f"{self.full_path(path)} is a folder, and only files are removed.")
        self._ask("remove", path, lambda fs: fs.rm_file(place), changes=True)

    def mkdir(self, path: str) -> None:
        place = self._path(path)
        if path:
            self._require_folder(path)

        def make(filesystem: AbstractFileSystem) -> None:
            filesystem.mkdir(place, create_parents=not path)

        try:
            self._ask("make", path, make, changes=True)
        except (Denied, AmbiguousResult) as refusal:
            # To say that somebody else has made it, servers have all kinds of words.
            if self._has_turned_up(path):
                raise AlreadyExists(f"{self.full_path(path)} is there already.") from refusal
            raise

    def _has_turned_up(self, folder: str) -> bool:
        try:
            return self._is_folder(folder)
        except StoreError:
            return False  # nobody knows

    def rmdir(self, path: str) -> None:
        place = self._path(path)
        # Some take a folder with all that is in it.
        if self._info(path).get("type") != "directory" or self.list(path):
            raise Denied(f"{self.full_path(path)} is not an empty folder.")
        self._ask("remove", path, lambda fs: fs.rmdir(place), changes=True)

    def _require_folder(self, path: str) -> None:
        folder, _ = split(path)
        if not self._is_folder(folder):
            raise NotFound(f"there is no folder {self.full_path(folder)}.")

    # -- requests ----------------------------------------------------------------------

    def _ask(
        self,
        verb: str,
        path: str,
        action: Callable[[AbstractFileSystem], T],
        *,
        changes: bool = False,
    ) -> T:
        """One request."""
        with self._translated(verb, path, changes=changes), self._connections.one() as connection:
            return connection.ask(action)

    @contextmanager
    def _translated(self, verb: str, path: str, *, changes: bool = False) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except Exception as error:  # whatever a stranger's filesystem raises
            what = f"{verb} {self.full_path(path)}"
            ours = translated(error, what, changes=changes, secrets=self._secrets)
            if self._secrets.are_in("".join(traceback.format_exception(error))):
                raise ours from None
            raise ours from error


def _entry(name: str, info: Mapping[str, Any]) -> Entry:
    kind, size = _kind(info), info.get("size")
    if kind is not FileKind.FILE or not isinstance(size, int | float):
        size = None
    return Entry(name, _time(info), None if size is None else int(size), kind)


def _kind(info: Mapping[str, Any]) -> FileKind:
    if info.get("islink"):
        return FileKind.OTHER
    kinds = {"file": FileKind.FILE, "directory": FileKind.FOLDER}
    return kinds.get(str(info.get("type")), FileKind.OTHER)


def _time(info: Mapping[str, Any]) -> float | None:
    for key in _TIMES:
        value = info.get(key)
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                continue
        if isinstance(value, datetime):
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        if isinstance(value, int | float):
            return float(value)
    return None
