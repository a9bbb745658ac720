"""Names and contents of the jobs that are made of parameters."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Iterable, Mapping

from dirjobs import layout, names
from dirjobs.errors import ConfigurationError
from dirjobs.placeholders import UnknownParameter, fill
from dirjobs.sweep.parameters import Row, Value
from dirjobs.typed import Number, text_of, to_json

LONGEST = 100
"""Bytes: longer names are cut, and get a digest."""
_KEPT = 60
"""Characters of what can't be a name itself."""

NUMBER = "number"
"""The placeholder for which job this is, counted from 1."""

_ODD = re.compile(r"[^A-Za-z0-9._+-]+")


def content_of(row: Row) -> bytes:
    """The JSON file of a set of parameters."""
    return to_json(row).encode() + b"\n"


def filled(pattern: str, values: Mapping[str, str], what: str) -> str:
    """`pattern` with the placeholders for `values` filled in.

    Raises:
        ConfigurationError: there is no such value.
    """

    def value_of(name: str, is_param: bool) -> str | None:
        if not name:
            return None
        if name not in values:
            known = ", ".join(f"{{{each}}}" for each in values)
            spelt = f"param:{name}" if is_param else name
            raise UnknownParameter(
                f"{what} has the placeholder {{{spelt}}}, but no parameter has that name"
                f" (known: {known}); write {{{{{spelt}}}}} for the text itself."
            )
        return values[name]

    try:
        return fill(pattern, value_of)
    except UnknownParameter as error:
        raise ConfigurationError(str(error)) from error


class Naming:
    """Gives each set of parameters the name that it has in every sweep: who extends one adds
    what is new.  A name shows the parameters as they were typed, and no two jobs have one.

    Args:
        pattern: such as ``{lr}_{seed}.json``; None for ``lr0.1_seed3``.
        suffix: what names end with if there is no pattern.
    """

    def __init__(self, pattern: str | None, suffix: str) -> None:
        self._pattern = pattern
        self._suffix = suffix

    def names(self, rows: Iterable[Row]) -> list[str]:
        """The names, in the order of the sets.

        Raises:
            ConfigurationError: the pattern has an unknown placeholder, makes a name that is not
                portable, or makes one name twice.
        """
        found: list[str] = []
        taken: dict[str, int] = {}
        for number, row in enumerate(rows, 1):
            name = self._name(row, number)
            if name.casefold() in taken:
                if self._pattern is not None:
                    raise ConfigurationError(
                        f"--name {self._pattern!r} gives {name!r} to jobs"
                        f" {taken[name.casefold()]} and {number}: put {{{NUMBER}}} into it."
                    )
                name = numbered(taken, name, self._suffix)
            taken[name.casefold()] = number
            found.append(name)
        return found

    def _name(self, row: Row, number: int) -> str:
        if self._pattern is not None:
            parts = {name: _portable(value) for name, value in row.items()}
            parts.setdefault(NUMBER, str(number))
            return layout.check_new_job(filled(self._pattern, parts, f"--name {self._pattern!r}"))
        return name_for("_".join(map(_as_typed, row, row.values())), content_of(row), self._suffix)


def name_for(text: str, content: bytes, suffix: str) -> str:
    """A portable name for a job: `text` itself, or as much of it as can be, with a digest of the
    content that tells it from all others.

    Args:
        text: what the job is, to a person.
        content: the job's file.
        suffix: the end of the name.
    """
    plain = _ODD.sub("-", text)
    name = f"{plain}{suffix}"
    if plain == text and len(name) <= LONGEST and _may_be_called(name):
        return name
    digest = hashlib.sha256(content).hexdigest()[:10]
    return f"{plain[:_KEPT].strip('.-_') or 'job'}-{digest}{suffix}"


def numbered(taken: Container[str], name: str, suffix: str) -> str:
    """`name` with the first number from 2 on that makes it unlike all in `taken`, which are
    casefolded."""
    stem = name.removesuffix(suffix)
    number = 2
    while (other := f"{stem}-{number}{suffix}").casefold() in taken:
        number += 1
    return other


def _may_be_called(name: str) -> bool:
    return not names.unportable_name(name) and layout.is_job_name(name)


def _as_typed(key: str, value: Value) -> str:
    # A letter then a digit shows where the name ends; anything else needs a sign.
    joint = "" if isinstance(value, Number) and not key[-1:].isdigit() else "-"
    return f"{key}{joint}{text_of(value)}"


def _portable(value: Value) -> str:
    return _ODD.sub("-", text_of(value)) or "-"
