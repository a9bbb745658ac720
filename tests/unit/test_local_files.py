"""Local files that another program has open, as Windows refuses them."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace

import pytest

from dirjobs import local_files, logins
from dirjobs.backends.memory import MemoryStore
from dirjobs.files.checkpoints import Checkpoints
from dirjobs.files.upload import Delivery
from dirjobs.files.workspace import make, new_note
from dirjobs.functions import arguments
from dirjobs.layout import VALUE
from dirjobs.protocol.folders import make_folders
from dirjobs.protocol.share import Share
from dirjobs.runner import download
from dirjobs.runner.calls import INLINE
from dirjobs.runner.execution import Execution
from dirjobs.store import Entry


@pytest.fixture
def held(monkeypatch):
    """Refuses each first rename and each first removal of a path, as Windows does while a scanner
    has the file open, or a file in the folder; the set of what was refused."""
    refused = set()

    def refusing(verb):
        act = getattr(os, verb)

        def refuse_once(path, *others, **options):
            if (verb, path) not in refused and os.path.lexists(path):
                refused.add((verb, path))
                error = PermissionError(errno.EACCES, "Access is denied", path)
                error.winerror = local_files.ACCESS_DENIED
                raise error
            return act(path, *others, **options)

        return refuse_once

    for verb in ("rename", "replace", "remove", "unlink"):
        monkeypatch.setattr(os, verb, refusing(verb))
    return refused


def made_in(scratch):
    note = new_note(
        queue="jobs", queue_id="1", job="a", claim="w1.a", worker="w1", began="2026-01-01T00:00:00Z"
    )
    return make(str(scratch), note)


def test_a_workspace(tmp_path, held):
    workspace = made_in(tmp_path)
    results = workspace.empty_results()
    for name in ("one", "two"):
        with open(os.path.join(results, name), "w"):
            pass
    assert workspace.empty_results() == results
    assert os.listdir(results) == []
    workspace.command_ended("2026-01-01T00:00:01Z", "", b"log")
    assert {os.path.basename(path) for _, path in held} >= {"results", "note.json.new", "log.new"}
    workspace.close()
    with open(workspace.log, "rb") as file:
        assert file.read() == b"log"


def test_a_checkpoint(tmp_path, held):
    share = Share(MemoryStore())
    make_folders(share)
    kept = []
    for began, worker in enumerate(("w1", "w2")):
        place = tmp_path / worker
        place.mkdir()
        (place / "a").write_bytes(b"job")
        checkpoints = Checkpoints(
            share,
            Delivery(share),
            job="a",
            worker=worker,
            file=str(place / "a"),
            place=str(place),
            began=began,
        )
        checkpoints.fetch()
        kept += os.listdir(checkpoints.folder)
        with open(os.path.join(checkpoints.folder, worker), "w") as file:
            file.write(worker)
        assert checkpoints.save(patient=False) == ""
        assert sorted(os.listdir(place)) == ["a", "keep"]
    assert kept == ["w1"]
    assert {os.path.basename(path) for _, path in held} == {"checkpoint.tar", "new-checkpoint.tar"}


def test_an_argument_of_a_call(tmp_path, held, monkeypatch):
    share = Share(MemoryStore())
    make_folders(share)
    stored = {arguments.digest_of(data): data for data in (b"first", b"second")}
    arguments.Uploads().store(share, stored)
    monkeypatch.setattr(arguments, "CACHED", 6)
    cache = arguments.Cache(str(tmp_path))
    for digest, data in stored.items():
        with open(cache.fetch(share, [digest])[digest], "rb") as file:
            assert file.read() == data
    assert os.listdir(tmp_path) == [arguments.digest_of(b"second")]
    assert len(held) == 3  # each got its name, and the first made room


def test_a_large_value_of_a_call(tmp_path, held):
    workspace = made_in(tmp_path)
    workspace.empty_results()
    path = os.path.join(workspace.path, VALUE)
    with open(path, "wb") as file:
        file.write(b"v" * (INLINE + 1))
    attempt = SimpleNamespace(
        _toolbox=SimpleNamespace(delivery=SimpleNamespace(signatures=None)),
        _details=SimpleNamespace(result=None, value=""),
    )
    call = SimpleNamespace(take_value=lambda: SimpleNamespace(path=path, row=None))
    Execution._take_value(attempt, call, workspace)
    assert os.listdir(workspace.results) == [VALUE]
    assert ("replace", path) in held
    workspace.close()


def test_a_downloaded_file(tmp_path, held):
    share = Share(MemoryStore())
    share.store.mkdir("results")
    share.store.write("results/x", b"data")
    remote = download.Remote("results/x", "a/x", Entry("x", None, 4))
    assert download.fetch(share, remote, str(tmp_path))
    assert (tmp_path / "a" / "x").read_bytes() == b"data"
    assert len(held) == 1


def test_the_list_of_logins(tmp_path, held, monkeypatch):
    monkeypatch.setattr(logins, "_path", lambda: str(tmp_path / "dirjobs" / "logins.json"))
    for user in ("me", "you"):
        logins._write({"https://nas": user})
        assert logins._read() == {"https://nas": user}
    assert len(held) == 1
