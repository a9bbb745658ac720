"""The folder in which jobs work: what others can put there, or there before us."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from types import SimpleNamespace

import pytest

from dirjobs import logins
from dirjobs.errors import ConfigurationError
from dirjobs.files import workspace as workspaces
from dirjobs.files.workspace import kept, make, new_note, opened, prepared

POSIX = pytest.mark.skipif(os.name == "nt", reason="needs owners and modes")


def made_in(scratch):
    note = new_note(
        queue="jobs", queue_id="1", job="a", claim="w1.a", worker="w1", began="2026-01-01T00:00:00Z"
    )
    return make(str(scratch), note)


def left_in(scratch):
    workspace = made_in(scratch)
    workspace.close()
    return workspace.path


@POSIX
def test_our_own_is_kept(tmp_path):
    path = left_in(tmp_path)
    (found,) = kept(str(tmp_path))
    found.close()
    assert found.path == path


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root gives files away")
def test_what_somebody_else_put_there_is_not_delivered(tmp_path):
    os.chown(left_in(tmp_path), 65534, 65534)
    assert kept(str(tmp_path)) == []


@POSIX
@pytest.mark.parametrize("end", ["", "/"])
def test_a_link_is_not_delivered(tmp_path, end):
    scratch = tmp_path / "scratch"
    path = left_in(scratch)
    aside = tmp_path / "aside"
    os.rename(path, aside)
    os.symlink(aside, path)
    assert kept(str(scratch)) == []
    assert opened(path + end) is None


@POSIX
@pytest.mark.parametrize("mode", [0o777, 0o2777])
def test_a_folder_in_which_anybody_can_replace_ours_is_refused(tmp_path, mode):
    tmp_path.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod o-w"):
        prepared(str(tmp_path))


@POSIX
@pytest.mark.parametrize("mode", [0o700, 0o755, 0o775, 0o1777])
def test_a_folder_in_which_ours_stay_ours_is_taken(tmp_path, mode):
    tmp_path.chmod(mode)
    assert prepared(str(tmp_path)) == str(tmp_path)


@POSIX
@pytest.mark.parametrize("refusal", [errno.ENOLCK, 0], ids=["NFS", "Wine"])
def test_without_locks_the_work_of_a_living_process_is_its_own(tmp_path, monkeypatch, refusal):
    def refused(file):
        raise OSError(refusal, "no locks")

    monkeypatch.setattr(workspaces, "_lock", refused)
    made = made_in(tmp_path)
    assert kept(str(tmp_path)) == []
    dead = replace(made.note.process, started="1.0", pid=made.note.process.pid)
    made.record(process=dead)
    (found,) = kept(str(tmp_path))
    assert found.path == made.path
    made.record(process=replace(dead, boot="another"))
    assert kept(str(tmp_path)) == []
    made.record(ended="2026-01-01T00:00:00+00:00")
    assert len(kept(str(tmp_path))) == 1


# -- rights that os.access knows nothing of --------------------------------------------------


@pytest.fixture
def refuse_folders(monkeypatch):
    """Has the system refuse folders in another one, of which `os.access` says that all is well."""

    def refuse_folders(place, code):
        make = os.mkdir

        def refusing(path, *mode, **options):
            if os.path.dirname(path) == str(place):
                raise OSError(code, os.strerror(code), path)
            make(path, *mode, **options)

        monkeypatch.setattr(os, "mkdir", refusing)

    return refuse_folders


@pytest.mark.parametrize(
    ("code", "why"),
    [(errno.EACCES, "it can't be written to"), (errno.EROFS, os.strerror(errno.EROFS))],
)
def test_a_folder_that_takes_no_workspace_is_refused(tmp_path, refuse_folders, code, why):
    refuse_folders(tmp_path, code)
    with pytest.raises(ConfigurationError, match="name another one in DIRJOBS_SCRATCH") as caught:
        prepared(str(tmp_path))
    assert f"can't be used ({why})" in str(caught.value)


def test_a_full_disk_is_no_verdict_on_a_folder(tmp_path, refuse_folders):
    refuse_folders(tmp_path, errno.ENOSPC)
    assert prepared(str(tmp_path)) == str(tmp_path)


def test_a_refused_workspace_is_tried_once(tmp_path, monkeypatch):
    """tempfile of Python 3.12 tries 2**31 names where Windows refuses one."""
    scratch, tried = str(tmp_path), []

    def refusing(path, *mode, **options):
        if path == scratch:
            raise FileExistsError(errno.EEXIST, "File exists", path)
        assert not tried
        tried.append(path)
        raise PermissionError(errno.EACCES, "Access is denied", path)

    monkeypatch.setattr(os, "mkdir", refusing)
    windows = SimpleNamespace(**{**vars(os), "name": "nt"})
    monkeypatch.setattr("tempfile._os", windows)
    with pytest.raises(PermissionError):
        made_in(scratch)


def test_a_trial_leaves_nothing(tmp_path):
    assert prepared(str(tmp_path)) == str(tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("platform", "mode"), [("linux", 0o700), ("win32", 0o777)])
def test_only_elsewhere_than_on_windows_a_mode_makes_folders_private(
    tmp_path, monkeypatch, platform, mode
):
    make, modes = os.mkdir, []

    def noting(path, mode=0o777, **options):
        make(path, mode, **options)
        modes.append(mode)

    monkeypatch.setattr(os, "mkdir", noting)
    monkeypatch.setattr("dirjobs.local_files.sys", SimpleNamespace(platform=platform))
    made_in(prepared(str(tmp_path / "dirjobs"))).close()
    assert modes == [mode] * 3  # the folder, the trial and the workspace
    monkeypatch.setattr(logins, "_path", lambda: str(tmp_path / "logins" / "logins.json"))
    logins._write({})
    assert modes == [mode] * 4
