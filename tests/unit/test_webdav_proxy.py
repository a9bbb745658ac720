"""Which proxy a server is reached through, as the environment says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import dirjobs
from dirjobs.backends.webdav import open_store
from dirjobs.errors import ConfigurationError, Unavailable

CANARY = "canary-4711"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.delenv("REQUEST_METHOD", raising=False)
    return monkeypatch


def proxy_for(url):
    with open_store(url, {"netrc": False}) as store:
        return store._config.proxy


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({}, "http://host/q", None),
        ({"HTTP_PROXY": "http://p:3128"}, "http://host/q", "http://p:3128"),
        ({"HTTP_PROXY": "p:3128"}, "http://host/q", "http://p:3128"),
        ({"HTTP_PROXY": "http://p:3128"}, "https://host/q", None),
        ({"ALL_PROXY": "http://p"}, "https://host/q", "http://p"),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "host"}, "http://host/q", None),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "other,.lab"}, "http://nas.lab/q", None),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "*"}, "http://host/q", None),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "127.0.0.0/8"}, "http://127.0.0.1:8/q", None),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "[::1]"}, "http://[::1]:8/q", None),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "fd00::/8"}, "http://[fd00::7]/q", None),
        ({"HTTP_PROXY": "http://p", "NO_PROXY": "[::1],fd00::/8"}, "http://host/q", "http://p"),
        ({"NO_PROXY": "[::1]"}, "http://127.0.0.1:8/q", None),
        ({"ALL_PROXY": "socks5://p", "NO_PROXY": "host"}, "http://host/q", None),
        ({"HTTP_PROXY": ""}, "http://host/q", None),
    ],
)
def test_which_proxy(environment, variables, url, proxy):
    for name, value in variables.items():
        environment.setenv(name, value)
    assert proxy_for(url) == proxy


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HTTP_PROXY", f"http://me:{CANARY}@[::1"),
        ("ALL_PROXY", f"socks://me:{CANARY}@127.0.0.1:1089/"),
        ("HTTP_PROXY", f"ftp://me:{CANARY}@p"),
        ("HTTP_PROXY", "http://"),
        ("HTTP_PROXY", "http://xn--p:3128"),
        ("HTTP_PROXY", f"http://me:{CANARY}@p\udcff"),
    ],
)
def test_a_proxy_that_is_none(environment, variable, value):
    environment.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=f"{variable}=.*NO_PROXY") as caught:
        proxy_for("http://host/q")
    assert CANARY not in str(caught.value)


def test_an_option_that_names_no_proxy(environment):
    with pytest.raises(ConfigurationError, match=r"the option 'proxy'=.* is no URL of a proxy"):
        open_store("http://host/q", {"proxy": f"http://me:{CANARY}@[::1"})


def test_a_proxy_whose_package_is_missing(environment):
    environment.setattr("dirjobs.backends.webdav.proxy.find_spec", lambda name: None)
    environment.setenv("ALL_PROXY", "socks5h://p:7890")
    with pytest.raises(ConfigurationError, match=r"ALL_PROXY names a SOCKS proxy.*httpx\[socks\]"):
        proxy_for("http://host/q")
    with pytest.raises(ConfigurationError, match="the option 'proxy' names a SOCKS proxy"):
        open_store("http://host/q", {"proxy": "socks5://p"})


def test_the_proxy_is_named_where_it_is_at_fault(environment):
    environment.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with (
        open_store("http://host.invalid/q", {"netrc": False}) as store,
        pytest.raises(
            Unavailable, match=r"http://host.invalid \(through the proxy of HTTP_PROXY\)"
        ),
    ):
        store.exists("x")


@pytest.mark.parametrize("password", ["1e400", "007", '"quoted"', "null", "[1]", '{"a":1}', "true"])
def test_a_password_of_the_environment_is_text(password):
    script = (
        "from dirjobs.backends.webdav.config import read;"
        " login = read('https://host/q', {'netrc': False}).login;"
        " print(login.user, login.password)"
    )
    variables = {"FSSPEC_WEBDAV_USERNAME": "0012345", "FSSPEC_WEBDAV_PASSWORD": password}
    where = str(Path(dirjobs.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": where, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["0012345", password], done.stderr
