"""What is special about local folders: links, pipes, spellings, mounts."""

import contextlib
import errno
import io
import logging
import os
import pickle
import re
import socket

import pytest

from dirjobs import DirJobs
from dirjobs.admin.inspect import Status
from dirjobs.backends.posix import store as posix
from dirjobs.backends.posix.store import PosixStore, open_store
from dirjobs.errors import (
    AlreadyExists,
    ConfigurationError,
    Denied,
    NotFound,
    StoreError,
    Unsupported,
)
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

    def full(*paths, **folders):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(Denied, match="No space left"):
        store.write("file", b"new")
    assert store.read("file") == b"old"
    assert [entry.name for entry in store.list("")] == ["file"]


def test_the_draft_of_a_killed_writer_disturbs_nobody(tmp_path, monkeypatch):
    """It has the name that docs/stuck-jobs.md tells people to delete, and is no job."""
    store = PosixStore(tmp_path)
    queue = DirJobs(store, wid="w1")
    queue.add("job.txt", b"")

    class Killed(BaseException):
        pass

    def killed(*paths, **folders):
        raise Killed

    folders = [path for path in tmp_path.rglob("*") if path.is_dir() and path.name != "parked"]
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        for folder in folders:
            with pytest.raises(Killed):
                store.write(f"{folder.relative_to(tmp_path).as_posix()}/file.json", b"{")
    drafts = {path for path in tmp_path.rglob(".*") if re.fullmatch(r"\.~\w{10}", path.name)}
    assert len(drafts) == len(folders)
    assert queue.status() == Status(waiting=1)
    for job in queue:
        job.done()
    queue.close()
    assert queue.status() == Status(done=1)
    assert set(tmp_path.rglob(".*")) == drafts


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
        with pytest.raises(NotFound, match="Windows"):
            store.mtime(path)


# -- folders that are links ---------------------------------------------------------------------


@pytest.fixture
def victim(tmp_path):
    """Somebody's files, outside of the store."""
    folder = tmp_path / "victim"
    (folder / "deep").mkdir(parents=True)
    for place in (folder, folder / "deep"):
        (place / "file").write_text("secret")
    yield folder
    for place in (folder, folder / "deep"):
        assert (place / "file").read_text() == "secret"
        assert len(os.listdir(place)) == (2 if place == folder else 1)


@pytest.fixture
def queue(tmp_path, victim):
    """A store whose `folder`, and `one/folder`, somebody has exchanged for links."""
    root = tmp_path / "queue"
    (root / "one").mkdir(parents=True)
    (root / "folder").symlink_to(victim)
    (root / "one" / "folder").symlink_to(victim)
    (root / "job").write_text("job")
    return PosixStore(root)


@pytest.fixture(params=[True, False], ids=["opened", "looked_at"])
def opens_folders(request, monkeypatch):
    """Whether a folder stays open while something in it is asked for, which Windows can't do."""
    if not request.param:
        monkeypatch.setattr("dirjobs.backends.posix.store._OPENS_FOLDERS", False)


@pytest.mark.parametrize("folder", ["folder", "one/folder", "folder/deep", "one/folder/deep"])
@pytest.mark.parametrize(
    "ask",
    [
        lambda store, folder: store.list(folder),
        lambda store, folder: store.names_of_files(folder),
        lambda store, folder: store.read(f"{folder}/file"),
        lambda store, folder: store.download(f"{folder}/file", io.BytesIO()),
        lambda store, folder: store.write(f"{folder}/file", b"evil"),
        lambda store, folder: store.write(f"{folder}/new", b"evil"),
        lambda store, folder: store.upload(f"{folder}/file", io.BytesIO(b"evil")),
        lambda store, folder: store.remove(f"{folder}/file"),
        lambda store, folder: store.mkdir(f"{folder}/new"),
        lambda store, folder: store.rmdir(f"{folder}/new"),
    ],
    ids=[
        "list",
        "names",
        "read",
        "download",
        "write",
        "write-new",
        "upload",
        "remove",
        "mkdir",
        "rmdir",
    ],
)
def test_nothing_is_reached_through_a_linked_folder(queue, folder, ask, opens_folders):
    with pytest.raises(Denied, match="symbolic link") as caught:
        ask(queue, folder)
    assert "--follow-links" in str(caught.value)


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
@pytest.mark.parametrize("way", [("job", "folder/job"), ("folder/file", "stolen")])
def test_no_rename_goes_through_a_link_that_others_may_have_made(queue, mode, way):
    """Whoever may write to the store's folder exchanges folders between two listings."""
    os.chmod(queue.url, mode)
    queue.names_of_files("one")
    with pytest.raises(Denied, match="symbolic link"):
        queue.rename(*way)
    assert sorted(os.listdir(queue.url)) == ["folder", "job", "one"]


@pytest.mark.parametrize("native", [True, False])
def test_a_folder_that_others_may_write_to_is_used_like_any_other(tmp_path, native):
    os.chmod(tmp_path, 0o777)
    store = PosixStore(tmp_path)
    if not native:
        store._move = lambda *paths: errno.EINVAL
    store.mkdir("a")
    store.mkdir("a/b")
    store.write("a/job", b"data")
    store.rename("a/job", "a/b/job")
    store.rename("a/b/job", "job")
    assert store.read("job") == b"data"
    store.write("a/taken", b"other")
    with pytest.raises(AlreadyExists):
        store.rename("job", "a/taken")
    with pytest.raises(NotFound):
        store.rename("a/missing", "job2")
    with pytest.raises(NotFound):
        store.rename("job", "missing/job")
    assert store.guarantees.no_replace is native
    assert store.read("job") == b"data"


def test_a_linked_folder_may_be_allowed(tmp_path, opens_folders):
    root, far = tmp_path / "queue", tmp_path / "far"
    root.mkdir()
    (far / "deep").mkdir(parents=True)
    (root / "folder").symlink_to(far)
    (root / "other").symlink_to(far)
    os.chmod(root, 0o777)
    store = PosixStore(root)
    store.follow(["folder"])
    store.write("folder/deep/file", b"data")
    store.rename("folder/deep/file", "folder/file")
    assert sorted(entry.name for entry in store.list("folder")) == ["deep", "file"]
    assert store.read("folder/file") == b"data"
    with pytest.raises(Denied):
        store.list("other")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_a_link_that_somebody_else_made_is_not_allowed(queue):
    queue.follow(["folder"])
    assert queue.names_of_files("folder") == ["file"]
    os.chown(f"{queue.url}/folder", 65534, 65534, follow_symlinks=False)
    with pytest.raises(Denied, match="symbolic link"):
        queue.list("folder")


def test_no_second_name_of_somebodys_file_is_written_over(store, tmp_path):
    (tmp_path / "precious").write_text("precious")
    os.link(tmp_path / "precious", tmp_path / "result")
    with pytest.raises(Denied, match="hard link"):
        store.upload("result", io.BytesIO(b"evil"))
    store.write("result", b"new")
    assert (tmp_path / "precious").read_text() == "precious"


def test_no_open_file_or_folder_is_left(store, tmp_path):
    """Neither after success nor after a refusal."""
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc")
    os.chmod(tmp_path, 0o777)
    store.mkdir("a")
    store.mkdir("a/b")
    (tmp_path / "link").symlink_to("a")
    os.mkfifo(tmp_path / "a" / "fifo")
    before = sorted(os.listdir("/proc/self/fd"))
    for folder in ("a", "a/b", "link", "link/b", "none", "none/b", "a/fifo", "a/fifo/b"):
        for ask in (
            lambda folder: store.list(folder),
            lambda folder: store.write(f"{folder}/file", b"data"),
            lambda folder: store.read(f"{folder}/file"),
            lambda folder: store.read(f"{folder}/fifo"),
            lambda folder: store.rename(f"{folder}/file", "new"),
            lambda folder: store.remove("new"),
        ):
            with contextlib.suppress(StoreError):
                ask(folder)
    assert sorted(os.listdir("/proc/self/fd")) == before
