"""SMB addresses and options, without a server."""

from __future__ import annotations

import fsspec.config
import pytest

from dirjobs.backends.smb import open_store
from dirjobs.backends.smb.config import Config, Place, parse, read
from dirjobs.errors import ConfigurationError

CANARY = "canary-Xy7"


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """fsspec's configuration of this protocol: empty, unless the test fills it."""
    conf: dict[str, object] = {}
    monkeypatch.setitem(fsspec.config.conf, "smb", conf)
    return conf


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("smb://nas/share", Place("nas", None, "share", "")),
        ("smb://nas/share/", Place("nas", None, "share", "")),
        ("smb://nas:4455/share/a/b/", Place("nas", 4455, "share", "a/b")),
        ("smb://nas/my%20share/a%23b", Place("nas", None, "my share", "a#b")),
        ("smb://nas/my share//a", Place("nas", None, "my share", "a")),
        ("smb://u@nas/s", Place("nas", None, "s", "", "u")),
        ("smb://u:p@nas/s", Place("nas", None, "s", "", "u", "p")),
        ("smb://u:@nas/s", Place("nas", None, "s", "", "u", "")),
        ("smb://D;u:p@nas/s", Place("nas", None, "s", "", "u", "p", "D")),
        ("smb://D%3Bu:p%40%2F%3A%25@nas/s", Place("nas", None, "s", "", "u", "p@/:%", "D")),
        ("smb://[::1]:4455/s", Place("::1", 4455, "s", "")),
        ("smb://u@[fe80::1%25eth0]/s", Place("fe80::1%eth0", None, "s", "", "u")),
        (r"\\nas\share", Place("nas", None, "share", "", unc=True)),
        (r"\\nas\my share\a\b", Place("nas", None, "my share", "a/b", unc=True)),
        ("\\\\nas\\share\\a/b\\", Place("nas", None, "share", "a/b", unc=True)),
        (r"\\?\UNC\nas\share\a", Place("nas", None, "share", "a", unc=True)),
        (r"\\fe80--1.ipv6-literal.net\s", Place("fe80::1", None, "s", "", unc=True)),
    ],
)
def test_addresses(address: str, place: Place) -> None:
    assert parse(address) == place


@pytest.mark.parametrize(
    "address",
    [
        "smb://",
        "smb://nas",
        "smb://nas/",
        "smb:///share",
        "cifs://nas/share",
        f"smb://u:{CANARY}@nas",
        f"smb://u:{CANARY}@nas:99999/s",
        f"smb://u:{CANARY}@nas:x/s",
        f"smb://u:{CANARY}/x@nas/s",
        f"smb://u:{CANARY}#x@nas/s",
        f"smb://u:{CANARY}@[::1/s",
        f"smb://u:{CANARY}@nas/s?encrypt=true",
        f"smb://u:{CANARY}@nas/s/../t",
        f"smb://u:{CANARY}@nas/s/a%2Fb",
        f"smb://u:{CANARY}@nas/s/a:b",
        f"smb://u:{CANARY}@nas/s/a%00b",
        f"smb://u:{CANARY}@nas/s/%ff",
        f"smb://u:{CANARY}@nas/s/\udcff",
        f"smb://u:{CANARY}%ff@nas/s",
        f"smb://u%ff:{CANARY}@nas/s",
        f"smb://u:{CANARY}@n%ff/s",
        "\\\\nas\\s\\\udcff",
        r"\\nas",
        "\\\\nas\\",
        r"\\.\pipe\x",
        r"\\?\C:\jobs",
        r"\\nas\share\..\other",
    ],
)
def test_what_is_no_address_is_one_sentence(address: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse(address)
    message = str(raised.value)
    assert message.endswith(".")
    assert CANARY not in message
    assert raised.value.__cause__ is None


def test_defaults() -> None:
    assert read("smb://nas/s", {}) == Config(
        host="nas", port=445, share="s", folder="", username=None, password=None,
        encrypt=False, require_signing=True, auth_protocol="negotiate", guest=False,
        timeout=30, connect_timeout=10, unc=False,
    )  # fmt: skip


def test_an_option_wins_over_the_url_and_the_url_over_the_configuration(
    configured: dict[str, object],
) -> None:
    configured.update(username="c", password="cp", port="1", timeout="7", encrypt="true")
    configured.update(share_access="rwd", register_session_retries="4")
    found = read("smb://nas/s", {})
    assert (found.username, found.password, found.port) == ("c", "cp", 1)
    assert (found.timeout, found.encrypt) == (7, True)
    found = read("smb://u@nas:2/s", {"port": 3, "timeout": 8.5, "encrypt": False})
    # The configured password belongs to somebody else.
    assert (found.username, found.password, found.port) == ("u", None, 3)
    assert (found.timeout, found.encrypt) == (8.5, False)
    assert read("smb://u:p@nas/s", {"password": "o"}).password == "o"
    assert read("smb://nas/s", {"username": "u"}).password is None
    assert read("smb://c@nas/s", {}).password == "cp"


def test_nobodys_password_goes_with_another_ones_name(configured: dict[str, object]) -> None:
    configured.update(username="c", password="cp", domain="C")
    found = read("smb://D;u:p@nas/s", {"username": "o"})
    assert (found.username, found.password) == ("o", None)
    found = read("smb://D;u:p@nas/s", {"username": "u"})
    assert (found.username, found.password) == (r"D\u", "p")


def test_the_environment_of_fsspec_is_read(configured: dict[str, object]) -> None:
    environment = {"FSSPEC_SMB_USERNAME": "e", "FSSPEC_SMB_PASSWORD": CANARY}
    fsspec.config.set_conf_env(fsspec.config.conf, environment)
    found = read("smb://nas/s", {})
    assert (found.username, found.password) == ("e", CANARY)
    assert CANARY not in repr(found)


def test_a_password_alone_is_for_whom_the_url_names(configured: dict[str, object]) -> None:
    """So that nobody has to write it on a command line."""
    fsspec.config.set_conf_env(fsspec.config.conf, {"FSSPEC_SMB_PASSWORD": CANARY})
    found = read("smb://D;u@nas/s", {})
    assert (found.username, found.password) == (r"D\u", CANARY)


@pytest.mark.parametrize(
    ("given", "username"),
    [
        ({"username": "u"}, "u"),
        ({"username": "u", "domain": "D"}, r"D\u"),
        ({"username": r"E\u", "domain": "D"}, r"E\u"),
        ({"username": "u@realm", "domain": "D"}, "u@realm"),
        ({"guest": True}, "guest"),
        ({"domain": "D"}, None),
    ],
)
def test_domains(given: dict[str, object], username: str | None) -> None:
    assert read("smb://nas/s", given).username == username


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"share_access": "rwd"}, "'share_access' is not an option"),
        ({"user": "u"}, "'user' is not an option"),
        ({"port": 0}, "port=0"),
        ({"port": "x"}, "port='x'"),
        ({"port": True}, "port=True"),
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": "soon"}, "timeout='soon'"),
        ({"timeout": float("nan")}, "timeout=nan"),
        ({"connect_timeout": -1}, "connect_timeout=-1"),
        ({"encrypt": "perhaps"}, "encrypt='perhaps'"),
        ({"auth_protocol": "basic"}, "auth_protocol='basic'"),
        ({"username": 7}, "'username' must be text"),
        ({"username": "u\r\n"}, "'username' must be text"),
        ({"username": "u", "password": f"{CANARY}\n"}, "'password' must be text"),
        ({"username": "u", "password": f"{CANARY}\udc80"}, "'password' must be text"),
        ({"password": CANARY}, "no username"),
        ({"guest": True, "username": "u"}, "without a user"),
        ({"guest": True, "encrypt": True}, "neither signed nor encrypted"),
        ({"guest": True, "require_signing": True}, "neither signed nor encrypted"),
    ],
)
def test_impossible_options_are_one_sentence(options: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read("smb://nas/s", options)
    message = str(raised.value)
    assert why in message
    assert message.endswith(".")
    assert CANARY not in message


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"smb://D;u:{CANARY}@nas/s/jobs", "smb://D;u@nas/s/jobs"),
        (f"smb://a%40b:{CANARY}@nas:4455/my%20s/50%25", "smb://a%40b@nas:4455/my s/50%25"),
        ("smb://[::1]:4455/s", "smb://[::1]:4455/s"),
        (r"\\nas\share\jobs", r"\\nas\share\jobs"),
    ],
)
def test_a_store_shows_its_address_without_the_password(address: str, shown: str) -> None:
    store = open_store(address, {})
    assert store.url == shown
    assert repr(store) == f"SmbStore({shown!r})"
    separator = "\\" if shown.startswith("\\") else "/"
    assert store.full_path("02_done/a b") == separator.join([shown, "02_done", "a b"])
    if not address.startswith("\\"):
        assert parse(store.full_path("a#b")).folder.endswith("a#b")


def test_opening_a_store_connects_to_nothing() -> None:
    store = open_store("smb://no-such-host.invalid/s", {})
    store.close()
    assert store.another().url == store.url
