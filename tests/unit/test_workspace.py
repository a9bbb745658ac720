"""The folder in which jobs work: what others can put there, or there before us."""

from __future__ import annotations

import errno
import os
from dataclasses import replace

import pytest

from dirjobs.errors import ConfigurationError
from dirjobs.files import workspace as workspaces
from dirjobs.files.workspace import kept, make, new_note, opened, prepared

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs owners and modes")


def made_in(scratch):
    note = new_note(
        queue="jobs", queue_id="1", job="a", claim="w1.a", worker="w1", began="2026-01-01T00:00:00Z"
    )
    return make(str(scratch), note)


def left_in(scratch):
    workspace = made_in(scratch)
    workspace.close()
    return workspace.path


def test_our_own_is_kept(tmp_path):
    path = left_in(tmp_path)
    (found,) = kept(str(tmp_path))
    found.close()
    assert found.path == path


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root gives files away")
def test_what_somebody_else_put_there_is_not_delivered(tmp_path):
    os.chown(left_in(tmp_path), 65534, 65534)
    assert kept(str(tmp_path)) == []


@pytest.mark.parametrize("end", ["", "/"])
def test_a_link_is_not_delivered(tmp_path, end):
    scratch = tmp_path / "scratch"
    path = left_in(scratch)
    aside = tmp_path / "aside"
    os.rename(path, aside)
    os.symlink(aside, path)
    assert kept(str(scratch)) == []
    assert opened(path + end) is None


@pytest.mark.parametrize("mode", [0o777, 0o2777])
def test_a_folder_in_which_anybody_can_replace_ours_is_refused(tmp_path, mode):
    tmp_path.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod o-w"):
        prepared(str(tmp_path))


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o775, 0o1777])
def test_a_folder_in_which_ours_stay_ours_is_taken(tmp_path, mode):
    tmp_path.chmod(mode)
    assert prepared(str(tmp_path)) == str(tmp_path)


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
