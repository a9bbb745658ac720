"""What a user may get wrong: one clear sentence each, and the password in none."""

from __future__ import annotations

import base64
import copy
import io
import logging
import pickle
import traceback
from collections.abc import Iterator
from functools import partial
from urllib.parse import quote

import pytest

from dirjobs.backends.smb import SmbStore, open_store
from dirjobs.errors import (
    ConfigurationError,
    Denied,
    NotFound,
    StoreError,
    Unavailable,
    Unsupported,
)
from tests.servers.child import free_port
from tests.servers.proxy import Proxy
from tests.servers.samba import USER_PASSWORD, Samba


@pytest.fixture(scope="module")
def samba() -> Iterator[Samba]:
    with Samba() as server:
        (server.root / "file").write_bytes(b"x")
        yield server


@pytest.fixture(autouse=True)
def canary(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The password is in no log record, whatever the test does."""
    caplog.set_level(logging.DEBUG)
    yield
    seen = "\n".join(
        f"{record.getMessage()} {record.args!r} {record.exc_text}"
        for phase in ("setup", "call")
        for record in caplog.get_records(phase)  # type: ignore[arg-type]
    )
    no_secret(seen)


def no_secret(text: str) -> None:
    plain = USER_PASSWORD
    wide = plain.encode("utf-16-le")
    for shown in (
        plain,
        quote(plain),
        quote(plain, safe=""),
        repr(plain)[1:-1],
        base64.b64encode(plain.encode()).decode(),
        plain.encode().hex(),
        wide.hex(),
        " ".join(f"{byte:02X}" for byte in wide),
        plain[:10],
    ):
        assert shown.lower() not in text.lower()


def sentence(error: BaseException) -> str:
    """The message, if it is one sentence; no exception behind it shows the password."""
    text = str(error)
    assert text.endswith(".")
    assert "\n" not in text
    no_secret("".join(traceback.format_exception(error)))
    step: BaseException | None = error
    while step is not None:
        no_secret(f"{step!r} {step} {step.args!r} {vars(step)!r}")
        step = step.__cause__ or step.__context__
    return text


def open_at(samba: Samba, address: str = "", **options: object) -> SmbStore:
    return open_store(address or samba.url, {**samba.options, **options})


CASES: dict[str, tuple[dict[str, object], type[StoreError], str]] = {
    "wrong password": ({"password": "wrong"}, Denied, "the user or the password is wrong"),
    "wrong user": ({"username": "nobody-here"}, Denied, "'nobody-here'.*is wrong|no such user"),
    "no user": ({"username": None}, Denied, "is wrong|give username|guest"),
    "refused port": ({"port": 1}, Unavailable, "127.0.0.1:1.*refused"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_option_is_one_sentence(samba: Samba, case: str) -> None:
    options, kind, why = CASES[case]
    if case == "no user":
        address = f"smb://{samba.host}:{samba.port}/{samba.share}"
        store = open_store(address, {})
    else:
        store = open_at(samba, **options)
    with store, pytest.raises(kind, match=why) as raised:
        store.rename("file", "w1.file")
    print(sentence(raised.value))


def test_an_unknown_host_a_share_and_a_closed_share(samba: Samba) -> None:
    with open_store("smb://u@no-such-host.invalid/share", samba.options) as store:
        with pytest.raises(Unavailable, match="no host of that name") as host:
            store.list("")
        print(sentence(host.value))
    at = f"smb://{samba.user}@{samba.host}:{samba.port}"
    with open_at(samba, f"{at}/nowhere/x") as store:
        with pytest.raises(Denied, match="There is no share 'nowhere'") as share:
            store.exists("")
        print(sentence(share.value))
    with open_at(samba, f"{at}/closed") as store:
        with pytest.raises(Denied, match="is not open to user") as closed:
            store.exists("")
        print(sentence(closed.value))


def test_a_missing_folder_is_not_found_and_can_be_made(samba: Samba) -> None:
    with open_at(samba, f"{samba.url}/missing/jobs") as store:
        assert not store.exists("")
        with pytest.raises(NotFound, match="its folder is not there") as raised:
            store.list("")
        print(sentence(raised.value))
        with pytest.raises(NotFound):
            store.mkdir("")
    with open_at(samba, f"{samba.url}/new") as store:
        store.mkdir("")
        assert list(store.list("")) == []


def test_a_file_where_the_folder_should_be(samba: Samba) -> None:
    with open_at(samba, f"{samba.url}/file") as store:
        with pytest.raises(StoreError) as raised:
            store.list("")
        print(sentence(raised.value))
        with pytest.raises(StoreError) as raised:
            store.write("x", b"")
        print(sentence(raised.value))


def test_something_that_is_no_smb_server(samba: Samba) -> None:
    with Proxy(free_port()) as proxy, open_at(samba, port=proxy.port) as store:
        with pytest.raises(Unavailable, match="is no SMB 2 or 3 server") as raised:
            store.list("")
        print(sentence(raised.value))


def test_a_read_only_share() -> None:
    with Samba(read_only=True) as samba, open_at(samba) as store:
        (samba.root / "job").write_bytes(b"x")
        assert store.read("job") == b"x"
        for change in (
            lambda: store.rename("job", "w1.job"),
            lambda: store.write("new", b""),
            lambda: store.upload("new", io.BytesIO()),
            lambda: store.mkdir("folder"),
            lambda: store.remove("job"),
        ):
            with pytest.raises(Denied) as raised:
                change()
            print(sentence(raised.value))
        assert [path.name for path in samba.root.iterdir()] == ["job"]


def test_a_full_disk_keeps_the_old_content() -> None:
    with Samba(tiny=256 * 1024) as samba, open_at(samba) as store:
        store.write("agreement", b"old")
        for change in (
            lambda: store.write("agreement", bytes(60_000) * 8),
            lambda: store.upload("big", io.BytesIO(bytes(1_000_000))),
        ):
            with pytest.raises(Denied, match="the disk of the server is full") as raised:
                change()
            print(sentence(raised.value))
        assert store.read("agreement") == b"old"
        assert sorted(entry.name for entry in store.list("")) == ["agreement", "big"]
        store.remove("big")
        store.rename("agreement", "w1.agreement")


def test_a_small_write_to_a_full_disk_keeps_the_old_content() -> None:
    with Samba(tiny=64 * 1024) as samba, open_at(samba) as store:
        store.write("agreement", b"old")
        (samba.root / "filler").write_bytes(bytes(56 * 1024))
        with pytest.raises(Denied, match="the disk of the server is full"):
            store.write("agreement", b"n" * 30_000)
        assert store.read("agreement") == b"old"
        assert sorted(entry.name for entry in store.list("")) == ["agreement", "filler"]


@pytest.mark.parametrize("name", ["a:b.txt", "a*.txt", "00_waiting/what?.txt"])
def test_a_name_that_no_share_takes(samba: Samba, name: str) -> None:
    with open_at(samba) as store:
        assert not store.exists(name)
        for verb in (store.mtime, store.read, store.remove, store.list):
            with pytest.raises(NotFound, match="is no name for an SMB share") as raised:
                verb(name)
            sentence(raised.value)
        for verb in (
            store.mkdir,
            partial(store.write, data=b""),
            partial(store.upload, source=io.BytesIO()),
        ):
            with pytest.raises(Unsupported, match="is no name for an SMB share") as raised:
                verb(name)
            sentence(raised.value)
        with pytest.raises(Unsupported) as raised:
            store.rename("file", name)
        print(sentence(raised.value))


def test_a_store_shows_no_secret_and_cannot_be_pickled(samba: Samba) -> None:
    login = f"{quote(samba.user)}:{quote(samba.password, safe='')}"
    address = f"smb://WORKGROUP;{login}@{samba.host}:{samba.port}/{samba.share}/50%25"
    with open_store(address, {}) as store:
        store.mkdir("")
        assert store.exists("")
        address_again = (
            f"smb://WORKGROUP;{samba.user}@{samba.host}:{samba.port}/{samba.share}/50%25"
        )
        assert store.url == address_again
        assert store.full_path("a b.txt") == f"{address_again}/a b.txt"
        for text in (repr(store), str(store), store.url, f"{vars(store)!r}", repr(store.another())):
            no_secret(text)
        for duplicate in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="can't be pickled") as raised:
                duplicate(store)
            no_secret(str(raised.value))


def test_guests_and_what_they_cannot_have() -> None:
    with Samba(guests=True) as samba:
        address = f"smb://{samba.host}:{samba.port}/{samba.share}"
        with open_store(address, {"guest": True}) as store:
            store.write("a", b"guest")
            store.rename("a", "b")
            assert store.read("b") == b"guest"
            assert len(list(store.list(""))) == 1
        with open_store(address, {"username": "somebody", "password": USER_PASSWORD}) as store:
            with pytest.raises(Denied, match="only guests") as raised:
                store.exists("")
            print(sentence(raised.value))
        with pytest.raises(ConfigurationError, match="neither signed nor encrypted"):
            open_store(address, {"guest": True, "encrypt": True})


def test_encryption_on_demand(samba: Samba) -> None:
    with open_at(samba, encrypt=True) as store:
        store.write("secret", b"x")
        assert store.read("secret") == b"x"
    with open_at(samba, require_signing=False, auth_protocol="ntlm") as store:
        assert store.read("secret") == b"x"
    with open_at(samba, auth_protocol="kerberos") as store:
        # Without the extra package, or with it and no ticket.
        with pytest.raises((Unsupported, Denied), match="kerberos") as raised:
            store.read("secret")
        print(sentence(raised.value))


def test_unc_paths_are_shown_as_they_were_written(samba: Samba) -> None:
    unc = rf"\\{samba.host}\{samba.share}\unc"
    options = {**samba.options, "username": samba.user, "port": samba.port}
    with open_store(unc, options) as store:
        store.mkdir("")
        store.write("a", b"x")
        assert store.read("a") == b"x"
        assert store.url == unc
        assert store.full_path("01_running/w1.a") == rf"{unc}\01_running\w1.a"


def test_a_dfs_link_leads_to_the_share(samba: Samba) -> None:
    """The link's CREATEs go to where it leads, and so do the targets of its renames."""
    (samba.base / "dfs" / "link").symlink_to(rf"msdfs:{samba.host}\{samba.share}")
    (samba.base / "dfs" / "plain").mkdir(exist_ok=True)
    at = f"smb://{samba.user}@{samba.host}:{samba.port}/dfs"
    (samba.root / "through").mkdir()
    for address in (f"{at}/plain", f"{at}/link/through"):
        with open_at(samba, address) as store:
            store.write("a", b"x")
            store.mkdir("folder")
            store.rename("a", "folder/b")
            assert store.read("folder/b") == b"x"
    assert (samba.base / "dfs" / "plain" / "folder" / "b").exists()
    assert (samba.root / "through" / "folder" / "b").exists()
