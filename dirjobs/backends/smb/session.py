"""Reaching a server, logging on, finding the share (through DFS, if it must be)."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from dataclasses import replace
from typing import Any, NamedTuple

import smbclient._pool as smb_pool
from smbprotocol.exceptions import (
    SMBAuthenticationError,
    SMBConnectionClosed,
    SMBException,
    SMBResponseException,
)
from smbprotocol.session import Session
from smbprotocol.tree import TreeConnect

from dirjobs.backends.smb import wire
from dirjobs.backends.smb.config import Config
from dirjobs.backends.smb.integrity import AuthenticConnection
from dirjobs.backends.smb.status import ACCESS_DENIED, LOGON, NO_SHARE, PATH_NOT_COVERED
from dirjobs.errors import Denied, LogonRefused, StoreError, Unavailable, Unsupported

# smbprotocol logs a traceback whenever a connection breaks; without this, Python prints it
# where nobody has set up logging.  Our own error says what broke.
logging.getLogger("smbprotocol").addHandler(logging.NullHandler())


_HOW_TO_LOG_ON = (
    "`dirjobs login URL` keeps user and password, or set FSSPEC_SMB_USERNAME and"
    " FSSPEC_SMB_PASSWORD"
)


def shut(connection: Any) -> None:
    """End whatever a thread waits for on this connection.

    ``Tcp.close`` can't do that: it waits for the lock that a blocked ``send`` holds.
    """
    sock = connection.transport and connection.transport._sock
    if sock:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def hang_up(connection: Any) -> None:
    """Close a connection without a word; the server closes what it had open."""
    shut(connection)
    if connection.transport:
        with contextlib.suppress(OSError):
            connection.disconnect(close=False)


@contextlib.contextmanager
def watchdog(seconds: float, connections: Callable[[], Iterable[Any]]) -> Iterator[threading.Event]:
    """Shut the sockets if the block takes longer; the event says whether it did."""
    barked = threading.Event()

    def bark() -> None:
        barked.set()
        for connection in connections():
            shut(connection)

    timer = threading.Timer(seconds, bark)
    timer.daemon = True
    timer.start()
    try:
        yield barked
    finally:
        timer.cancel()


class Share(NamedTuple):
    r"""A share that we are connected to.

    Attributes:
        tree: smbprotocol's TreeConnect.
        root: the store's folder as a CREATE wants it.
        rename_root: the same as the target of a rename wants it: from the share's root,
            without the ``server\share`` that stands first in paths of a DFS share.
    """

    tree: Any
    root: str
    rename_root: str


def connect(config: Config, host: str = "", port: int = 0) -> Any:
    """A connection on which dialect and ciphers are agreed, but nobody is logged on.

    Args:
        host: another server than that of `config`, to which DFS leads.
        port: of that server.

    Raises:
        Unavailable: there is no SMB server.
    """
    if host:
        config = replace(config, host=host, port=port)
    connection = AuthenticConnection(
        uuid.uuid4(), config.host, config.port, require_signing=config.require_signing
    )
    seconds = min(config.connect_timeout, config.timeout)
    # smbprotocol's timeout begins anew with each "not yet", and with each address.
    with watchdog(seconds, lambda: [connection]) as barked:
        try:
            connection.connect(timeout=seconds)
        except Exception as error:
            hang_up(connection)
            why = _unreachable(error, late=barked.is_set())
            raise Unavailable(f"Can't reach {config.where}: {why}.") from error
    return connection


def _unreachable(error: BaseException, *, late: bool) -> str:
    native = error.__cause__
    if isinstance(native, (socket.gaierror, UnicodeError)):
        return "there is no host of that name; check the address"
    if isinstance(native, ConnectionRefusedError):
        return "nothing listens there (connection refused); check host and port"
    if isinstance(native, TimeoutError):
        return "it does not answer; check host, port and firewall"
    if isinstance(native, OSError):
        return native.strerror or type(native).__name__
    if isinstance(error, SMBResponseException):  # whose text may fail
        return f"the server says NTSTATUS {error.status:#010x}"
    if late or "timeout" in str(error).lower():
        return "it takes the connection but does not answer"
    return "it ended the connection at once, or is no SMB 2 or 3 server"


def log_on(config: Config, connection: Any, cache: MutableMapping[str, Any]) -> Share:
    """Log on over `connection` and connect to the share.

    Args:
        cache: connections by ``host:port``; other servers that DFS leads to are added.

    Raises:
        Denied: no such share, or the server does not let us in.
        Unsupported: a package that this kind of logon needs is not installed.
        Unavailable: the share is not there just now.
    """
    who = f"user {config.username!r}" if config.username else "the current user"
    kind: type[StoreError] = Unavailable
    session = Session(
        connection,
        username=config.username,
        password=config.password,
        require_encryption=config.encrypt,
        auth_protocol=config.auth_protocol,
    )
    try:
        session.connect()
    except ImportError as error:
        raise Unsupported(
            f"Can't log on to {config.where} by {config.auth_protocol}:"
            " it needs pip install 'smbprotocol[kerberos]'."
        ) from error
    except SMBAuthenticationError as error:
        raise Denied(
            f"Can't log on to {config.where} as {who} ({config.auth_protocol}):"
            " give username and password, or guest=True."
        ) from error
    except SMBResponseException as error:
        # What is not about the account (too many users, no domain controller) passes.
        why = f"the server says NTSTATUS {error.status:#010x}"
        if error.status in LOGON:
            kind, why = LogonRefused, f"{LOGON[error.status]} ({_HOW_TO_LOG_ON})"
        raise kind(f"Can't log on to {config.where} as {who}: {why}.") from error
    except SMBConnectionClosed:
        raise
    except SMBException as error:
        kind, why = Unavailable, "its answer makes no sense"
        if "guest" in str(error):
            kind = Denied
            why = "it takes nobody of that name and password, only guests (guest=True)"
        elif config.encrypt:
            kind, why = Denied, "it can't encrypt, and encrypt=True demands it"
        raise kind(f"Can't log on to {config.where} as {who}: {why}.") from error
    try:
        with _signing(session):
            return _guest_share(config, session) if config.guest else _share(config, cache)
    except SMBResponseException as error:
        if error.status in NO_SHARE:
            raise Denied(
                f"There is no share {config.share!r} on {config.where}: check its name."
            ) from error
        if error.status == ACCESS_DENIED:
            raise Denied(
                f"The share {config.share!r} on {config.where} is not open to {who}."
            ) from error
        raise Unavailable(
            f"Can't connect to the share {config.share!r} on {config.where}:"
            f" the server says NTSTATUS {error.status:#010x}."
        ) from error


@contextlib.contextmanager
def _signing(session: Any) -> Iterator[None]:
    """Sign what connects to the share, whether or not all the rest is signed.

    SMB 3.1.1 demands that, and servers say "access denied" otherwise; smbprotocol leaves
    it out if signing is not required.
    """
    required = session.signing_required
    if session.signing_key and not session.encrypt_data:
        session.signing_required = True
    try:
        yield
    finally:
        session.signing_required = required


def _guest_share(config: Config, session: Any) -> Share:
    tree = TreeConnect(session, rf"\\{config.host}\{config.share}")
    # A guest has no key to verify with what was negotiated.
    tree.connect(require_secure_negotiate=False)
    folder = config.folder.replace("/", "\\")
    return Share(tree, folder, folder)


def _share(config: Config, cache: MutableMapping[str, Any]) -> Share:
    folder = config.folder.replace("/", "\\")
    unc = rf"\\{config.host}\{config.share}\{folder}".rstrip("\\")
    login = {
        "username": config.username,
        "password": config.password,
        "port": config.port,
        # Of the servers that DFS leads to as well.
        "encrypt": config.encrypt or None,
        "require_signing": config.require_signing,
        "connection_timeout": int(max(config.connect_timeout, 1)),
        "connection_cache": cache,
        "auth_protocol": config.auth_protocol,
    }
    tree, root = smb_pool.get_smb_tree(unc, **login)
    if tree.is_dfs_share and _leads_elsewhere(tree, root):
        ipc, _ = smb_pool.get_smb_tree(rf"\\{config.host}\IPC$", **login)
        smb_pool.ClientConfig().cache_referral(smb_pool.dfs_request(ipc, unc[1:]))
        tree, root = smb_pool.get_smb_tree(unc, **login)
    rename_root = root
    if tree.is_dfs_share:
        rename_root = "\\".join(root.split("\\")[2:])
    return Share(tree, root, rename_root)


def _leads_elsewhere(tree: Any, root: str) -> bool:
    """Whether a DFS link to another share lies on the way to `root`."""
    session = tree.session
    look = wire.create(root, wire.READ_ATTRIBUTES, wire.SHARE_ALL, wire.OPEN, 0)
    requests = session.connection.send_compound(
        [look, wire.close()], sid=session.session_id, tid=tree.tree_connect_id, related=True
    )
    statuses = []
    for request in requests:
        try:
            statuses.append(session.connection.receive(request)["status"].get_value())
        except SMBResponseException as error:
            statuses.append(error.status)
    return int(statuses[0]) == PATH_NOT_COVERED
