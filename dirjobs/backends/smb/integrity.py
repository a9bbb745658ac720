"""What smbprotocol does not ask of an answer: whether the server sent it, and how long it is.

smbprotocol verifies a signature where an answer says that it is signed, and takes one that
does not say so as it is; it takes a plain answer in an encrypted session, and makes room for
whatever length a frame announces.  Whoever stands between client and server could so change
a job's content.  The rules are those of [MS-SMB2] 3.2.5.1.1 (decrypting) and 3.2.5.1.3
(verifying).
"""

from __future__ import annotations

import socket
import time
from collections import UserDict
from collections.abc import Callable
from typing import Any

from smbprotocol.connection import Connection, Smb2Flags
from smbprotocol.exceptions import SMBException
from smbprotocol.transport import Tcp

from dirjobs.backends.smb.status import PENDING


class ForgedAnswer(SMBException):  # type: ignore[misc]
    """An answer that the server has not sent as it came."""


class BoundedTcp(Tcp):  # type: ignore[misc]
    """The transport, which makes no more room for a frame than a frame can have, and gives all
    addresses of a host one time together."""

    server: str
    timeout: float

    def connect(self) -> None:
        """Raises: ValueError: it can't; the cause is the OSError of the last address."""
        server, until = self.server, time.monotonic() + self.timeout
        try:
            found = socket.getaddrinfo(server, self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise ValueError(f"there is no address of {server!r}") from error
        refusal = ValueError(f"there is no address of {server!r}")
        try:
            for *_, address in found:
                self.timeout = until - time.monotonic()
                if self.timeout <= 0:
                    break
                numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
                self.server, _ = socket.getnameinfo(address, numeric)
                try:
                    super().connect()
                except ValueError as error:
                    refusal = error
                else:
                    return
        finally:
            self.server = server
        raise refusal

    def _recv(self, length: int, timeout: float) -> Any:
        # A length has 24 bits ([MS-SMB2] 2.1).  An HTTP server's first bytes mean 1.2 GB.
        if length > self.MAX_SIZE:
            raise SMBException("this is no SMB server: its first bytes are no frame of SMB")
        return super()._recv(length, timeout)


class AuthenticConnection(Connection):  # type: ignore[misc]
    """A connection on which an answer counts only if it is from the server.

    Once a session is set up, every answer is signed, or encrypted if the session or the
    share is; only "not yet" (an interim answer, which carries nothing) is plain.
    """

    @property
    def transport(self) -> Any:
        return self._transport

    @transport.setter
    def transport(self, tcp: Any) -> None:
        """`Connection.connect` makes a plain one."""
        self._transport = tcp and BoundedTcp(tcp.server, tcp.port, tcp.timeout)

    def verify_signature(self, header: Any, session_id: int, force: bool = False) -> None:
        """Called for each answer that came plain.

        Raises:
            SMBException: it is not from the server; the connection is given up.
        """
        if not force:
            self._require_protection(header, session_id)
        super().verify_signature(header, session_id, force)

    def _require_protection(self, header: Any, session_id: int) -> None:
        request = self.outstanding_requests[header["message_id"].get_value()].message
        flags = header["flags"]
        # Our own request, sent back to us, has a signature that is right.
        if not flags.has_flag(Smb2Flags.SMB2_FLAGS_SERVER_TO_REDIR):
            raise ForgedAnswer("a request came back instead of an answer")
        if header["command"].get_value() != request["command"].get_value():
            raise ForgedAnswer("an answer is to another command than was sent")
        session = self.session_table.get(session_id)
        if session is None:
            return  # it is being set up: its keys are made from all that is said
        interim = header["status"].get_value() == PENDING
        if interim and flags.has_flag(Smb2Flags.SMB2_FLAGS_ASYNC_COMMAND):
            return
        tree = session.tree_connect_table.get(request["tree_id"].get_value())
        if session.encrypt_data or (tree is not None and tree.encrypt_data):
            raise ForgedAnswer("a plain answer came in an encrypted session")
        signed = flags.has_flag(Smb2Flags.SMB2_FLAGS_SIGNED)
        if session.signing_required and not signed:
            raise ForgedAnswer("an answer came without a signature")


class ConnectionCache(UserDict[str, Any]):
    """Connections by ``host:port``, as `smbclient` keeps them; it makes none of its own.

    Args:
        make: connects to a host and port, for servers that DFS leads to.
    """

    def __init__(self, make: Callable[[str, int], Any]) -> None:
        super().__init__()
        self._make = make

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ARG002 - as of any mapping
        """The connection for `key`, made if there is none that is alive."""
        connection = self.data.get(key)
        if connection is None or not connection.transport.connected:
            host, _, port = key.rpartition(":")
            self.data[key] = connection = self._make(host, int(port))
        return connection
