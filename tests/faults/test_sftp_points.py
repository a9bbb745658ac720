"""One fault at each request of each operation of a queue on an SFTP server.

Connections are cut before and after a request is carried out, and requests are refused that were
carried out or not.  What the program says must be what is on the disk, and in the end each job is
where it belongs, once, and was started once.
"""

from __future__ import annotations

import itertools
import shutil

import pytest

from dirjobs.backends.posix.store import PosixStore
from dirjobs.backends.sftp import open_store
from dirjobs.layers import Layer
from dirjobs.policy import Mode, Policy
from tests.amounts import PATIENCE, THOROUGH
from tests.faults.points import OF_WORKERS, Scene, numbers, play
from tests.servers import asyncssh_server as sftp
from tests.servers.asyncssh_server import AsyncSsh, Fault, Personality

MOST = 120
KINDS = (Fault.CUT_BEFORE, Fault.CUT_AFTER, Fault.FAILS, Fault.LIES)
PERSONALITIES = {
    "asyncssh": Personality(),
    "MySecureShell": Personality(replacing=True, unknown=[sftp.POSIX_RENAME, sftp.LINK]),
}


@pytest.fixture(autouse=True)
def no_power_is_cut(monkeypatch):
    """The disk needn't be waited for: no fault here is a loss of power."""
    monkeypatch.setattr("os.fsync", lambda fd: None)


class Served(Layer):
    """A store on the server, one of whose requests meets what is planned."""

    def __init__(self, store, server, fault, of):
        super().__init__(store)
        self._server, self._fault, self._of = server, fault, of

    def arm(self, n):
        self._server.arm(self._fault, n, self._of)

    def disarm(self):
        return self._server.disarm()


CASES = list(itertools.product(PERSONALITIES, Mode, KINDS)) if THOROUGH else [
    ("asyncssh", Mode.TRUST, Fault.CUT_BEFORE),
    ("asyncssh", Mode.TRUST, Fault.CUT_AFTER),
    ("asyncssh", Mode.VERIFY, Fault.LIES),
    ("MySecureShell", Mode.VERIFY, Fault.FAILS),
]  # fmt: skip


@pytest.mark.parametrize("operation", OF_WORKERS)
@pytest.mark.parametrize(("name", "mode", "fault"), CASES)
def test_every_request(name, mode, fault, operation, tmp_path):
    """...that changes something, or of a look.  Those who meet no fault look at the disk itself,
    without requests."""
    of = sftp.LOOKS if operation == "look" else sftp.CHANGES
    policy = Policy(mode, 5.0 if mode is Mode.SYNC else 0.0, 10, lease=50, timeout=5, max_pause=10)
    with (
        AsyncSsh(tmp_path, PERSONALITIES[name]) as server,
        open_store(server.url, {**server.options, "timeout": PATIENCE}) as store,
    ):
        for n in numbers(operation, name, mode, fault):
            assert n < MOST
            for path in server.root.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            scene = Scene(PosixStore(str(server.root)), Served(store, server, fault, of), policy)
            if not play(scene, operation, n, hurried=not THOROUGH):
                assert n > 1
                break
