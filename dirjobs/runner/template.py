"""How a command learns of its job: placeholders in its arguments, and its environment.

Commands have the placeholders of `dirjobs.placeholders`, and, since their jobs are files,

{}           the path of the job's file on this machine
{name}       the job's name; {stem}: without its extension
{slot}       the number of the slot that it runs in

In an argument that is a script (``sh -c``) there must be none: names and parameters come from
others, and would be run.  Scripts read the environment.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dirjobs.files.parameters import object_in, texts_of
from dirjobs.placeholders import (
    PARAM,
    NoParameters,
    PlaceholderInScript,
    UnknownParameter,
    fill,
    variable_of,
)
from dirjobs.runner.scripts import Script

PLACE = "{}"
COMMAND = "command"
"""The parameter in which a job brings its command along, as a list of words."""
_MOST_WORDS = 10_000
_ROOM = 100_000
"""Bytes of parameters in an environment: systems limit it, Linux to 128 KiB for each."""


_OF_FILE = {
    "": "DIRJOBS_JOB",
    "name": "DIRJOBS_NAME",
    "stem": "DIRJOBS_STEM",
    "slot": "DIRJOBS_SLOT",
}
"""The variables of what every job has."""


@dataclass(frozen=True)
class Subject:
    """The job that a command is about.

    Attributes:
        name: its name.
        path: its file on this machine.
        parameters: its parameters as text, in their order; None if its file is no JSON object.
        slot: the number of the slot that it runs in.
        record: the JSON object in its file; None if there is none.
        unread: why its file can't be read; empty if it can.
    """

    name: str
    path: str
    parameters: Mapping[str, str] | None = field(default=None)
    slot: str = "1"
    record: Mapping[str, Any] | None = field(default=None)
    unread: str = field(default="")

    @classmethod
    def of_file(cls, name: str, path: str, slot: int = 1) -> Subject:
        """The subject with the parameters that its file has; without any if this user may not read
        it, or if another program has it open on Windows: a command that asks for none may start.

        Raises:
            NotAFile: it is none.
            OSError: the file can't be read.
        """
        try:
            record = object_in(path)
        except PermissionError as error:
            return cls(name, path, slot=str(slot), unread=error.strerror or str(error))
        return cls(name, path, None if record is None else texts_of(record), str(slot), record)

    @property
    def stem(self) -> str:
        return os.path.splitext(self.name)[0]

    @property
    def is_called_json(self) -> bool:
        """Whether its file is to have parameters: one that has none is torn, or too large."""
        return self.name.lower().endswith(".json")


def command_of(subject: Subject) -> list[str]:
    """The command that a job brings along.

    Raises:
        UnknownParameter: it brings none.
    """
    command = (subject.record or {}).get(COMMAND)
    if (
        not isinstance(command, list)
        or not 0 < len(command) <= _MOST_WORDS
        or not all(type(word) is str for word in command)
        or not command[0]
    ):
        raise UnknownParameter(
            f"job {subject.name!r} brings no command along, such as `dirjobs submit` adds: write"
            " the command for all jobs after --"
        )
    return list(command)


def check_script(argument: str, script: Script) -> None:
    """Refuse a script that has a placeholder in it, as far as that is known without a job.

    Raises:
        PlaceholderInScript: it has one.
    """

    def value_of(name: str, is_param: bool) -> str | None:
        if is_param or name in _OF_FILE:
            raise _in_script(name, is_param, script)
        return None

    fill(argument, value_of, after_dollar=False)


def fill_argument(argument: str, subject: Subject, script: Script | None = None) -> str:
    """An argument of a command with the placeholders for one job filled in.

    Args:
        argument: the argument.
        subject: the job.
        script: what is known of the argument if it is code.

    Raises:
        UnknownParameter: one of them is no parameter of this job.
        NoParameters: its file is to have them, and can't be understood, or can't be read.
        PlaceholderInScript: it is, but what comes of it would be run.
    """

    def value_of(name: str, is_param: bool) -> str | None:
        if not is_param and name in _OF_FILE:
            if script is not None:
                raise _in_script(name, is_param, script)
            path = subject.path if subject.path[:1] != "-" else os.path.join(".", subject.path)
            stem, slot = subject.stem, subject.slot
            return {"": path, "name": subject.name, "stem": stem, "slot": slot}[name]
        known = subject.parameters
        if known is not None and name in known:
            if script is not None:
                raise _in_script(name, is_param, script)
            return known[name]
        meant = known is not None or subject.is_called_json or bool(subject.unread)
        if not is_param and not (meant and name.isidentifier()):
            return None  # such as awk's {print}
        told = f"{{{PARAM if is_param else ''}{name}}} in the command"
        if subject.unread:
            raise NoParameters(
                f"{told} asks for a parameter, but the file of job {subject.name!r} can't be read:"
                f" {subject.unread}"
            )
        advice = "" if is_param else f"; write {{ {name} }} with spaces if it means none"
        if known is None:
            kind = NoParameters if subject.is_called_json else UnknownParameter
            raise kind(
                f"{told} asks for a parameter, but the file of job {subject.name!r} is no JSON"
                f" object of at most 1 MiB{advice}"
            )
        has = ", ".join(known) or "none"
        raise UnknownParameter(
            f"{told} is no parameter of job {subject.name!r}, whose parameters are: {has}{advice}"
        )

    return fill(argument, value_of, after_dollar=False)


def _in_script(name: str, is_param: bool, script: Script) -> PlaceholderInScript:
    variable = variable_of(name) if is_param else _OF_FILE.get(name) or variable_of(name)
    return PlaceholderInScript(
        f"what is put in for {{{PARAM if is_param else ''}{name}}} would be run as code by"
        f" `{script.program}`: write {script.reads.replace('NAME', variable)} instead"
    )


def environment(subject: Subject, **more: str) -> dict[str, str]:
    """The variables that tell a program of its job, with `more` of them: ``wid`` is
    ``DIRJOBS_WID``.

    Parameters that would make the environment too large for the system are left out, and so
    are those whose variables would be one: ``A`` and ``a``, ``x.y`` and ``x_y``.
    """
    told = {
        "DIRJOBS_JOB": os.path.abspath(subject.path),
        "DIRJOBS_NAME": subject.name,
        "DIRJOBS_STEM": subject.stem,
        "DIRJOBS_SLOT": subject.slot,
        **{f"DIRJOBS_{name.upper()}": value for name, value in more.items()},
    }
    room = _ROOM
    parameters = subject.parameters or {}
    variables = {name: variable_of(name) for name in parameters}
    meant = Counter(variables.values())
    for name, value in parameters.items():
        variable = variables[name]
        size = len(variable) + len(value.encode(errors="replace"))
        if meant[variable] == 1 and size <= room and "\0" not in value:
            room -= size
            told[variable] = value
    return told
