"""A real Samba as a child of the test: private configuration, free port, one user."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import psutil
import pytest

from tests.amounts import PATIENCE

from .child import Child, require_program

USER_PASSWORD = "canary-Xy7%/:@ pass"
"""Every character that a URL can trip over is in it, and nothing else looks like it."""

_CONF = """\
[global]
server role = standalone server
workgroup = WORKGROUP
netbios name = DIRJOBSTEST
interfaces = 127.0.0.1/8
bind interfaces only = yes
smb ports = {port}
disable netbios = yes
private dir = {base}/private
lock directory = {base}/lock
state directory = {base}/state
cache directory = {base}/cache
pid directory = {base}/pid
ncalrpc dir = {base}/ncalrpc
passdb backend = tdbsam:{base}/private/passdb.tdb
log file = {base}/log/smbd.log
max log size = 0
load printers = no
printcap name = /dev/null
map to guest = {map_to_guest}
guest account = {account}
host msdfs = yes
log level = 1
{extra}
[{share}]
path = {root}
read only = {read_only}
guest ok = {guest_ok}
{share_extra}
[dfs]
path = {base}/dfs
msdfs root = yes
read only = no
[closed]
path = {root}
valid users = nobody
"""


def needed(program: str = "smbd") -> str:
    """Where a program of Samba's is; skips the test without it, fails it on CI."""
    return require_program(program, install="apt-get install samba smbclient")


class Samba:
    """An smbd on 127.0.0.1 with one share; stopped at the end of the ``with`` block.

    Args:
        encrypt: the server demands encryption.
        sign: the server demands signing.
        read_only: the share can't be written.
        guests: guests are let in, and everybody with a wrong name is one.
        tiny: bytes of a disk of its own for the share (needs root and tmpfs).
        extra: further lines for the share.
    """

    share = "jobs share"
    host = "127.0.0.1"
    password = USER_PASSWORD

    def __init__(
        self,
        *,
        encrypt: bool = False,
        sign: bool = False,
        read_only: bool = False,
        guests: bool = False,
        tiny: int = 0,
        extra: str = "",
    ) -> None:
        self._smbd = needed()
        self._pdbedit = needed("pdbedit")
        self.base = Path(tempfile.mkdtemp(prefix="dirjobs-samba-"))
        self.user = psutil.Process().username()
        self.root = self.base / "root"
        self._tiny = tiny
        for name in ("private", "lock", "state", "cache", "pid", "ncalrpc", "log", "root", "dfs"):
            (self.base / name).mkdir(mode=0o755)
        demands = ["server smb encrypt = required"] * encrypt
        demands += ["server signing = mandatory"] * sign
        self._conf = self.base / "smb.conf"
        self._settings = {
            "base": self.base,
            "share": self.share,
            "root": self.root,
            "account": self.user,
            "read_only": "yes" if read_only else "no",
            "map_to_guest": "Bad User" if guests else "Never",
            "guest_ok": "yes" if guests else "no",
            "extra": "\n".join(demands),
            "share_extra": extra,
        }
        self._child = Child(self._command, self.base / "log")

    @property
    def port(self) -> int:
        return self._child.port

    @property
    def url(self) -> str:
        return f"smb://{self.user}@{self.host}:{self.port}/{self.share}"

    @property
    def options(self) -> dict[str, object]:
        return {"password": self.password}

    def start(self) -> Self:
        """Start smbd and wait until it takes connections."""
        self._child.start()
        return self

    def stop(self) -> None:
        """End smbd and all its children, at once."""
        self._child.stop()

    def restart(self) -> None:
        self.stop()
        self.start()

    def settings(self, like: Mapping[str, object]) -> dict[str, object]:
        """What is set now of the same kinds, for `restart_with`."""
        return {name: self._settings[name] for name in like}

    def restart_with(self, changes: Mapping[str, object]) -> None:
        """Restart it with other lines in its configuration."""
        self._settings.update(changes)
        self.restart()

    def enable(self, on: bool) -> None:
        """Let the user in again, or no more; whoever is in has to log on anew."""
        flag = "[]" if on else "[D          ]"
        subprocess.run(
            [self._pdbedit, "-s", self._conf, "-r", "-u", self.user, "-c", flag],
            check=True, capture_output=True,
        )  # fmt: skip
        self.kill_serving_processes()

    def kill_serving_processes(self) -> int:
        """Kill the processes that serve connections, not the one that listens.

        Returns how many they were; none of them answers any more.
        """
        first = self._child.pid
        killed = []
        for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))):
            with contextlib.suppress(OSError):
                state, group = _state_and_group(pid)
                if state != "Z" and group == first != pid and self._serves(pid):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
        deadline = time.monotonic() + PATIENCE
        while any(map(_is_alive, killed)):
            assert time.monotonic() < deadline, f"can't kill {killed}"
            time.sleep(0.002)
        return len(killed)

    def _serves(self, pid: int) -> bool:
        """Whether a process of ours holds a connection to our port."""
        sockets = set()
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "01" and int(fields[1].rpartition(":")[2], 16) == self.port:
                sockets.add(f"socket:[{fields[9]}]")
        held = set()
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                held.add(os.readlink(f"/proc/{pid}/fd/{name}"))
        return bool(sockets & held)

    def log(self) -> str:
        paths = (path for path in (self.base / "log").iterdir() if path.is_file())
        return "\n".join(path.read_text(errors="replace") for path in paths)

    def __enter__(self) -> Self:
        try:
            if self._tiny:
                self._mount()
            self._command(445)  # writes the configuration; any port will do for pdbedit
            lines = f"{self.password}\n{self.password}\n".encode()
            subprocess.run(
                [self._pdbedit, "-s", self._conf, "-a", "-u", self.user, "-t"],
                input=lines, check=True, capture_output=True,
            )  # fmt: skip
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        self.stop()
        if os.path.ismount(self.root):
            subprocess.run(["umount", "--lazy", self.root], check=True)
        shutil.rmtree(self.base, ignore_errors=True)

    def _command(self, port: int) -> list[str]:
        self._conf.write_text(_CONF.format(port=port, **self._settings))
        return [self._smbd, "--foreground", "--no-process-group", "-s", str(self._conf)]

    def _mount(self) -> None:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={self._tiny}", "none", self.root],
            capture_output=True,
            check=False,
        )
        if done.returncode:
            pytest.skip("a full disk needs the right to mount a tmpfs: run the tests as root")


def _state_and_group(pid: int) -> tuple[str, int]:
    """Raises OSError if there is no such process any more."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return fields[0], int(fields[2])


def _is_alive(pid: int) -> bool:
    try:
        return _state_and_group(pid)[0] != "Z"
    except OSError:
        return False
