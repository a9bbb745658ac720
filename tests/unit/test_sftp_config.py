"""Addresses of SFTP servers, and where their options come from; nothing is connected to."""

from __future__ import annotations

import pickle
from pathlib import Path

import fsspec.config
import pytest

from dirjobs.backends.sftp import open_store
from dirjobs.backends.sftp.config import parse, read
from dirjobs.errors import ConfigurationError
from dirjobs.store import Guarantees

CANARY = "canary-Xy7%/:@ #?[pass]"
QUOTED = "canary-Xy7%25%2F%3A%40%20%23%3F%5Bpass%5D"


@pytest.fixture(autouse=True)
def nothing_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fsspec.config, "conf", {})


def configured(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    """Set ``FSSPEC_*`` variables, which fsspec reads when it is imported."""
    for name, value in variables.items():
        monkeypatch.setenv(f"FSSPEC_{name}", value)
    fsspec.config.set_conf_env(fsspec.config.conf)


PLACES = {
    "sftp://host": ("host", None, "", "/~"),
    "sftp://host/": ("host", None, "/", "/"),
    "sftp://host/~": ("host", None, "", "/~"),
    "sftp://host/~/": ("host", None, "", "/~"),
    "sftp://host/~/jobs": ("host", None, "jobs", "/~/jobs"),
    "sftp://host/scratch/me/jobs/": ("host", None, "/scratch/me/jobs", "/scratch/me/jobs"),
    "sftp://host//scratch//jobs": ("host", None, "/scratch/jobs", "/scratch/jobs"),
    "ssh://host:2222/jobs": ("host", 2222, "/jobs", "/jobs"),
    "sftp://[::1]/jobs": ("::1", None, "/jobs", "/jobs"),
    "sftp://[FE80::1%25eth0]:2222/jobs": ("FE80::1%eth0", 2222, "/jobs", "/jobs"),
    "sftp://MyCluster/jobs": ("MyCluster", None, "/jobs", "/jobs"),
    "sftp://host/my%20jobs": ("host", None, "/my jobs", "/my jobs"),
    "sftp://host/my jobs": ("host", None, "/my jobs", "/my jobs"),
    "sftp://host/50%25%23%3F": ("host", None, "/50%#?", "/50%#?"),
    "sftp://host/a/~/b": ("host", None, "/a/~/b", "/a/~/b"),
    "sftp://host/%C3%A4": ("host", None, "/ä", "/ä"),
    "sftp://host/...": ("host", None, "/...", "/..."),
}


@pytest.mark.parametrize("address", PLACES)
def test_places(address: str) -> None:
    place = parse(address)
    assert (place.host, place.port, place.folder, place.shown) == PLACES[address]
    shown = open_store(address, {}).url
    assert parse(shown)[1:5] == place[1:5], "what is shown can be typed again"


def test_logins() -> None:
    for address in ("sftp://me@host/x", "sftp://m%65@host/x"):
        assert (parse(address).username, parse(address).password) == ("me", None)
    place = parse(f"sftp://me%40lab:{QUOTED}@host/x")
    assert (place.username, place.password, place.host) == ("me@lab", CANARY, "host")
    assert parse("sftp://me:@host/x").password == ""


REFUSED = [
    "sftp://", "sftp:///x", "sftp://me@/x", "sftp://host:x/", "sftp://host:99999/", "sftp://[::1/x",
    "sftp://host/..", "sftp://host/a/./b", "sftp://host/%2e%2e/x", "sftp://host/~root/x",
    "sftp://host/x?y", "sftp://host/x#y", "sftp://host/x?", "sftp://host/x#", "sftp://host/%0a",
    "sftp://host/a\nb", "sftp://host/a\tb", "sftp://host/\x7f", "sftp://ho\0st/", "sftp://-x/jobs",
    "sftp://host/%ff", "sftp://host/\udcff", "sftp://%ff@host/x", f"sftp://me:{CANARY}@host/x",
]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_what_is_refused_takes_one_sentence(address: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse(address)
    said = str(raised.value)
    assert said.endswith(".")
    assert "\n" not in said
    assert "canary" not in said


def test_options_win_over_the_url_and_the_url_over_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configured(monkeypatch, SFTP_USERNAME="other", SFTP_PORT="1", SFTP_TIMEOUT="7")
    config = read("sftp://host/x", {})
    assert (config.username, config.port, config.timeout) == ("other", 1, 7.0)
    config = read("sftp://me@host:2/x", {}, timeout=8)
    assert (config.username, config.port, config.timeout) == ("me", 2, 8.0)
    config = read("sftp://me@host:2/x", {"username": "she", "port": 3, "timeout": 9}, timeout=8)
    assert (config.username, config.port, config.timeout) == ("she", 3, 9.0)


def test_a_password_is_not_used_with_another_one_s_name(monkeypatch: pytest.MonkeyPatch) -> None:
    configured(monkeypatch, SFTP_USERNAME="other", SFTP_PASSWORD=CANARY)
    assert read("sftp://host/x", {}).password == CANARY
    assert read("sftp://other@host/x", {}).password == CANARY
    assert read("sftp://me@host/x", {}).password is None
    assert read("sftp://me:hers@host/x", {"username": "she"}).password is None


@pytest.mark.parametrize("password", ["12345", '"quoted"', "true", "[1]", CANARY, ""])
def test_a_password_of_the_environment_stays_a_text(
    monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    configured(monkeypatch, SFTP_PASSWORD=password)
    assert read("sftp://host/x", {}).password == password


def test_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    (tmp_path / "key").touch()
    (tmp_path / "other").touch()
    one, two = str(tmp_path / "key"), str(tmp_path / "other")
    (at_home,) = read("sftp://host/x", {"key_filename": "~/key"}).key_filename
    assert Path(at_home) == tmp_path / "key"
    assert read("sftp://host/x", {"client_keys": [one, two]}).key_filename == (one, two)
    assert read("sftp://host/x", {"known_hosts": one}).known_hosts == (one,)
    assert read("sftp://host/x", {"ssh_config": one}).ssh_config == (one,)
    assert read("sftp://host/x", {"ssh_config": []}).ssh_config == ()
    assert read("sftp://host/x", {}).ssh_config is None
    for name in ("key_filename", "known_hosts", "ssh_config"):
        with pytest.raises(ConfigurationError, match=f"{name}=.*there is no such file"):
            read("sftp://host/x", {name: str(tmp_path / "nowhere")})
    configured(monkeypatch, SFTP_KEY_FILENAME=one, SFTP_AGENT="false")
    config = read("sftp://host/x", {})
    assert (config.key_filename, config.agent) == ((one,), False)


@pytest.mark.parametrize(
    "options",
    [
        {"pasword": "x"}, {"port": 0}, {"port": "x"}, {"timeout": 0}, {"timeout": "nan"},
        {"agent": "perhaps"}, {"username": 3}, {"guarantees": "all"}, {"password": 5},
        {"password": "two\nlines"}, {"host": "x"},
    ],
)  # fmt: skip
def test_odd_options(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read("sftp://host/x", options)
    assert "two" not in str(raised.value)


def test_no_secret_is_shown() -> None:
    options = {"passphrase": CANARY, "guarantees": Guarantees(atomic_rename=True)}
    store = open_store(f"sftp://me:{QUOTED}@host:2222/my jobs/50%25", options)
    shown = f"{store!r} {store} {store.url} {store.full_path('a/b')} {store.__dict__!r}"
    assert "canary" not in shown
    assert store.url == "sftp://me@host:2222/my jobs/50%25"
    assert store.full_path("a/b") == "sftp://me@host:2222/my jobs/50%25/a/b"
    assert open_store("sftp://host", {}).full_path("a") == "sftp://host/~/a"
    assert open_store("sftp://host/", {}).full_path("a") == "sftp://host/a"
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(store)
