"""Logging on, and the channels of one process to one server.

A store has a channel, which is an SFTP server process of its own on the other side; all its
threads send over it.  Some channels share a connection, for a login costs much more than they do,
and a server lets few people knock at once (OpenSSH's MaxStartups is 10, its MaxSessions too).
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import asyncssh
from asyncssh.public_key import get_default_public_key_algs

from dirjobs.backends.sftp import status
from dirjobs.backends.sftp.config import PORT, Config
from dirjobs.backends.sftp.loop import run
from dirjobs.errors import (
    AmbiguousResult,
    Denied,
    LogonRefused,
    StoreError,
    Unavailable,
    Unsupported,
)

T = TypeVar("T")

log = logging.getLogger(__name__)
# asyncssh tells what breaks; without this, Python prints it where nobody has set up logging.
logging.getLogger("asyncssh").addHandler(logging.NullHandler())

CHANNELS = 8
"""Channels in one connection."""
KEEPALIVE = 15.0
"""Seconds without a word after which the server is asked whether it lives."""

_EVERYBODYS_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
"""Where the administrator of a machine keeps those for all of its users."""

_BROKEN = (asyncssh.Error, OSError, EOFError, ValueError)
"""How asyncssh says that a connection is of no more use, or that an answer makes no sense."""


class Refused(Exception):
    """A server's answer that is not yes.

    Args:
        error: the answer.
    """

    def __init__(self, error: asyncssh.SFTPError) -> None:
        super().__init__(str(error))
        self.error = error

    @property
    def code(self) -> int:
        return int(self.error.code)


class Lost(Exception):
    """No answer came; the channel is of no more use.

    Args:
        reason: half a sentence for people.
    """


class HostKeys:
    """Which host keys are believed; notes the one that was not.

    Args:
        files: in OpenSSH's format; those that are not there are left out.

    Raises:
        Denied: one of them can't be read.
    """

    def __init__(self, files: list[str]) -> None:
        self._files = files
        there = [name for name in files if os.path.isfile(name)]
        try:
            self._read = asyncssh.read_known_hosts(there) if there else None
        except (OSError, ValueError, asyncssh.Error) as error:
            raise Denied(
                f"the known hosts in {', '.join(there)} can't be read ({_reason(error)})."
            ) from error
        self._known: list[asyncssh.SSHKey] = []
        self.refused: asyncssh.SSHKey | None = None
        self._name = ""

    def __call__(
        self, host: str, address: str, port: int | None
    ) -> tuple[list[asyncssh.SSHKey], list[asyncssh.SSHKey], list[asyncssh.SSHKey]]:
        self._name = f"[{host}]:{port}" if port else host
        if self._read is None:
            return [], [], []
        keys, authorities, revoked, *_ = asyncssh.match_known_hosts(self._read, host, address, port)
        self._known = list(keys)
        return list(keys), list(authorities), list(revoked)

    def algorithms(self, host: str, port: int) -> list[str]:
        """Those of the keys that are known, then all others: a server that has no key of a known
        kind any more would hang up, and nobody could tell why.  Empty for asyncssh's own choice.
        """
        if self._read is None:
            return []
        known, authorities, *_ = asyncssh.match_known_hosts(
            self._read, host, "", None if port == PORT else port
        )
        if not known or authorities:
            return []
        algorithms = [each for key in known for each in key.sig_algorithms]
        algorithms += get_default_public_key_algs()
        return list(dict.fromkeys(each.decode("ascii") for each in algorithms))

    def why(self) -> str:
        """Why no key of the host is believed, and what to do."""
        name = self._name
        if self._known:
            return (
                f"its host key is not the one that is known for {name}: somebody may be listening"
                " in, or the server was set up anew; ask its owner, and only then remove the old"
                f" one (`ssh-keygen -R '{name}'`)"
            )
        if self.refused is None:
            return "its host key is not believed"
        line = f"{name} {self.refused.export_public_key().decode('ascii').strip()}"
        return (
            f"its host key ({self.refused.get_fingerprint()}) is not known here; if its owner"
            f" confirms it, add this line to {self._files[0]}: {line}"
        )


class _Client(asyncssh.SSHClient):
    def __init__(self, keys: HostKeys) -> None:
        self._keys = keys

    def validate_host_public_key(
        self,
        host: str,  # noqa: ARG002
        addr: str,  # noqa: ARG002
        port: int,  # noqa: ARG002
        key: asyncssh.SSHKey,
    ) -> bool:
        self._keys.refused = key
        return False


@dataclass
class Login:
    """One connection, logged on.

    Attributes:
        channels: how many are open or being opened.
        is_full: whether no further one is to be opened.
    """

    connection: asyncssh.SSHClientConnection
    channels: int = 0
    is_full: bool = False

    def enter(self) -> None:
        """Count one more; before it is opened, so that nobody hangs up meanwhile."""
        self.channels += 1

    def leave(self) -> None:
        """Count one less; the last one hangs up."""
        self.channels -= 1
        if not self.channels:
            self.connection.abort()

    @property
    def has_room(self) -> bool:
        return not self.is_full and self.channels < CHANNELS and not self.connection.is_closed()


class Channel:
    """An SFTP server process of our own, so to speak.

    Args:
        login: the connection it is in, entered.
        sftp: the client of asyncssh.
        timeout: seconds that one request may take.
    """

    def __init__(self, login: Login, sftp: asyncssh.SFTPClient, timeout: float) -> None:
        self.login = login
        self.sftp = sftp
        self.timeout = timeout
        # The client sends one READDIR after the other, its handler as many at once as it is asked.
        self.handler = sftp._handler
        banner = str(login.connection.get_extra_info("server_version", ""))
        self.is_openssh = (
            "OpenSSH" in banner
            and self.handler._supports_posix_rename
            and self.handler._supports_hardlink
        )
        """Whether RENAME refuses in one step what is there: OpenSSH's own server makes it of
        link(2) and unlink(2).  Its sshd may start another one: of those, gesftpserver has both
        extensions, and refuses in races, too; MySecureShell has not."""
        self._closing: set[asyncio.Future[Any]] = set()

    @property
    def is_alive(self) -> bool:
        """False if it is known to be broken; True proves nothing."""
        return not self.login.connection.is_closed() and self.handler._writer is not None

    async def ask(self, request: Awaitable[T]) -> T:
        """Send one request and wait for its answer.

        Raises:
            Refused: the server said no.
            Lost: no answer came, or none that makes sense.
        """
        try:
            async with asyncio.timeout(self.timeout):
                return await request
        except TimeoutError:
            raise Lost(f"no answer within {self.timeout:g} s") from None
        except asyncssh.SFTPError as error:
            if error.code in status.LOST:
                raise Lost("the connection was lost") from error
            raise Refused(error) from error
        except _BROKEN as error:
            raise Lost(f"the connection broke ({type(error).__name__})") from error

    def give_back(self, closing: Coroutine[Any, Any, object]) -> None:
        """Close what was only read, or is given up: nothing depends on it, nobody waits for it."""
        if not self.is_alive:
            closing.close()
            return
        asked = asyncio.ensure_future(self.ask(closing))
        self._closing.add(asked)
        asked.add_done_callback(self._given_back)

    def _given_back(self, asked: asyncio.Future[object]) -> None:
        self._closing.discard(asked)
        if not asked.cancelled() and (error := asked.exception()) is not None:
            log.debug("something that was open could not be closed: %s", error)

    def leave(self) -> None:
        """Close it; the connection too, if nobody else is in it."""
        if self.is_alive:
            self.sftp.exit()
        self.login.leave()


class _Attempts:
    """Attempts at one thing, one at a time; who waits while one fails is told so as well.

    Else all who want to log on to a server that does not answer would wait one after the other,
    and each of them would show it the same wrong password.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._failed = 0
        self._error: StoreError | None = None

    async def make(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What comes of an attempt, or the error of one that was made meanwhile."""
        before = self._failed
        async with self._lock:
            if self._failed > before and self._error is not None:
                raise type(self._error)(*self._error.args) from self._error.__cause__
            try:
                return await attempt()
            except StoreError as error:
                self._failed += 1
                self._error = error
                raise


@dataclass
class _Process:
    """What belongs to one process, and is made anew after a fork."""

    logins: list[Login] = field(default_factory=list)
    attempts: _Attempts = field(default_factory=_Attempts)


class Server:
    """The connections to one server; shared by all stores that are made of one."""

    def __init__(self, config: Config) -> None:
        self.config = config
        # By process id, without a lock, which might have been held at the moment of a fork.
        self._processes: dict[int, _Process] = {}
        self.rename_manner: object = None
        """How this server renames without replacing, once that is known; see `rename`."""

    async def channel(self) -> Channel:
        """A new channel.

        Raises:
            StoreError: there is no getting in; surely nothing was executed.
        """
        process = self._processes.setdefault(os.getpid(), _Process())
        return await process.attempts.make(lambda: self._channel(process))

    async def _channel(self, process: _Process) -> Channel:
        process.logins = [one for one in process.logins if not one.connection.is_closed()]
        for login in process.logins:
            if login.has_room and (opened := await self._open(login)) is not None:
                return opened
        login = Login(await log_on(self.config))
        opened = await self._open(login)
        if opened is None:
            raise Unsupported(
                f"{self.config.where} lets us log on, but gives no SFTP: ask its owner."
            )
        process.logins.append(login)
        return opened

    async def _open(self, login: Login) -> Channel | None:
        """A channel in this connection; None if the server opens no further one there."""
        login.enter()
        try:
            async with asyncio.timeout(self.config.connect_timeout):
                client = await login.connection.start_sftp_client()
        except asyncssh.ChannelOpenError:
            login.is_full = True
            login.leave()
            return None
        except asyncssh.SFTPError as error:
            login.is_full = True
            login.leave()
            if login.connection.is_closed() and login.channels:
                raise Unavailable(
                    f"{self.config.where} can't be reached ({_reason(error)})."
                ) from error
            raise Unsupported(
                f"{self.config.where} lets us log on, but does not answer as SFTP does"
                f" ({_reason(error)}): something like ~/.bashrc may print there, or the account"
                " may be for another purpose."
            ) from error
        except (TimeoutError, *_BROKEN) as error:
            login.is_full = True
            login.leave()
            raise Unavailable(
                f"{self.config.where} can't be reached ({_reason(error)})."
            ) from error
        return Channel(login, client, self.config.timeout)


async def log_on(config: Config) -> asyncssh.SSHClientConnection:
    """A connection, logged on; through the jump hosts that ``~/.ssh/config`` names.

    Raises:
        Unavailable: the server can't be reached.
        LogonRefused, Denied: it does not let us in, or is not who it should be.
    """
    try:
        async with asyncio.timeout(config.connect_timeout):
            return await _log_on(config)
    except TimeoutError as error:
        raise Unavailable(
            f"{config.where} can't be reached (no answer within {config.connect_timeout:g} s)."
        ) from error


async def _log_on(config: Config) -> asyncssh.SSHClientConnection:
    given = _given(config)
    options = await _options(config.where, given)
    reached: asyncssh.SSHClientConnection | None = None
    try:
        # asyncssh would go through them itself, but never tells which of them it is that refuses.
        for hop in filter(None, str(options.tunnel or "").split(",")):
            where = hop.rpartition("@")[2]
            at_hop = {**_given_everywhere(config), **_hop(hop)}
            reached = await _connect(config, where, at_hop, reached)
        return await _connect(config, config.where, given, reached)
    except BaseException:
        if reached is not None:
            reached.abort()
        raise


def _hop(hop: str) -> dict[str, Any]:
    """``user@host:port`` of a ProxyJump."""
    user, _, address = hop.strip().rpartition("@")
    found = re.fullmatch(r"\[?(.+?)\]?(?::(\d+))?", address)
    host, port = found.groups() if found else (address, None)
    said = {"host": host, "username": user or None, "port": int(port) if port else None}
    return {name: value for name, value in said.items() if value is not None}


async def _connect(
    config: Config,
    where: str,
    given: dict[str, Any],
    through: asyncssh.SSHClientConnection | None,
) -> asyncssh.SSHClientConnection:
    options = await _options(where, given)
    keys = HostKeys(_known_hosts(config, options))
    if not options.config.get("HostKeyAlgorithms"):
        name = options.host_key_alias or options.host
        if algorithms := keys.algorithms(name, options.port or PORT):
            given = {**given, "server_host_key_algs": algorithms}
    try:
        # A tunnel that is given is not looked for in the configuration, an empty one neither.
        made = await asyncssh.connect(
            **given, tunnel=through, known_hosts=keys, client_factory=lambda: _Client(keys)
        )
    except asyncssh.PermissionDenied as error:
        raise _not_let_in(where, given, options) from error
    except asyncssh.HostKeyNotVerifiable as error:
        raise Denied(f"{where} is not believed: {keys.why()}.") from error
    except asyncssh.ChannelOpenError as error:
        raise Unavailable(
            f"{where} can't be reached through its jump host ({_reason(error)})."
        ) from error
    except asyncssh.DisconnectError as error:
        if "authentication failures" in error.reason:  # its code is the one for nearly everything
            raise _not_let_in(where, given, options) from error
        raise Unavailable(f"{where} can't be reached ({_reason(error)}).") from error
    except _BROKEN as error:
        raise Unavailable(f"{where} can't be reached ({_reason(error)}).") from error
    if through is not None:
        made.set_tunnel(through)
    return made


async def _options(where: str, given: dict[str, Any]) -> asyncssh.SSHClientConnectionOptions:
    """What the user and ``~/.ssh/config`` say."""
    try:
        options: asyncssh.SSHClientConnectionOptions
        options = await asyncssh.SSHClientConnectionOptions.construct(**given)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise LogonRefused(
            f"a private key for {where} can't be used ({_reason(error)}): check key_filename and"
            " passphrase."
        ) from error
    except (asyncssh.ConfigParseError, OSError, ValueError) as error:
        raise Denied(
            f"the ssh configuration or a key for {where} can't be read ({_reason(error)})."
        ) from error
    return options


def _not_let_in(
    where: str,
    given: dict[str, Any],
    options: asyncssh.SSHClientConnectionOptions,
) -> LogonRefused:
    tried = "the user, and the keys in ~/.ssh and of the ssh agent (no password was given)"
    if "password" in given:
        tried = "user and password"
    elif "client_keys" in given:
        tried = "the user, and the key (no password was given)"
    return LogonRefused(f"user {options.username!r} was refused at {where}: check {tried}.")


def _given(config: Config) -> dict[str, Any]:
    """What the user has said of the server, as asyncssh calls it; the rest is as
    ``~/.ssh/config`` says."""
    wishes = {
        "port": config.port,
        "username": config.username,
        "password": config.password,
        "client_keys": list(config.key_filename) or None,
    }
    given: dict[str, Any] = {k: value for k, value in wishes.items() if value is not None}
    return {**given, **_given_everywhere(config), "host": config.host}


def _given_everywhere(config: Config) -> dict[str, Any]:
    """The same of all hosts on the way."""
    given: dict[str, Any] = {
        "config": () if config.ssh_config is None else list(config.ssh_config),
        "keepalive_interval": KEEPALIVE,
        "login_timeout": config.connect_timeout,
    }
    if config.passphrase is not None:
        given["passphrase"] = config.passphrase
    if not config.agent:
        given["agent_path"] = None
    return given


def _known_hosts(config: Config, options: asyncssh.SSHClientConnectionOptions) -> list[str]:
    if config.known_hosts:
        return list(config.known_hosts)
    named = options.known_hosts
    if isinstance(named, list | tuple) and named:
        return list(named)
    return [os.path.expanduser("~/.ssh/known_hosts"), *_EVERYBODYS_KNOWN_HOSTS]


def _reason(error: BaseException) -> str:
    if isinstance(error, socket.gaierror):
        return "there is no host of that name"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused: is this the port?"
    text = str(error).strip().rstrip(".")
    return text if text and text.isprintable() and len(text) < 200 else type(error).__name__


class Pool:
    """One store's channel in each process, opened when first needed and again when broken.

    Args:
        server: where.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self._channels: dict[int, Channel] = {}
        self._attempts: dict[int, _Attempts] = {}

    def call(self, what: str, verb: Callable[[Channel], Awaitable[T]], *, changes: bool) -> T:
        """Carry out one verb; nothing is sent twice.

        Args:
            what: what it does, in words, for errors: ``rename 'a' to 'b'``.
            verb: sends its requests over a channel.
            changes: False if it only looks, so that a lost answer leaves no doubt.

        Raises:
            StoreError: as the server's refusal says.
            Unavailable: surely nothing was changed.
            AmbiguousResult: the answer was lost.
        """
        return run(self._call(what, verb, changes=changes))

    async def _call(
        self, what: str, verb: Callable[[Channel], Awaitable[T]], *, changes: bool
    ) -> T:
        channel = await self._channel()
        return await self._answer(channel, what, verb(channel), changes=changes)

    def go_on(self, channel: Channel, what: str, requests: Awaitable[T], *, changes: bool) -> T:
        """The same, over the channel in which a file is open."""
        return run(self._answer(channel, what, requests, changes=changes))

    def give_back(self, channel: Channel, file: asyncssh.SFTPClientFile) -> None:
        """Close a file on which nothing depends any more."""

        async def give_back() -> None:
            channel.give_back(file.close())

        run(give_back())

    async def _answer(
        self, channel: Channel, what: str, requests: Awaitable[T], *, changes: bool
    ) -> T:
        try:
            return await requests
        except Refused as refused:
            raise status.error_for(refused.error, what, changes=changes) from refused.error
        except Lost as lost:
            self._drop(channel)
            raise _lost(lost, what, changes=changes) from lost.__cause__

    async def _channel(self) -> Channel:
        attempts = self._attempts.setdefault(os.getpid(), _Attempts())
        return await attempts.make(self._opened)

    async def _opened(self) -> Channel:
        pid = os.getpid()
        found = self._channels.get(pid)
        if found is None or not found.is_alive:
            if found is not None:
                self._drop(found)
            found = self._channels[pid] = await self.server.channel()
        return found

    def _drop(self, channel: Channel) -> None:
        if self._channels.get(os.getpid()) is channel:
            del self._channels[os.getpid()]
            channel.leave()

    def close(self) -> None:
        """Hang up in this process."""
        if os.getpid() in self._channels:
            run(self._close())

    async def _close(self) -> None:
        channel = self._channels.get(os.getpid())
        if channel is not None:
            self._drop(channel)


def _lost(lost: Lost, what: str, *, changes: bool) -> StoreError:
    if changes:
        return AmbiguousResult(f"Nobody knows whether this was done: {what} ({lost}).")
    return Unavailable(f"Can't {what}: {lost}.")
