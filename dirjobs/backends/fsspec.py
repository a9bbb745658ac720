"""Any filesystem that fsspec knows, taken for no more than what they all share.

fsspec's classes agree on little: most build ``mv`` of copy and delete, ``exists`` says
False to a wrong password, listings are cached.  So this store promises nothing unless it
is told, asks each question anew, and calls every answer that it doesn't know ambiguous.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, BinaryIO

from fsspec.core import split_protocol, url_to_fs
from fsspec.spec import AbstractFileSystem

from dirjobs.backends import _config as option
from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    ConfigurationError,
    Denied,
    NotFound,
    StoreError,
    Unsupported,
)
from dirjobs.names import unportable_name, unsafe_name
from dirjobs.redaction import redacted
from dirjobs.store import Entry, FileKind, Guarantees, SmallFile, Store, check_path, split

log = logging.getLogger(__name__)

PIECE = 1 << 20
"""Bytes of a payload in memory at a time."""

# In this order: the first that fits.  What is not here is ambiguous.
_ERRORS: tuple[tuple[type[Exception], type[StoreError]], ...] = (
    (FileNotFoundError, NotFound),
    (NotADirectoryError, NotFound),
    (FileExistsError, AlreadyExists),
    (IsADirectoryError, Denied),
    (PermissionError, Denied),
    (NotImplementedError, Unsupported),
)
_TIMES = ("mtime", "modified", "LastModified", "last_modified", "updated", "created")
# These answer from copies of their own.
_CACHES = frozenset({"simplecache", "filecache", "blockcache", "cached"})


def open_store(url: str, options: Mapping[str, object]) -> FsspecStore:
    """The folder at `url` on whatever filesystem fsspec has for it.

    Raises:
        ConfigurationError: fsspec can't open it, or it would be cached.
    """
    shown = redacted(url)
    given: dict[str, Any] = dict(options)
    guarantees = given.pop("guarantees", None)
    if guarantees is not None:
        guarantees = option.guarantees().check("guarantees", guarantees)
    for link in url.split("::"):
        if (split_protocol(link)[0] or link) in _CACHES:
            raise ConfigurationError(f"{shown!r} would be cached: a queue needs fresh listings.")
    try:
        filesystem, root = url_to_fs(url, **{**given, "skip_instance_cache": True})
    except ImportError:
        raise  # the registry knows what to install
    except Exception as error:  # whatever a stranger's constructor raises
        raise ConfigurationError(
            f"fsspec can't open {shown!r} ({type(error).__name__}): check URL and options."
        ) from error
    return FsspecStore(filesystem, root, url=shown, guarantees=guarantees)


class FsspecStore(Store):
    """A folder on an fsspec filesystem.

    Args:
        filesystem: is used by this store only; its listing cache is switched off.
        root: the folder, as this filesystem spells its paths.
        url: what people see; must hold no secret.
        guarantees: what is known of this very place; nothing if left out.
    """

    def __init__(
        self,
        filesystem: AbstractFileSystem,
        root: str,
        *,
        url: str | None = None,
        guarantees: Guarantees | None = None,
    ) -> None:
        self._original = filesystem
        self._root = filesystem._strip_protocol(root).rstrip("/")
        self._url = url or redacted(str(filesystem.unstrip_protocol(root)))
        self._guarantees = guarantees or Guarantees()
        # By process: connections, threads and event loops do not survive a fork.
        self._by_process = {os.getpid(): _without_cache(filesystem)}

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
            _fresh(self._original), self._root, url=self._url, guarantees=self._guarantees
        )

    __reduce__ = option.refuse_pickling

    @property
    def _fs(self) -> AbstractFileSystem:
        pid = os.getpid()
        if pid not in self._by_process:
            self._by_process.setdefault(pid, _without_cache(_fresh(self._original)))
        return self._by_process[pid]

    def _path(self, path: str) -> str:
        return f"{self._root}/{path}" if check_path(path) else self._root or "/"

    # -- what the protocol asks: list, rename, exists ---------------------------------

    def list(self, folder: str) -> Iterable[Entry]:
        place = self._path(folder)
        with self._translated("list", folder):
            self._fs.invalidate_cache()
            found = self._fs.ls(place, detail=True)
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
        # Nothing else that they all share refuses an existing destination.
        if self.exists(dst):
            raise AlreadyExists(f"{self.full_path(dst)} is there already.")
        if not self._is_folder(split(dst)[0]):
            raise NotFound(f"there is no folder {self.full_path(split(dst)[0])}.")
        if self._info(src).get("type") != "file":
            raise Denied(f"{self.full_path(src)} is a folder, and only files are renamed.")
        try:
            with self._translated("rename", src, changes=True):
                self._move(source, target)
        except NotFound as error:
            # A copy may have been made before the source was found missing.
            if self.exists(dst):
                raise AmbiguousResult(
                    f"{self.full_path(src)} went away while it was renamed"
                    f" to {self.full_path(dst)}, which is there."
                ) from error
            raise

    def _move(self, source: str, target: str) -> None:
        if type(self._fs).mv is not AbstractFileSystem.mv:
            self._fs.mv(source, target)
            return
        # What the inherited mv does, without taking * ? [ in a name for a pattern.
        self._fs.cp_file(source, target)
        self._fs.rm_file(source)

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
        with self._translated("look at", path):
            self._fs.invalidate_cache()
            info: Mapping[str, Any] = self._fs.info(place)
            return info

    def _is_folder(self, path: str) -> bool:
        try:
            return self._info(path).get("type") == "directory"
        except NotFound:
            return False

    # -- contents and housekeeping -----------------------------------------------------

    def read(self, path: str) -> bytes:
        place, small = self._path(path), SmallFile(repr(self.full_path(path)))
        with self._translated("read", path), self._fs.open(place, "rb") as file:
            while piece := file.read(PIECE):
                small.write(piece)
        return small.content()

    def write(self, path: str, data: bytes) -> None:
        place = self._path(path)
        self._require_folder(path)
        with self._translated("write", path, changes=True):
            self._fs.pipe_file(place, data)

    def download(self, path: str, target: BinaryIO) -> None:
        place = self._path(path)
        with self._translated("read", path), self._fs.open(place, "rb") as file:
            while piece := file.read(PIECE):
                target.write(piece)

    def upload(self, path: str, source: BinaryIO) -> None:
        place = self._path(path)
        self._require_folder(path)
        with self._translated("write", path, changes=True), self._fs.open(place, "wb") as file:
            while piece := source.read(PIECE):
                file.write(piece)

    def remove(self, path: str) -> None:
        place = self._path(path)
        if self._info(path).get("type") == "directory":
            raise Denied(f"{self.full_path(path)} is a folder, and only files are removed.")
        with self._translated("remove", path, changes=True):
            self._fs.rm_file(place)

    def mkdir(self, path: str) -> None:
        place = self._path(path)
        if path:
            self._require_folder(path)
        with self._translated("make", path, changes=True):
            self._fs.mkdir(place, create_parents=not path)

    def rmdir(self, path: str) -> None:
        place = self._path(path)
        # Some take a folder with all that is in it.
        if self._info(path).get("type") != "directory" or self.list(path):
            raise Denied(f"{self.full_path(path)} is not an empty folder.")
        with self._translated("remove", path, changes=True):
            self._fs.rmdir(place)

    def _require_folder(self, path: str) -> None:
        folder, _ = split(path)
        if not self._is_folder(folder):
            raise NotFound(f"there is no folder {self.full_path(folder)}.")

    # -- errors ------------------------------------------------------------------------

    @contextmanager
    def _translated(self, verb: str, path: str, *, changes: bool = False) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except Exception as error:  # whatever a stranger's filesystem raises
            where = self.full_path(path)
            for native, ours in _ERRORS:
                if isinstance(error, native):
                    raise ours(f"can't {verb} {where} ({type(error).__name__}).") from error
            outcome = ": it may have been done or not." if changes else ": try again."
            raise AmbiguousResult(
                f"can't {verb} {where} ({type(error).__name__}){outcome}"
            ) from error


def _without_cache(filesystem: AbstractFileSystem) -> AbstractFileSystem:
    filesystem.dircache.use_listings_cache = False
    filesystem.invalidate_cache()
    return filesystem


def _fresh(filesystem: AbstractFileSystem) -> AbstractFileSystem:
    options = {**filesystem.storage_options, "skip_instance_cache": True}
    return type(filesystem)(*filesystem.storage_args, **options)


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
