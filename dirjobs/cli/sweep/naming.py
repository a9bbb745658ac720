"""Names and contents of the jobs that are made of parameters."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping

from dirjobs import layout, names
from dirjobs.cli.sweep.parameters import Row, Rows, Value
from dirjobs.errors import ConfigurationError
from dirjobs.runner.parameters import Number, text_of, to_json
from dirjobs.runner.template import UnknownParameter, fill

LONGEST = 100
"""Bytes: longer names get a number and a digest instead."""

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
    """Gives each set of parameters a name that can be read and sorted, and that no other has.

    Args:
        rows: all sets; gone through once.
        pattern: such as ``{lr}_{seed}.json``; None for ``lr0.1_seed03``.
        suffix: what names end with if there is no pattern.

    Raises:
        ConfigurationError: a set can't be read, or the pattern has an unknown placeholder,
            makes a name that is not portable, or makes one name twice.
    """

    def __init__(self, rows: Rows, pattern: str | None, suffix: str) -> None:
        self._pattern = pattern
        self._suffix = suffix
        self._widths: dict[str, int] = {}
        count = 0
        for row in rows():
            count += 1
            for name, value in row.items():
                if isinstance(value, Number) and value.is_whole:
                    self._widths[name] = max(self._widths.get(name, 1), len(value))
        self._widths[NUMBER] = len(str(count))

    def names(self, rows: Iterable[Row]) -> list[str]:
        """The names, in the order of the sets."""
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
                name = self._unlike(taken, name)
            taken[name.casefold()] = number
            found.append(name)
        return found

    def _name(self, row: Row, number: int) -> str:
        if self._pattern is not None:
            parts = {name: self._portable(name, value) for name, value in row.items()}
            parts.setdefault(NUMBER, self._portable(NUMBER, Number(number)))
            return layout.check_new_job(filled(self._pattern, parts, f"--name {self._pattern!r}"))
        name = "_".join(self._readable(key, value) for key, value in row.items()) + self._suffix
        if len(name) > LONGEST or names.unportable_name(name) or not layout.is_job_name(name):
            digest = hashlib.sha256(content_of(row)).hexdigest()[:8]
            name = f"job{self._portable(NUMBER, Number(number))}-{digest}{self._suffix}"
        return name

    def _readable(self, key: str, value: Value) -> str:
        # A letter then a digit shows where the name ends; anything else needs a sign.
        joint = "" if isinstance(value, Number) and not key[-1:].isdigit() else "-"
        return f"{_ODD.sub('-', key)}{joint}{self._portable(key, value)}"

    def _portable(self, key: str, value: Value) -> str:
        if isinstance(value, Number) and value.is_whole:
            return value.zfill(self._widths.get(key, 1))
        return _ODD.sub("-", text_of(value)) or "-"

    def _unlike(self, taken: Mapping[str, int], name: str) -> str:
        stem = name.removesuffix(self._suffix)
        number = 2
        while (other := f"{stem}-{number}{self._suffix}").casefold() in taken:
            number += 1
        return other
