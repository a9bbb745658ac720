"""How a command learns of its job: placeholders in its arguments, and its environment.

{}           the path of the job's file on this machine
{name}       the job's name; {stem}: without its extension
{lr}         a parameter of the job, if its file is a JSON object; {param:lr}: the same,
whatever the parameter is called
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

PLACE = "{}"
# ${name} is a shell's, {3} a regular expression's.
_PLACEHOLDER = re.compile(
    r"\{(?P<own>)\} | \{param:(?P<param>[^{}]+)\}"
    r" | (?<!\$)\{(?: (?P<job>name|stem) | (?P<word>[^\W\d]\w*) )\}",
    re.VERBOSE,
)
_LARGEST_JOB = 1 << 20
_ROOM = 100_000
"""Bytes of parameters in an environment: systems limit it, Linux to 128 KiB for each."""


class UnknownParameter(ValueError):
    """A command asks for a parameter that its job does not have."""


@dataclass(frozen=True)
class Subject:
    """The job that a command is about.

    Attributes:
        name: its name.
        path: its file on this machine.
        parameters: its parameters as text, in their order; None if its file is no JSON object.
    """

    name: str
    path: str
    parameters: Mapping[str, str] | None = field(default=None)

    @classmethod
    def of_file(cls, name: str, path: str) -> Subject:
        """The subject with the parameters that its file has; without any if this user may
        not read it, which is the command's business.

        Raises:
            OSError: the file can't be read.
        """
        try:
            return cls(name, path, parameters_in(path))
        except PermissionError:
            return cls(name, path)

    @property
    def stem(self) -> str:
        return os.path.splitext(self.name)[0]


def parameters_in(path: str) -> dict[str, str] | None:
    """The parameters in a job's file; None if it is no JSON object (of at most 1 MiB).

    Raises:
        OSError: the file can't be read.
    """
    with open(path, "rb") as file:
        data = file.read(_LARGEST_JOB + 1)
    if len(data) > _LARGEST_JOB or data.lstrip()[:1] != b"{":
        return None
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return {name: text_of(value) for name, value in record.items()}


def text_of(value: object) -> str:
    """A parameter as a command gets it: a string as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def fill(argument: str, subject: Subject) -> str:
    """`argument` with the placeholders filled in; other braces stay as they are.

    Raises:
        UnknownParameter: one of them is no parameter of this job.
    """

    def value(match: re.Match[str]) -> str:
        name, word = match["param"], match["word"]
        if match["own"] is not None:
            return subject.path
        if match["job"] is not None:
            return subject.name if match["job"] == "name" else subject.stem
        known = subject.parameters
        if known is None and name is None:
            return match[0]  # such as awk's {print}
        wanted = name or word
        if known is None:
            raise UnknownParameter(
                f"{match[0]} in the command asks for a parameter, but the file of job"
                f" {subject.name!r} is no JSON object"
            )
        if wanted not in known:
            has = ", ".join(known) or "none"
            advice = "" if name else f"; write {{ {wanted} }} with spaces if it means none"
            raise UnknownParameter(
                f"{match[0]} in the command is no parameter of job {subject.name!r}, whose"
                f" parameters are: {has}{advice}"
            )
        return known[wanted]

    return _PLACEHOLDER.sub(value, argument)


def environment(subject: Subject, **more: str) -> dict[str, str]:
    """The variables that tell a program of its job, with `more` of them: ``wid`` is
    ``DIRJOBS_WID``.

    Parameters that would make the environment too large for the system are left out.
    """
    told = {
        "DIRJOBS_JOB": os.path.abspath(subject.path),
        "DIRJOBS_NAME": subject.name,
        **{f"DIRJOBS_{name.upper()}": value for name, value in more.items()},
    }
    room = _ROOM
    for name, value in (subject.parameters or {}).items():
        variable = "DIRJOBS_PARAM_" + re.sub(r"[^A-Z0-9]", "_", name.upper())
        size = len(variable) + len(value.encode(errors="replace"))
        if size <= room and "\0" not in value:
            room -= size
            told[variable] = value
    return told
