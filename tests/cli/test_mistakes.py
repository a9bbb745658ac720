"""Each command with each mistake: one sentence, exit code 2, never a traceback."""

import os
import sys

import click
import pytest
from click.testing import CliRunner

from dirjobs.cli import SECTIONS, main
from dirjobs.shell import MAKE_FOLDERS, SET, quoted

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
    assert len(result.stderr.splitlines()) == 1, result.stderr
    told = result.stderr.rstrip("\n")
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
        assert 0 < len(command.get_short_help_str(200)) <= 55
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
        ([], "say which queue: `dirjobs "),
        (["jobs", "--bogus"], "--bogus"),
        (["jobs", "a", "b", "c", "--bogus=1"], "--bogus"),
        (["-v"], "FOLDER-OR-URL"),
    ],
)
def test_wrong_arguments(command, args, told):
    if command in MAY_NAME_NONE and "--bogus" not in told:
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
        ("ftp://me:c4n4ry@host/jobs", "can't hold a queue: a rename over FTP replaces"),
        ("zip://jobs::https://me:c4n4ry@host/x.zip", "can't hold a queue: an archive is one file"),
        ("hdfs://host/jobs", "can't hold a queue: nobody has tried"),
    ],
)
def test_a_place_that_is_none(command, place, told, monkeypatch):
    assert told in refused(line(command, place))


def test_a_place_of_which_nobody_knows_how_late_its_listings_are(tmp_path):
    place = f"local://{tmp_path}/jobs"
    made = CliRunner().invoke(main, ["init", place, "--no-check"])
    assert made.exit_code == 0
    assert "give sync_time=SECONDS" in refused(["work", place, "--", "true"])
    done = CliRunner().invoke(main, ["work", place, "--sync-time", "0.1", "--", "true"])
    assert done.exit_code == 0, done.output


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
    assert f"there is no folder {str(tmp_path / 'nas')!r} for this queue" in result.stderr
    assert f"`{MAKE_FOLDERS} " in result.stderr
    assert not (tmp_path / "nas").exists()


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (
            ["show", "a b.json"],
            f"`dirjobs show FOLDER-OR-URL {quoted('a b.json')}`, or {SET} DIRJOBS_URL=",
        ),
        (["show"], "say which queue: `dirjobs show FOLDER-OR-URL JOB`"),
        (["show", "empty"], "Missing argument 'JOB'"),
    ],
)
def test_no_queue_is_named(args, told):
    assert told in refused(args)


WORDS = ["python", "train.py", "{lr}", "a b"]
DASHES = "write -- before the command: `dirjobs work"
TYPED = f"python train.py {{lr}} {quoted('a b')}"


@pytest.mark.parametrize(
    ("before", "more", "told"),
    [
        (["jobs/", "--slots", "2"], [], f" jobs/ --slots 2 -- {TYPED}`"),
        (
            [f"https://me:{SECRET}@h/jobs"],
            [],
            f" https://me:***@h/jobs -- {TYPED}`",
        ),
        (["--slots", "2"], [], f" --slots 2 -- {TYPED}`"),
        (["-q", "jobs/"], ["--lr", "3"], f" -q jobs/ -- {TYPED} --lr 3`"),
    ],
)
@pytest.mark.parametrize("known", [False, True])
def test_no_dashes_before_the_command(before, more, told, known, monkeypatch):
    if known:
        monkeypatch.setenv("DIRJOBS_URL", "jobs/")
    assert f"{DASHES}{told}" in refused(["work", *before, *WORDS, *more])


def test_a_duration_may_have_a_unit(local):
    local.put("00_waiting", "a")
    for told in ("0m", "0.0001h", "0"):
        local.run("wait", "--timeout", told, code=3)
    assert "such as 70, or one with its unit, such as 90m" in local.refused(
        "wait", "--timeout", "x"
    )
    assert "number of hours" in local.refused("work", "--max-hours", "2w", "--", "true")
    out = local.run("work", "--max-hours", "0s", "--timeout", "1m", "--", "true")
    assert "0 hours are over" in out


def test_how_old_is_to_be_said(local):
    assert "say how old: --older-than 30d, or --older-than 0d for all" in local.refused("clean")


@pytest.mark.parametrize("command", ["work", "submit"])
def test_a_command_in_quotes(local, command, tmp_path):
    line = f"{sys.executable} train.py {{seed}}"
    told = local.refused(command, "--", line)
    assert f"{line!r} is one argument, and no program: write the command without" in told
    (tmp_path / "a program").touch()
    local.run("submit", "--", str(tmp_path / "a program"))
