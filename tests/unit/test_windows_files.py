"""Local files on Windows: who may open and rename what, on a small model of its kernel, and on
Windows itself."""

import errno
import functools
import itertools
import os
import sys

import pytest

from dirjobs import local_files
from dirjobs.backends.posix import rename as native_rename
from dirjobs.backends.posix import store as posix
from dirjobs.backends.posix import windows
from dirjobs.backends.posix.errnos import errno_of
from dirjobs.backends.posix.store import PosixStore
from dirjobs.errors import AlreadyExists, AmbiguousResult, Busy, Denied, InvalidName, NotFound
from dirjobs.policy import Mode, warranted

REAL = pytest.mark.skipif(sys.platform != "win32", reason="asks Windows itself")
READ, WRITE, DELETE = 1, 2, 4
"""The rights that a sharing mode is about, by its bits."""


def refused(winerror):
    error = OSError(errno.EACCES, "refused")
    error.winerror = winerror
    return error


class Model:
    """Files with sharing modes, renamed by handle, as Windows has them."""

    def __init__(self, *names):
        self.files = {name: object() for name in names}
        self.handles = {}
        self.numbers = itertools.count(1)
        self.between = lambda: None
        """Is called when a file was opened to be renamed, and is not yet."""

    def open(self, path, access, share, how, flags):
        if path not in self.files:
            raise refused(2)
        rights = sum(
            bit
            for bit, right in ((READ, windows.GENERIC_READ), (WRITE, windows.GENERIC_WRITE),
                               (DELETE, windows.DELETE))
            if access & right
        )  # fmt: skip
        file = self.files[path]
        for other, its_rights, its_share in self.handles.values():
            if other is file and (rights & ~its_share or its_rights & ~share):
                raise refused(local_files.SHARING_VIOLATION)
        number = next(self.numbers)
        self.handles[number] = file, rights, share
        return number

    def close(self, handle):
        del self.handles[handle]

    def rename(self, handle, target):
        between, self.between = self.between, lambda: None
        between()
        if target in self.files:
            raise refused(183)
        file = self.handles[handle][0]
        self.files = {name: each for name, each in self.files.items() if each is not file}
        self.files[target] = file

    def descriptor(self, handle, flags):
        return handle

    def volume(self, path):
        raise refused(53)


def as_python_does(model, src, dst):
    """``os.rename``: everything is shared."""
    handle = model.open(src, windows.DELETE, windows.SHARE_ALL, windows.OPEN_EXISTING, 0)
    try:
        model.rename(handle, dst)
    finally:
        model.close(handle)


@pytest.mark.parametrize(("rename", "winners"), [(as_python_does, 2), (windows.rename, 1)])
def test_of_two_whose_calls_overlap_one_renames(rename, winners):
    model = Model("job")
    told = []

    def attempt(dst):
        try:
            rename(model, "job", dst)
        except OSError as error:
            assert error.winerror in {2, *local_files.HELD}
        else:
            told.append(dst)

    model.between = lambda: attempt("other")
    attempt("mine")
    assert len(told) == winners
    assert not model.handles


def test_a_reader_of_ours_keeps_nobody_from_renaming(tmp_path):
    (tmp_path / "job").write_bytes(b"")
    path = os.fspath(tmp_path / "job")
    model = Model(path)
    windows.sharing_open(model, path, os.O_RDONLY)
    windows.rename(model, path, "claimed")
    assert list(model.files) == ["claimed"]


@pytest.mark.parametrize("share", [READ, READ | WRITE])
def test_a_file_that_others_hold_is_not_renamed(share):
    model = Model("job")
    model.open("job", windows.GENERIC_READ, share, windows.OPEN_EXISTING, 0)
    with pytest.raises(OSError, match="refused") as caught:
        windows.rename(model, "job", "claimed")
    assert caught.value.winerror == local_files.SHARING_VIOLATION


def test_a_file_that_is_still_written_is_not_renamed():
    model = Model("job")
    model.open("job", windows.GENERIC_WRITE, windows.SHARE_ALL, windows.OPEN_EXISTING, 0)
    with pytest.raises(OSError, match="refused"):
        windows.rename(model, "job", "claimed")


def test_nothing_is_replaced_and_no_handle_stays():
    model = Model("job", "taken")
    with pytest.raises(OSError, match="refused"):
        windows.rename(model, "job", "taken")
    assert not model.handles
    assert set(model.files) == {"job", "taken"}


def test_a_file_renamed_to_itself_is_there_already(tmp_path):
    model = Model()
    path = os.fspath(tmp_path / "job")
    with pytest.raises(FileNotFoundError):
        windows.rename(model, path, path)
    (tmp_path / "job").write_bytes(b"")
    with pytest.raises(FileExistsError):
        windows.rename(model, path, path)


def test_only_files_are_opened(tmp_path):
    with pytest.raises(IsADirectoryError):
        windows.sharing_open(Model(), os.fspath(tmp_path), os.O_RDONLY)


@pytest.mark.skipif(sys.platform == "win32", reason="making links needs rights there")
def test_links_are_followed_on_request_only(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to("file")
    path = os.fspath(tmp_path / "link")
    with pytest.raises(OSError) as caught:
        windows.sharing_open(Model(path), path, os.O_RDONLY)
    assert caught.value.errno == errno.ELOOP
    windows.sharing_open(Model(path), path, os.O_RDONLY, follow=True)


def test_a_handle_that_python_does_not_take_is_closed(tmp_path):
    (tmp_path / "job").write_bytes(b"")
    path = os.fspath(tmp_path / "job")
    model = Model(path)

    def refuse(handle, flags):
        raise OSError(errno.EMFILE, "too many")

    model.descriptor = refuse
    with pytest.raises(OSError, match="too many"):
        windows.sharing_open(model, path, os.O_RDONLY)
    assert not model.handles


# -- patience ----------------------------------------------------------------------------------


@pytest.mark.parametrize("winerror", [*local_files.HELD, local_files.ACCESS_DENIED])
def test_who_holds_a_file_is_waited_for_by_a_rename_and_not_by_a_claim(monkeypatch, winerror):
    now = 0.0

    class Held(Model):
        def open(self, *_):
            raise refused(winerror)

    def sleep(seconds):
        nonlocal now
        now += seconds

    monkeypatch.setattr(windows, "SYSTEM", Held())
    patiently = functools.partial(local_files.patiently, clock=lambda: now, sleep=sleep)
    monkeypatch.setattr(local_files, "patiently", patiently)
    code = errno.EACCES if winerror == local_files.ACCESS_DENIED else errno.EBUSY
    assert native_rename.refusing_rename(b"job", b"new") == code
    assert 1 < now <= local_files.PATIENCE
    now = 0.0
    assert native_rename.claiming_rename(b"job", b"new") == errno.EBUSY
    assert now < 0.05


@pytest.mark.parametrize(
    ("winerror", "code"),
    [
        (32, errno.EBUSY),
        (206, errno.ENAMETOOLONG),
        (267, errno.ENOTDIR),
        (1295, errno.EDQUOT),
        (59, errno.EIO),  # an unexpected network error: nobody knows what was done
        (121, errno.EIO),  # the server did not answer in time
    ],
)
def test_windows_errors_that_python_has_no_name_for(winerror, code):
    error = OSError(errno.EINVAL, "text")
    error.winerror = winerror
    assert errno_of(error) == code


AWAY = [15, 53, 67]
"""Python says ENOENT: a drive, a server or a share that is not there."""
FAILED = [20, 21, 22, 23, 24, 25, 26, 27, 29, 30, 31, 34, 83]
"""Python says EACCES: a device that is not ready, or can't read, write or find something."""


def outage(winerror):
    code = errno.ENOENT if winerror in AWAY else errno.EACCES
    error = OSError(code, "text")
    error.winerror = winerror
    return error


@pytest.mark.parametrize("winerror", [*AWAY, *FAILED])
def test_an_outage_is_no_answer(winerror, tmp_path, monkeypatch):
    class Away(Model):
        def open(self, *_):
            raise outage(winerror)

    def lstat(path, **_):
        raise outage(winerror)

    assert errno_of(outage(winerror)) == errno.EIO
    monkeypatch.setattr(windows, "SYSTEM", Away())
    assert native_rename.refusing_rename(b"job", b"new") == errno.EIO
    assert native_rename.claiming_rename(b"job", b"new") == errno.EIO
    store = PosixStore(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "lstat", lstat)
        with pytest.raises(AmbiguousResult):
            store.exists("job")
    assert not store.exists("job")


@pytest.mark.parametrize("winerror", [2, 3, 267])
def test_what_windows_says_of_a_file_that_is_not_there(tmp_path, monkeypatch, winerror):
    def lstat(path, **_):
        error = OSError(errno.ENOTDIR if winerror == 267 else errno.ENOENT, "text")
        error.winerror = winerror
        raise error

    store = PosixStore(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "lstat", lstat)
        assert not store.exists("job")


# -- places ------------------------------------------------------------------------------------


class Volumes(Model):
    def __init__(self, name, drive):
        super().__init__()
        self.told = name, drive

    def volume(self, path):
        assert path.startswith("\\") or path[1] == ":", "it is relative"
        return self.told


@pytest.mark.parametrize(
    ("path", "kernel", "volume", "mode", "url"),
    [
        (r"\\?\C:\jobs", Volumes("NTFS", 3), ("NTFS", False, ""), Mode.TRUST, ""),
        (r"\\?\E:\jobs", Volumes("exFAT", 2), ("exFAT", False, ""), Mode.TRUST, ""),
        (r"\\?\D:\jobs", Volumes("ReFS", 3), ("ReFS", False, ""), Mode.TRUST, ""),
        (
            r"\\?\Volume{1b3b1146-4076-11e1-84aa-806e6f6e6963}\jobs",
            Volumes("NTFS", 3),
            ("NTFS", False, ""),
            Mode.TRUST,
            "",
        ),
        (r"C:\mnt\cloud", Volumes("FUSE-rclone", 3), ("FUSE-rclone", False, ""), Mode.VERIFY, ""),
        (r"\\?\Z:\jobs", Volumes("NTFS", 4), ("NTFS", True, ""), Mode.SYNC, ""),
        (
            r"\\?\UNC\nas\share\jobs",
            Volumes("NTFS", 4),
            ("NTFS", True, r"\\nas\share\jobs"),
            Mode.SYNC,
            "smb://nas/share/jobs",
        ),
        (
            r"\\nas\share",
            Model(),  # which answers nothing
            ("", True, r"\\nas\share"),
            Mode.SYNC,
            "smb://nas/share",
        ),
    ],
)
def test_what_a_place_warrants(path, kernel, volume, mode, url):
    found = windows.volume_of(kernel, path)
    assert found == volume
    assert warranted(posix.guarantees_of(found))[0] is mode
    assert found.url == url


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        (r"\\?\C:\jobs", r"C:\jobs"),
        (r"C:\jobs", r"C:\jobs"),
        (r"\\?\UNC\nas\share", r"\\nas\share"),
        (r"\\?\unc\nas\share", r"\\nas\share"),
        (r"\\nas\share", r"\\nas\share"),
        (r"\\?\Volume{1b3b1146-4076-11e1-84aa-806e6f6e6963}\jobs", None),
        (r"\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy1\jobs", None),
        (r"\\.\C:\jobs", None),
    ],
)
def test_only_what_has_a_plain_spelling_gets_it(path, plain):
    assert windows.plain_path(path) == (plain or path)


def test_the_shares_own_url_is_proposed_once(caplog, monkeypatch):
    monkeypatch.setattr(posix, "_warned", set())
    volume = windows.Volume("NTFS", is_network=True, share=r"\\nas\share\jobs")
    for _ in range(2):
        posix._propose_once("Z:\\jobs", volume)
    [record] = caplog.records
    assert "smb://nas/share/jobs" in record.message
    assert "`dirjobs check`" in record.message


@pytest.mark.parametrize(
    "path",
    ["file:stream", "C:x", "a\\..\\b", "folder/con", "nul.txt", "aux .txt", "job.", "job ", "a?",
     "00_waiting/COM¹.txt", "conin$"],
)  # fmt: skip
def test_what_is_no_file_on_windows_is_no_path(tmp_path, monkeypatch, path):
    store = PosixStore(tmp_path)
    monkeypatch.setattr(posix, "_WINDOWS", True)
    monkeypatch.setattr(posix, "_OPENS_FOLDERS", False)
    for makes in (
        store.mkdir,
        functools.partial(store.write, data=b""),
        functools.partial(store.rename, "job1.txt"),
    ):
        with pytest.raises(InvalidName, match="Windows"):
            makes(path)
    for looks in (store.mtime, store.read, store.remove, store.list):
        with pytest.raises(NotFound, match="Windows"):
            looks(path)
    assert not store.exists(path)
    assert os.listdir(tmp_path) == []
    assert store._at("00_waiting/~w1~k3x9q2.job1.txt")


# -- Windows itself ----------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    store = PosixStore(tmp_path)
    store.mkdir("a")
    store.mkdir("b")
    store.write("a/job", b"data")
    return store


@REAL
def test_windows_lets_one_caller_at_a_time_rename_a_file(store):
    kernel, path = windows.SYSTEM, store._at("a/job")
    first = kernel.open(path, windows.DELETE, windows.SHARE_READ, windows.OPEN_EXISTING, 0)
    try:
        with pytest.raises(PermissionError) as caught:
            kernel.open(path, windows.DELETE, windows.SHARE_READ, windows.OPEN_EXISTING, 0)
        assert caught.value.winerror == local_files.SHARING_VIOLATION
        with pytest.raises(Busy):
            store.claim("a/job", "b/job")
    finally:
        kernel.close(first)
    store.claim("a/job", "b/job")
    with pytest.raises(NotFound):
        store.claim("a/job", "b/other")


@REAL
def test_windows_passes_over_a_job_that_python_has_open(store):
    with open(store._at("a/job"), "rb"), pytest.raises(Busy, match="another program"):
        store.claim("a/job", "b/job")
    assert store.read("a/job") == b"data"


@REAL
def test_windows_renames_what_we_read(store):
    with store._opened("a/job", os.O_RDONLY) as file:
        store.claim("a/job", "b/job")
        assert file.read() == b"data"


@REAL
def test_windows_leads_nobody_out_of_a_store_by_a_junction(store, tmp_path):
    import _winapi

    victim = tmp_path / "a"
    root = tmp_path / "queue"
    (root / "b").mkdir(parents=True)
    (root / "job").write_text("job")
    try:
        _winapi.CreateJunction(str(victim), str(root / "folder"))
    except OSError as error:
        pytest.skip(f"this Windows makes no junctions ({error})")
    queue = PosixStore(root)
    for ask in (
        lambda: queue.list("folder"),
        lambda: queue.read("folder/job"),
        lambda: queue.remove("folder/job"),
        lambda: queue.write("folder/new", b"evil"),
        lambda: queue.mkdir("folder/new"),
    ):
        with pytest.raises(Denied, match="--follow-links"):
            ask()
    assert os.listdir(victim) == ["job"]
    queue.follow(["folder"])
    assert queue.read("folder/job") == b"data"


@REAL
def test_windows_replaces_nothing(store):
    store.write("b/job", b"other")
    for rename in (store.rename, store.claim):
        with pytest.raises(AlreadyExists):
            rename("a/job", "b/job")
        with pytest.raises(AlreadyExists):
            rename("a/job", "a/job")
    assert store.read("b/job") == b"other"


@REAL
def test_windows_knows_its_disk(store):
    assert windows.volume_of(windows.SYSTEM, store._base).is_disk
    assert store.guarantees.atomic_rename
    assert store.names_suffice


@REAL
def test_windows_appends(store):
    store.append("a/job", b" and more")
    assert store.read("a/job") == b"data and more"


@REAL
def test_windows_opens_no_folder(store):
    with pytest.raises(Denied):
        store.read("a")


@REAL
def test_windows_has_long_paths(store):
    deep = "/".join(["x" * 100] * 3)
    for depth in range(1, 4):
        store.mkdir("/".join(["x" * 100] * depth))
    store.rename("a/job", f"{deep}/job")
    with open(store.local_path(f"{deep}/job"), "rb") as file:
        assert file.read() == b"data"


@REAL
@pytest.mark.parametrize("verb", ["read", "write", "remove", "rename"])
def test_windows_is_asked_again_until_another_program_closes_the_file(store, monkeypatch, verb):
    kernel = windows.SYSTEM
    alone = kernel.open(
        store._at("a/job"), windows.GENERIC_READ, 0, windows.OPEN_EXISTING, windows.NORMAL
    )
    closed = []

    def sleep(seconds):
        if not closed:
            closed.append(seconds)
            kernel.close(alone)

    patiently = functools.partial(local_files.patiently, sleep=sleep)
    monkeypatch.setattr(local_files, "patiently", patiently)
    arguments = {"write": ["a/job", b"new"], "rename": ["a/job", "b/job"]}.get(verb, ["a/job"])
    result = getattr(store, verb)(*arguments)
    assert closed
    assert result == (b"data" if verb == "read" else None)
