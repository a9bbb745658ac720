"""``dirjobs watch`` where nobody draws: lines."""

import json

import pytest

from dirjobs import DirJobs, Unavailable
from dirjobs.admin.report import Claimed, Failure, Overview, Seen, State
from dirjobs.cli.commands.watch import Looks, changes
from dirjobs.layers import Layer
from dirjobs.protocol.share import Share


def test_a_queue_that_is_done(queue):
    queue.put("02_done", "a.txt", "b.txt")
    (line,) = queue.run("watch", "--until-done").splitlines()
    assert line.endswith("  0 waiting, 0 running, 2 done, 0 failed (2 of 2 ended)")


def test_a_document_on_a_line(local):
    local.put("02_done", "a.txt")
    (found,) = map(json.loads, local.run("watch", "--until-done", "--json").splitlines())
    assert (found["queue"], found["done"], found["workers"]) == (local.url, 1, [])


def test_failed_jobs_are_told_by_the_exit_code(local):
    local.put("00_waiting", "a.txt")
    with DirJobs(local.store, "w1") as worker:
        worker.next_and_lock().failed("it was\nodd \x1b[31m")
    text = local.run("watch", "--until-done", code=1)
    assert "1 failed (1 of 1 ended)" in text
    assert r"failed: a.txt: it was odd \x1b[31m" in text


def seen(name, state):
    return Seen(name, state, jobs=(Claimed("a.json", name),))


def test_what_is_worth_a_line():
    before = Overview(waiting=2, running=1, workers=(seen("w1", State.WORKING),))
    assert changes(before, before) == []
    same = Overview(waiting=2, running=1, workers=(seen("w1", State.SILENT),), rate=3.0)
    assert changes(before, same) == []
    after = Overview(
        waiting=2,
        running=1,
        failed=1,
        paused=True,
        workers=(seen("w1", State.DEAD), seen("w2", State.IDLE)),
        failures=(Failure("b.json", 5.0, "exit\n3"),),
    )
    assert changes(before, after) == [
        "2 waiting, 1 running, 0 done, 1 failed (1 of 4 ended)",
        "paused",
        "worker w1 is dead",
        "worker w2 is idle",
        "failed: b.json: exit 3",
    ]
    assert changes(after, before)[1:] == ["resumed"]


class Awaited(Layer):
    """A store that is away for a while."""

    def __init__(self, store, outage):
        super().__init__(store)
        self.outage = outage

    def list(self, folder):
        if self.outage:
            self.outage -= 1
            raise Unavailable("it sleeps")
        return super().list(folder)


@pytest.mark.parametrize("outage", [0, 3])
def test_an_outage_is_waited_out(local, outage):
    slept = []
    looks = Looks(Share(Awaited(local.store, outage), slept.append), 7.0, until_done=True)
    found = []
    for one in looks:
        found.append(one)
        assert ("it sleeps" in looks.trouble) == (one is None)
    assert found[:outage] == [None] * outage
    assert found[outage:] == [Overview(), Overview()]
    assert slept == [7.0] * outage + [0.2]
