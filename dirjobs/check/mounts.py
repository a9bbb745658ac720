"""What a local path really is: which file system, which mount, which sync client.

A mount or a client that keeps copies shows late what others did.  How late can't be seen
from one machine alone, so what is known of each kind counts.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from dirjobs.backends.posix import windows
from dirjobs.backends.posix.paths import Mount, mount_of, mountinfo

_CLIENT_LAG = 300.0


@dataclass(frozen=True)
class Medium:
    """One kind of medium that shows changes late.

    Attributes:
        name: as people call it.
        lag: seconds by which it is late, at most, with its defaults.
        why: where that is from.
        bounded: False if nobody can promise a bound.
    """

    name: str
    lag: float
    why: str
    bounded: bool = True


DAVFS = Medium(
    "davfs2 mount", 13.0, "it uploads new files after 10 s and lists others' changes after 1-2 s"
)
_UNKNOWN = Medium("network mount", 60.0, "nothing is known of its caches", bounded=False)
_MOUNTS: Mapping[str, Medium] = {
    "nfs": Medium("NFS mount", 60.0, "folders are cached for up to 60 s (acdirmax)"),
    "fuse.rclone": Medium(
        "rclone mount", 300.0, "folders are cached for 5 minutes (dir-cache-time)"
    ),
    "fuse.sshfs": Medium("sshfs mount", 20.0, "folders are cached for 20 s (dcache_timeout)"),
    "cifs": Medium("SMB mount", 10.0, "folders are cached for some seconds (actimeo)"),
    "davfs": DAVFS,
    "fuse.davfs": DAVFS,
    "fuse.davfs2": DAVFS,
}
_SAME = {"nfs4": "nfs", "smb3": "cifs", "smbfs": "cifs", "fuse.mount.davfs": "davfs"}


def _client(name: str, why: str) -> Medium:
    return Medium(f"folder that {name} synchronises", _CLIENT_LAG, why, bounded=False)


_POLLS = "it asks the server every 30 s, after each upload, and never while it is offline"
# Found in the folder itself or in one above it.
_MARKERS: tuple[tuple[str, Medium], ...] = (
    (".dropbox.cache/", _client("Dropbox", "it tells nobody how late it is")),
    (".dropbox", _client("Dropbox", "it tells nobody how late it is")),
    (".stfolder/", _client("Syncthing", "it gathers changes for 10 s and needs both sides up")),
    (".stfolder", _client("Syncthing", "it gathers changes for 10 s and needs both sides up")),
    (".sync_*.db", _client("Nextcloud or ownCloud", _POLLS)),
    ("._sync_*.db", _client("Nextcloud or ownCloud", _POLLS)),
    (".csync_journal.db", _client("Nextcloud or ownCloud", _POLLS)),
    (".owncloudsync.log", _client("Nextcloud or ownCloud", _POLLS)),
    (".nextcloudsync.log", _client("Nextcloud or ownCloud", _POLLS)),
    (".tmp.drivedownload/", _client("Google Drive", "it tells nobody how late it is")),
    (".tmp.driveupload/", _client("Google Drive", "it tells nobody how late it is")),
    (".shortcut-targets-by-id/", _client("Google Drive", "it tells nobody how late it is")),
)
# Part of the path, where a client leaves no marker.
_PLACES: tuple[tuple[re.Pattern[str], Medium], ...] = (
    (
        re.compile(r"[/\\]OneDrive(?: - [^/\\]+)?(?:[/\\]|$)"),
        _client("OneDrive", "it tells nobody how late it is"),
    ),
    (
        re.compile(r"/Library/CloudStorage/[^/]+"),
        _client("a cloud's client", "it tells nobody how late it is"),
    ),
    (
        re.compile(r"/Library/Mobile Documents/"),
        _client("iCloud", "it tells nobody how late it is"),
    ),
)


@dataclass(frozen=True)
class Surroundings:
    """Where a local folder is.

    Attributes:
        file_system: its type; empty if unknown, or if it is no local folder.
        source: what is mounted there, without secrets.
        kinds: what shows changes late here.
        url: the share's own URL, where it is reached by Windows' own client.
    """

    file_system: str = ""
    source: str = ""
    kinds: tuple[Medium, ...] = ()
    url: str = ""

    @property
    def lag(self) -> float:
        """Seconds by which listings may be late; 0 if nothing known makes them so."""
        return max((kind.lag for kind in self.kinds), default=0.0)

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def look_around(*paths: str, mounts: str | None = None) -> Surroundings:
    """What is known of the place of a local folder.

    Args:
        paths: the folder, under each of its names.
        mounts: the text of ``/proc/self/mountinfo``; read if left out.
    """
    if windows.SYSTEM is not None and mounts is None:
        return on_windows(windows.SYSTEM, *paths)
    known = mountinfo() if mounts is None else mounts
    real = [os.path.realpath(path) for path in paths]
    found = [mount for path in real if (mount := mount_of(path, known)) is not None]
    kinds = [_medium_of(mount) for mount in found]
    kinds += [kind for path in real for kind in _clients(path)]
    return Surroundings(
        found[0].kind if found else "",
        found[0].source if found else "",
        tuple(dict.fromkeys(kind for kind in kinds if kind is not None)),
    )


def on_windows(kernel: windows.Kernel, *paths: str) -> Surroundings:
    """The same, as Windows tells it.  How late its own client is with the folders of a server
    is up to both; the store's guarantees have the longest.

    Args:
        kernel: Windows.
        paths: the folder, under each of its names.
    """
    real = [windows.real_path(os.path.abspath(path)) for path in paths]
    volumes = [windows.volume_of(kernel, path) for path in real]
    kinds = [kind for path in real for kind in _clients(path)]
    if not volumes:
        return Surroundings(kinds=tuple(dict.fromkeys(kinds)))
    known = next((volume for volume in volumes if volume.url), volumes[0])
    source = known.share or ("a server" if known.is_network else "a disk")
    return Surroundings(known.file_system, source, tuple(dict.fromkeys(kinds)), known.url)


def _medium_of(mount: Mount) -> Medium | None:
    if mount.kind == "fuse" and re.match("https?://", mount.source):
        return DAVFS
    kind = _MOUNTS.get(_SAME.get(mount.kind, mount.kind))
    return kind or (_UNKNOWN if mount.is_network else None)


def _clients(path: str) -> Iterable[Medium]:
    for folder in _upwards(path):
        try:
            with os.scandir(folder) as found:
                names = {f"{e.name}/" if e.is_dir(follow_symlinks=False) else e.name for e in found}
        except OSError:
            continue  # not ours to read
        for marker, kind in _MARKERS:
            if fnmatch.filter(names, marker):
                yield kind
    for place, kind in _PLACES:
        if place.search(path):
            yield kind


def _upwards(path: str) -> Iterable[str]:
    while True:
        yield path
        above = os.path.dirname(path)
        if above == path:
            return
        path = above
