"""``dirjobs pause``, ``resume``, ``drain``."""

from dirjobs import DirJobs
from tests.unit.lives import World


def test_pause_and_resume(queue):
    assert queue.run("pause").startswith("Paused: ")
    assert queue.run("pause") == "The queue was paused already.\n"
    assert queue.names("_queue/workers") == ["~pause"]
    assert queue.json("pause") == {"paused": True, "changed": False}
    assert queue.run("resume").startswith("Resumed: ")
    assert queue.json("resume") == {"paused": False, "changed": False}
    assert queue.names("_queue/workers") == []


def test_a_folder_of_that_name_is_no_order(queue):
    queue.store.mkdir("_queue/workers/~pause")
    assert queue.json("status")["paused"] is False
    assert queue.json("resume") == {"paused": False, "changed": False}


def test_drain(queue):
    with DirJobs(queue.store, "w1") as worker:
        queue.put("00_waiting", "a.txt")
        job = worker.next_and_lock()
        assert queue.run("drain", "w1").startswith("Drained: w1.")
        assert queue.json("drain", "--all") == {"drained": ["w1"]}
        worker._membership.beat()
        assert worker.draining
        job.done()
    assert not [name for name in queue.names("_queue/workers") if name.startswith("~")]
    assert "at work" in queue.refused("drain", "w1")
    assert queue.run("drain", "--all") == "No worker lives.\n"


def test_drain_wants_to_know_whom(local):
    assert "name the workers" in local.refused("drain")
    assert "name the workers" in local.refused("drain", "w1", "--all")


def test_the_queue_may_come_from_the_environment(local, monkeypatch):
    monkeypatch.setenv("DIRJOBS_URL", local.url)
    World(local.store).life("w1").start()
    url, local.url = local.url, "w1"
    assert local.run("drain").startswith("Drained: w1.")
    local.url = url
    assert local.run("drain", "w1").startswith("Drained: w1.")
    local.url = "--json"
    assert local.json("pause")["paused"]
