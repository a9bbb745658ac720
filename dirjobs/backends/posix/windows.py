"""Local files on Windows: renamed by whoever has them alone, opened so that nobody is kept out.

``os.rename`` opens its source with everything shared and renames what it has opened, whatever
that is called by then, so several callers may be told that they renamed one file.  Here the source
is opened with the right to delete it, which lets nobody else have that right, or write, meanwhile.
Python's ``open`` shares no deletion, so a reader would keep a file from being claimed.

The rules are functions of a `Kernel`, and are tested on any system.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from typing import NamedTuple, Protocol

GENERIC_READ, GENERIC_WRITE, DELETE, SYNCHRONIZE = 0x8000_0000, 0x4000_0000, 0x1_0000, 0x10_0000
SHARE_READ, SHARE_ALL = 1, 7
CREATE_NEW, OPEN_EXISTING, OPEN_ALWAYS = 1, 3, 4
NORMAL = 0x80
ITSELF = 0x0200_0000 | 0x0020_0000
"""Opens a folder as well, and a link instead of what it leads to."""
DRIVE_REMOVABLE, DRIVE_FIXED, DRIVE_REMOTE, DRIVE_RAMDISK = 2, 3, 4, 6

_LOCAL = frozenset({DRIVE_REMOVABLE, DRIVE_FIXED, DRIVE_RAMDISK})
_DISKS = frozenset({"NTFS", "ReFS", "exFAT", "FAT32", "FAT"})
"""File systems of Windows: others' (WinFsp, Dokan, shared folders of a virtual machine) may rename
in their own way."""

_DEVICES = ("\\\\?\\", "\\\\.\\")
"""What paths begin with that name no server."""
LONGEST_PLAIN_PATH = 259
"""Characters; programs take no longer path that is not spelled as `paths.extended` does."""
CLIENT_LAG = 10.0
"""Seconds for which Windows' own client may list a server's folder from its cache."""


class Kernel(Protocol):
    """What is asked of Windows.  Errors are OSErrors with a ``winerror``."""

    def open(self, path: str, access: int, share: int, how: int, flags: int) -> int:
        """A handle: CreateFileW."""

    def close(self, handle: int) -> None:
        """CloseHandle."""

    def rename(self, handle: int, target: str) -> None:
        """Rename what is open to a whole path, and replace nothing: FileRenameInfo."""

    def descriptor(self, handle: int, flags: int) -> int:
        """The handle as what `os.open` returns."""

    def volume(self, path: str) -> tuple[str, int]:
        """The name of the file system that a path is on, and the type of its drive:
        GetVolumePathNameW, GetVolumeInformationW, GetDriveTypeW."""


class Volume(NamedTuple):
    r"""What Windows says of the place of a folder.

    Attributes:
        file_system: such as ``NTFS``, ``ReFS`` or ``exFAT``; empty if it is not told.
        is_network: whether it is reached through a server, as far as is known.
        share: ``\\host\share`` and the folder in it, if that is what it is.
    """

    file_system: str
    is_network: bool
    share: str = ""

    @property
    def is_disk(self) -> bool:
        """Whether Windows itself sees to who may open and rename what, on a disk of this
        machine."""
        return not self.is_network and self.file_system in _DISKS

    @property
    def url(self) -> str:
        """The share's own URL; empty if it is none."""
        return "smb:" + self.share.replace("\\", "/") if self.share else ""


def rename(kernel: Kernel, src: str, dst: str) -> None:
    """Rename one file; of several who do, one succeeds.

    Args:
        kernel: Windows.
        src: a whole path.
        dst: the same; what is there is not replaced, and `src` itself is there.

    Raises:
        OSError: it was not done: of `local_files.HELD` if somebody else has the file open.
    """
    if src == dst:
        os.lstat(src)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), dst)
    handle = kernel.open(src, DELETE | SYNCHRONIZE, SHARE_READ, OPEN_EXISTING, ITSELF)
    try:
        kernel.rename(handle, dst)
    finally:
        kernel.close(handle)


def sharing_open(kernel: Kernel, path: str, flags: int, *, follow: bool = False) -> int:
    """What `os.open` does, while everybody may go on to read, write, rename and delete the file.

    Args:
        kernel: Windows.
        path: of a file; a folder is refused.
        flags: as for `os.open`: a way to read or write, and whether the file is made.
        follow: whether what a link leads to will do.

    Raises:
        OSError: it can't be opened.
    """
    if not flags & os.O_EXCL:
        _refuse_others_than_files(path, follow=follow)
    access = GENERIC_READ if flags & 3 == os.O_RDONLY else GENERIC_WRITE
    how = OPEN_EXISTING
    if flags & os.O_CREAT:
        how = CREATE_NEW if flags & os.O_EXCL else OPEN_ALWAYS
    handle = kernel.open(path, access, SHARE_ALL, how, NORMAL)
    try:
        return kernel.descriptor(handle, flags & ~(os.O_CREAT | os.O_EXCL))
    except BaseException:
        kernel.close(handle)
        raise


def _refuse_others_than_files(path: str, *, follow: bool) -> None:
    """Refuse what is known to be no file: Windows says "access denied" of a folder, as it does of
    a file for a moment."""
    try:
        mode = (os.stat if follow else os.lstat)(path).st_mode
    except FileNotFoundError:
        return  # it is made, or whoever opens it is told
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)


def volume_of(kernel: Kernel, path: str) -> Volume:
    """The volume of a folder, which need not be there.

    Args:
        kernel: Windows.
        path: a whole path, without links as far as that is known.
    """
    plain = plain_path(path)
    share = plain if plain.startswith("\\\\") and not plain.startswith(_DEVICES) else ""
    try:
        name, drive = kernel.volume(plain)
    except OSError:  # a server that does not answer, or a drive that is not there
        name, drive = "", DRIVE_REMOTE
    return Volume(name, bool(share) or drive not in _LOCAL, share)


def real_path(path: str) -> str:
    """A whole path without links, and with the share that a drive's letter stands for."""
    try:
        return os.path.realpath(path)
    except OSError:  # what it leads to can't be reached
        return path


def plain_path(path: str) -> str:
    r"""A path without the ``\\?\`` that `paths.extended` puts before it.

    Others that begin so have no plain spelling: what is left of ``\\?\Volume{...}\jobs`` would be
    in the current folder.
    """
    rest = path.removeprefix("\\\\?\\")
    if rest == path or rest[1:3] == ":\\":
        return rest
    return f"\\\\{rest[4:]}" if rest[:4].upper() == "UNC\\" else path


if sys.platform == "win32":
    import ctypes
    import msvcrt
    from ctypes import wintypes

    _INVALID = wintypes.HANDLE(-1).value
    _RENAME = 3  # FileRenameInfo
    _LONGEST = 32_768
    _kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    _kernel32.CreateFileW.restype = wintypes.HANDLE
    _kernel32.CreateFileW.argtypes = (
        wintypes.LPCWSTR,
        wintypes.DWORD,
        wintypes.DWORD,
        wintypes.LPVOID,
        wintypes.DWORD,
        wintypes.DWORD,
        wintypes.HANDLE,
    )
    _kernel32.SetFileInformationByHandle.argtypes = (
        wintypes.HANDLE,
        ctypes.c_int,
        wintypes.LPVOID,
        wintypes.DWORD,
    )
    _kernel32.CloseHandle.argtypes = (wintypes.HANDLE,)
    _kernel32.GetVolumePathNameW.argtypes = (wintypes.LPCWSTR, wintypes.LPWSTR, wintypes.DWORD)
    _kernel32.GetVolumeInformationW.argtypes = (
        wintypes.LPCWSTR,
        wintypes.LPWSTR,
        wintypes.DWORD,
        wintypes.LPVOID,
        wintypes.LPVOID,
        wintypes.LPVOID,
        wintypes.LPWSTR,
        wintypes.DWORD,
    )
    _kernel32.GetDriveTypeW.argtypes = (wintypes.LPCWSTR,)
    _kernel32.GetDriveTypeW.restype = wintypes.UINT

    class _RenameInfo(ctypes.Structure):
        """FILE_RENAME_INFO, up to the name; no replacing."""

        _fields_ = (
            ("replace", wintypes.DWORD),
            ("folder", wintypes.HANDLE),
            ("length", wintypes.DWORD),
        )

    def _failed(path: str) -> OSError:
        code = ctypes.get_last_error()
        return OSError(None, ctypes.FormatError(code).strip(), path, code)

    class Kernel32:
        """Windows itself; see `Kernel`."""

        def open(self, path: str, access: int, share: int, how: int, flags: int) -> int:
            handle: int = _kernel32.CreateFileW(path, access, share, None, how, flags, None)
            if handle == _INVALID:
                raise _failed(path)
            return handle

        def close(self, handle: int) -> None:
            _kernel32.CloseHandle(handle)

        def rename(self, handle: int, target: str) -> None:
            name = target.encode("utf-16-le", "surrogatepass")
            place = _RenameInfo.length.offset + ctypes.sizeof(wintypes.DWORD)
            size = max(ctypes.sizeof(_RenameInfo), place + len(name) + 2)
            buffer = ctypes.create_string_buffer(size)
            _RenameInfo.from_buffer(buffer).length = len(name)
            ctypes.memmove(ctypes.addressof(buffer) + place, name, len(name))
            if not _kernel32.SetFileInformationByHandle(handle, _RENAME, buffer, size):
                raise _failed(target)

        def descriptor(self, handle: int, flags: int) -> int:
            return msvcrt.open_osfhandle(handle, flags)

        def volume(self, path: str) -> tuple[str, int]:
            root = ctypes.create_unicode_buffer(_LONGEST)
            if not _kernel32.GetVolumePathNameW(path, root, _LONGEST):
                raise _failed(path)
            name = ctypes.create_unicode_buffer(wintypes.MAX_PATH + 1)
            told = _kernel32.GetVolumeInformationW(
                root.value, None, 0, None, None, None, name, len(name)
            )
            if not told:
                raise _failed(path)
            return name.value, _kernel32.GetDriveTypeW(root.value)


def _system() -> Kernel | None:
    if sys.platform == "win32":
        return Kernel32()
    return None


SYSTEM = _system()
"""Windows, if this is it."""
