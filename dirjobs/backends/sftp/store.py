"""The verbs of a folder on an SSH server, each in as few requests as the protocol allows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

from dirjobs.backends._config import refuse_pickling
from dirjobs.backends.sftp import directory, status, transfer
from dirjobs.backends.sftp import rename as renames
from dirjobs.backends.sftp.config import Config
from dirjobs.backends.sftp.connection import Channel, Pool, Refused, Server
from dirjobs.errors import AlreadyExists, AmbiguousResult, Denied, NotFound, Unsupported
from dirjobs.names import unsafe_name
from dirjobs.store import Entry, FileKind, Guarantees, Store, check_path

_NOT_TRIED = Guarantees(final_refusals=True, visible_after=0)


class SftpStore(Store):
    """A folder on an SSH server.

    It promises nothing about renames: whether a server's are exclusive can only be tried
    (``dirjobs check``), and then told with the option ``guarantees``.

    Args:
        config: what `dirjobs.backends.sftp.config.read` makes of a URL and options.
        server: the connections of a store on the same server, to be shared.
    """

    appends = True

    def __init__(self, config: Config, server: Server | None = None) -> None:
        self._config = config
        self._server = server or Server(config)
        self._pool = Pool(self._server)
        self._guarantees = config.guarantees or _NOT_TRIED
        self._root = config.folder.encode()

    @property
    def url(self) -> str:
        return self._config.text()

    @property
    def guarantees(self) -> Guarantees:
        return self._guarantees

    # -- what the protocol asks: list, rename, exists ---------------------------------

    def list(self, folder: str) -> Iterable[Entry]:
        what = f"list {self.full_path(folder)!r}"
        native = self._native(folder)
        return self._pool.call(
            what, lambda channel: directory.sweep(channel, native, what), changes=False
        )

    def rename(self, src: str, dst: str) -> None:
        what = f"rename {src!r} to {dst!r}"
        source, target = self._different(src, dst, what)
        spare = self._native(".~")
        self._pool.call(
            what,
            lambda channel: renames.refusing(self._server, channel, source, target, spare, what),
            changes=True,
        )

    def claim(self, src: str, dst: str) -> None:
        what = f"rename {src!r} to {dst!r}"
        source, target = self._different(src, dst, what)
        self._pool.call(
            what, lambda channel: renames.to_own(channel, source, target, what), changes=True
        )

    def _different(self, src: str, dst: str, what: str) -> tuple[bytes, bytes]:
        source, target = self._native(src), self._native(dst)
        if src == dst:
            # A server would call that a success, and the caller take it for a claim.
            kind, why = (AlreadyExists, "they are one") if self.exists(src) else (NotFound, "gone")
            raise kind(f"Can't {what}: {why}.")
        return source, target

    def exists(self, path: str) -> bool:
        native = self._native(path)

        async def look(channel: Channel) -> bool:
            return await directory.look_for(channel, native) is not None

        return self._pool.call(f"look at {path!r}", look, changes=False)

    def mtime(self, path: str) -> float:
        native, what = self._native(path), f"look at {path!r}"
        mtime = self._pool.call(
            what, lambda channel: directory.look(channel, native), changes=False
        ).mtime
        if mtime is None:
            raise Unsupported(f"Can't tell when {path!r} was written: the server has no time.")
        return mtime

    # -- contents and housekeeping -----------------------------------------------------

    def read(self, path: str) -> bytes:
        native, what = self._native(path), f"read {path!r}"
        return self._pool.call(
            what, lambda channel: transfer.read(channel, native, what), changes=False
        )

    def write(self, path: str, data: bytes) -> None:
        native, what = self._native(path), f"write {path!r}"
        self._pool.call(
            what, lambda channel: transfer.replace(channel, native, what, data), changes=True
        )

    def append(self, path: str, data: bytes) -> None:
        native, what = self._native(path), f"add to {path!r}"
        self._pool.call(
            what, lambda channel: transfer.append(channel, native, what, data), changes=True
        )

    def download(self, path: str, target: BinaryIO) -> None:
        transfer.fetch(self._pool, self._native(path), f"download {path!r}", target.write)

    def upload(self, path: str, source: BinaryIO) -> None:
        transfer.put(self._pool, self._native(path), f"upload {path!r}", source)

    def remove(self, path: str) -> None:
        native, what = self._native(path), f"remove {path!r}"

        async def remove(channel: Channel) -> None:
            try:
                await channel.ask(channel.sftp.remove(native))
            except Refused as refused:
                if refused.code in status.NOT_THERE:
                    raise NotFound(f"Can't {what}: there is no such file.") from refused.error
                there = await directory.look_for(channel, native)
                if there is None:
                    raise AmbiguousResult(
                        f"Nobody knows who did this: {what} (the server says"
                        f" {status.told(refused.error)}, but it is gone)."
                    ) from refused.error
                if there.kind is FileKind.FOLDER:
                    raise Denied(
                        f"Can't {what}: it is a folder, and only files are removed."
                    ) from refused.error
                raise await renames.reason(channel, native, what, refused) from refused.error

        self._pool.call(what, remove, changes=True)

    def mkdir(self, path: str) -> None:
        native, what = self._native(path), f"make the folder {self.full_path(path)!r}"

        async def make(channel: Channel) -> None:
            try:
                await channel.ask(channel.sftp.mkdir(native))
            except Refused as refused:
                if await directory.look_for(channel, native) is not None:
                    raise AlreadyExists(
                        f"Can't {what}: there is something of that name already."
                    ) from refused.error
                if refused.code in status.NOT_THERE:
                    raise NotFound(
                        f"Can't {what}: the folder above is not there."
                    ) from refused.error
                raise await renames.reason(channel, native, what, refused) from refused.error

        self._pool.call(what, make, changes=True)

    def rmdir(self, path: str) -> None:
        native, what = self._native(path), f"remove the folder {self.full_path(path)!r}"

        async def remove(channel: Channel) -> None:
            try:
                await channel.ask(channel.sftp.rmdir(native))
            except Refused as refused:
                if await directory.look_for(channel, native) is None:
                    raise NotFound(f"Can't {what}: there is no such folder.") from refused.error
                raise Denied(f"Can't {what}: it is not an empty folder.") from refused.error

        self._pool.call(what, remove, changes=True)

    # -- what may differ from store to store -------------------------------------------

    def name_problem(self, name: str) -> str | None:
        return unsafe_name(name)

    def full_path(self, path: str) -> str:
        return self._config.text(path)

    def another(self) -> SftpStore:
        return SftpStore(self._config, self._server)

    def close(self) -> None:
        self._pool.close()

    __reduce__ = refuse_pickling

    def _native(self, path: str) -> bytes:
        """`path` as the server takes it."""
        below = check_path(path).encode(errors="surrogateescape")
        if not below:
            return self._root or b"."
        if self._root in (b"", b"/"):
            return self._root + below
        return self._root + b"/" + below
