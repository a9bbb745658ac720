"""A job brings its command along: added by `submit`, run by `work` without a command."""

import json
import re
import sys

import pytest

from dirjobs.signing import make_key

PRINTS = [sys.executable, "-c", "import sys; print(sys.argv[1:])"]


def log_of(queue, job):
    (log,) = [name for name in queue.names("logs") if name.startswith(f"{job}.")]
    return queue.store.read(f"logs/{log}").decode()


def test_the_words_arrive_as_they_were_typed(queue):
    words = ["a b", "{lr}", "{}", "$HOME", "*", "", "ä", "--lr", "0.10"]
    out = queue.run("submit", "--json", "--name", "one.json", "--", *PRINTS, *words)
    assert json.loads(out) == {"added": "one.json"}
    queue.run("work")
    assert queue.jobs() == {"02_done": ["one.json"]}
    assert repr(words) in log_of(queue, "one.json")
    assert "whoever can write to" in queue.stderr
    assert queue.json("show", "one.json")["attempts"][0]["command"] == [*PRINTS, *words]


def test_a_name_is_made_of_the_command(local):
    local.run("submit", "--", "python", "train.py", "--lr", "0.1")
    local.run("submit", "--", "sh", "-c", "a | b")
    first, second = local.names("00_waiting")
    assert first == "python_train.py_--lr_0.1.json"
    assert second.startswith("sh_-c_a-b-")
    told = local.refused("submit", "--", "python", "train.py", "--lr", "0.1")
    assert "give this job a --name of its own" in told


def test_a_command_that_is_not_there_fails_its_job_alone(local):
    local.run("submit", "--name", "a.json", "--", "no-such-program", "x")
    local.run("submit", "--name", "b.json", "--", *PRINTS)
    local.run("work", code=1)
    assert local.jobs() == {"02_done": ["b.json"], "99_failed": ["a.json"]}
    (noted,) = local.json("show", "a.json")["attempts"]
    assert re.match("'no-such-program' (can't be started|was not found)", noted["reason"])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"lr": 1}',
        b'{"command": "rm -rf /"}',
        b'{"command": []}',
        b'{"command": [""]}',
        b'{"command": ["a", 1]}',
        b'{"command": ["a", 1.5]}',
        b'{"command": [["a"]]}',
        b'{"command": {"a": 1}}',
        b'[["a"]]',
    ],
)
def test_a_job_without_a_command_is_given_back(local, content):
    """The first one: most likely the command was forgotten."""
    local.put("00_waiting", "a.json", data=content)
    local.run("work", code=2)
    assert "'a.json' brings no command along" in local.stderr
    assert local.jobs() == {"00_waiting": ["a.json"]}


def test_after_jobs_that_brought_one_it_fails(local):
    local.run("submit", "--name", "a.json", "--", *PRINTS)
    local.put("00_waiting", "b.json", data=b"{}")
    local.run("work", code=1)
    assert local.jobs() == {"02_done": ["a.json"], "99_failed": ["b.json"]}


def test_with_a_command_of_its_own_a_worker_runs_none_of_theirs(local):
    data = json.dumps({"command": ["no-such-program"]}).encode()
    local.put("00_waiting", "a.json", data=data)
    local.run("work", "--", *PRINTS, "{name}")
    assert "['a.json']" in log_of(local, "a.json")


def test_an_empty_command_is_a_mistake(local):
    assert "the command to run is missing" in local.refused("work", "--")
    assert "the command to run is missing" in local.refused("submit")
    assert "the command to run is missing" in local.refused("submit", "--")


def test_only_signed_ones(local, tmp_path):
    key = tmp_path / "key"
    local.run("submit", "--name", "forged.json", "--", *PRINTS)
    make_key(str(key))
    local.run("init", "--mode", "verify")
    local.run("submit", "--name", "mine.json", "--sign", "--key-file", key, "--", *PRINTS)
    local.run("work", "--signed-only", "--key-file", key, code=1)
    assert local.jobs() == {"02_done": ["mine.json"], "99_failed": ["forged.json"]}
