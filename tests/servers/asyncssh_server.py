"""asyncssh's SFTP server in a thread of the test: it fails where it is told to, and lies."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import IO, Any, Self

import asyncssh

from tests.amounts import PATIENCE
from tests.servers.sshd import make_key

USER = "jane"
USER_PASSWORD = "canary-Xy7%/:@ #?[pass]"
"""Every character that a URL can trip over is in it, and nothing else looks like it."""

OPEN, CLOSE, WRITE = "open", "close", "write"
OPEN_TO_READ, READ, CLOSE_READ = "open to read", "read", "close what was read"
POSIX_RENAME, RENAME, LINK, REMOVE = "posix_rename", "rename", "link", "remove"
MKDIR, RMDIR, LIST, LOOK, STATVFS = "mkdir", "rmdir", "list", "lstat", "statvfs"
CHANGES = frozenset({OPEN, CLOSE, WRITE, POSIX_RENAME, RENAME, LINK, REMOVE, MKDIR, RMDIR})
"""Requests that change something, or begin or end it."""
LOOKS = frozenset({LIST, LOOK, OPEN_TO_READ, "fstat", READ})
"""Requests that change nothing, and whose answer is waited for."""


class Fault(Enum):
    """What becomes of one request."""

    CUT_BEFORE = "the connection is cut, and it is not carried out"
    CUT_AFTER = "it is carried out, and the connection is cut"
    FREEZE = "it is carried out when the server thaws, and so is all that follows"
    FAILS = "FAILURE, and it is not carried out"
    LIES = "FAILURE, though it is carried out"
    DENIES = "PERMISSION_DENIED, and it is not carried out"


class Personality:
    """How a server differs from asyncssh's, for as long as it runs.

    Args:
        replacing: its RENAME replaces what is there, as rclone's and MySecureShell's do.
        unknown: requests that it does not know.
        idle_link: its hardlink says OK and does nothing, as rclone 1.60's.
        names: are listed in every folder instead of what is there.
    """

    def __init__(
        self,
        *,
        replacing: bool = False,
        unknown: Sequence[str] = (),
        idle_link: bool = False,
        names: Sequence[bytes] = (),
    ) -> None:
        self.replacing = replacing
        self.unknown = frozenset(unknown)
        self.idle_link = idle_link
        self.names = names


class AsyncSsh:
    """asyncssh's SFTP server on 127.0.0.1; stopped at the end of the ``with`` block.

    Args:
        home: a folder for its files.
        personality: how it differs from others.

    Attributes:
        requests: what it was asked for, in order.
        logins: how many users were let in.
    """

    host = "127.0.0.1"
    user = USER
    password = USER_PASSWORD

    def __init__(self, home: Path, personality: Personality | None = None) -> None:
        self.home = home
        self.root = home / "root"
        self.root.mkdir(exist_ok=True)
        self.personality = personality or Personality()
        self.port = 0
        self.requests: list[str] = []
        self.logins = 0
        self._plan: tuple[Fault, frozenset[str]] | None = None
        self._left = 0
        self._connections: set[asyncssh.SSHServerConnection] = set()
        make_key(home / "host_key")

    @property
    def url(self) -> str:
        """Of the folder `root`."""
        return f"sftp://{self.user}@{self.host}:{self.port}{self.root}"

    @property
    def options(self) -> dict[str, object]:
        return {
            "password": self.password,
            "known_hosts": str(self.home / "known_hosts"),
            "ssh_config": [],
            "agent": False,
        }

    # -- faults ---------------------------------------------------------------------------

    def arm(self, fault: Fault, number: int = 1, of: str | frozenset[str] = CHANGES) -> None:
        """Let a fault befall the `number`-th request from now (of these kinds), once."""
        self._left = number
        self._plan = (fault, frozenset({of}) if isinstance(of, str) else of)

    def disarm(self) -> bool:
        """Plan no fault any more; whether the last one has come to pass."""
        fired, self._plan = self._plan is None, None
        return fired

    def freeze(self) -> None:
        """Carry out nothing any more, and answer nothing."""
        self._in_loop(self._flowing.clear)

    def thaw(self) -> None:
        """Go on with all that has come meanwhile."""
        self._in_loop(self._flowing.set)

    def cut(self) -> None:
        """End all connections; new ones are taken."""
        self._in_loop(self._cut)

    def _cut(self) -> None:
        for connection in list(self._connections):
            connection.abort()

    def _in_loop(self, action: Callable[[], object]) -> None:
        async def act() -> None:
            action()

        asyncio.run_coroutine_threadsafe(act(), self._loop).result(PATIENCE)

    async def carry_out(self, served: _Served, kind: str, action: Callable[[], Any]) -> Any:
        """Carry out one request, unless it is the one that is to fail."""
        await self._flowing.wait()
        self.requests.append(kind)
        fault = self._fault(kind)
        if kind in (CLOSE, CLOSE_READ) and fault is not None:
            action()  # asyncssh has forgotten the file by now, whatever we say
            action = _nothing
        if fault is Fault.FREEZE:
            self._flowing.clear()
            await self._flowing.wait()
        elif fault is Fault.CUT_BEFORE:
            served.connection.abort()
            raise asyncssh.SFTPConnectionLost("cut")
        elif fault is Fault.FAILS:
            raise asyncssh.SFTPFailure("Failure")
        elif fault is Fault.DENIES:
            raise asyncssh.SFTPPermissionDenied("Permission denied")
        if kind in self.personality.unknown:
            raise asyncssh.SFTPOpUnsupported(f"what is {kind}?")
        if kind == LINK and self.personality.idle_link:
            return None
        done = action()
        result = await done if inspect.isawaitable(done) else done
        if fault is Fault.CUT_AFTER:
            served.connection.abort()
        elif fault is Fault.LIES:
            if kind in (OPEN, OPEN_TO_READ):
                result.close()
            raise asyncssh.SFTPFailure("Failure")
        return result

    def _fault(self, kind: str) -> Fault | None:
        if self._plan is None or kind not in self._plan[1]:
            return None
        self._left -= 1
        if self._left:
            return None
        fault, _ = self._plan
        self._plan = None
        return fault

    # -- its life -------------------------------------------------------------------------

    def start(self) -> Self:
        """Start it, or start it again on the same port."""
        started = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(started)), name="asyncssh-server", daemon=True
        )
        self._thread.start()
        assert started.wait(PATIENCE), "the server did not start"
        key = (self.home / "host_key.pub").read_text().strip()
        (self.home / "known_hosts").write_text(f"[{self.host}]:{self.port} {key}\n")
        return self

    async def _serve(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._flowing, self._stopping = asyncio.Event(), asyncio.Event()
        self._flowing.set()
        async with await asyncssh.listen(
            self.host,
            self.port,
            server_host_keys=[str(self.home / "host_key")],
            server_factory=lambda: _User(self),
            sftp_factory=lambda channel: _Served(channel, self),
            sftp_version=3,
            reuse_address=True,
        ) as listener:
            self.port = listener.get_port()
            started.set()
            await self._stopping.wait()
            self._cut()

    def stop(self) -> None:
        """End it with all its connections, at once; stopping twice is fine."""
        if self._thread.is_alive():
            with suppress(RuntimeError):  # it has ended this very moment
                self._in_loop(self._flowing.set)
                self._in_loop(self._stopping.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the server does not stop"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _nothing() -> None:
    pass


class _User(asyncssh.SSHServer):
    """Somebody who logs on."""

    def __init__(self, server: AsyncSsh) -> None:
        self._server = server
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._server._connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection is not None:
            self._server._connections.discard(self._connection)

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        right = (username, password) == (self._server.user, self._server.password)
        self._server.logins += right
        return right


class _Served(asyncssh.SFTPServer):
    """What serves one channel: the disk, by way of the faults."""

    def __init__(self, chan: asyncssh.SSHServerChannel[bytes], server: AsyncSsh) -> None:
        super().__init__(chan)
        self._faults = server

    def map_path(self, path: bytes) -> bytes:
        return os.path.join(os.fsencode(self._faults.root), path)

    async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        await self._faults.carry_out(self, LIST, lambda: None)
        for name in self._faults.personality.names:
            yield asyncssh.SFTPName(name, b"-", asyncssh.SFTPAttrs(permissions=0o100644, size=1))
        if not self._faults.personality.names:
            folder = os.fsencode(self.map_path(path))
            if not os.path.isdir(folder):
                raise asyncssh.SFTPNoSuchFile("No such file")
            with os.scandir(folder) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):
                        attrs = asyncssh.SFTPAttrs.from_local(entry.stat(follow_symlinks=False))
                        yield asyncssh.SFTPName(entry.name, b"-", attrs)

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Awaitable[object]:
        def action() -> object:
            return super(_Served, self).open(path, pflags, attrs)

        kind = OPEN if pflags & asyncssh.FXF_WRITE else OPEN_TO_READ
        return self._faults.carry_out(self, kind, action)

    def close(self, file_obj: IO[bytes]) -> Awaitable[None]:
        def action() -> object:
            return super(_Served, self).close(file_obj)

        kind = CLOSE if file_obj.writable() else CLOSE_READ
        return self._faults.carry_out(self, kind, action)

    def rename(self, oldpath: bytes, newpath: bytes) -> Awaitable[None]:
        def action() -> object:
            if self._faults.personality.replacing:
                return super(_Served, self).posix_rename(oldpath, newpath)
            return super(_Served, self).rename(oldpath, newpath)

        return self._faults.carry_out(self, RENAME, action)


def _by_way_of_the_faults(kind: str) -> Callable[..., Awaitable[Any]]:
    original = getattr(asyncssh.SFTPServer, kind)

    def carry_out(self: _Served, *args: Any) -> Awaitable[Any]:
        return self._faults.carry_out(self, kind, lambda: original(self, *args))

    return carry_out


for _kind in (
    READ, WRITE, LOOK, "fstat", "setstat", REMOVE, MKDIR, RMDIR,
    LINK, POSIX_RENAME, STATVFS, "fsync",
):  # fmt: skip
    setattr(_Served, _kind, _by_way_of_the_faults(_kind))
