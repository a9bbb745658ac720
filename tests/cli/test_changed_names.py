"""Commands on a queue in which names are changed on the way, as it is recorded there."""

import json

import pytest

from tests.cli.conftest import Queue


@pytest.fixture
def queue(tmp_path):
    queue = Queue(tmp_path / "jobs")
    queue.run("init", "--mode", "verify")
    agreed = json.loads(queue.store.read("_queue/queue.json")) | {"changed_names": ["spaces"]}
    queue.store.write("_queue/queue.json", json.dumps(agreed).encode())
    yield queue
    queue.store.close()


def test_add_refuses_them_all_before_any_is_added(queue, tmp_path):
    for name in ("a.txt", "a b.txt"):
        (tmp_path / name).touch()
    told = queue.refused("add", tmp_path / "a.txt", tmp_path / "a b.txt")
    assert "job name 'a b.txt' can't be used here: the server, or a proxy before it" in told
    assert "`dirjobs check --record` writes it anew" in told
    assert queue.jobs() == {}


def test_work_does_the_others_and_says_so(queue):
    queue.put("00_waiting", "a b.txt", "c d.txt", "plain.txt")
    queue.run("work", "--", "true", code=2)
    assert queue.stderr.count("2 jobs could not be taken, such as 'a b.txt'") == 1
    assert queue.jobs() == {"00_waiting": ["a b.txt", "c d.txt"], "02_done": ["plain.txt"]}


def test_status_counts_them(queue):
    queue.put("00_waiting", "a b.txt", "c d.txt", "e+f.txt", "plain.txt")
    assert "2 waiting jobs are not taken, such as 'a b.txt': the server changes" in queue.run(
        "status"
    )
    found = queue.json("status")
    assert (found["waiting"], found["changed"], found["changed_example"]) == (4, 2, "a b.txt")
