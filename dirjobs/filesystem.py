"""The folder of a queue as a filesystem of fsspec: for pandas, pyarrow, xarray and zarr.

All goes through the queue's own store, so what holds for that holds here: its login, its proxy,
its certificates, its deadlines, its errors.  A file is fetched whole when it is opened; one on this
machine is opened where it is.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, BinaryIO, NoReturn, cast

from fsspec.spec import AbstractFileSystem

from dirjobs.errors import Denied, NotFound, Unsupported
from dirjobs.files.leftovers import opened
from dirjobs.layout import DONE, FAILED, QUEUE, RUNNING, WAITING
from dirjobs.protocol import folders
from dirjobs.protocol.share import Share
from dirjobs.store import Entry, FileKind, check_path, split

_OWN = (WAITING, RUNNING, DONE, FAILED, QUEUE)
"""The folders in which only the queue changes anything."""
_IN_MEMORY = 1 << 20
"""Bytes of a fetched file; a larger one is a temporary file."""
_KINDS = {FileKind.FILE: "file", FileKind.FOLDER: "directory", FileKind.OTHER: "other"}


class QueueFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """The files of a queue, by their paths in it, such as ``results/job1.json/w1/result.json``.

    It reads all of them, and writes new ones, or whole ones over others, beside the queue's own
    folders.  It moves and removes nothing, and changes nothing in ``00_waiting``, ``01_running``,
    ``02_done``, ``99_failed`` and ``_queue``: a claim is a rename that only the protocol may do.

    Args:
        share: the queue.
    """

    protocol = "dirjobs"
    root_marker = ""
    cachable = False

    def __init__(self, share: Share) -> None:
        super().__init__(use_listings_cache=False)
        self._share = share

    @classmethod
    def _strip_protocol(cls, path: str | list[str]) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        return os.fspath(path).removeprefix("dirjobs://").strip("/")

    def _place(self, path: str) -> str:
        """A path in the queue.

        Raises:
            ValueError: it leads elsewhere.
        """
        return check_path(self._strip_protocol(path))

    # -- looking --------------------------------------------------------------------------

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """What is in a folder, or the file itself.

        Raises:
            FileNotFoundError: there is no such place.
            StoreError: the store refuses.
        """
        path = self._place(path)
        try:
            found = [_info(path, entry) for entry in self._share.list(path)]
        except (NotFound, NotADirectoryError):
            found = [self._info_of_entry(path)]
        return found if detail else [info["name"] for info in found]

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Name, type, size and time of a file or folder: ``mtime`` in seconds since the epoch, by
        the store's clock.

        Raises:
            FileNotFoundError: there is no such place.
            StoreError: the store refuses.
        """
        path = self._place(path)
        return self._info_of_entry(path)

    def _info_of_entry(self, path: str) -> dict[str, Any]:
        if not path:
            return {"name": "", "type": "directory", "size": 0}
        folder, name = split(path)
        for entry in self._share.list(folder):
            if entry.name == name:
                return _info(folder, entry)
        raise NotFound(f"{self._share.store.full_path(path)!r} is not there.")

    def exists(self, path: str, **_: Any) -> bool:
        """Whether there is such a file or folder.

        Raises:
            StoreError: that can't be found out.
        """
        try:
            self.info(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def modified(self, path: str) -> datetime:
        """When a file was last written, in UTC by the store's clock.

        Raises:
            Unsupported: the store does not tell.
        """
        mtime = self.info(path).get("mtime")
        if mtime is None:
            raise Unsupported(f"{self._share.store.url!r} tells no times of {path!r}.")
        return datetime.fromtimestamp(mtime, UTC)

    # -- reading and writing --------------------------------------------------------------

    def _open(self, path: str, mode: str = "rb", **_: Any) -> BinaryIO:
        path = self._place(path)
        if mode == "rb":
            return self._fetched(path)
        if mode not in ("wb", "xb"):
            raise Unsupported(
                f"{path!r} can't be opened with mode {mode!r}: files are written whole."
            )
        _refuse_own(path)
        if mode == "xb" and self.exists(path):
            raise FileExistsError(f"{path!r} is there already.")
        return cast("BinaryIO", _Upload(lambda file: folders.upload(self._share, path, file)))

    def _fetched(self, path: str) -> BinaryIO:
        local = self._share.store.local_path(path)
        if local is not None:
            return _closing_itself(opened(local, follow=False))
        file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - the caller's
        try:
            self._share.store.download(path, cast("BinaryIO", file))
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return _closing_itself(cast("BinaryIO", file))

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        """The content of a file, or the part of it from `start` to `end`, in bytes.

        Raises:
            FileNotFoundError: there is no such file.
            StoreError: the store refuses.
        """
        with self._open(path) as file:
            return file.read()[start:end]

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        """Write a file.

        Raises:
            Denied: it would be one of the queue's own.
            StoreError: the store refuses.
        """
        with self._open(path, "xb" if mode == "create" else "wb") as file:
            file.write(value)

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:  # noqa: ARG002
        """Make a folder, and those above it.

        Raises:
            Denied: it would be among the queue's own.
            StoreError: the store refuses.
        """
        path = self._place(path)
        _refuse_own(path)
        if path:
            folders.make_folder(self._share, path)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """As `mkdir`.

        Raises:
            FileExistsError: it is there, and that is not fine.
        """
        if not exist_ok and self.exists(path):
            raise FileExistsError(f"{path!r} is there already.")
        self.mkdir(path)

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        """Copy a file, through this machine.

        Raises:
            Denied: the copy would be one of the queue's own.
            StoreError: the store refuses.
        """
        _refuse_own(self._place(path2))
        with self._open(path1) as source:
            folders.upload(self._share, self._place(path2), source)

    # -- what it doesn't do ---------------------------------------------------------------

    def mv(self, path1: str, path2: str, *_: Any, **__: Any) -> NoReturn:
        """Refuse, as do `move` and `rename`.

        Raises:
            Denied: always.
        """
        raise Denied(
            f"{path1!r} can't be moved to {path2!r} by this filesystem: moving a job is claiming"
            " it, which next_and_lock(), retry() and cancel() of DirJobs do safely."
        )

    def rm(self, path: str | list[str], *_: Any, **__: Any) -> NoReturn:
        """Refuse, as do `rm_file`, `rmdir` and `delete`.

        Raises:
            Denied: always.
        """
        raise Denied(
            f"{path!r} can't be removed by this filesystem: `dirjobs remove` takes jobs out of the"
            " queue."
        )

    move = rename = mv
    rm_file = _rm = rmdir = delete = rm

    def __reduce__(self) -> NoReturn:
        raise TypeError("the filesystem of a queue can't be pickled: its login would be in there.")


class _Closing(io.RawIOBase):
    """Reads a file, and closes it when nobody has this any more: pyarrow closes none.

    Args:
        file: is read from where it stands.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        super().close()


def _closing_itself(file: BinaryIO) -> BinaryIO:
    return io.BufferedReader(_Closing(file))


class _Upload(io.BytesIO):
    """A file that is stored when it is closed; not if its ``with`` block raised.

    Args:
        store: is given the whole content.
    """

    def __init__(self, store: Callable[[BinaryIO], object]) -> None:
        super().__init__()
        self._store = store

    def close(self) -> None:
        if not self.closed:
            try:
                self.seek(0)
                self._store(self)
            finally:
                super().close()

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if kind is not None:
            super().close()
        self.close()

    def __del__(self) -> None:
        """A file that nobody closed is not whole."""
        super().close()


def _info(folder: str, entry: Entry) -> dict[str, Any]:
    info: dict[str, Any] = {
        "name": f"{folder}/{entry.name}" if folder else entry.name,
        "type": _KINDS[entry.kind],
        "size": entry.size,
    }
    if entry.mtime is not None:
        info["mtime"] = entry.mtime
    return info


def _refuse_own(path: str) -> None:
    """Refuse to change anything among the queue's own files.

    Raises:
        Denied: it is.
    """
    own = path.partition("/")[0]
    if own.casefold() in _OWN:
        raise Denied(
            f"{path!r} can't be written by this filesystem: what is in {own!r} is the queue's own,"
            " and jobs are added by DirJobs.add."
        )
