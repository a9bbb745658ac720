"""The real stores that worker processes are tried on: one more is one generator here.

Each yields a `Place`, and its server, if there is one that could be away.
"""

from __future__ import annotations

from tests.process.crew import Place
from tests.servers import apache, sshd
from tests.servers.samba import Samba


def on_posix(folder):
    yield Place(str(folder / "jobs"), folder / "jobs"), None


def on_apache(folder):
    with apache.running() as server:
        login = {"username": server.user, "password": server.password}
        env = {f"FSSPEC_WEBDAV_{name.upper()}": value for name, value in login.items()}
        root = server.root / "jobs"
        yield Place(f"{server.url}/jobs", root, login, env), server


def on_samba(folder):
    with Samba() as server:
        env = {"FSSPEC_SMB_PASSWORD": server.password}
        root = server.root / "jobs"
        yield Place(f"{server.url}/jobs", root, server.options, env), server


def on_openssh(folder):
    with sshd.running(sshd.OpenSsh) as server:
        env = {f"FSSPEC_SFTP_{name.upper()}": str(value) for name, value in server.login.items()}
        yield Place(f"{server.url}/jobs", server.root / "jobs", server.login, env), server


BACKENDS = {"posix": on_posix, "apache": on_apache, "samba": on_samba, "openssh": on_openssh}
