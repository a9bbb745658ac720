"""A real Apache with mod_dav, in a temporary folder, on a free port."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.amounts import PATIENCE

from .child import Child, missing, require_program, running_in_new_folder

_INSTALL = "apt-get install apache2"
_MODULE_FOLDERS = ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/libexec/apache2")
_MODULES = (
    "mpm_event authn_core authn_file authz_core authz_user auth_basic auth_digest mime alias"
    " dav dav_fs deflate filter headers ssl socache_shmcb unixd"
)
_CONFIG = """
ServerRoot "{home}"
ServerName localhost
PidFile "{home}/apache.pid"
ErrorLog "{home}/error.log"
LogLevel warn
Listen 127.0.0.1:{port}
{modules}
{user}
CoreDumpDirectory "{home}"
DefaultRuntimeDir "{home}"
ServerLimit 2
StartServers 1
ThreadsPerChild 32
MaxRequestWorkers 64
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 5
Timeout 60
LimitXMLRequestBody 1048576
DavLockDB "{home}/lock/db"
DocumentRoot "{root}"
TypesConfig /dev/null
AddEncoding x-gzip .gz
LogFormat "%{{c}}L %m %U%q %>s" requests
CustomLog "{home}/access.log" requests
<Directory "/">
    Require all denied
    AllowOverride None
</Directory>
Alias /dav "{root}"
<Directory "{root}">
    Dav On
    Options None
    {auth}
</Directory>
{tls}
{more}
"""


class Apache:
    """A running server.

    Attributes:
        url: of the served folder.
        root: the served folder on this machine.
        user, password: who may use it; empty if anybody may.
        ca: the file that makes its certificate trusted; None without TLS.
    """

    def __init__(
        self,
        home: Path,
        *,
        auth: str | None = "basic",
        tls: bool = False,
        more: str = "",
        root: Path | None = None,
    ) -> None:
        self._program = require_program("apache2", "httpd", install=_INSTALL)
        self.home, self.root = home, root or home / "served"
        self.user, self.password = ("worker", "s3cret-pässword") if auth else ("", "")
        self._auth, self._tls, self._more = auth, tls, more
        self.ca = home / "cert.pem" if tls else None
        for folder in (self.root, home / "lock"):
            folder.mkdir(parents=True, exist_ok=True)
        if tls:
            make_certificate(home)
        self._write_passwords()
        if os.geteuid() == 0:
            home.chmod(0o755)
            for folder in (self.root, home / "lock"):
                shutil.chown(folder, *_server_user())
        self._child = Child(self._command, home)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://localhost:{self._child.port}/dav"

    @property
    def port(self) -> int:
        return self._child.port

    def start(self) -> None:
        self._child.start()

    def stop(self) -> None:
        self._child.stop()

    def finish(self) -> None:
        """End it when it has answered and logged all requests."""
        self._child.end(signal.SIGWINCH)

    def requests(self) -> list[str]:
        """The methods of all requests, in the order in which they ended."""
        return [method for method, _, _ in self.answered()]

    def answered(self) -> list[tuple[str, str, int]]:
        """The same with the path of each, and what it was answered.

        A request is logged after its answer was sent: the log is complete when the server
        has ended by itself.
        """
        self.finish()
        found = []
        for line in (self.home / "access.log").read_text().splitlines():
            asked, _, status = line.rpartition(" ")
            _, method, path = asked.split(" ", 2)
            found.append((method, path, int(status)))
        return found

    def forget(self) -> None:
        """Begin a new log."""
        (self.home / "access.log").unlink()

    def _command(self, port: int) -> list[str]:
        config = self.home / "apache.conf"
        config.write_text(self._config(port))
        return [self._program, "-d", str(self.home), "-f", str(config), "-DFOREGROUND"]

    def _config(self, port: int) -> str:
        modules = "\n".join(
            f'LoadModule {name}_module "{path}"' for name, path in _modules(self._tls)
        )
        root = "User {}\nGroup {}".format(*_server_user()) if os.geteuid() == 0 else ""
        tls = (
            f'SSLEngine on\nSSLCertificateFile "{self.home}/cert.pem"\n'
            f'SSLCertificateKeyFile "{self.home}/key.pem"'
        )
        return _CONFIG.format(
            home=self.home,
            root=self.root,
            port=port,
            modules=modules,
            user=root,
            auth=self._auth_lines(),
            tls=tls if self._tls else "",
            more=self._more,
        )

    def _auth_lines(self) -> str:
        if self._auth is None:
            return "Require all granted"
        kind = self._auth.capitalize()
        return (
            f'AuthType {kind}\nAuthName "dirjobs"\nAuth{kind}Provider file\n'
            f'AuthUserFile "{self.home}/passwords"\nRequire valid-user'
        )

    def _write_passwords(self) -> None:
        if self._auth == "digest":
            plain = f"{self.user}:dirjobs:{self.password}".encode()
            line = f"{self.user}:dirjobs:{hashlib.md5(plain).hexdigest()}\n"
        else:
            digest = base64.b64encode(hashlib.sha1(self.password.encode()).digest()).decode()
            line = f"{self.user}:{{SHA}}{digest}\n"
        (self.home / "passwords").write_text(line)


@contextmanager
def running(*, auth: str | None = "basic", tls: bool = False, more: str = "") -> Iterator[Apache]:
    """A server; `more` are further lines of its configuration."""

    def make(home: Path) -> Apache:
        return Apache(home, auth=auth, tls=tls, more=more)

    with running_in_new_folder("apache", make) as server:
        yield server


@pytest.fixture
def apache() -> Iterator[Apache]:
    with running() as server:
        yield server


@pytest.fixture
def apache_digest() -> Iterator[Apache]:
    with running(auth="digest") as server:
        yield server


@pytest.fixture
def apache_tls() -> Iterator[Apache]:
    with running(tls=True) as server:
        yield server


def _modules(tls: bool) -> Iterator[tuple[str, Path]]:
    """The modules that exist as files; the others are built in, or not needed."""
    folder = next((Path(f) for f in _MODULE_FOLDERS if Path(f).is_dir()), None)
    if folder is None:
        missing(f"Apache's modules are not installed: {_INSTALL}")
    if not (folder / "mod_dav.so").exists():
        missing(f"Apache's mod_dav is not installed: {_INSTALL}")
    for name in _MODULES.split():
        path = folder / f"mod_{name}.so"
        if path.exists() and (tls or name not in ("ssl", "socache_shmcb")):
            yield name, path


def _server_user() -> tuple[str, str]:
    import grp
    import pwd

    for name in ("www-data", "apache", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return name, grp.getgrgid(entry.pw_gid).gr_name
    return missing("there is no user for Apache to run as: run the tests as a normal user")


def make_certificate(folder: Path) -> None:
    """``cert.pem`` and ``key.pem`` for localhost, signed by itself."""
    openssl = require_program("openssl", install="apt-get install openssl")
    command = (
        f"{openssl} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        " -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1"
    )
    subprocess.run(
        [*command.split(), "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
        check=True,
        capture_output=True,
        timeout=PATIENCE,
    )
