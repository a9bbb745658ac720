"""Each command with each mistake: one sentence, exit code 2, never a traceback."""

import os

import click
import pytest
from click.testing import CliRunner

from dirjobs.cli import SECTIONS, main

SECRET = "c4n4ry"

# What a command needs beside the queue to be complete.
COMPLETE = {
    "add": ["file.txt"],
    "work": ["--", "true"],
    "submit": ["--", "true"],
    "show": ["job"],
    "logs": ["job"],
    "retry": ["--failed"],
    "requeue": ["--dead"],
    "cancel": ["job"],
    "remove": ["job"],
    "clean": ["--older-than", "30d"],
    "drain": ["w1"],
    "wait": ["--timeout", "0"],
}
WITHOUT_A_QUEUE = {"demo", "completion", "key", "login"}
COMMANDS = [name for section in SECTIONS.values() for name in section]
ON_A_QUEUE = [name for name in COMMANDS if name not in WITHOUT_A_QUEUE]
MAY_NAME_NONE = {"deliver"}
MAKES_ONE = {"init", "check"}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").touch()
    (tmp_path / "empty").mkdir()


def line(command, place):
    return [command, place, *COMPLETE.get(command, [])]


def refused(args):
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 2, (args, result.output, result.exception)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.stdout == ""
    (told,) = result.stderr.splitlines()
    assert told.startswith("dirjobs: ")
    assert told.endswith((".", "`)."))
    assert SECRET not in told
    return told


def test_every_command_is_in_the_table():
    context = click.Context(main)
    assert len(COMMANDS) == len(set(COMMANDS))
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command.name == name
        assert command.get_short_help_str(200)
        assert all(option.help for option in command.params if isinstance(option, click.Option))


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command):
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: main {command} ")


@pytest.mark.parametrize("command", ON_A_QUEUE)
@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([], "JOBS"),
        (["jobs", "--bogus"], "--bogus"),
        (["jobs", "a", "b", "c", "--bogus=1"], "--bogus"),
        (["-v"], "JOBS"),
    ],
)
def test_wrong_arguments(command, args, told):
    if command in MAY_NAME_NONE and told == "JOBS":
        return
    after = COMPLETE[command] if command in ("work", "submit") else []
    assert told in refused([command, *args, *after])


@pytest.mark.parametrize("command", sorted(WITHOUT_A_QUEUE))
def test_wrong_arguments_without_a_queue(command):
    assert "--bogus" in refused([command, "--bogus"])


@pytest.mark.parametrize("command", ON_A_QUEUE)
@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("gopher://me:c4n4ry@host/x", "no backend knows gopher://"),
        ("", "not a folder"),
        ("file.txt", "is a file"),
        ("http://me:c4n4ry@127.0.0.1:9/dav/jobs", "can't be reached"),
        ("https://no-such-host.invalid/jobs", "no-such-host.invalid"),
        ("https:/one-slash/jobs", "https://"),
        ("smb://127.0.0.1:9/share/jobs", "127.0.0.1"),
    ],
)
def test_a_place_that_is_none(command, place, told, monkeypatch):
    assert told in refused(line(command, place))


@pytest.mark.parametrize("command", [c for c in ON_A_QUEUE if c not in MAKES_ONE])
@pytest.mark.parametrize("place", ["nowhere", "empty", "empty/deep/er"])
def test_no_queue_there(command, place):
    told = refused(line(command, place))
    assert "is not a queue" in told
    assert "dirjobs init" in told
    assert os.listdir("empty") == []
    assert not os.path.exists("nowhere")


@pytest.mark.parametrize("command", [c for c in ON_A_QUEUE if c not in MAKES_ONE])
def test_no_queue_on_a_server(command, serve_fake):
    assert "is not a queue" in refused(line(command, f"{serve_fake().url}/none"))


@pytest.mark.parametrize("command", ON_A_QUEUE)
def test_the_wrong_password(command, serve_fake):
    server = serve_fake(user="me", password="right")
    url = server.url.replace("://", f"://me:{SECRET}@")
    assert "401" in refused(line(command, f"{url}/jobs"))


def test_a_right_password_is_not_shown_either(serve_fake):
    server = serve_fake(user="me", password=SECRET)
    place = f"{server.url.replace('://', f'://me:{SECRET}@')}/jobs"
    lines = [["init", place, "--no-check"], ["add", place, "file.txt"]]
    lines += [[command, place, "-vv"] for command in ("status", "list", "pause", "results")]
    lines += [["show", place, "file.txt", "--json"], ["cancel", place, "file.txt", "-vv"]]
    for args in lines:
        result = CliRunner().invoke(main, args)
        assert result.exit_code == 0, (args, result.output, result.exception)
        assert SECRET not in result.output


def test_a_command_that_is_mistyped():
    assert "did you mean 'status'?" in refused(["statsu", "jobs"])
    assert "no command 'frobnicate'" in refused(["frobnicate"])


@pytest.mark.parametrize(
    "args",
    [
        ["list", "--state", "sleeping"],
        ["wait", "--timeout", "soon"],
        ["wait", "--interval", "-1"],
        ["init", "--mode", "hope"],
        ["init", "--sync-time", "nan"],
        ["results", "--state", "waiting"],
        ["status", "extra"],
        ["show"],
        ["show", "a", "b"],
        ["cancel"],
        ["logs"],
    ],
)
def test_options_that_make_no_sense(local, args):
    refused([args[0], local.url, *args[1:]])


def test_a_job_folder_that_is_gone_is_an_empty_one(local):
    os.rmdir(f"{local.url}/02_done")
    os.rmdir(f"{local.url}/_queue/workers")
    for command in ("status", "list", "wait", "results", "pause"):
        local.run(command)


def test_a_queue_json_that_makes_no_sense(local):
    local.store.write("_queue/queue.json", b"{oops")
    local.put("99_failed", "a")
    assert "queue.json" in local.refused("retry", "a")
    assert "queue.json" in local.refused("requeue", "--dead")
    local.run("status")


def test_a_queue_where_a_share_is_not_mounted(tmp_path):
    """It would be a queue of this machine alone."""
    result = CliRunner().invoke(main, ["init", str(tmp_path / "nas/jobs")])
    assert result.exit_code == 2
    assert f"there is no folder '{tmp_path / 'nas'}' for this queue" in result.stderr
    assert "mkdir -p" in result.stderr
    assert not (tmp_path / "nas").exists()
