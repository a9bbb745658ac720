"""Somebody names a job that is not where it would have to be: what is told, and what helps."""

import pytest

from dirjobs.shell import quoted


def test_cancelled_twice(queue):
    queue.put("00_waiting", "a.txt")
    queue.run("cancel", "a.txt")
    told = queue.refused("cancel", "a.txt")
    assert "not waiting or running: it is cancelled already; nothing was changed." in told
    assert "it is cancelled; nothing" in queue.refused("retry", "--done", "a.txt")


def test_retried_though_it_is_done(queue):
    queue.put("02_done", "a b.txt")
    told = queue.refused("retry", "a b.txt")
    assert (
        f"it is done (`dirjobs retry --done {quoted('a b.txt')}` runs it once more); nothing"
        in told
    )


@pytest.mark.parametrize("command", ["show", "logs", "retry", "cancel"])
def test_a_name_without_its_extension(queue, command):
    queue.put("00_waiting", "lr0.1.json")
    assert "(did you mean 'lr0.1.json'?)" in queue.refused(command, "lr0.1")
    assert "(did you mean 'lr0.1.json'?)" in queue.refused(command, "lr0.l.json")
    assert "did you mean" not in queue.refused(command, "lr0")


@pytest.mark.parametrize("command", ["show", "logs"])
def test_a_pattern_where_one_job_is_wanted(queue, command):
    queue.put("00_waiting", "s10", "s9", "t1")
    queue.put("02_done", "s2")
    told = queue.refused(command, "s*")
    assert told == f"dirjobs: {command} takes one job; 3 are like 's*', such as 's2'."
    assert "1 is like 't?', such as 't1'." in queue.refused(command, "t?")
    assert "this queue has no job 'x*'" in queue.refused(command, "x*")


@pytest.mark.parametrize("command", ["show", "logs", "retry", "cancel"])
def test_a_job_that_was_removed(queue, command):
    queue.put("02_done", "a.txt")
    queue.run("remove", "a.txt")
    told = queue.refused(command, "a.txt")
    assert "(it was removed: its file is '_queue/trash/a.txt')" in told
