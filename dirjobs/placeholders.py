"""Placeholders in commands, templates and patterns of names.

{lr}         a parameter of the job; {param:lr}: the same, whatever the parameter is called
{{lr}}       the text {lr}
"""

from __future__ import annotations

import re
from collections.abc import Callable

# {3} is a regular expression's, { print } a program's.
_PLACEHOLDER = re.compile(
    r"\{\{(?P<text> param:[^{}]+ | [^{}\s]+ )\}\}"
    r" | \{(?P<name> param:[^{}]+ | [^\W\d][\w.-]* | )\}",
    re.VERBOSE,
)
PARAM = "param:"
"""Before the name of a parameter that is called like something else."""


class UnknownParameter(ValueError):
    """A command asks for a parameter that its job does not have."""


class NoParameters(ValueError):
    """A command asks for a parameter of a job whose file is to have some, and is torn."""


class PlaceholderInScript(ValueError):
    """A command asks for something of its job where that would be run."""


def fill(
    text: str, value_of: Callable[[str, bool], str | None], *, after_dollar: bool = True
) -> str:
    """`text` with its placeholders replaced; all other braces stay as they are.

    Args:
        text: has placeholders as in this module's docs.
        value_of: says what to put in for a name; None leaves its braces alone.  The name is
            empty for ``{}``; the second argument is True for ``{param:name}``.
        after_dollar: fill in ``${name}`` as well, which may be a shell's.

    Raises:
        UnknownParameter: `value_of` knows of no such name.
    """

    def asked(name: str) -> str | None:
        return value_of(name.removeprefix(PARAM), name.startswith(PARAM))

    def replaced(match: re.Match[str]) -> str:
        literal, name = match["text"], match["name"]
        if literal is not None:
            try:
                is_placeholder = asked(literal) is not None
            except (UnknownParameter, NoParameters, PlaceholderInScript):
                is_placeholder = True
            return f"{{{literal}}}" if is_placeholder else match[0]
        is_word = name and not name.startswith(PARAM)
        if is_word and not after_dollar and text[: match.start()].endswith("$"):
            return match[0]
        value = asked(name)
        return match[0] if value is None else value

    return _PLACEHOLDER.sub(replaced, text)


def tells_of_job(argument: str) -> bool:
    """Whether an argument of a command has a placeholder, or a variable that tells of the job."""
    has_one = any(match["name"] is not None for match in _PLACEHOLDER.finditer(argument))
    return has_one or "DIRJOBS_" in argument


def variable_of(parameter: str) -> str:
    """The environment variable that a parameter has."""
    return "DIRJOBS_PARAM_" + re.sub(r"[^A-Z0-9]", "_", parameter.upper())
