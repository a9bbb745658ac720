"""Every mistake is one sentence on standard error and exit code 2."""

import base64
import errno
import logging
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

import dirjobs
from dirjobs.cli import main
from dirjobs.cli.options import default_wid
from dirjobs.console.errors import explained, sentence, show_log
from dirjobs.console.text import duration
from dirjobs.errors import ConfigurationError, Denied
from dirjobs.layout import WAITING, check_worker_id
from dirjobs.runner.process import outcome
from tests.command_line import environment, make_queue

SECRET = "c4n4ry"


@pytest.fixture
def queue(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return make_queue("jobs", "a.txt")


def refused(*args):
    """What is said about a command line that can't be right."""
    result = CliRunner().invoke(main, [str(arg) for arg in args])
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit), "an exception came through"
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("dirjobs: ")
    assert len(line) > 25
    return line


def test_a_share_that_is_away_is_no_typing_error(queue, monkeypatch):
    """Python says ENOENT for what Windows calls a network path that was not found."""
    lstat = os.lstat

    def away(path, **options):
        if str(path).endswith(WAITING):
            error = FileNotFoundError(errno.ENOENT, "The network path was not found")
            error.winerror = 53
            raise error
        return lstat(path, **options)

    monkeypatch.setattr(os, "lstat", away)
    for command in (("work", queue, "--", sys.executable), ("status", queue)):
        told = refused(*command)
        assert "is not a queue" not in told
        assert ("can't be reached" if sys.platform == "win32" else os.strerror(errno.EIO)) in told


@pytest.mark.parametrize("wid", ["", "a.b", "a/b", "a~b", "x" * 100, "ä", "a b"])
def test_a_bad_worker_id(queue, wid):
    assert repr(wid) in refused("work", queue, "--wid", wid, "--", "true")


@pytest.mark.parametrize("option", ["--sync-time", "--min-age"])
@pytest.mark.parametrize("value", ["-1", "nan", "inf", "-inf", "70x", "", "1e999"])
def test_a_time_that_is_none(queue, option, value):
    assert option in refused("work", queue, option, value, "--", "true")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("work",), "JOBS"),
        (("work", "jobs", "--"), "write it after --"),
        (("work", "jobs", "true"), "write -- before the command"),
        (("work", "--", "true"), "JOBS"),
        (("work", "jobs", "--bogus", "--", "true"), "--bogus"),
        (("work", "jobs", "--mode", "hope", "--", "true"), "'hope'"),
        (("work", "jobs", "--order", "best", "--", "true"), "'best'"),
        (("work", "jobs", "--mode", "trust", "--sync-time", "3", "--", "true"), "--mode trust"),
        (("work", "jobs", "--", "no-such-program", "{}"), "'no-such-program'"),
        (("work", "jobs", "--", "./jobs/00_waiting/a.txt"), "may not be executed"),
        (("work", "nowhere", "--", "true"), "'nowhere' is not a queue"),
        (("work", "", "--", "true"), "not a folder"),
        (("work", "gopher://host/x", "--", "true"), "gopher://"),
        (("wrok",), "'wrok'"),
        (("demo", "--jobs", "0"), "--jobs"),
        (("demo", "--jobs", "many"), "--jobs"),
        (("demo", "--folder", "jobs"), "there already"),
        (("demo", "extra"), "extra"),
    ],
)
def test_a_bad_command_line(queue, args, told):
    assert told in refused(*args)


def test_a_refused_command_starts_nothing(queue):
    refused("work", queue, "--", "no-such-program")
    assert [path.name for path in queue.rglob("*")] == ["00_waiting", "a.txt"]


def test_a_queue_that_is_a_file(queue):
    assert "is a file" in refused("work", queue / "00_waiting" / "a.txt", "--", "true")


def test_a_queue_json_that_makes_no_sense(queue):
    (queue / "_queue").mkdir()
    (queue / "_queue" / "queue.json").write_text("{oops")
    assert "queue.json" in refused("work", queue, "--", "true")


@pytest.mark.parametrize(
    "url",
    [f"gopher://me:{SECRET}@host/x", f"gopher://host/x?token={SECRET}", f"x y://me:{SECRET}@h"],
)
def test_no_sentence_shows_a_password(queue, url):
    assert SECRET not in refused("work", url, "--", "true")
    assert SECRET not in refused("work", queue, url, "--", "true")
    assert SECRET not in refused("work", "--", "true", url)


def test_a_filter_of_the_library_that_raises(queue, monkeypatch):
    monkeypatch.setattr("dirjobs.cli.commands.work.wanted", lambda *_, **__: lambda *_: 1 / 0)
    line = refused("work", queue, "--filter", "*", "--", "true")
    assert "job_filter raised ZeroDivisionError" in line
    assert "'a.txt'" in line


def test_no_command_at_all_shows_the_help():
    result = CliRunner().invoke(main, [])
    assert result.exit_code == 2
    assert "dirjobs demo" in result.output


@pytest.mark.parametrize("args", [["--help"], ["-h"], ["work", "--help"], ["demo", "-h"]])
def test_help(args):
    result = CliRunner().invoke(main, args)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("Usage: ")


def test_version():
    result = CliRunner().invoke(main, ["--version"])
    assert result.stdout == f"dirjobs {dirjobs.__version__}\n"


def test_a_sentence_is_one_line_without_secrets():
    text = f"no answer from https://me:{SECRET}@host/x:\n  <html>\n  gone"
    assert sentence(text) == "no answer from https://me:***@host/x: <html> gone"


def test_what_the_operating_system_says_gets_an_advice():
    error = Denied("'jobs/x': Permission denied")
    error.errno = errno.EACCES
    assert explained(error).startswith("'jobs/x': Permission denied; you need the right")
    assert explained(FileNotFoundError(errno.ENOENT, "No such file", "x")) == "'x': No such file"
    assert explained(ConfigurationError("wrong.")) == "wrong."
    assert explained(OSError("odd")) == "odd"


@pytest.mark.parametrize(
    ("code", "reason"), [(0, ""), (3, "exit code 3"), (-15, "killed by signal 15 (SIGTERM)")]
)
def test_why_a_program_failed(code, reason):
    assert outcome(code) == reason


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.6, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "least", "text"),
    [
        (0.0004, 0.001, "0.4 ms"),
        (0.0123, 0.001, "12 ms"),
        (0.96, 0.001, "1.0 s"),
        (0.4, 1, "0 s"),
        (9.4, 1, "9 s"),
        (200, 1, "3 min 20 s"),
    ],
)
def test_durations_as_exact_as_is_wanted(seconds, least, text):
    assert duration(seconds, least=least) == text


@pytest.mark.parametrize(
    "host", ["", "pc.lab.example.org", "Müllers PC", "-" * 80, "x" * 80, "..."]
)
def test_the_default_id_is_an_id(monkeypatch, host):
    monkeypatch.setattr("platform.node", lambda: host)
    assert check_worker_id(default_wid())


@pytest.mark.parametrize(
    ("verbosity", "shown"),
    [(0, ["warning"]), (1, ["info", "warning"]), (2, ["debug", "info", "warning"])],
)
def test_the_log_of_every_module_is_shown(capsys, verbosity, shown):
    show_log(verbosity)
    log = logging.getLogger("dirjobs.runner.watchdog")
    for level in ("debug", "info", "warning"):
        getattr(log, level)("%s of http://me:%s@host/", level, SECRET)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines] == shown
    assert all(line.startswith("dirjobs: ") and SECRET not in line for line in lines)


def imported_by(module):
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment()
    )
    return set(done.stdout.split())


def test_nothing_heavy_is_imported_for_the_command_line():
    loaded = imported_by("dirjobs.cli")
    assert "click" in loaded
    assert loaded.isdisjoint({"rich", "httpx", "smbprotocol", "webdav4", "fsspec"})


def test_importing_the_library_imports_no_command_line():
    assert imported_by("dirjobs").isdisjoint({"click", "rich", "dirjobs.cli"})


def test_usage_errors_name_the_help(queue):
    assert "`main work --help`" in refused("work", queue, "--bogus", "--", "true")


@pytest.mark.parametrize("block", ["", "lr", "größe"])
def test_placeholders_that_powershell_took_for_code(queue, block):
    """As it starts programs: without quotes {lr} is a block of code to it."""
    encoded = base64.b64encode(block.encode("utf-16-le")).decode()
    made = ["-encodedCommand", encoded, "-inputFormat", "xml", "-outputFormat", "text"]
    assert f"write '{{{block}}}', with quotes" in refused(
        "work", queue, "--", "python", "train.py", *made
    )
