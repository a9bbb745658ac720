"""What people get wrong with a share: one sentence each, and the password nowhere."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from dirjobs import DirJobs, InvalidName
from dirjobs.errors import Denied
from dirjobs.layout import DONE, FOLDERS, WAITING
from tests.amounts import PATIENCE
from tests.command_line import DIRJOBS, environment
from tests.servers.samba import USER_PASSWORD, Samba
from tests.servers.test_smb_errors import no_secret


@pytest.fixture(scope="module")
def samba() -> Iterator[Samba]:
    with Samba() as server:
        (server.root / "queue" / WAITING).mkdir(parents=True)
        (server.root / "queue" / WAITING / "job1.txt").write_bytes(b"x")
        yield server


def work(
    url: str, *options: str, password: str = USER_PASSWORD
) -> subprocess.CompletedProcess[str]:
    """`dirjobs work URL -- true`; the password comes from the environment."""
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [*DIRJOBS, "work", url, *options, "--", "true"],
        env=environment(FSSPEC_SMB_PASSWORD=password),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    no_secret(done.stdout + done.stderr)
    return done


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one sentence of a refused command."""
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("dirjobs: ")
    assert done.stderr.endswith(".\n")
    print(done.stderr)
    return done.stderr


CASES = {
    "unknown host": ("smb://u@no-such-host.invalid/share/jobs", "no host of that name"),
    "refused port": ("smb://u@127.0.0.1:1/share/jobs", "connection refused"),
    "unknown share": ("smb://{user}@{host}:{port}/nowhere/jobs", "There is no share 'nowhere'"),
    "closed share": ("smb://{user}@{host}:{port}/closed/queue", "is not open to user"),
    "missing folder": ("{url}/no-queue", "is not a queue: it has no folder 00_waiting"),
    "missing parent": ("{url}/no/queue", "is not a queue: it has no folder 00_waiting"),
    "no share": ("smb://nas", "names no share"),
    "unknown user": ("smb://nobody-here@{host}:{port}/{share}/queue", "is wrong"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_address(samba: Samba, case: str) -> None:
    address, why = CASES[case]
    facts = {"user": samba.user, "host": samba.host, "port": samba.port, "share": samba.share}
    assert why in refusal(work(address.format(url=samba.url, **facts)))


def test_a_wrong_password(samba: Samba) -> None:
    done = work(f"{samba.url}/queue", password=f"not {USER_PASSWORD}")
    assert "the user or the password is wrong" in refusal(done)


def test_the_password_works_from_the_environment_and_from_the_url(samba: Samba) -> None:
    done = work(f"{samba.url}/queue", "-vv")
    assert done.returncode == 0, done.stderr
    assert "job1.txt" in done.stdout
    (samba.root / "queue" / WAITING / "job2.txt").write_bytes(b"x")
    login = f"{samba.user}:{quote(USER_PASSWORD, safe='')}"
    address = f"smb://{login}@{samba.host}:{samba.port}/{samba.share}/queue"
    done = work(address, "-vv", password="")
    assert done.returncode == 0, done.stderr
    assert (samba.root / "queue" / DONE / "job2.txt").exists()
    for path in (samba.root / "queue").rglob("*"):
        if path.is_file():
            no_secret(path.read_text(errors="replace"))


def test_dirjobs_makes_the_queue_in_a_folder_that_is_there(samba: Samba) -> None:
    """The command line does not: there, most likely, the name was mistyped."""
    name = secrets.token_hex(4)
    with DirJobs(f"{samba.url}/{name}", storage_options=samba.options, create=True) as dj:
        dj.add("job.txt", b"x")
    assert (samba.root / name / WAITING / "job.txt").exists()
    with pytest.raises(OSError, match="its folder is not there") as raised:
        DirJobs(f"{samba.url}/no/{name}", storage_options=samba.options, create=True)
    print(raised.value)


def test_a_read_only_share() -> None:
    with Samba(read_only=True) as samba:
        for folder in FOLDERS:
            (samba.root / "queue" / folder).mkdir(parents=True, exist_ok=True)
        (samba.root / "queue" / WAITING / "job1.txt").write_bytes(b"x")
        assert "the server does not allow it" in refusal(work(f"{samba.url}/queue"))
        assert os.listdir(samba.root / "queue" / WAITING) == ["job1.txt"]


def test_a_full_disk() -> None:
    with Samba(tiny=128 * 1024) as samba:
        url = f"{samba.url}/queue"
        with DirJobs(url, storage_options=samba.options, create=True) as dj:
            dj.add("job1.txt", b"x")
            with pytest.raises(Denied, match="the disk of the server is full") as raised:
                dj.add("big.txt", bytes(1_000_000))
            no_secret(str(raised.value))
            assert dj.status().waiting == 1
            assert [p.name for p in (samba.root / "queue" / WAITING).iterdir()] == ["job1.txt"]
        room = os.statvfs(samba.root)
        (samba.root / "filler").write_bytes(bytes(room.f_bavail * room.f_frsize))
        assert "the disk of the server is full" in refusal(work(url))
        assert os.listdir(samba.root / "queue" / WAITING) == ["job1.txt"]


@pytest.mark.parametrize("name", ["a:b.txt", "a*.txt", "what?.txt", "a|b.txt", "con.txt", "end."])
def test_names_that_no_share_takes_are_refused(samba: Samba, name: str) -> None:
    with (
        DirJobs(f"{samba.url}/queue", storage_options=samba.options, create=True) as dj,
        pytest.raises(InvalidName) as raised,
    ):
        dj.add(name, b"x")
    print(raised.value)


def test_names_made_on_the_server_itself_are_skipped_and_told_once(
    samba: Samba, caplog: pytest.LogCaptureFixture
) -> None:
    """Samba shows ``a:b.txt`` under a short name that would work, and would then stay."""
    odd = {"a:b.txt", "a*.txt", "a;b.txt"}
    with DirJobs(f"{samba.url}/odd", storage_options=samba.options, create=True) as dj:
        waiting = samba.root / "odd" / WAITING
        for name in (*odd, "job1.txt"):
            (waiting / name).write_text(name)
        dj = DirJobs(dj.store, wid="w2", job_ext="")
        for _ in range(3):
            for job in dj:
                assert job.name() == "job1.txt"
                job.done()
        assert set(os.listdir(waiting)) == odd
        dj.close()
    told = [r.getMessage() for r in caplog.records if "is skipped" in r.getMessage()]
    print("\n".join(told))
    assert len(told) == len(odd)
