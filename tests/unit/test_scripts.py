"""Which arguments of a command are code, and what becomes of placeholders in them."""

import os

import pytest

from dirjobs.errors import ConfigurationError
from dirjobs.placeholders import PlaceholderInScript
from dirjobs.runner import process
from dirjobs.runner.process import Program
from dirjobs.runner.scripts import scripts_in
from dirjobs.runner.template import Subject

HOSTILE = Subject("a$(reboot).json", "q/a$(reboot).json", {"lr": "0.1; reboot", "print": "x"})


@pytest.fixture(autouse=True)
def every_program_is_there(monkeypatch):
    """None is started here."""
    monkeypatch.setattr(process, "find_program", lambda name: name)


def codes(*command):
    """The arguments with CODE in them that are taken for code, and those that are not."""
    taken = scripts_in(command)
    found = {True: [], False: []}
    for number, word in enumerate(command):
        if "CODE" in word or "DATA" in word:
            found[number in taken].append(word)
    return found[True], found[False]


@pytest.mark.parametrize(
    "command",
    [
        "sh -c CODE sh DATA",
        "/bin/sh -ec CODE sh DATA",
        "bash -c -e CODE bash DATA",
        "bash -euo pipefail -c CODE bash DATA",
        "bash -ceo pipefail CODE bash DATA",
        "bash -lc -- CODE",
        "env A=b nice -n 5 bash -c CODE - DATA",
        "docker exec box dash -c CODE",
        "busybox sh -c CODE",
        "zsh -fc CODE",
        "fish -c CODE --command=CODE --command CODE",
        "csh -c CODE",
        "env -S CODE",
        "su - me -c CODE",
        "flock lock -c CODE",
        "sbatch --wait --wrap=CODE",
        "sbatch --wait --wrap CODE",
        "ssh -p 22 host CODE CODE",
        "timeout 60 ssh host sh -c CODE CODE",
        "rsync -e ssh DATA host:",
        r"cmd.exe /d /c CODE CODE",
        "cmd /v:on/c CODE",
        "cmd /q /cCODE",
        "cmd DATA",
        "powershell -NoProfile -Command CODE CODE",
        "powershell CODE",
        r"C:\Windows\powershell.exe -ExecutionPolicy Bypass -File x.ps1 DATA",
        "pwsh -c CODE CODE",
        "pwsh x.ps1 DATA",
        "python3.12 -c CODE DATA",
        "python -W ignore -uc CODE",
        "python -cCODE",
        "python -u x.py -c DATA",
        "python -m x -c DATA",
        "perl -ne CODE -e CODE DATA",
        "ruby -r json -e CODE DATA",
        "node -r x --eval=CODE",
        "node x.js -e DATA",
        "php -r CODE -- DATA",
        "Rscript -e CODE DATA",
        "Rscript --vanilla x.R -e DATA",
        "julia -t 4 x.jl DATA",
        "bash DATA -c DATA",
        "bash -x run.sh -c DATA",
        "grep -c DATA",
        "git -c DATA",
    ],
)
def test_what_is_code(command):
    words = command.split()
    expected = [w for w in words if "CODE" in w], [w for w in words if "DATA" in w]
    assert codes(*words) == expected


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["bash", "-c", "wc -c {}"], 'what is put in for {} would be run as code by `bash -c`: '
                                     'write "$DIRJOBS_JOB" instead.'),
        (["sh", "-c", "echo {param:l r}"], '"$DIRJOBS_PARAM_L_R" instead'),
        (["sh", "-ec", "echo {stem}"], '"$DIRJOBS_STEM" instead'),
        (["ssh", "host", "cat {name}"], "ssh HOST \"COMMAND ${DIRJOBS_NAME@Q}\"' instead"),
        (["env", "bash", "-c", "cat {name}"], '"$DIRJOBS_NAME" instead'),
        (["env", "python3", "-c", "open('{}')"], 'os.environ["DIRJOBS_JOB"] instead'),
    ],
)  # fmt: skip
def test_a_name_in_a_script_is_refused_at_once(command, says):
    with pytest.raises(ConfigurationError) as refused:
        Program(command)
    assert says in str(refused.value)


def test_a_parameter_in_a_script_is_refused_for_a_job_that_has_it():
    program = Program(["sh", "-c", "echo {lr}"])
    with pytest.raises(PlaceholderInScript, match=r'"\$DIRJOBS_PARAM_LR" instead'):
        program.command_for(HOSTILE)
    # A job brings the parameter that a program's own braces ask for.
    program = Program(["sh", "-c", "awk '{print}' \"$1\"", "sh", "{}"])
    with pytest.raises(PlaceholderInScript):
        program.command_for(HOSTILE)
    assert program.command_for(Subject("a", "q/a"))[2] == "awk '{print}' \"$1\""


def test_what_is_no_placeholder_stays_in_a_script():
    script = "echo ${HOME} { echo } {{name}} ${name} x{3}"
    assert Program(["sh", "-c", script]).command_for(HOSTILE)[2] == script.replace(
        "{{name}}", "{name}"
    )


def test_a_path_is_never_an_option():
    assert Program(["cat", "{}"]).command_for(Subject("x", "-x")) == [
        "cat",
        os.path.join(".", "-x"),
    ]


@pytest.mark.parametrize(
    ("argument", "value", "is_option"),
    [
        ("{lr}", "--output=/etc/passwd", True),
        ("{lr}", "-rf", True),
        ("{lr}", "-0.5", False),
        ("{lr}", "-1e-05", False),
        ("{lr}", "0.5", False),
        ("--lr={lr}", "-rf", False),
        ("-{lr}", "-rf", False),
    ],
)
def test_a_value_that_becomes_an_option(argument, value, is_option):
    program = Program(["echo", argument])
    command = program.command_for(Subject("a", "q/a", {"lr": value}))
    assert command[1] == argument.replace("{lr}", value)
    assert bool(program.taken_for_option(command)) is is_option
    assert not Program(["echo", "--", argument]).taken_for_option(["echo", "--", *command[1:]])
