"""A real Samba as a child of the test: private configuration, free port, one user."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import pytest

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
    """Where smbd is; skips the test without it, fails it on CI."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        why = f"{program} is not installed: apt-get install samba smbclient"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    return found


def die_with_parent() -> None:
    """In a child: be told to end when the test process dies, however it dies."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
        self.user = pwd.getpwuid(os.getuid()).pw_name
        self.port = free_port()
        self.root = self.base / "root"
        self._tiny = tiny
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("private", "lock", "state", "cache", "pid", "ncalrpc", "log", "root", "dfs"):
            (self.base / name).mkdir(mode=0o755)
        demands = ["server smb encrypt = required"] * encrypt
        demands += ["server signing = mandatory"] * sign
        self._conf = self.base / "smb.conf"
        self._conf.write_text(
            _CONF.format(
                port=self.port,
                base=self.base,
                share=self.share,
                root=self.root,
                account=self.user,
                read_only="yes" if read_only else "no",
                map_to_guest="Bad User" if guests else "Never",
                guest_ok="yes" if guests else "no",
                extra="\n".join(demands),
                share_extra=extra,
            )
        )

    @property
    def url(self) -> str:
        return f"smb://{self.user}@{self.host}:{self.port}/{self.share}"

    @property
    def options(self) -> dict[str, object]:
        return {"password": self.password}

    def start(self) -> Self:
        """Start smbd and wait until it takes connections."""
        with (self.base / "log" / "stdout").open("ab") as output:
            process = subprocess.Popen(
                [self._smbd, "--foreground", "--no-process-group", "-s", str(self._conf)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        self._process = process
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                socket.create_connection((self.host, self.port), timeout=1).close()
                return self
            if process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"smbd did not start:\n{self.log()}")

    def stop(self) -> None:
        """End smbd and all its children, at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def kill_serving_processes(self) -> int:
        """Kill the processes that serve connections, not the one that listens."""
        assert self._process is not None
        killed = 0
        for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))):
            with contextlib.suppress(OSError, ProcessLookupError):
                stat = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
                name = Path(f"/proc/{pid}/cmdline").read_bytes()
                in_group = int(stat[2]) == self._process.pid and pid != self._process.pid
                if in_group and self._serves(pid, name):
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
        return killed

    def _serves(self, pid: int, cmdline: bytes) -> bool:
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
        return "\n".join(p.read_text(errors="replace") for p in (self.base / "log").iterdir())

    def __enter__(self) -> Self:
        try:
            if self._tiny:
                self._mount()
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

    def _mount(self) -> None:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={self._tiny}", "none", self.root],
            capture_output=True,
            check=False,
        )
        if done.returncode:
            pytest.skip("a full disk needs the right to mount a tmpfs: run the tests as root")
