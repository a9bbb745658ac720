"""What people have set up for ssh works, and what is wrong with it takes one sentence.

Nobody's password is anywhere in what is printed or written.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from dirjobs.layout import DONE, WAITING
from tests.amounts import PATIENCE, THOROUGH, amount
from tests.command_line import DIRJOBS, environment
from tests.servers.asyncssh_server import USER_PASSWORD, AsyncSsh
from tests.servers.child import free_port, require_program
from tests.servers.sshd import OpenSsh, make_key

LINE = re.compile(r"add this line to \S+/known_hosts: (.*?)\.?\n$")
PASSPHRASE = "canary of a key: Zq9%/@ #"


def no_secret(text: str) -> None:
    for secret in (USER_PASSWORD, PASSPHRASE):
        for shown in (secret, quote(secret), quote(secret, safe=""), repr(secret)[1:-1]):
            assert shown.lower() not in text.lower()
    assert "canary" not in text.lower()


def some(of: Iterable[str | bytes]) -> list[str | bytes]:
    """Two of a kind; all, if there is time.  (Each is a command that is run.)"""
    return [*of][: amount(2, 100)]


class Person:
    """Somebody with a home of their own, who types commands.

    Args:
        home: the folder; ``.ssh`` is made in it.
    """

    def __init__(self, home: Path) -> None:
        self.ssh = home / ".ssh"
        self.ssh.mkdir(mode=0o700)
        self.job = home / "job1.txt"
        self.job.write_text("what to do")
        self._environment = {"HOME": str(home), "SSH_AUTH_SOCK": ""}

    def knows(self, *servers: OpenSsh | AsyncSsh) -> None:
        lines = [(server.home / "known_hosts").read_text() for server in servers]
        (self.ssh / "known_hosts").write_text("".join(lines))

    def has_key_of(self, server: OpenSsh, name: str = "id_ed25519") -> Path:
        shutil.copy(server.home / "user_key", self.ssh / name)
        return self.ssh / name

    def configures(self, text: str, name: str = "config") -> Path:
        (self.ssh / name).write_text(text)
        return self.ssh / name

    def says(self, **variables: object) -> None:
        """Set variables of the environment."""
        self._environment |= {name: str(value) for name, value in variables.items()}

    def types(self, *words: str) -> subprocess.CompletedProcess[str]:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [*DIRJOBS, *words],
            env=environment(**self._environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        no_secret(done.stdout + done.stderr)
        assert "Traceback" not in done.stderr
        return done

    def works(self, url: str, *, whole: bool = THOROUGH) -> None:
        """The queue is made; and if that is asked for, a job is added and done."""
        commands = [
            ("init", url, "--no-check"),
            ("add", url, str(self.job)),
            ("work", url, "-vv", "--", "true"),
        ]
        for words in commands if whole else commands[:1]:
            done = self.types(*words)
            assert done.returncode == 0, done.stderr

    def is_refused(self, url: str, *commands: str) -> str:
        """Each command says one sentence, which is that of the last."""
        for command in commands or (("init", "status", "work") if THOROUGH else ("init",)):
            words = [command, url, *(["--", "true"] if command == "work" else [])]
            done = self.types(*words)
            assert done.returncode == 2, (command, done.stdout, done.stderr)
            assert done.stderr.count("\n") == 1, done.stderr
            assert done.stderr.startswith("dirjobs: ")
            assert done.stderr.endswith(".\n") or LINE.search(done.stderr)
            print(done.stderr)
        return done.stderr


@pytest.fixture
def me(tmp_path: Path) -> Person:
    home = tmp_path / "me"
    home.mkdir()
    return Person(home)


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSsh]:
    with OpenSsh(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(scope="module")
def by_password(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AsyncSsh]:
    with AsyncSsh(tmp_path_factory.mktemp("by-password")) as server:
        yield server


def new_folder(server: OpenSsh | AsyncSsh) -> Path:
    folder = server.root / secrets.token_hex(4)
    folder.mkdir()
    return folder


def url_of(server: OpenSsh | AsyncSsh) -> str:
    """The URL of a new folder."""
    return f"{server.url}/{new_folder(server).name}"


# -- what works ---------------------------------------------------------------------------


def test_the_key_in_the_home(sshd: OpenSsh, me: Person) -> None:
    me.knows(sshd)
    me.has_key_of(sshd)
    me.works(url_of(sshd), whole=True)


def test_an_alias_of_the_user_s_configuration(sshd: OpenSsh, me: Person) -> None:
    """In it is all that the URL does not say; ``ssh`` tells capital letters apart."""
    me.knows(sshd)
    key = me.has_key_of(sshd, "key_of_the_cluster")
    me.configures(
        f"Host MyCluster\n  HostName {sshd.host}\n  Port {sshd.port}\n  User {sshd.user}\n"
        f"  IdentityFile {key}\n  IdentitiesOnly yes\n"
    )
    me.works(f"sftp://MyCluster{new_folder(sshd)}")


def test_an_alias_of_another_configuration(sshd: OpenSsh, me: Person) -> None:
    me.knows(sshd)
    key = me.has_key_of(sshd, "key_of_the_cluster")
    file = me.configures(
        f"Host cluster\n  HostName {sshd.host}\n  Port {sshd.port}\n  User {sshd.user}\n"
        f"  IdentityFile {key}\n",
        name="other",
    )
    url = f"sftp://cluster{new_folder(sshd)}"
    me.is_refused(url, "init")
    me.says(FSSPEC_SFTP_SSH_CONFIG=file)
    me.works(url)


def test_known_hosts_of_the_configuration(sshd: OpenSsh, me: Person) -> None:
    me.has_key_of(sshd)
    me.configures(f"Host *\n  UserKnownHostsFile {sshd.home / 'known_hosts'}\n")
    me.works(url_of(sshd))


def jumping(me: Person, jump: OpenSsh, inner: OpenSsh) -> str:
    """The URL of a folder on `inner`, which is reached through `jump`."""
    keys = [me.has_key_of(jump, "id_ed25519"), me.has_key_of(inner, "inner")]
    me.configures(
        f"Host jump\n  HostName {jump.host}\n  Port {jump.port}\n  User {jump.user}\n"
        f"  IdentityFile {keys[0]}\n"
        f"Host inner\n  HostName {inner.host}\n  Port {inner.port}\n  User {inner.user}\n"
        f"  IdentityFile {keys[1]}\n  ProxyJump jump\n"
    )
    return f"sftp://inner{new_folder(inner)}"


def test_a_jump_host(sshd: OpenSsh, me: Person, tmp_path: Path) -> None:
    with OpenSsh(tmp_path) as inner:
        url = jumping(me, sshd, inner)
        me.knows(sshd, inner)
        me.works(url)
        assert "direct-tcpip" not in sshd.log()


def test_a_jump_host_of_an_unknown_key(sshd: OpenSsh, me: Person, tmp_path: Path) -> None:
    with OpenSsh(tmp_path) as inner:
        url = jumping(me, sshd, inner)
        me.knows(inner)
        said = me.is_refused(url, "work")
        assert "jump" in said
        assert line_to_add(said) == (sshd.home / "known_hosts").read_text().strip()
        (me.ssh / "known_hosts").write_text(f"{line_to_add(said)}\n")
        said = me.is_refused(url, "work")
        assert line_to_add(said) == (inner.home / "known_hosts").read_text().strip()
        me.knows(sshd, inner)
        me.works(url)


def test_jump_hosts_that_do_not_let_us_through(sshd: OpenSsh, me: Person, tmp_path: Path) -> None:
    with OpenSsh(tmp_path) as inner:
        url = jumping(me, sshd, inner)
        me.knows(sshd, inner)
        (me.ssh / "id_ed25519").unlink()
        make_key(me.ssh / "id_ed25519")
        assert "was refused at jump" in me.is_refused(url, "work")
        (me.ssh / "id_ed25519.pub").unlink()
        me.has_key_of(sshd)
        inner.stop()
        said = me.is_refused(url, "work")
        assert "can't be reached through its jump host" in said
    me.configures((me.ssh / "config").read_text().replace(str(sshd.port), str(free_port())))
    assert "jump can't be reached" in me.is_refused(url, "work")


@contextmanager
def agent(socket_path: Path) -> Iterator[Path]:
    program = require_program("ssh-agent", install="apt-get install openssh-client")
    process = subprocess.Popen(
        [program, "-D", "-a", str(socket_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert "SSH_AUTH_SOCK" in process.stdout.readline()
        yield socket_path
    finally:
        process.kill()
        process.communicate()


def add_to(agent: Path, *keys: Path) -> None:
    program = require_program("ssh-add", install="apt-get install openssh-client")
    for key in keys:
        subprocess.run(
            [program, "-q", key], env={**os.environ, "SSH_AUTH_SOCK": str(agent)}, check=True
        )


def test_an_agent(sshd: OpenSsh, me: Person, tmp_path: Path) -> None:
    me.knows(sshd)
    url = url_of(sshd)
    with agent(tmp_path / "agent") as running:
        me.says(SSH_AUTH_SOCK=running)
        assert "the keys in ~/.ssh and of the ssh agent" in me.is_refused(url, "work")
        add_to(running, sshd.home / "user_key")
        me.works(url)
        me.says(FSSPEC_SFTP_AGENT="false")
        me.is_refused(url, "work")


def test_an_agent_that_is_gone(sshd: OpenSsh, me: Person, tmp_path: Path) -> None:
    me.knows(sshd)
    me.has_key_of(sshd)
    me.says(SSH_AUTH_SOCK=tmp_path / "no agent")
    me.works(url_of(sshd))


def test_an_agent_with_more_keys_than_the_server_likes(me: Person, tmp_path: Path) -> None:
    """It hangs up at the third; waiting and trying again would lock the account."""
    with OpenSsh(tmp_path, extra="MaxAuthTries 2") as server, agent(tmp_path / "agent") as running:
        me.knows(server)
        me.says(SSH_AUTH_SOCK=running)
        for number in range(4):
            make_key(tmp_path / f"key{number}")
            add_to(running, tmp_path / f"key{number}")
        said = me.is_refused(url_of(server), "work")
        assert "was refused" in said


def test_a_key_with_a_passphrase(sshd: OpenSsh, me: Person) -> None:
    me.knows(sshd)
    key = me.has_key_of(sshd, "locked")
    keygen = require_program("ssh-keygen", install="apt-get install openssh-client")
    subprocess.run([keygen, "-q", "-p", "-N", PASSPHRASE, "-f", key], check=True)
    me.says(FSSPEC_SFTP_KEY_FILENAME=key)
    url = url_of(sshd)
    assert "check key_filename and passphrase" in me.is_refused(url)
    me.says(FSSPEC_SFTP_PASSPHRASE=f"not {PASSPHRASE}")
    assert "check key_filename and passphrase" in me.is_refused(url)
    me.says(FSSPEC_SFTP_PASSPHRASE=PASSPHRASE)
    me.works(url)


def test_the_password_from_the_environment_and_from_the_url(
    by_password: AsyncSsh, me: Person
) -> None:
    me.knows(by_password)
    me.says(FSSPEC_SFTP_PASSWORD=USER_PASSWORD)
    folder = new_folder(by_password)
    me.works(f"sftp://{by_password.user}@{by_password.host}:{by_password.port}{folder}")
    me.says(FSSPEC_SFTP_PASSWORD="")
    login = f"{by_password.user}:{quote(USER_PASSWORD, safe='')}"
    folder = new_folder(by_password)
    me.works(f"sftp://{login}@{by_password.host}:{by_password.port}{folder}", whole=True)
    assert (folder / DONE / "job1.txt").exists()
    for path in folder.rglob("*"):
        no_secret(path.name)
        if path.is_file():
            no_secret(path.read_text(errors="replace"))


def test_the_home_of_the_user(by_password: AsyncSsh, me: Person) -> None:
    me.knows(by_password)
    me.says(FSSPEC_SFTP_PASSWORD=USER_PASSWORD)
    folder = new_folder(by_password)
    me.works(
        f"sftp://{by_password.user}@{by_password.host}:{by_password.port}/~/{folder.name}",
        whole=True,
    )
    assert (folder / DONE / "job1.txt").exists()


# -- what is refused ------------------------------------------------------------------------


def line_to_add(said: str) -> str:
    found = LINE.search(said)
    assert found, said
    return found[1]


def test_an_unknown_host_key(sshd: OpenSsh, me: Person) -> None:
    me.has_key_of(sshd)
    url = url_of(sshd)
    said = me.is_refused(url)
    assert "SHA256:" in said
    (me.ssh / "known_hosts").write_text(f"{line_to_add(said)}\n")
    me.works(url)


def test_a_changed_host_key(sshd: OpenSsh, me: Person, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    public = (tmp_path / "other.pub").read_text()
    me.has_key_of(sshd)
    (me.ssh / "known_hosts").write_text(f"[{sshd.host}]:{sshd.port} {public}")
    said = me.is_refused(url_of(sshd))
    assert "its host key is not the one that is known" in said
    assert f"ssh-keygen -R '[{sshd.host}]:{sshd.port}'" in said


def test_a_key_of_another_kind_is_known(sshd: OpenSsh, me: Person, tmp_path: Path) -> None:
    """Such a server is known, but not by the key that it shows."""
    make_key(tmp_path / "other", "rsa")
    public = (tmp_path / "other.pub").read_text()
    me.has_key_of(sshd)
    (me.ssh / "known_hosts").write_text(f"[{sshd.host}]:{sshd.port} {public}")
    assert "host key" in me.is_refused(url_of(sshd), "work")


def test_a_revoked_host_key(sshd: OpenSsh, me: Person) -> None:
    me.has_key_of(sshd)
    known = (sshd.home / "known_hosts").read_text()
    (me.ssh / "known_hosts").write_text(f"{known}@revoked {known}")
    assert "host key" in me.is_refused(url_of(sshd), "work")


@pytest.mark.parametrize(
    "text", some(["nonsense\n", "host ssh-ed25519 AAAA\n", "\0\1\2", "@foo a b\n"])
)
def test_known_hosts_that_make_no_sense(sshd: OpenSsh, me: Person, text: str) -> None:
    me.has_key_of(sshd)
    (me.ssh / "known_hosts").write_text(text)
    said = me.is_refused(url_of(sshd), "work")
    assert "known_hosts" in said


def test_a_wrong_password(by_password: AsyncSsh, me: Person) -> None:
    me.knows(by_password)
    url = url_of(by_password)
    for wrong in (f"not {USER_PASSWORD}", USER_PASSWORD[:-1]):
        me.says(FSSPEC_SFTP_PASSWORD=wrong)
        said = me.is_refused(url)
        assert f"user '{by_password.user}' was refused" in said
        assert "check user and password" in said


def test_no_key_is_accepted(sshd: OpenSsh, me: Person) -> None:
    me.knows(sshd)
    make_key(me.ssh / "id_ed25519")
    said = me.is_refused(url_of(sshd))
    assert f"user '{sshd.user}' was refused at {sshd.host}:{sshd.port}" in said
    make_key(me.ssh / "other")
    me.says(FSSPEC_SFTP_KEY_FILENAME=me.ssh / "other")
    assert "and the key (" in me.is_refused(url_of(sshd))


def test_a_missing_key_file(sshd: OpenSsh, me: Person, tmp_path: Path) -> None:
    me.knows(sshd)
    me.says(FSSPEC_SFTP_KEY_FILENAME=tmp_path / "nowhere")
    said = me.is_refused(url_of(sshd))
    assert "key_filename=" in said
    assert "there is no such file" in said


@pytest.mark.parametrize(
    "content", some([b"no key", b"", b"\0\xff\xfe", b"-----BEGIN OPENSSH PRIVATE"])
)
def test_a_key_file_that_is_none(sshd: OpenSsh, me: Person, content: bytes) -> None:
    me.knows(sshd)
    (me.ssh / "key").write_bytes(content)
    me.says(FSSPEC_SFTP_KEY_FILENAME=me.ssh / "key")
    assert "key" in me.is_refused(url_of(sshd), "work")


def test_a_public_key_for_a_private_one(sshd: OpenSsh, me: Person) -> None:
    me.knows(sshd)
    me.says(FSSPEC_SFTP_KEY_FILENAME=sshd.home / "user_key.pub")
    assert "key" in me.is_refused(url_of(sshd), "work")


@pytest.mark.parametrize(
    "text",
    some(["Host *\n  Port many\n", "Host *\n  ConnectTimeout x\n", "Match\n", "Host *\n Port\n"]),
)
def test_a_configuration_that_makes_no_sense(sshd: OpenSsh, me: Person, text: str) -> None:
    me.knows(sshd)
    me.has_key_of(sshd)
    me.configures(text)
    said = me.is_refused(f"sftp://{sshd.user}@{sshd.host}{sshd.root}", "work")
    assert "ssh configuration" in said


def test_hosts_that_do_not_answer(me: Person) -> None:
    assert "no host of that name" in me.is_refused("sftp://no-such-host.invalid/jobs")
    assert "connection refused" in me.is_refused(f"sftp://127.0.0.1:{free_port()}/jobs")
    me.says(FSSPEC_SFTP_CONNECT_TIMEOUT="0.5")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        said = me.is_refused(f"sftp://127.0.0.1:{port}/jobs", "work")
    assert "no answer within 0.5 s" in said


class WebServer(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.rfile.readline()
        self.wfile.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"<html>\r\n" * 2000)


def test_what_is_no_ssh_server(me: Person) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), WebServer) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            said = me.is_refused(f"sftp://127.0.0.1:{server.server_address[1]}/jobs", "work")
        finally:
            server.shutdown()
            serving.join()
    assert "can't be reached (Too many banner lines)" in said


@pytest.mark.parametrize(
    "subsystem", some(["/bin/echo welcome!", "", "/no/such/program", "/bin/false"])
)
def test_a_server_without_sftp(me: Person, tmp_path: Path, subsystem: str) -> None:
    with OpenSsh(tmp_path, subsystem=subsystem) as server:
        me.knows(server)
        me.has_key_of(server)
        assert "SFTP" in me.is_refused(url_of(server), "work")


def test_an_account_that_may_only_run_something_else(me: Person, tmp_path: Path) -> None:
    with OpenSsh(tmp_path, extra="ForceCommand /bin/echo this account is closed") as server:
        me.knows(server)
        me.has_key_of(server)
        assert "SFTP" in me.is_refused(url_of(server), "work")


def test_missing_folders(sshd: OpenSsh, me: Person) -> None:
    me.knows(sshd)
    me.has_key_of(sshd)
    for folder in ("nowhere", "no/where"):
        said = me.is_refused(f"{sshd.url}/{folder}", "work")
        assert f"is not a queue: it has no folder {WAITING}" in said
    (sshd.root / "file").touch()
    me.is_refused(f"{sshd.url}/file/jobs", "work", "init")
    me.is_refused(f"{sshd.url}/file", "work", "init")


ADDRESSES = {
    "sftp://": "names no host",
    "sftp:///jobs": "names no host",
    "sftp://user@/jobs": "names no host",
    "sftp://host:many/jobs": "is not an SFTP address",
    "sftp://host:0/jobs": "is not a port",
    "sftp://host:70000/jobs": "is not an SFTP address",
    "sftp://[::1/jobs": "is not an SFTP address",
    "sftp://host/~other/jobs": "another user's home",
    "sftp://host/a/../b": "write the path in full",
    "sftp://host/a/%2e%2e/b": "write the path in full",
    "sftp://host/jobs?x=1": "contains a '?'",
    "sftp://host/jobs#1": "contains a '?' or a '#'",
    "sftp://host/a%00b": "write the path in full",
    "sftp://host/a\nb": "control characters",
    "sftp://-oProxyCommand=x/jobs": "begins with '-'",
    "sftp://host/%ff": "not UTF-8",
    f"sftp://jane:{USER_PASSWORD}@host/jobs": "in a password as",
    f"sftp://jane:{quote(USER_PASSWORD, safe='')}@host/~other": "another user's home",
    f"sftp://jane:{quote(USER_PASSWORD, safe='')}@no-such-host.invalid/x": "no host of that name",
}


@pytest.mark.parametrize("address", some(ADDRESSES))
def test_odd_addresses(me: Person, address: str) -> None:
    assert ADDRESSES[address] in me.is_refused(address, "work")


OPTIONS = {
    "CONNECT_TIMEOUT": ("-1", "seconds above 0"),
    "KNOWN_HOSTS": ("/no/where", "there is no such file"),
    "SSH_CONFIG": ("/no/where", "there is no such file"),
    "AGENT": ("perhaps", "neither true nor false"),
}


@pytest.mark.parametrize("name", some(OPTIONS))
def test_odd_options(me: Person, name: str) -> None:
    value, why = OPTIONS[name]
    me.says(**{f"FSSPEC_SFTP_{name}": value})
    assert why in me.is_refused("sftp://127.0.0.1:1/jobs", "work")
