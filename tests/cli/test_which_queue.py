"""Which queue a command is about: named first, by -q, by DIRJOBS_URL, or around this folder."""

import os

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from dirjobs.cli import main
from dirjobs.cli.options import _TAKE_JOBS


@pytest.fixture
def here(local, monkeypatch):
    """The queue's folder is the current one."""
    local.put("00_waiting", "a.json", data=b'{"lr": 0.1}')
    monkeypatch.chdir(local.url)
    return local


def run(*args, code=0):
    result = CliRunner().invoke(main, args)
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout if code == 0 else result.stderr


def test_by_an_option(local, tmp_path, monkeypatch):
    monkeypatch.setenv("DIRJOBS_URL", "/nowhere")
    local.put("00_waiting", "a")
    assert run("list", "-q", local.url, "--names") == "a\n"
    assert run("show", "-q", local.url, "a").startswith("a: waiting")
    assert run("show", "a", "--queue", local.url) == run("show", local.url, "a")
    run("work", "-q", local.url, "--", "true")
    assert local.jobs() == {"02_done": ["a"]}
    assert "nothing is kept" in run("deliver", "-q", local.url).lower()
    run("init", "-q", str(tmp_path / "new"), "--no-check")
    assert (tmp_path / "new" / "00_waiting").is_dir()


def test_one_that_is_named_twice_is_refused(local):
    assert "unexpected extra argument" in run("list", local.url, "-q", local.url, code=2)
    assert "no folder with results" in run("deliver", local.url, "-q", local.url, code=2)


@pytest.mark.parametrize("folder", [".", "02_done", "results/deep/er"])
def test_around_the_current_folder(here, monkeypatch, folder):
    os.makedirs(folder, exist_ok=True)
    monkeypatch.chdir(folder)
    assert run("list", "--names") == "a.json\n"
    assert "a.json" in run("show", "a.json")
    run("work", "--", "true")
    assert here.jobs() == {"02_done": ["a.json"]}


def test_what_is_named_is_not_looked_for(here, tmp_path, monkeypatch):
    (tmp_path / "other" / "00_waiting").mkdir(parents=True)
    assert run("list", str(tmp_path / "other"), "--names") == ""
    monkeypatch.setenv("DIRJOBS_URL", str(tmp_path / "other"))
    assert run("list", "--names") == ""


def test_nothing_is_made_inside_a_queue_by_mistake(here):
    assert "say which queue" in run("init", code=2)


def test_no_queue_around(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "say which queue" in run("list", code=2)


@pytest.mark.skipif(os.name == "nt", reason="a current folder can't be removed there")
def test_a_folder_that_is_gone(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setattr("sys.argv", ["dirjobs"])
    assert "say which queue" in run("list", code=2)


# -- completion --------------------------------------------------------------------------------


def completed(*words):
    """What a shell offers after these words, the last of which is not whole."""
    complete = ShellComplete(main, {}, "dirjobs", "_DIRJOBS_COMPLETE")
    found = complete.get_completions([*words[:-1]], words[-1])
    return [item.value for item in found if item.type == "plain"]


@pytest.mark.parametrize("command", _TAKE_JOBS)
def test_jobs_are_completed_where_the_queue_is_known(queue, monkeypatch, tmp_path, command):
    if command not in main.list_commands(click.Context(main)):
        pytest.skip("no such command yet")
    queue.put("00_waiting", "lr0.1.json", "lr0.2.json")
    queue.put("01_running", "w1.lr0.3.json")
    monkeypatch.setenv("DIRJOBS_URL", queue.url)
    assert completed(command, "") == ["lr0.1.json", "lr0.2.json", "lr0.3.json"]
    assert completed(command, "lr0.1.json", "lr0.2") == ["lr0.2.json"]
    monkeypatch.delenv("DIRJOBS_URL")
    assert completed(command, queue.url, "lr0.3") == ["lr0.3.json"]
    assert completed(command, "-q", queue.url, "") == ["lr0.1.json", "lr0.2.json", "lr0.3.json"]


def test_jobs_are_completed_inside_a_queue(local, monkeypatch):
    local.put("00_waiting", "a")
    monkeypatch.chdir(f"{local.url}/00_waiting")
    assert completed("show", "") == ["a"]


def test_a_server_that_is_away_completes_nothing(monkeypatch):
    monkeypatch.setenv("DIRJOBS_URL", "http://127.0.0.1:1/dav/jobs")
    assert completed("show", "") == []
