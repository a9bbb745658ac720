"""What a command leaves in its folder for results: all of it is a file, or is told."""

from __future__ import annotations

import os
import socket
import stat
import sys
from types import SimpleNamespace

import pytest

from dirjobs.files import leftovers, workspace
from dirjobs.files.leftovers import NotAFile, contents, files_in, opened

POSIX = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX system")


@POSIX
def test_what_is_no_file_is_left_out_and_told(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inner").write_text("")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "far").symlink_to("folder")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "endless").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(tmp_path)
        try:
            server.bind("socket")
        finally:
            os.chdir(here)
        found = [*contents(str(tmp_path))]
    assert [*files_in(str(tmp_path))] == ["file", "link", "folder/inner"]
    assert {one.path: one.left_out for one in found if one.left_out} == {
        "dangling": "it is a link to no file",
        "endless": "it is a link to no file",
        "far": "it is a link to a folder",
        "fifo": "it is no file",
        "socket": "it is no file",
    }


@POSIX
@pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="needs /proc of Linux")
def test_what_a_link_shows_of_whoever_reads_it_is_left_out(tmp_path):
    (tmp_path / "env").symlink_to("/proc/self/environ")
    (tmp_path / "further").symlink_to("env")
    (tmp_path / "memory").symlink_to("/proc/thread-self/maps")
    found = {one.path: one.left_out for one in contents(str(tmp_path))}
    assert found == dict.fromkeys(["env", "further", "memory"], "it is a link into /proc")
    with pytest.raises(NotAFile):  # one that is put there after the look
        opened(str(tmp_path / "env"))


@POSIX
def test_a_folder_that_cannot_be_listed_is_missing(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("folder"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    [found] = contents(str(tmp_path))
    assert (found.path, found.missing) == ("folder", "Permission denied")


def nest(folder, depth):
    """Many folders inside each other; the way there is too long for one path."""
    here = os.getcwd()
    try:
        os.chdir(folder)
        for _ in range(depth):
            os.mkdir("d")
            os.chdir("d")
        with open("f", "w"):
            pass
    finally:
        os.chdir(here)


@POSIX
def test_folders_inside_each_other(tmp_path):
    nest(tmp_path, sys.getrecursionlimit() + 100)
    [file] = files_in(str(tmp_path))
    assert file.endswith("/d/f")
    leftovers.remove(str(tmp_path))
    assert not tmp_path.exists()


@POSIX
def test_folders_whose_path_is_too_long(tmp_path):
    nest(tmp_path, 2100)
    [found] = contents(str(tmp_path))
    assert "too long" in found.missing
    leftovers.remove(str(tmp_path))
    assert not tmp_path.exists()


@POSIX
def test_names_that_some_shares_do_not_tell_apart(tmp_path):
    names = ["Loss.dat", "loss.dat", "LOSS.DAT", "loss~2.dat", "other"]
    for name in names:
        (tmp_path / name).write_text("")
    found = {one.path: one for one in contents(str(tmp_path))}
    assert sorted(found) == sorted(names)
    assert [name for name in sorted(names) if found[name].twin] == ["Loss.dat", "loss.dat"]
    others = [found[name].otherwise for name in ("Loss.dat", "loss.dat")]
    assert others == ["Loss~3.dat", "loss~4.dat"]


@POSIX
def test_only_regular_files_are_opened(tmp_path):
    (tmp_path / "file").write_bytes(b"data")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "fifo")
    with opened(str(tmp_path / "link")) as file:
        assert file.read() == b"data"
    for path, follow in (("link", False), ("fifo", True), (".", True)):
        with pytest.raises(NotAFile):
            opened(str(tmp_path / path), follow=follow)


# -- junctions of Windows ----------------------------------------------------------------------


class Junction:
    """A symbolic link, told of as Windows tells of a junction."""

    def __init__(self, entry):
        self.name, self.path = entry.name, entry.path
        self.is_file = entry.is_file

    def is_symlink(self):
        return False

    def is_dir(self, *, follow_symlinks=True):
        return True

    def stat(self, *, follow_symlinks=True):
        return os.stat(self.path) if follow_symlinks else described(self.path)


def described(path):
    return SimpleNamespace(st_mode=stat.S_IFDIR | 0o777, st_reparse_tag=0xA000_0003)


@pytest.fixture
def junction(tmp_path, monkeypatch):
    """A junction in a folder, which leads to a folder with ``data`` and ``deep/er``; or what Python
    tells of one."""
    inside, target = tmp_path / "inside", tmp_path / "target"
    inside.mkdir()
    (inside / "file").touch()
    (target / "deep" / "er").mkdir(parents=True)
    (target / "data").touch()
    link = inside / "junction"
    if sys.platform == "win32":
        import _winapi

        try:
            _winapi.CreateJunction(str(target), str(link))
        except OSError as error:
            pytest.skip(f"this Windows makes no junctions ({error})")
        return link
    link.symlink_to(target)
    scandir, lstat = os.scandir, os.lstat

    class Scan:
        def __init__(self, path):
            self.found = scandir(path)

        def __enter__(self):
            return (Junction(one) if one.is_symlink() else one for one in self.found)

        def __exit__(self, *_):
            self.found.close()

    monkeypatch.setattr(os, "scandir", Scan)
    monkeypatch.setattr(
        os, "lstat", lambda path: described(path) if path == str(link) else lstat(path)
    )
    return link


def test_a_junction_is_left_out_and_told(junction):
    found = {one.path: one.left_out for one in contents(str(junction.parent))}
    assert found == {"file": "", "junction": "it is a link to a folder"}


def test_nothing_is_moved_out_of_a_junction(junction, monkeypatch):
    monkeypatch.setattr(leftovers, "_SHALLOW", 1)
    assert leftovers._make_shallow(str(junction.parent)) == 0
    assert (junction.parent.parent / "target" / "deep" / "er").is_dir()


def test_a_junction_among_workspaces_is_none(junction):
    assert workspace._is_ours(str(junction.parent))
    assert not workspace._is_ours(str(junction))


def test_what_a_junction_leads_to_is_not_removed(junction):
    target = junction.parent.parent / "target"
    leftovers.remove(str(junction.parent))
    assert sorted(os.listdir(target)) == ["data", "deep"]
