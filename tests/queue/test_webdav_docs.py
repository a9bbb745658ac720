"""The Python code of docs/webdav.md works, on an Apache instead of the cloud."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.amounts import PATIENCE
from tests.servers import apache

ROOT = Path(__file__).parents[2]
CLOUD = "https://cloud.example.org/remote.php/dav/files/me"
BLOCKS = re.findall(
    r"^ *```python\n(.*?)^ *```", (ROOT / "docs/webdav.md").read_text(), re.DOTALL | re.MULTILINE
)


def run(code: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("FSSPEC", "NETRC"))}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**inherited, "HOME": str(home), **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


@pytest.fixture(scope="module")
def server():
    with apache.running() as server:
        yield server


@pytest.mark.parametrize(("number", "printed"), [(0, "Processing: alpha=3\n"), (1, "trust\n")])
def test_code(server, tmp_path, number, printed):
    code = textwrap.dedent(BLOCKS[number]).replace(CLOUD, server.url)
    code = code.replace('"username": "me"', f'"username": "{server.user}"')
    login = {"FSSPEC_WEBDAV_USERNAME": server.user, "FSSPEC_WEBDAV_PASSWORD": server.password}
    assert run(OPEN.format(url=server.url), tmp_path, **login).returncode == 0  # a queue
    done = run(code, tmp_path, APP_PASSWORD=server.password, **login)
    assert done.returncode == 0, done.stderr
    assert done.stdout == printed


def test_there_is_no_other_code():
    assert len(BLOCKS) == 2


OPEN = "import sys; from dirjobs import DirJobs; DirJobs({url!r}, create=True).close()"
CONFIG = ".config/fsspec"


@pytest.mark.parametrize("way", ["environment", "conf.json", "conf.ini", "netrc", "NETRC", "url"])
def test_ways_to_log_in(server, tmp_path, way):
    user, password, url, environment = server.user, server.password, f"{server.url}/{way}", {}
    (tmp_path / CONFIG).mkdir(parents=True)
    netrc = f"machine localhost login {user} password {password}\n"
    if way == "environment":
        environment = {"FSSPEC_WEBDAV_USERNAME": user, "FSSPEC_WEBDAV_PASSWORD": password}
    elif way == "conf.json":
        text = f'{{"webdav": {{"username": "{user}", "password": "{password}"}}}}'
        (tmp_path / CONFIG / way).write_text(text)
    elif way == "conf.ini":
        text = f"[webdav]\nusername = {user}\npassword = {password}\n"
        (tmp_path / CONFIG / way).write_text(text)
    elif way == "netrc":
        (tmp_path / ".netrc").write_text(netrc)
        (tmp_path / ".netrc").chmod(0o600)
    elif way == "NETRC":
        (tmp_path / "elsewhere").write_text(netrc)
        environment = {"NETRC": str(tmp_path / "elsewhere")}
    else:
        url = url.replace("://", f"://{user}:{quote(password)}@")
    done = run(OPEN.format(url=url), tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    assert (server.root / way / "00_waiting").is_dir()
    nobody = run(OPEN.format(url=f"{server.url}/{way}"), tmp_path / CONFIG)
    assert "wants a login, and none was given (401)" in nobody.stderr


def test_ways_to_trust_a_certificate(tmp_path):
    with apache.running(tls=True) as server:
        code = OPEN.format(url=server.url)
        login = {"FSSPEC_WEBDAV_USERNAME": server.user, "FSSPEC_WEBDAV_PASSWORD": server.password}
        assert "can't be verified" in run(code, tmp_path, **login).stderr
        for way in (
            {"FSSPEC_WEBDAV_CA": str(server.ca)},
            {"SSL_CERT_FILE": str(server.ca)},
            {"FSSPEC_WEBDAV_VERIFY": "false"},
        ):
            done = run(code, tmp_path, **login, **way)
            assert done.returncode == 0, done.stderr
