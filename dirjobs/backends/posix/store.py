"""Folders of this machine, through the operating system (Linux, macOS, Windows).

Names that are no valid Unicode are carried as Python carries them (surrogates); they
are listed, and `name_problem` refuses them.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import BinaryIO, NamedTuple, NoReturn

from dirjobs import local_files
from dirjobs.backends.posix import rename as native_rename
from dirjobs.backends.posix import windows
from dirjobs.backends.posix.errnos import errno_of, refusal
from dirjobs.backends.posix.paths import (
    absolute,
    network_file_system,
    path_of_url,
    spelled,
)
from dirjobs.backends.posix.paths import mountinfo as _mountinfo
from dirjobs.errors import (
    ConfigurationError,
    Denied,
    InvalidName,
    NotFound,
    StoreError,
    Unsupported,
)
from dirjobs.names import nonce, unportable_name, unsafe_name, windows_problem
from dirjobs.store import Entry, FileKind, Guarantees, SmallFile, Store, check_path, split

_PIECE = 1 << 20
_WINDOWS = sys.platform == "win32"
# Never through a link, and never waiting for the other end of a FIFO.
_CAREFULLY = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_DIRECTORY = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_PASS = _DIRECTORY | getattr(os, "O_PATH", os.O_RDONLY)
"""Opens a folder to get at what is in it, as far as the system knows the difference."""
_LIST = _DIRECTORY | os.O_RDONLY
_OPENS_FOLDERS = (
    bool(_DIRECTORY and _NOFOLLOW)
    and os.scandir in os.supports_fd
    and {os.open, os.stat, os.unlink, os.mkdir, os.rmdir, os.rename} <= os.supports_dir_fd
)
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
log = logging.getLogger(__name__)
_warned: set[str] = set()
_OF_A_DISK = Guarantees(
    atomic_rename=True,
    atomic_rename_in_folder=True,
    rename_keeps_mtime=True,
    no_replace=True,
    exclusive_mkdir=True,
    final_refusals=True,
    visible_after=0,
)
"""What a disk of this machine promises."""


class _Folder(NamedTuple):
    """A folder in which something is to be done.

    Attributes:
        prefix: what comes before a name in it.
        handle: the open folder; None if `prefix` is its whole path.
    """

    prefix: str
    handle: int | None


class PosixStore(Store):
    """A local folder.

    No folder in it is reached through a symbolic link, unless `follow` allowed that: contents
    are opened from their open folder; on Windows, which has none, folders are looked at before,
    and junctions are links too.  A rename is, where others may exchange folders for
    links (they may write to the store's own one); that costs eight calls more.

    Args:
        root: the folder, in any spelling; `full_path` keeps it.  A relative one is
            resolved now, so a later ``os.chdir`` doesn't matter.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._root = os.fspath(root)
        self._base = absolute(self._root, windows=_WINDOWS)
        self._prefix = os.fsencode(self._base)
        self._encoding = sys.getfilesystemencoding()
        native = native_rename.native()
        self._move: native_rename.Rename = native or native_rename.look_first
        self._guarantees = self._promises(can_refuse=native is not None)
        # A server's answer may be missing, or be that to a request sent once more.
        self.names_suffice = self.appends = self._guarantees.final_refusals
        self._followed: frozenset[str] = frozenset()
        self._is_shared = False
        self._look_who_writes()

    def _promises(self, *, can_refuse: bool) -> Guarantees:
        """What holds at this place, as the system tells; with a warning if that is not all.

        Args:
            can_refuse: whether the system can rename without replacing; a file system may say
                otherwise later.
        """
        kernel = windows.SYSTEM
        if kernel is not None:
            volume = windows.volume_of(kernel, windows.real_path(self._base))
            if not volume.is_disk:
                _propose_once(self._root, volume)
            return guarantees_of(volume)
        mounts = _mountinfo()
        kind = network_file_system(os.path.realpath(self._base), mounts)
        if kind:
            _warn_once(
                self._root,
                f"on a mounted network file system ({kind}): the share's own URL (https://, smb://)"
                " or worker_sync=True is safer.",
            )
        return replace(_OF_A_DISK, no_replace=can_refuse, final_refusals=bool(mounts) and not kind)

    @property
    def url(self) -> str:
        return self._root

    @property
    def guarantees(self) -> Guarantees:
        return self._guarantees

    # -- what the protocol asks: list, rename, exists ---------------------------------

    def list(self, folder: str) -> list[Entry]:
        entries: list[Entry] = []
        append = entries.append
        regular = stat.S_ISREG
        try:
            with self._scanned(folder) as found:
                for item in found:
                    try:
                        status = item.stat(follow_symlinks=False)
                    except OSError as error:
                        if errno_of(error) in (errno.ENOENT, errno.ESTALE):
                            continue  # it went away; NFS says so in its own way
                        raise
                    if regular(status.st_mode):
                        append(Entry(item.name, status.st_mtime, status.st_size))
                    else:
                        is_folder = stat.S_ISDIR(status.st_mode)
                        kind = FileKind.FOLDER if is_folder else FileKind.OTHER
                        append(Entry(item.name, status.st_mtime, None, kind))
        except OSError as error:
            self._fail(error, folder)
        return entries

    def names_of_files(self, folder: str) -> Iterable[str]:
        try:
            with self._scanned(folder) as found:
                return [item.name for item in found if item.is_file(follow_symlinks=False)]
        except OSError as error:
            if error.errno == errno.ESTALE:  # one went away: `list` leaves just that out
                return super().names_of_files(folder)
            self._fail(error, folder)

    def rename(self, src: str, dst: str) -> None:
        both = f"/{src}/\n/{dst}/"
        if "/." in both or "//" in both or "\0" in both:  # cheaper than to check every time
            check_path(src)
            check_path(dst)
        if _WINDOWS:
            one, other = os.fsencode(self._new_at(src)), os.fsencode(self._new_at(dst))
        else:
            encoding = self._encoding
            one = self._prefix + src.encode(encoding, "surrogateescape")
            other = self._prefix + dst.encode(encoding, "surrogateescape")
        if self._is_shared:
            code = self._rename_between_open_folders(src, dst)
        else:
            code = self._move(one, other)
            if code and code in native_rename.NOT_HERE:
                code = self._look_first(one, other, code)
        if code:
            self._refuse_rename(code, src, dst)

    def claim(self, src: str, dst: str) -> None:
        if not _WINDOWS:
            self.rename(src, dst)
            return
        one, other = os.fsencode(self._new_at(src)), os.fsencode(self._new_at(dst))
        if code := native_rename.claiming_rename(one, other):
            self._refuse_rename(code, src, dst)

    def _refuse_rename(self, code: int, src: str, dst: str) -> NoReturn:
        self._refuse(code, f"{self.full_path(src)!r} -> {self.full_path(dst)!r}")

    def _rename_between_open_folders(self, src: str, dst: str) -> int:
        try:
            with self._folder_of(src) as source, self._folder_of(dst) as target:
                one = os.fsencode(source.prefix + split(src)[1])
                other = os.fsencode(target.prefix + split(dst)[1])
                at, to = (
                    native_rename.AT_FDCWD if folder.handle is None else folder.handle
                    for folder in (source, target)
                )
                code = self._move(one, other, at, to)
                if code and code in native_rename.NOT_HERE:
                    code = self._look_first(one, other, code, at, to)
                return code
        except OSError as error:
            self._fail(error, src)

    def exists(self, path: str) -> bool:
        try:
            os.lstat(self._at(path))
        except NotFound:  # no file of Windows can be called so
            return False
        except OSError as error:
            if errno_of(error) in (errno.ENOENT, errno.ENOTDIR):
                return False
            self._fail(error, path)
        return True

    def mtime(self, path: str) -> float:
        try:
            return os.lstat(self._at(path)).st_mtime
        except OSError as error:
            self._fail(error, path)

    # -- contents and housekeeping -----------------------------------------------------

    def read(self, path: str) -> bytes:
        small = SmallFile(repr(self.full_path(path)))
        with self._opened(path, os.O_RDONLY) as file:
            while piece := self._piece(file, path):
                small.write(piece)
        return small.content()

    def write(self, path: str, data: bytes) -> None:
        name = split(path)[1]
        draft = f".~{nonce(10)}"
        there = False
        try:
            with self._folder_of(path, new=True) as folder:
                try:
                    with self._open(
                        folder, draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, path
                    ) as file:
                        there = True
                        self._put(file, path, data)
                    source, target, at = folder.prefix + draft, folder.prefix + name, folder.handle
                    local_files.patiently(
                        lambda: os.replace(source, target, src_dir_fd=at, dst_dir_fd=at)
                    )
                except OSError:
                    if there:
                        self._discard(folder, draft)
                    raise
        except OSError as error:
            self._fail(error, path)

    def append(self, path: str, data: bytes) -> None:
        with self._opened(path, os.O_WRONLY | os.O_APPEND) as file:
            self._put(file, path, data)

    def download(self, path: str, target: BinaryIO) -> None:
        with self._opened(path, os.O_RDONLY) as file:
            while piece := self._piece(file, path):
                target.write(piece)

    def upload(self, path: str, source: BinaryIO) -> None:
        with self._opened(path, os.O_WRONLY | os.O_CREAT) as file:
            try:
                if os.fstat(file.fileno()).st_nlink > 1:
                    raise Denied(
                        f"{self.full_path(path)!r}: it has a second name (a hard link), whose"
                        " content would be replaced as well"
                    )
                os.ftruncate(file.fileno(), 0)
            except OSError as error:
                self._fail(error, path)
            while piece := source.read(_PIECE):
                self._put(file, path, piece)
            try:
                os.fsync(file.fileno())
            except OSError as error:
                self._fail(error, path)

    def remove(self, path: str) -> None:
        try:
            with self._folder_of(path) as folder:
                where = folder.prefix + split(path)[1]
                local_files.patiently(lambda: os.unlink(where, dir_fd=folder.handle))
        except OSError as error:
            self._fail(error, path)

    def mkdir(self, path: str) -> None:
        try:
            if path:
                with self._folder_of(path, new=True) as folder:
                    os.mkdir(folder.prefix + split(path)[1], dir_fd=folder.handle)
            else:
                os.makedirs(self._base)
        except OSError as error:
            self._fail(error, path)

    def rmdir(self, path: str) -> None:
        try:
            with self._folder_of(path) as folder:
                os.rmdir(folder.prefix + split(path)[1], dir_fd=folder.handle)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise Denied(f"{self.full_path(path)!r}: it is not an empty folder") from error
            self._fail(error, path)

    # -- what may differ from store to store -------------------------------------------

    def name_problem(self, name: str) -> str | None:
        return unportable_name(name) if _WINDOWS else unsafe_name(name)

    def full_path(self, path: str) -> str:
        return spelled(self._root, path, windows=_WINDOWS)

    def local_path(self, path: str) -> str:
        spelling = self.full_path(path)
        if _WINDOWS and len(whole := self._new_at(path)) > windows.LONGEST_PLAIN_PATH:
            return whole
        return spelling

    def follow(self, folders: Iterable[str]) -> None:
        """Let `folders` be symbolic links that root or this user made.

        A link among the folders of a queue leads to where whoever made it likes: others' files
        would be taken for jobs, or written over.  (Windows does not tell who made a link: there
        all of `folders` may be links, and junctions.)
        """
        self._followed = frozenset(folders)

    def __reduce__(self) -> tuple[type[PosixStore], tuple[str]]:
        return type(self), (self._root,)

    # -- inside ------------------------------------------------------------------------

    def _at(self, path: str) -> str:
        """Where something is.

        Raises:
            NotFound: nothing is on Windows, where no file can be called so.
        """
        try:
            return self._new_at(path)
        except InvalidName as error:
            raise NotFound(str(error)) from error

    def _new_at(self, path: str) -> str:
        """Where something is to be.

        Raises:
            InvalidName: no file of Windows can be called so.
        """
        check_path(path)
        if not _WINDOWS:
            return self._base + path
        for name in path.split("/") if path else ():
            if problem := windows_problem(name):
                raise InvalidName(f"{path!r} is no path on Windows: {problem}.")
        return self._base + path.replace("/", "\\")

    # -- folders, without links ------------------------------------------------------------

    def _look_who_writes(self) -> None:
        """Note whether others may put a link in the place of a folder."""
        try:
            status = os.stat(self._base)
        except OSError:
            return  # whoever asks for something in it is told
        if _OPENS_FOLDERS:
            mine = status.st_uid in _owners()
            self._is_shared = not mine or bool(status.st_mode & _OTHERS_WRITE)

    @contextmanager
    def _folder_of(self, path: str, *, new: bool = False) -> Iterator[_Folder]:
        """The folder of `path`, open as long as this lasts.

        Args:
            new: something is to be made at `path`.

        Raises:
            OSError: it can't be opened.
        """
        folder, name = split(check_path(path))
        if not folder or not _OPENS_FOLDERS:
            self._look_for_links(folder)
            whole = self._new_at(path) if new else self._at(path)
            yield _Folder(whole.removesuffix(name), None)
            return
        handle = self._open_folder(folder, _PASS)
        try:
            yield _Folder("", handle)
        finally:
            os.close(handle)

    @contextmanager
    def _scanned(self, folder: str) -> Iterator[Iterator[os.DirEntry[str]]]:
        """What is in a folder.

        Raises:
            OSError: it can't be listed.
        """
        if not _OPENS_FOLDERS:
            self._look_for_links(check_path(folder))
            with os.scandir(self._at(folder)) as found:
                yield found
            return
        self._look_who_writes()
        handle = self._open_folder(check_path(folder), _LIST)
        try:
            with os.scandir(handle) as found:
                yield found
        finally:
            os.close(handle)

    def _open_folder(self, folder: str, flags: int) -> int:
        """A folder, opened by way of those above it; the store's own may be a link."""
        if not folder:
            return os.open(self._base, flags)
        *above, last = folder.split("/")
        at: int | None = None
        path = ""
        for part in above:
            path = f"{path}/{part}" if path else part
            at = self._step(at, part, path, _PASS)
        return self._step(at, last, folder, flags)

    def _step(self, at: int | None, part: str, path: str, flags: int) -> int:
        """The folder `part` of the open folder `at`, which is closed; None: of the store's."""
        where = self._base + part if at is None else part
        try:
            try:
                return os.open(where, flags | _NOFOLLOW, dir_fd=at)
            except OSError as error:
                if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                    raise
                before = os.lstat(where, dir_fd=at)
                if not stat.S_ISLNK(before.st_mode):
                    raise
            if path in self._followed and before.st_uid in _owners():
                handle = os.open(where, flags, dir_fd=at)
                after = os.lstat(where, dir_fd=at)
                if (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns):
                    return handle
                os.close(handle)  # somebody exchanged it in this very moment
            raise self._through_a_link(path)
        finally:
            if at is not None:
                os.close(at)

    def _look_for_links(self, folder: str) -> None:
        """For systems without folders that stay open, as Windows: see that none of them is a link
        before something in it is listed, opened, made or removed.  (Renames follow a listing.)
        Whoever exchanges one between this look and what follows is not found out.

        Raises:
            Denied: one is, and was not allowed.
        """
        path = ""
        for part in folder.split("/") if folder else ():
            path = f"{path}/{part}" if path else part
            there = self._base + path.replace("/", os.sep)
            if path not in self._followed and local_files.is_link(there):
                raise self._through_a_link(path)

    def _through_a_link(self, path: str) -> Denied:
        return Denied(
            f"{self.full_path(path)!r}: it is a symbolic link, and a queue's folders are not"
            " reached through links: put a folder there, or, if the link is yours, allow it"
            " by `dirjobs init --follow-links`"
        )

    @contextmanager
    def _opened(self, path: str, flags: int) -> Iterator[BinaryIO]:
        try:
            with self._folder_of(path, new=bool(flags & os.O_CREAT)) as folder:
                file = self._open(folder, split(path)[1], flags, path)
        except OSError as error:
            self._fail(error, path)
        with file:
            yield file

    def _open(self, folder: _Folder, name: str, flags: int, shown: str) -> BinaryIO:
        """An unbuffered regular file; anything else is refused, and never waited for.

        Errors speak of `shown`, the path that the caller knows.
        """
        flags |= _CAREFULLY
        kernel = windows.SYSTEM
        if kernel is None:
            handle = os.open(folder.prefix + name, flags, 0o666, dir_fd=folder.handle)
        else:
            handle = local_files.patiently(
                lambda: windows.sharing_open(kernel, folder.prefix + name, flags)
            )
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise Denied(f"{self.full_path(shown)!r}: it is not a regular file")
        return open(handle, "rb" if flags & 3 == os.O_RDONLY else "wb", buffering=0)

    # -- pieces and errors -----------------------------------------------------------------

    def _piece(self, file: BinaryIO, path: str) -> bytes:
        try:
            return file.read(_PIECE)
        except OSError as error:
            self._fail(error, path)

    def _put(self, file: BinaryIO, path: str, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[file.write(rest) :]
        except OSError as error:
            self._fail(error, path)

    def _discard(self, folder: _Folder, draft: str) -> None:
        try:
            os.unlink(folder.prefix + draft, dir_fd=folder.handle)
        except OSError as error:  # the reason why the write failed matters more
            log.warning("%r was left behind: %s", draft, error)

    def _look_first(self, src: bytes, dst: bytes, code: int, *at: int) -> int:
        """Rename where the native call was refused with `code`, and remember that."""
        again = native_rename.look_first(src, dst, *at)
        if again != code:  # else it was about these names, not about the call
            self._move = native_rename.look_first
            self._guarantees = replace(self._guarantees, no_replace=False)
        return again

    def _fail(self, error: OSError, path: str) -> NoReturn:
        if isinstance(error, StoreError):
            raise error
        self._refuse(errno_of(error), repr(self.full_path(path)), error)

    def _refuse(self, code: int, what: str, cause: OSError | None = None) -> NoReturn:
        native = cause or OSError(code, os.strerror(code))
        if code == errno.ENOTDIR and not os.path.isdir(self._base):
            raise Unsupported(f"{self._root!r} is a file, not a folder") from native
        raise refusal(code, what) from native


def open_store(url: str, options: Mapping[str, object]) -> PosixStore:
    """The store for a local path or a ``file://`` URL.

    Raises:
        ConfigurationError: there are options (a local folder has none), the URL names
            another machine, or the place is a file.
    """
    if options:
        given = ", ".join(sorted(map(repr, options)))
        raise ConfigurationError(
            f"storage_options {given} mean nothing for the local folder {url!r}: leave them out."
        )
    root = path_of_url(url, windows=_WINDOWS)
    if not root or "\0" in root:
        raise ConfigurationError(f"{root!r} is not a folder: give the path of the queue's folder.")
    if os.path.lexists(root) and not os.path.isdir(root):
        raise ConfigurationError(f"{root!r} is a file, not a folder: give the queue's folder.")
    return PosixStore(root)


def _owners() -> tuple[int, ...]:
    """Who may have made what is followed: root and this user."""
    if sys.platform == "win32":
        return ()
    return 0, os.geteuid()


def guarantees_of(volume: windows.Volume) -> Guarantees:
    """What is promised of a place on Windows.

    A server behind Windows' own client decides by what that sends, which lists folders from a
    cache: nothing is promised of renames there until `dirjobs check` has tried them.
    """
    if volume.is_disk:
        return _OF_A_DISK
    return Guarantees(
        no_replace=True,
        exclusive_mkdir=True,
        visible_after=windows.CLIENT_LAG if volume.is_network else 0,
    )


def _propose_once(root: str, volume: windows.Volume) -> None:
    """Say what is better than a place where nothing is promised of renames."""
    better = f"the share's own URL ({volume.url}) is safer" if volume.url else "a disk is safer"
    kind = volume.file_system or "unknown"
    where = (
        f"reached by Windows' own client ({kind})" if volume.is_network else f"{kind} to Windows"
    )
    _warn_once(
        root,
        f"{where}, where nothing is promised of renames until `dirjobs check` has tried them:"
        f" {better}.",
    )


def _warn_once(root: str, what: str) -> None:
    if root not in _warned:
        _warned.add(root)
        log.warning("%r is %s", root, what)
