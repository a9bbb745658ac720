"""The verbs of an SMB share, each in as few round trips as the protocol allows."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import BinaryIO

from dirjobs.backends._config import refuse_pickling
from dirjobs.backends.smb import directory, transfer, wire
from dirjobs.backends.smb.config import Config
from dirjobs.backends.smb.pool import Pool, taken_apart
from dirjobs.backends.smb.status import ACCESS_DENIED, require
from dirjobs.errors import AlreadyExists, Denied, NotFound, StoreError, Unsupported
from dirjobs.names import unportable_name
from dirjobs.store import MAX_READ, Entry, Guarantees, SmallFile, Store, check_path, split

_NOT_A_NAME = re.compile(r'["<>:*?|\\\x00-\x1f]|[. ]$')
"""What a server mangles or takes for something else: ``a:b`` is a stream of the file a."""

_SHORT = re.compile(r"[A-Z0-9_]{6}~[A-Z0-9](?:\.[A-Z0-9_]{1,3})?")
"""What Samba shows for a name that Windows could not have: ``a:b.txt`` as A4WTMA~A.TXT.  It
would work, but the file would keep that name for ever."""

_GUARANTEES = Guarantees(
    atomic_rename=True,
    atomic_rename_in_folder=True,
    rename_keeps_mtime=True,
    # Samba looks whether the destination is there and then renames: of eight that aim at
    # one name, two were told "done" in 3 runs of 60 rounds, and one file was lost.
    no_replace=False,
    exclusive_mkdir=True,
    final_refusals=True,
    visible_after=0,
)


class SmbStore(Store):
    """A folder on an SMB share.

    Every thread has a connection of its own: smbprotocol loses requests when threads
    share one.  A broken connection is replaced at the next call.

    Args:
        config: what `dirjobs.backends.smb.config.read` makes of a URL and options.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._pool = Pool(config)

    @property
    def url(self) -> str:
        return self._config.text()

    @property
    def guarantees(self) -> Guarantees:
        return _GUARANTEES

    # -- what the protocol asks: list, rename, exists ---------------------------------

    def list(self, folder: str) -> Iterable[Entry]:
        what = f"list {self.full_path(folder)!r}"
        return directory.sweep(self._pool, self._native(folder, what), what)

    def rename(self, src: str, dst: str) -> None:
        what = f"rename {src!r} to {dst!r}"
        source, target = self._native(src, what), self._target(dst, what)
        if src == dst:
            # A server would call that a success, and the caller take it for a claim.
            kind, why = (AlreadyExists, "they are one") if self.exists(src) else (NotFound, "gone")
            raise kind(f"Can't {what}: {why}.")
        opened, renamed, _ = self._pool.send(
            what,
            # Denying others to delete makes the handle exclusive; denying them to write
            # leaves a job alone that is still being written.
            wire.create(
                source, wire.DELETE, wire.SHARE_READ, wire.OPEN, wire.FILE_ONLY | wire.NO_FOLLOW
            ),
            wire.rename(target, replace=False),
            wire.close(),
            changes=True,
        )
        require(opened.status, what, first=True)
        if renamed.status == ACCESS_DENIED and self.exists(dst):
            # Some servers say so instead of OBJECT_NAME_COLLISION.
            raise AlreadyExists(f"Can't {what}: there is something of that name already.")
        require(renamed.status, what, first=False)

    def exists(self, path: str) -> bool:
        try:
            self._look(path)
        except NotFound:
            return False
        return True

    def mtime(self, path: str) -> float:
        mtime = self._look(path).mtime
        if mtime is None:
            raise Unsupported(f"Can't tell when {path!r} was written: the server has no time.")
        return mtime

    # -- contents and housekeeping -----------------------------------------------------

    def read(self, path: str) -> bytes:
        small = SmallFile(repr(self.full_path(path)))
        what = f"read {path!r}"
        transfer.fetch(self._pool, self._native(path, what), what, small.write, MAX_READ)
        return small.content()

    def write(self, path: str, data: bytes) -> None:
        what = f"write {path!r}"
        self._new(path, what)
        folder = self._native(split(path)[0], what)
        target = self._target(path, what)
        transfer.replace(self._pool, folder and f"{folder}\\", target, data, what)

    def download(self, path: str, target: BinaryIO) -> None:
        what = f"download {path!r}"
        transfer.fetch(self._pool, self._native(path, what), what, target.write)

    def upload(self, path: str, source: BinaryIO) -> None:
        what = f"upload {path!r}"
        transfer.put(self._pool, self._new(path, what), what, source)

    def remove(self, path: str) -> None:
        what = f"remove {path!r}"
        transfer.remove(self._pool, self._native(path, what), what)

    def mkdir(self, path: str) -> None:
        what = f"make the folder {self.full_path(path)!r}"
        native = self._new(path, what)
        if not native:
            raise AlreadyExists(f"Can't {what}: it is the share itself.")
        made, _ = self._pool.send(
            what,
            wire.create(
                native, wire.READ_ATTRIBUTES, wire.SHARE_ALL, wire.CREATE_NEW, wire.FOLDER_ONLY
            ),
            wire.close(),
            changes=True,
        )
        require(made.status, what, first=True)

    def rmdir(self, path: str) -> None:
        what = f"remove the folder {self.full_path(path)!r}"
        native = self._native(path, what)
        if not path or [*self.list(path)]:
            raise Denied(f"Can't {what}: it is not empty.")
        transfer.remove(self._pool, native, what, wire.FOLDER_ONLY)

    # -- what may differ from store to store -------------------------------------------

    def name_problem(self, name: str) -> str | None:
        if _SHORT.fullmatch(name):
            return "it looks like the short name by which Samba shows one that Windows can't have"
        return unportable_name(name)

    def full_path(self, path: str) -> str:
        return self._config.text(path)

    def another(self) -> SmbStore:
        return SmbStore(self._config)

    def close(self) -> None:
        self._pool.close()

    __reduce__ = refuse_pickling

    def _look(self, path: str) -> wire.Created:
        """A file's or folder's times and size; the answer to opening it tells them."""
        what = f"look at {path!r}"
        # Asking for attributes only never meets a sharing violation, nor causes one.
        access, share, native = wire.READ_ATTRIBUTES, wire.SHARE_ALL, self._native(path, what)
        look = wire.create(native, access, share, wire.OPEN, wire.NO_FOLLOW)
        opened, _ = self._pool.open_to_look(what, look, wire.close())
        return taken_apart(wire.created, opened, what)

    def _native(self, path: str, what: str) -> str:
        """`path`, where something is, as a CREATE wants it."""
        return _join(self._pool.mine().root, path, what, NotFound)

    def _new(self, path: str, what: str) -> str:
        """The same, where something is to be."""
        return _join(self._pool.mine().root, path, what, Unsupported)

    def _target(self, path: str, what: str) -> str:
        """`path` as the target of a rename."""
        return _join(self._pool.mine().rename_root, path, what, Unsupported)


def _join(root: str, path: str, what: str, error: type[StoreError]) -> str:
    segments = check_path(path).split("/") if path else []
    for segment in segments:
        if found := _NOT_A_NAME.search(segment):
            raise error(
                f"Can't {what}: {segment!r} is no name for an SMB share,"
                f" because of the {found.group()!r} in it."
            )
    return "\\".join(filter(None, [root, *segments]))
