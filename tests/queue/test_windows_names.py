"""A worker on Windows, and jobs whose names are no file names there."""

import os

import pytest

from dirjobs import DirJobs, names
from dirjobs.backends.memory import MemoryStore
from dirjobs.files.workspace import make, new_note
from dirjobs.runner.download import files_below

ODD = ["D:train.py", "a:b.txt", "aux.json", "con.txt", "job ", "job.", "what?.txt"]


@pytest.fixture
def windows(monkeypatch):
    monkeypatch.setattr(names, "_WINDOWS", True)


@pytest.fixture
def store():
    """A share that has files of any name, as a server on Linux has."""
    store = MemoryStore()
    store.mkdir("00_waiting")
    for name in [*ODD, "a;b.txt", "job1.txt"]:
        store.write(f"00_waiting/{name}", b"data")
    return store


@pytest.mark.usefixtures("windows")
def test_jobs_that_windows_has_no_names_for_are_left_to_others_and_told_once(store, caplog):
    with DirJobs(store, job_ext="") as queue:
        taken = []
        for _ in range(3):
            taken += [job.name() for job in queue if not job.done()]
    assert taken == ["a;b.txt", "job1.txt"]
    assert sorted(entry.name for entry in store.list("00_waiting")) == sorted(ODD)
    told = [record.getMessage() for record in caplog.records if "is skipped" in record.getMessage()]
    assert len(told) == len(ODD)
    assert all("Windows" in text and "left to workers on other systems" in text for text in told)


def test_they_are_jobs_as_all_others_elsewhere(store, monkeypatch):
    monkeypatch.setattr(names, "_WINDOWS", False)
    with DirJobs(store, job_ext="") as queue:
        taken = [job.name() for job in queue if not job.done()]
    assert sorted(taken) == sorted([*ODD, "a;b.txt", "job1.txt"])


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize("name", [*ODD, "job1.txt"])
def test_the_copy_of_a_job_is_in_the_workspace_whatever_it_is_called(tmp_path, name):
    note = new_note(
        queue="jobs", queue_id="1", job=name, claim=f"w1.{name}", worker="w1", began="2026-01-01"
    )
    workspace = make(os.fspath(tmp_path), note)
    folder, copy = os.path.split(workspace.path_for(name))
    workspace.remove()
    assert folder == os.path.join(workspace.path, "job")
    assert copy == ("job" if name in ODD else name)


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize("name", ODD)
def test_files_of_such_a_job_are_not_downloaded(store, name):
    for folder in ("results", "results/x", "results/x/folder"):
        store.mkdir(folder)
    store.write("results/x/file", b"data")
    with DirJobs(store) as queue:
        found = [*files_below(queue.share, "results/x", name)]
        assert found
        assert all("Windows" in file.problem for file in found)
        found = {file.path: file.problem for file in files_below(queue.share, "results/x", "job1")}
    assert found == {"results/x/file": ""}
