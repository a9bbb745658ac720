"""Where the password turns up: in nothing that dirjobs prints, stores, starts or leaves behind."""

import base64
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.amounts import PATIENCE
from tests.command_line import DIRJOBS, environment
from tests.process.backends import on_apache, on_samba

LOOKS = r"""
env
set
tr '\0' '\n' < /proc/self/environ
cat /proc/$$/cmdline /proc/$PPID/cmdline
for child in $(cat /proc/$PPID/task/*/children)
do tr '\0' '\n' < /proc/$child/cmdline; tr '\0' '\n' < /proc/$child/environ; done
env > "$DIRJOBS_OUT/env.txt"
cd "$DIRJOBS_OUT"; ulimit -c unlimited; sh -c 'kill -s SEGV $$'
echo "looked at $(cat /proc/$PPID/task/*/children)"
exit 3
"""
"""All that a job can see of itself and of what its worker has started, with a core of its own."""


@pytest.fixture(params=["apache", "samba", "netrc"])
def place(request, tmp_path):
    """A queue on a server, and how a command learns of the login."""
    on_server = on_samba if request.param == "samba" else on_apache
    for place, server in on_server(tmp_path):
        place.password, place.user = server.password, server.user
        place.told = {**place.login, "DIRJOBS_URL": with_login(place)}
        if request.param == "netrc":
            (tmp_path / "netrc").touch(mode=0o600)
            (tmp_path / "netrc").write_text(
                f"machine localhost login {place.user} password {place.password}\n",
                encoding="utf-8",
            )
            place.told = {"NETRC": str(tmp_path / "netrc")}
        yield place


@pytest.fixture
def run(place, tmp_path):
    """Runs a command with the password in its environment; all it says is kept."""
    for name in ("home", "scratch", "tmp"):
        (tmp_path / name).mkdir()
    home = {"HOME": str(tmp_path / "home"), "DIRJOBS_SCRATCH": str(tmp_path / "scratch")}
    said = []

    def run(*args, code, **more):
        done = subprocess.run(
            [*DIRJOBS, *args],
            cwd=tmp_path / "tmp",
            env=environment(**home, TMPDIR=str(tmp_path / "tmp"), **{**place.told, **more}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
        )
        assert done.returncode == code, done.stderr
        said.append(done.stdout + done.stderr)
        return done.stdout.decode()

    run.said = said
    return run


def with_login(place):
    """The URL with user and password in it, as some have it in their environment."""
    scheme, _, rest = place.url.partition("://")
    return f"{scheme}://{place.user}:{quote(place.password, safe='')}@{rest.rpartition('@')[2]}"


def forms(place):
    """The password as it is, and in what protocols and languages make of it."""
    plain, login = place.password, f"{place.user}:{place.password}"
    wide = plain.encode("utf-16-le")
    texts = [plain, quote(plain), quote(plain, safe=""), ascii(plain)[1:-1], wide.hex()]
    texts += [base64.b64encode(text.encode()).decode() for text in (plain, login)]
    texts += [base64.b64encode(login.encode("latin-1")).decode()]
    return [wide, plain.encode("latin-1"), *(text.encode() for text in texts)]


def leaks(found, place):
    return {form for form in forms(place) if form in found}


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_the_password_is_nowhere(place, run, tmp_path):
    url = place.url
    run("init", url, "--no-check", "-vv", code=0)
    run("add", url, "--param", "lr=0.1", "-vv", code=0)
    run("work", url, "--wid", "w1", "-vv", "--", "sh", "-c", LOOKS, code=1)
    for command in ("status", "results", "requeue --dead"):
        run(*command.split(), "-vv", url, code=0)
    shown = run("show", url, "lr0.1.json", "-vv", code=0)
    log = run("logs", url, "lr0.1.json", code=0)
    run("retry", url, "--failed", "-vv", code=0)
    wrong = {name: "x" + value for name, value in place.login.items()}
    run("status", url, "-vv", code=2, **wrong)
    odd = with_login(place)
    run("status", odd + "?token=" + quote(place.password), code=2)
    run("status", re.sub(r":(\d+)/", r":x\1/", odd), code=2)
    run("status", odd.replace("://", "x://", 1), code=2)

    assert "exit code 3" in shown
    assert "DIRJOBS_NAME=lr0.1.json" in log
    assert "FSSPEC_" not in log
    assert "DIRJOBS_URL" not in log
    # The program itself, and the watchdog, were looked at.
    assert len(re.search(r"^looked at ([\d ]+)$", log, re.M)[1].split()) >= 2
    for said in run.said:
        assert not leaks(said, place), said
    files = [Path(place.root), tmp_path / "home", tmp_path / "scratch", tmp_path / "tmp"]
    files = [file for folder in files for file in folder.rglob("*") if file.is_file()]
    assert any(file.name == "env.txt" for file in files)
    for file in files:
        assert not leaks(file.read_bytes(), place), file


@pytest.mark.parametrize("place", ["apache", "samba"], indirect=True)
def test_who_needs_the_login_says_so(place, run):
    run("init", place.url, "--no-check", code=0)
    run("add", place.url, "--param", "x=1", code=0)
    name = next(name for name in place.login if "PASSWORD" in name)
    script = f'[ "${name}" = "$EXPECTED" ] && [ -n "$DIRJOBS_URL" ]'
    more = {"EXPECTED": place.password}
    run("work", place.url, "--keep-env", "--", "sh", "-c", script, code=0, **more)
    assert os.listdir(Path(place.root) / "02_done") == ["x1.json"]


def test_a_place_without_a_login_is_handed_on(tmp_path):
    (tmp_path / "jobs" / "00_waiting").mkdir(parents=True)
    (tmp_path / "jobs" / "00_waiting" / "a").touch()
    queue = str(tmp_path / "jobs")
    script = f'[ "$DIRJOBS_URL" = {queue} ] && [ -z "$FSSPEC_SMB_USERNAME" ]'
    subprocess.run(
        [*DIRJOBS, "work", "--", "sh", "-c", script],
        env=environment(DIRJOBS_URL=queue, FSSPEC_SMB_USERNAME="me"),
        check=True,
        timeout=PATIENCE,
    )
