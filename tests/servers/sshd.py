"""Real SSH servers as children of the test: private configuration, free port, one key."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import psutil

from .child import Child, require_program

_OPENSSH = """\
{extra}
Port {port}
ListenAddress 127.0.0.1
HostKey {home}/host_key
PidFile none
AuthorizedKeysFile {home}/user_key.pub
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100
LogLevel ERROR
{subsystem}
"""

_PROFTPD = """\
ServerType standalone
ServerName dirjobs
DefaultAddress 127.0.0.1
Port {port}
UseIPv6 off
User {user}
Group {group}
ModulePath /usr/lib/proftpd
LoadModule mod_sftp.c
PidFile {home}/proftpd.pid
ScoreboardFile {home}/scoreboard
DelayEngine off
WtmpLog off
TransferLog none
SystemLog {home}/log/system.log
MaxInstances none
RequireValidShell off
RootLogin on
UseFtpUsers off
UseReverseDNS off
AuthOrder mod_auth_file.c
AuthUserFile {home}/passwd
AuthGroupFile {home}/group
SFTPEngine on
SFTPLog {home}/log/sftp.log
SFTPHostKey {home}/host_key
SFTPAuthMethods publickey
SFTPAuthorizedUserKeys file:{home}/user_key.rfc4716
SFTPMaxChannels 64
AllowOverwrite on
AllowStoreRestart on
HiddenStores off
"""


def make_key(path: Path, kind: str = "ed25519") -> None:
    """A key pair without a passphrase, in OpenSSH's format."""
    keygen = require_program("ssh-keygen", install="apt-get install openssh-client")
    subprocess.run(
        [keygen, "-q", "-t", kind, "-N", "", "-C", "", "-m", "PEM" if kind == "rsa" else "RFC4716",
         "-f", path],
        check=True,
    )  # fmt: skip


class SshServer:
    """What is common to them: keys, the user, known_hosts; stopped at the end of the ``with``.

    Args:
        home: a folder for its files.
    """

    host = "127.0.0.1"

    def __init__(self, home: Path) -> None:
        self.home = home
        self.user = psutil.Process().username()
        self.root = home / "root"
        for name in ("log", "root"):
            (home / name).mkdir(exist_ok=True)
        make_key(home / "host_key")
        make_key(home / "user_key")
        self._child = Child(self._command, home / "log")

    def _command(self, port: int) -> list[str]:
        raise NotImplementedError

    @property
    def port(self) -> int:
        return self._child.port

    @property
    def url(self) -> str:
        """Of the folder `root`."""
        return f"sftp://{self.user}@{self.host}:{self.port}{self.root}"

    @property
    def login(self) -> dict[str, str]:
        """The options that say how to log on."""
        return {
            "key_filename": str(self.home / "user_key"),
            "known_hosts": str(self.home / "known_hosts"),
        }

    @property
    def options(self) -> dict[str, object]:
        """The same, and nothing of the user's own files and agent."""
        return {**self.login, "ssh_config": [], "agent": False}

    def start(self) -> Self:
        self._child.start()
        key = (self.home / "host_key.pub").read_text().strip()
        (self.home / "known_hosts").write_text(f"[{self.host}]:{self.port} {key}\n")
        return self

    def stop(self) -> None:
        """End it with all that serve connections, at once."""
        serving = self.serving()
        self._child.stop()
        for process in serving:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(serving, timeout=30)

    def serving(self) -> list[psutil.Process]:
        """The processes that serve connections; each leads a session of its own."""
        try:
            return psutil.Process(self._child.pid).children(recursive=True)
        except (psutil.NoSuchProcess, AssertionError):
            return []

    def signal(self, number: int) -> None:
        """Send a signal to all processes of the server."""
        for process in self.serving():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        self._child.signal(number)

    def kill_serving(self) -> int:
        """Kill those that serve connections, not the one that listens; how many they were."""
        serving = self.serving()
        for process in serving:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(serving, timeout=30)
        return len(serving)

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def restart(self) -> None:
        self.stop()
        self.start()

    def log(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in (self.home / "log").iterdir())

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class OpenSsh(SshServer):
    """OpenSSH's sshd.

    Args:
        home: a folder for its files.
        extra: further lines of its configuration; of two for one thing they count.
        subsystem: its SFTP server, if any; with the argument ``-R`` it is read-only.
    """

    def __init__(self, home: Path, extra: str = "", subsystem: str = "internal-sftp") -> None:
        self._sshd = require_program("sshd", install="apt-get install openssh-server")
        line = f"Subsystem sftp {subsystem}" if subsystem else ""
        self._settings = {"home": home, "extra": extra, "subsystem": line}
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # where sshd locks itself in
        super().__init__(home)

    def _command(self, port: int) -> list[str]:
        conf = self.home / "sshd_config"
        conf.write_text(_OPENSSH.format(port=port, **self._settings))
        return [self._sshd, "-D", "-e", "-f", str(conf)]


@contextmanager
def running(make: Callable[[Path], SshServer]) -> Iterator[SshServer]:
    """A server with a folder of its own."""
    with TemporaryDirectory(prefix="dirjobs-sshd-") as home, make(Path(home)) as server:
        yield server


class ProFtpd(SshServer):
    """ProFTPD with mod_sftp."""

    def __init__(self, home: Path) -> None:
        self._proftpd = require_program(
            "proftpd", install="apt-get install proftpd-core proftpd-mod-crypto"
        )
        super().__init__(home)
        keygen = require_program("ssh-keygen", install="apt-get install openssh-client")
        public = subprocess.run(
            [keygen, "-e", "-m", "RFC4716", "-f", home / "user_key.pub"],
            check=True, capture_output=True,
        ).stdout  # fmt: skip
        (home / "user_key.rfc4716").write_bytes(public)
        uid, gid = os.getuid(), os.getgid()
        passwd, group = home / "passwd", home / "group"
        passwd.write_text(f"{self.user}:x:{uid}:{gid}::{self.root}:/bin/sh\n")
        group.write_text(f"{self.user}:x:{gid}:\n")
        passwd.chmod(0o600)
        group.chmod(0o600)

    def _command(self, port: int) -> list[str]:
        conf = self.home / "proftpd.conf"
        conf.write_text(_PROFTPD.format(port=port, home=self.home, user=self.user, group=self.user))
        return [self._proftpd, "--nodaemon", "-c", str(conf)]
