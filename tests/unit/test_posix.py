"""What is special about local folders: links, pipes, spellings, mounts."""

import io
import logging
import os
import pickle
import socket

import pytest

from dirjobs.backends.posix import store as posix
from dirjobs.backends.posix.store import PosixStore, open_store
from dirjobs.errors import AlreadyExists, ConfigurationError, Denied, NotFound, Unsupported
from dirjobs.store import FileKind

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX system")


@pytest.fixture
def store(tmp_path):
    return PosixStore(tmp_path)


@pytest.fixture
def oddities(tmp_path):
    (tmp_path / "file").write_bytes(b"data")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder-link").symlink_to("folder")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(tmp_path)  # a socket's path is limited to 108 bytes
        try:
            server.bind("socket")
        finally:
            os.chdir(here)
        yield


@pytest.mark.usefixtures("oddities")
def test_only_regular_files_are_listed_as_files(store):
    assert store.names_of_files("") == ["file"]
    kinds = {entry.name: entry.kind for entry in store.list("")}
    assert kinds.pop("file") is FileKind.FILE
    assert kinds.pop("folder") is FileKind.FOLDER
    assert kinds == dict.fromkeys(
        ("link", "dangling", "folder-link", "fifo", "socket"), FileKind.OTHER
    )


@pytest.mark.usefixtures("oddities")
@pytest.mark.parametrize("name", ["link", "dangling", "folder", "folder-link", "fifo", "socket"])
def test_nothing_but_regular_files_is_opened(store, tmp_path, name):
    assert store.exists(name)
    with pytest.raises(Denied):
        store.read(name)
    with pytest.raises(Denied):
        store.download(name, io.BytesIO())
    with pytest.raises(Denied):
        store.upload(name, io.BytesIO(b"evil"))
    assert (tmp_path / "file").read_bytes() == b"data"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.usefixtures("oddities")
def test_write_replaces_a_link_and_not_its_target(store, tmp_path):
    store.write("link", b"new")
    assert (tmp_path / "file").read_bytes() == b"data"
    assert not (tmp_path / "link").is_symlink()


def test_names_that_are_not_unicode(store, tmp_path):
    with open(os.fsencode(tmp_path) + b"/caf\xe9.txt", "wb") as file:
        file.write(b"data")
    [entry] = store.list("")
    assert entry.name == "caf\udce9.txt"
    assert store.name_problem(entry.name)
    assert store.read(entry.name) == b"data"
    store.rename(entry.name, "cafe.txt")
    assert store.read("cafe.txt") == b"data"


def test_a_root_that_is_not_there(tmp_path):
    store = open_store(f"{tmp_path}/one/two", {})
    with pytest.raises(NotFound):
        store.list("")
    assert not store.exists("")
    store.mkdir("")
    assert store.list("") == []
    with pytest.raises(AlreadyExists):
        store.mkdir("")


def test_a_root_that_is_a_file(tmp_path):
    (tmp_path / "jobs").write_text("")
    with pytest.raises(ConfigurationError, match="is a file, not a folder"):
        open_store(f"{tmp_path}/jobs", {})
    with pytest.raises(Unsupported, match="is a file, not a folder"):
        PosixStore(tmp_path / "jobs").list("")


@pytest.mark.parametrize("place", ["", "a\0b"])
def test_a_place_that_is_none(place):
    with pytest.raises(ConfigurationError, match="give the path"):
        open_store(place, {})


def test_options_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="'password' mean nothing") as caught:
        open_store(f"{tmp_path}", {"password": "hunter2"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("root", ["jobs", "jobs/", "./jobs"])
def test_a_relative_root_outlives_chdir(tmp_path, monkeypatch, root):
    monkeypatch.chdir(tmp_path)
    store = PosixStore(root)
    store.mkdir("")
    store.write("file", b"data")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert store.read("file") == b"data"
    store.rename("file", "new")
    assert os.path.exists(tmp_path / "jobs" / "new")
    assert store.full_path("a/b") == store.local_path("a/b") == os.path.join(root, "a/b")
    assert repr(store) == f"PosixStore({root!r})"


def test_file_urls(tmp_path):
    store = open_store(f"file://{tmp_path}/a%20b", {})
    store.mkdir("")
    assert (tmp_path / "a b").is_dir()


def test_a_store_can_be_pickled(store):
    store.write("file", b"data")
    assert pickle.loads(pickle.dumps(store)).read("file") == b"data"


def test_a_failed_write_leaves_the_old_file_and_no_draft(store, monkeypatch):
    store.write("file", b"old")

    def full(*paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(Denied, match="No space left"):
        store.write("file", b"new")
    assert store.read("file") == b"old"
    assert [entry.name for entry in store.list("")] == ["file"]


def test_an_entry_that_vanishes_is_left_out(store, tmp_path, monkeypatch):
    for name in ("a", "b"):
        store.write(name, b"")
    scandir = os.scandir

    class Vanishing:
        def __init__(self, path):
            self.found = scandir(path)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.found.close()

        def __iter__(self):
            for item in self.found:
                if item.name == "a":
                    os.unlink(tmp_path / "a")
                yield item

    monkeypatch.setattr(os, "scandir", Vanishing)
    assert [entry.name for entry in store.list("")] == ["b"]


def test_a_deleted_working_directory(tmp_path, monkeypatch):
    def gone():
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(os, "getcwd", gone)
    with pytest.raises(ConfigurationError, match="give the whole path"):
        PosixStore("jobs")
    assert PosixStore(tmp_path).list("") == []


def test_network_mounts_are_mentioned_once(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(posix, "_mountinfo", lambda: "1 0 0:1 / / rw - nfs4 server:/ rw\n")
    monkeypatch.setattr(posix, "_warned", set())
    with caplog.at_level(logging.INFO, logger="dirjobs"):
        stores = [PosixStore(tmp_path), PosixStore(tmp_path)]
    [record] = caplog.records
    assert "nfs4" in record.message
    assert "worker_sync=True" in record.message
    assert stores[0].guarantees.atomic_rename


def test_windows_rules_for_names_and_paths(store, monkeypatch):
    assert store.name_problem("CON") is None
    monkeypatch.setattr(posix, "_WINDOWS", True)
    assert "device" in store.name_problem("CON")
    for path in ("a\\..\\..\\b", "file:stream", "C:x"):
        with pytest.raises(ValueError, match="Windows"):
            store._at(path)
