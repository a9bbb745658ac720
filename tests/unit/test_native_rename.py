"""Renames that refuse to replace, and the patience that Windows needs."""

import errno
import os
import sys

import pytest

from dirjobs import local_files
from dirjobs.backends.posix import rename
from dirjobs.backends.posix.errnos import errno_of
from dirjobs.backends.posix.store import PosixStore
from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    Busy,
    Denied,
    NoSpace,
    NotFound,
    Unsupported,
)


class Windows:
    """Refuses with these codes in turn, then says yes; its clock goes on by sleeping."""

    def __init__(self, *codes):
        self.codes, self.now, self.calls = list(codes), 0.0, 0

    def __call__(self):
        self.calls += 1
        if self.codes:
            error = OSError(errno.EACCES, "held")
            error.winerror = self.codes.pop(0)
            raise error

    def sleep(self, seconds):
        self.now += seconds

    def run(self):
        local_files.patiently(self, clock=lambda: self.now, sleep=self.sleep)


def test_windows_is_asked_again_while_somebody_holds_the_file():
    system = Windows(5, 32, 33, 5)
    system.run()
    assert system.calls == 5
    assert 0.05 < system.now < 1


def test_windows_is_not_asked_for_ever():
    system = Windows(*[32] * 1000)
    with pytest.raises(OSError, match="held"):
        system.run()
    assert system.now <= local_files.PATIENCE
    assert system.calls < 50


@pytest.mark.parametrize("code", [None, 2, 183])
def test_other_errors_are_raised_at_once(code):
    system = Windows(code)
    with pytest.raises(OSError, match="held"):
        system.run()
    assert (system.calls, system.now) == (1, 0)


@pytest.mark.parametrize(
    ("winerror", "code", "meant"),
    [
        (None, errno.ENOENT, errno.ENOENT),
        (2, errno.ENOENT, errno.ENOENT),
        (5, errno.EACCES, errno.EACCES),
        (32, errno.EACCES, errno.EBUSY),
        (123, errno.EINVAL, errno.EILSEQ),
        (64, errno.EINVAL, errno.EIO),  # the network name is no longer available
        (None, errno.EINVAL, errno.EINVAL),
        (None, None, errno.EIO),
    ],
)
def test_unknown_windows_errors_stay_unknown(winerror, code, meant):
    error = OSError(code, "text") if code else OSError("text")
    if winerror is not None:
        error.winerror = winerror
    assert errno_of(error) == meant


@pytest.fixture
def store(tmp_path):
    store = PosixStore(tmp_path)
    store.mkdir("a")
    store.write("a/job", b"data")
    return store


@pytest.mark.parametrize("code", sorted(rename.NOT_HERE))
def test_a_file_system_without_noreplace_is_looked_at_first(store, code):
    calls = []
    store._move = lambda src, dst: calls.append(src) or code
    assert store.guarantees.no_replace
    store.rename("a/job", "a/new")
    assert store.read("a/new") == b"data"
    assert not store.guarantees.no_replace
    assert store.guarantees.atomic_rename
    store.write("a/taken", b"other")
    with pytest.raises(AlreadyExists):
        store.rename("a/new", "a/taken")
    with pytest.raises(NotFound):
        store.rename("a/missing", "a/free")
    assert store.read("a/taken") == b"other"
    assert len(calls) == 1


def test_an_impossible_name_does_not_refute_noreplace(store, monkeypatch):
    store._move = lambda src, dst: errno.EINVAL
    monkeypatch.setattr(rename, "look_first", lambda src, dst: errno.EINVAL)
    with pytest.raises(Unsupported):
        store.rename("a/job", "a/new")
    assert store.guarantees.no_replace


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (errno.ENOENT, NotFound),
        (errno.EEXIST, AlreadyExists),
        (errno.EACCES, Denied),
        (errno.EPERM, Denied),
        (errno.EROFS, Denied),
        (errno.ENOSPC, NoSpace),
        (errno.EDQUOT, NoSpace),
        (errno.EBUSY, Busy),
        (errno.EXDEV, Unsupported),
        (errno.ENAMETOOLONG, Unsupported),
        (errno.EIO, AmbiguousResult),
        (errno.ETIMEDOUT, AmbiguousResult),
        (errno.ESTALE, AmbiguousResult),
        (errno.ENOTCONN, AmbiguousResult),
        (errno.EHOSTDOWN, AmbiguousResult),
        (9999, AmbiguousResult),
    ],
)
def test_errors_say_what_may_be_done_next(store, code, error):
    store._move = lambda src, dst: code
    with pytest.raises(error) as caught:
        store.rename("a/job", "a/new")
    assert type(caught.value) is error
    assert caught.value.errno == code
    assert isinstance(caught.value.__cause__, OSError)
    assert repr(store.full_path("a/job")) in str(caught.value)
    assert "[Errno" not in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="a file system of Linux")
def test_folders_on_two_file_systems(tmp_path):
    other = "/dev/shm"
    if not os.path.isdir(other) or os.stat(other).st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("no second file system here")
    store = PosixStore(tmp_path)
    store.write("job", b"")
    folder = f"{other}/dirjobs-{os.getpid()}"
    os.mkdir(folder)
    try:
        os.symlink(folder, tmp_path / "far")
        with pytest.raises(Unsupported, match="must be on one"):
            store.rename("job", "far/job")
        assert store.exists("job")
    finally:
        os.rmdir(folder)


def test_look_first_says_what_the_system_says(tmp_path):
    one, two = os.fsencode(tmp_path / "one"), os.fsencode(tmp_path / "two")
    assert rename.look_first(one, two) == errno.ENOENT
    (tmp_path / "one").write_bytes(b"1")
    assert rename.look_first(one, two) == 0
    assert rename.look_first(two, two) == errno.EEXIST
    below_a_file = errno.ENOENT if sys.platform == "win32" else errno.ENOTDIR
    assert rename.look_first(two, two + b"/x") == below_a_file
