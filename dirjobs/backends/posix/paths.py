"""Local paths and mounts: every system's rules, as functions that are tested on any."""

from __future__ import annotations

import ntpath
import os
import posixpath
import re
from typing import NamedTuple
from urllib.parse import unquote

from dirjobs.errors import ConfigurationError
from dirjobs.redaction import redacted

# What may show one machine's change to another late, or answer a rename in its own way.
_NETWORK = re.compile(
    r"nfs\d*|cifs|smb\d*|smbfs|9p|ceph|glusterfs|lustre|gpfs|beegfs|afs|davfs\d*|webdav"
    r"|ncpfs|sshfs|virtiofs|vboxsf|prl_fs|fuse(?:\..*)?|osxfuse|macfuse|drvfs"
)
_LOCAL_FUSE = re.compile(r"fuse\.(?:ntfs(?:-3g)?|lxcfs|portal|exfat|fuse-overlayfs)")
_OCTAL = re.compile(r"\\([0-7]{3})")


def path_of_url(url: str, *, windows: bool) -> str:
    """The local path that a ``file://`` URL means; a plain path is returned as it is.

    Raises:
        ConfigurationError: it names another host (there are no UNC paths here), or has
            a query or a fragment (a ``?`` or ``#`` of a name has to be encoded).
    """
    scheme, colon, rest = url.partition("://")
    if not colon or scheme.lower() != "file":
        return url
    if found := re.search(r"[?#]", rest):
        raise ConfigurationError(
            f"{redacted(url)!r} contains {found.group()!r}: write %{ord(found.group()):02X} in a file://"
            " URL, or give the plain path."
        )
    host, slash, path = rest.partition("/")
    path = unquote(slash + path, errors="surrogateescape")
    if "\0" in path:
        raise ConfigurationError(f"{redacted(url)!r} contains a NUL: that can't be a path.")
    if windows and re.match(r"/[A-Za-z][:|]", path):
        path = f"{path[1]}:{path[3:] or '/'}"
    if not path:
        raise ConfigurationError(
            f"{redacted(url)!r} names no folder: write file:///folder with three slashes,"
            " or the plain path."
        )
    if host.lower() in ("", "localhost"):
        return path
    if windows:
        return f"//{host}{path}".replace("/", "\\")
    raise ConfigurationError(
        f"{redacted(url)!r} names the host {host.rpartition('@')[2]!r}, but file:// is this"
        " machine only: write file:///folder with three slashes, or use smb:// or https://."
    )


def spelled(root: str, path: str, *, windows: bool) -> str:
    """`path` below `root` in the spelling that the user chose for `root`."""
    if not path:
        return root
    if not windows:
        return posixpath.join(root, path)
    if "\\" in root or "/" not in root:
        return ntpath.join(root, path.replace("/", "\\"))
    return root + path if root.endswith("/") else f"{root}/{path}"


def absolute(root: str, *, windows: bool) -> str:
    """`root` made absolute and ended with a separator, ``..`` left to the system.

    Raises:
        ConfigurationError: it is relative and the working directory was deleted.
    """
    if windows:
        return ntpath.join(extended(os.path.abspath(root)), "")
    if posixpath.isabs(root):
        return posixpath.join(root, "")
    try:
        return posixpath.join(os.getcwd(), root, "")
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{root!r} is relative to a working directory that was deleted: give the whole path."
        ) from error


def extended(path: str) -> str:
    r"""An absolute Windows path in the form that has no limit of 260 characters.

    ``\\?\`` also switches off Windows' rewriting of names (trailing dots, ``CON``).
    """
    path = path.replace("/", "\\")
    if path.startswith(("\\\\?\\", "\\\\.\\")):
        return path
    if path.startswith("\\\\"):
        return f"\\\\?\\UNC\\{path[2:]}"
    return f"\\\\?\\{path}"


class Mount(NamedTuple):
    """What is mounted at some path.

    Attributes:
        kind: the type of the file system.
        source: a device, a server's path or a URL; secrets removed.
    """

    kind: str
    source: str

    @property
    def is_network(self) -> bool:
        """Whether it is a network or FUSE file system, which may answer in its own way."""
        return bool(_NETWORK.fullmatch(self.kind)) and not _LOCAL_FUSE.fullmatch(self.kind)


def mountinfo() -> str:
    """What is mounted where, as Linux tells it; empty elsewhere."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:  # not Linux, or no /proc here
        return ""


def mount_of(path: str, mounts: str) -> Mount | None:
    """The mount that a real, absolute `path` is on.

    Args:
        path: without symbolic links.
        mounts: the text of ``/proc/self/mountinfo``.
    """
    best, found = -1, None
    for line in mounts.splitlines():
        before, dash, after = line.partition(" - ")
        fields = before.split(" ")
        if not dash or len(fields) < 5:
            continue
        point = _unescaped(fields[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:  # a later mount hides an earlier one
            kind, _, rest = after.partition(" ")
            best, found = len(point), Mount(kind, redacted(_unescaped(rest.partition(" ")[0])))
    return found


def _unescaped(text: str) -> str:
    return _OCTAL.sub(lambda found: chr(int(found.group(1), 8)), text)


def network_file_system(path: str, mounts: str) -> str | None:
    """The type of the network or FUSE file system that `path` is on; None if it is local.

    Args:
        path: absolute, without symbolic links.
        mounts: the text of ``/proc/self/mountinfo``.
    """
    mount = mount_of(path, mounts)
    return mount.kind if mount and mount.is_network else None
