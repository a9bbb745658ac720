"""`dirjobs login`: a password that is asked for once, and used for that server alone."""

import json
import logging
import os
import stat
import sys

import pytest
from click.testing import CliRunner

from dirjobs import LogonRefused, open_store
from dirjobs.cli import main

PASSWORD = "s3cret p@ss"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Where logins are kept."""
    for name in ("XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "config"))
    return tmp_path / "config/dirjobs"


@pytest.fixture
def guarded(serve_fake):
    """A server that lets nobody in without a password."""
    server = serve_fake(user="me", password=PASSWORD)
    server.mkdir("jobs/00_waiting")
    return server


def login(*args, typed="", code=0):
    result = CliRunner().invoke(main, ["login", *args], input=typed)
    assert result.exit_code == code, (result.output, result.exception)
    assert PASSWORD not in result.output
    return result.output


def listed(url, **options):
    with open_store(url, options) as store:
        return [entry.name for entry in store.list("")]


def test_it_is_used_from_then_on(guarded, keyring, home):
    url = f"{guarded.url}/jobs"
    with pytest.raises(LogonRefused, match="`dirjobs login URL` keeps them"):
        listed(url)
    told = login(url, "--user", "me", typed=f"{PASSWORD}\n")
    assert (
        told == f"The login of me for http://127.0.0.1:{guarded.port} is in this user's keyring.\n"
    )
    assert listed(url) == ["00_waiting"]
    assert listed(url.replace("://", "://me@")) == ["00_waiting"]
    (file,) = home.iterdir()
    assert PASSWORD not in file.read_text()
    assert os.name == "nt" or stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "Forgot the login" in login(url, "--forget")
    assert "There was no login" in login(url, "--forget")
    assert keyring.kept == {}
    with pytest.raises(LogonRefused):
        listed(url)


def test_user_and_password_are_asked_for(guarded, keyring):
    login(f"{guarded.url}/jobs", typed=f"me\n{PASSWORD}\n")
    assert listed(f"{guarded.url}/jobs") == ["00_waiting"]


def test_what_is_said_elsewhere_counts_more(guarded, keyring, monkeypatch):
    url = f"{guarded.url}/jobs"
    login(url, "--user", "me", typed=f"{PASSWORD}\n")
    for options in ({"username": "you", "password": "x"}, {"username": "you"}, {"password": "x"}):
        with pytest.raises(LogonRefused):
            listed(url, **options)
    monkeypatch.setenv("FSSPEC_WEBDAV_USERNAME", "you")
    monkeypatch.setenv("FSSPEC_WEBDAV_PASSWORD", "x")
    import fsspec.config

    conf = {}
    fsspec.config.set_conf_env(conf)
    monkeypatch.setattr(fsspec.config, "conf", conf)
    with pytest.raises(LogonRefused):
        listed(url)


def test_it_is_for_no_other_server(guarded, keyring, serve_fake):
    login(f"{guarded.url}/jobs", "--user", "me", typed=f"{PASSWORD}\n")
    other = serve_fake(user="me", password=PASSWORD)
    with pytest.raises(LogonRefused):
        listed(other.url)


def test_a_wrong_one_is_not_kept(guarded, keyring, home):
    told = login(f"{guarded.url}/jobs", "--user", "me", typed="wrong\n", code=2)
    assert "(401)" in told
    assert keyring.kept == {}
    assert not home.exists()


def test_without_a_keyring_nobody_is_asked_and_the_other_ways_are_told(guarded, monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    told = login(f"{guarded.url}/jobs", "--user", "me", code=2)  # nothing is typed
    assert "set FSSPEC_WEBDAV_USERNAME and FSSPEC_WEBDAV_PASSWORD, or write them into" in told
    assert "~/.netrc, instead" in told
    assert "pip install keyring" in told
    told = login("smb://nas/share/jobs", "--user", "me", code=2)
    assert "FSSPEC_SMB_PASSWORD instead" in told
    assert "netrc" not in told


def test_a_keyring_that_is_no_use_is_told_of_before_the_question(guarded, keyring):
    keyring.error = RuntimeError("no backend")
    assert "(no backend)" in login(f"{guarded.url}/jobs", "--user", "me", code=2)


def test_a_keyring_that_is_locked_later_is_told_of(guarded, keyring, caplog):
    url = f"{guarded.url}/jobs"
    login(url, "--user", "me", typed=f"{PASSWORD}\n")
    keyring.error = RuntimeError("it is locked")
    logging.getLogger("dirjobs").propagate = True  # a command has set it up for a terminal
    with pytest.raises(LogonRefused):
        listed(url)
    assert "can't be read from the keyring (it is locked)" in caplog.text


@pytest.mark.parametrize(
    "content", ["", "[", "[]", '{"http://x": 3}', '"x"', "[" * 100_000, "\xff"]
)
def test_a_file_that_makes_no_sense_is_none(guarded, keyring, home, content):
    home.mkdir(parents=True)
    (home / "logins.json").write_text(content, encoding="latin-1")
    url = f"{guarded.url}/jobs"
    with pytest.raises(LogonRefused):
        listed(url)
    login(url, "--user", "me", typed=f"{PASSWORD}\n")
    assert json.loads((home / "logins.json").read_text())[url.partition("/dav")[0]] == "me"


def test_mistakes(tmp_path, keyring, guarded, home):
    assert "is no URL of a server" in login(str(tmp_path), code=2)
    assert "Password of me at http" in login(guarded.url, "--user", "me", code=2)
    assert "names no share" in login("smb://nas", code=2)
    home.parent.mkdir()
    home.write_text("")  # a file where the folder should be
    told = login(guarded.url, "--user", "me", typed=f"{PASSWORD}\n", code=2)
    assert "can't be written" in told
