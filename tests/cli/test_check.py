"""``dirjobs check``."""

import json

import pytest

from dirjobs import DirJobs


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("dirjobs.check.file_semantics._HALF_SENT", 0.1)


def test_a_verdict_in_plain_words_and_then_a_table(queue):
    queue.put("00_waiting", "a.txt")
    text = queue.run("check", "--rounds", 8, "--connections", 3)
    first, *_ = text.splitlines()
    mode = "trust" if "://" not in queue.url else "verify"
    assert first.startswith(f"Mode {mode} is right here; it takes about ")
    nobody_met = "was contested" in text  # on a busy machine
    assert nobody_met or "refuted, never proved" in text
    table = text.partition("\n\n")[2]
    for what in ("rename, across folders", "listings", "time of a file", "this took"):
        assert f"\n{what}  " in f"\n{table}"
    assert nobody_met or "none failed" in table
    assert "dirjobs: races for a file, across folders ..." in queue.stderr
    assert queue.jobs() == {"00_waiting": ["a.txt"]}
    assert not any("check" in name for name in queue.names("_queue") + queue.names(""))


def test_the_same_as_json_and_recorded(local):
    document = json.loads(local.run("check", "--rounds", 4, "--json", "--record"))
    assert document["mode"] == document["recorded"]["mode"] == "trust"
    assert document["sync_time"] == 0
    assert document["findings"]["across"]["failed"] == 0
    assert json.loads(local.store.read("_queue/queue.json"))["checked"]["verdict"] == "trust"
    with DirJobs(local.store, "w1") as worker:
        local.put("00_waiting", "a.txt")
        worker.next_and_lock().done()


@pytest.mark.parametrize("args", [("--rounds", 0), ("--connections", 1), ("--rounds", "many")])
def test_numbers_that_make_no_sense(local, args):
    assert args[0] in local.refused("check", *args)


def test_a_folder_that_is_not_there(local, tmp_path):
    local.url = str(tmp_path / "nowhere")
    assert "is not there: make that folder" in local.refused("check")


def test_two_places_that_are_not_one(local, tmp_path, monkeypatch):
    monkeypatch.setattr("dirjobs.check.probe._LONGEST_MOUNT_LAG", 0.1)
    local.run("check", "--mount", tmp_path, code=2)
    assert "has shown nothing of what was made in the other place" in local.stderr


def test_another_path_of_the_same_folder(local):
    text = local.run("check", "--mount", local.url, "--rounds", 2)
    assert "listings, to the mount  " in text


def test_a_new_queue_is_tried(local, tmp_path, monkeypatch):
    monkeypatch.setattr("dirjobs.check.probe.ENOUGH", 4)
    local.url = str(tmp_path / "new")
    text = local.run("init")
    assert "This place is safe for a queue, and fast.  Recorded in" in text
    assert "Recorded in _queue/queue.json: mode trust." in text
    assert local.stderr.count("\n") == 1
    agreed = (tmp_path / "new" / "_queue" / "queue.json").read_text()
    assert json.loads(agreed)["checked"]["verdict"] == "trust"
    assert local.json("init") == {"queue": local.url, "made": False}
    assert (tmp_path / "new" / "_queue" / "queue.json").read_text() == agreed


def test_a_new_queue_is_not_tried_if_it_must_not_be(local, tmp_path):
    for args in (("--no-check",), ("--mode", "verify")):
        local.url = str(tmp_path / args[0])
        local.run("init", *args)
        assert local.stderr == ""
