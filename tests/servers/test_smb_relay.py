"""Somebody on the network passes a login on to the server, and acts there as the user."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

import pytest

from dirjobs.backends.smb import open_store
from dirjobs.errors import StoreError
from tests.amounts import PATIENCE
from tests.servers.samba import Samba

NEGOTIATE, SESSION_SETUP, TREE_CONNECT = 0, 1, 3
SUCCESS, ACCESS_DENIED, MORE_PROCESSING = 0, 0xC0000022, 0xC0000016


def received(sender: socket.socket) -> bytearray:
    with sender.makefile("rb") as stream:
        (size,) = struct.unpack(">I", stream.read(4))
        return bytearray(stream.read(size))


def send(receiver: socket.socket, message: bytes) -> None:
    receiver.sendall(struct.pack(">I", len(message)) + message)


def header(command: int, number: int, session: int = 0) -> bytes:
    fields = (b"\xfeSMB", 64, 1, 0, command, 31, 0, 0, number, 0, 0, session, bytes(16))
    return struct.pack("<4sHHIHHIIQIIQ16s", *fields)


def relayed(client: socket.socket, samba: Samba) -> int:
    """What the server says when a login of `client`, on another connection, is used."""
    with socket.create_connection((samba.host, samba.port), PATIENCE) as server:
        received(client)
        # SMB 2.1, without signatures: whoever relays has no key to sign with.
        wish = struct.pack("<HHHHI16sQH", 36, 1, 1, 0, 0, b"g" * 16, 0, 0x210)
        send(server, header(NEGOTIATE, 0) + wish)
        send(client, received(server))
        status = MORE_PROCESSING
        while status == MORE_PROCESSING:
            proof = received(client)
            assert proof[12] == SESSION_SETUP
            proof[64 + 3] = 1  # signing is possible, not required
            send(server, proof)
            answer = received(server)
            (status,) = struct.unpack_from("<I", answer, 8)
            if status == MORE_PROCESSING:
                send(client, answer)
        assert status == SUCCESS
        (number,), (session,) = (struct.unpack_from("<Q", answer, at) for at in (24, 40))
        path = rf"\\{samba.host}\{samba.share}".encode("utf-16-le")
        connect = struct.pack("<HHHH", 9, 0, 72, len(path)) + path
        send(server, header(TREE_CONNECT, number + 1, session) + connect)
        return int(struct.unpack_from("<I", received(server), 8)[0])


@pytest.mark.parametrize(("sign", "said"), [(False, SUCCESS), (True, ACCESS_DENIED)])
def test_a_login_that_is_passed_on_is_of_use_only_where_nobody_must_sign(
    sign: bool, said: int
) -> None:
    """No client can prevent it: who runs the server can."""
    with Samba(sign=sign) as samba, socket.create_server(("127.0.0.1", 0)) as relay:
        url = f"smb://{samba.user}@{samba.host}:{relay.getsockname()[1]}/{samba.share}"
        options = {**samba.options, "timeout": PATIENCE, "connect_timeout": PATIENCE}

        def log_on() -> None:
            with contextlib.suppress(StoreError), open_store(url, options) as store:
                store.exists("job")

        user = threading.Thread(target=log_on)
        user.start()
        client, _ = relay.accept()
        with client:
            found = relayed(client, samba)
        user.join()
    assert found == said
