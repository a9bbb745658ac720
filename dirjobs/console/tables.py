"""Rows of values as a person at a terminal reads them; pipes get every cell as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dirjobs.admin.history import time_of
from dirjobs.console import text
from dirjobs.typed import Number, text_of

TIMES = ("ended", "modified")
"""Columns with a time in UTC, for programs."""
_DIGITS = 6
_LONGEST = 30
"""Characters of a text in a table that is too wide."""


def cells(header: Iterable[str], row: Mapping[str, Any]) -> list[str]:
    """A row for programs."""
    values = (row.get(name) for name in header)
    return ["" if value is None else text_of(value) for value in values]


def show_rows(header: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a table.

    On a terminal numbers have six digits and stand at the right, times are those of the clock on
    this wall.  Where that is too wide, texts are cut, but for the first column; of columns that
    don't fit even so only the names are told.
    """
    if not text.on_terminal():
        text.show_table([header, *(cells(header, row) for row in rows)], ("bold",))
        return
    numbers = [name for name in header if _is_numeric(row.get(name) for row in rows)]
    table = [
        header,
        *([_readable(name, row.get(name)) for name in header] for row in rows),
    ]
    if not text.fits(table):
        cut = [at for at, name in enumerate(header) if at and name not in numbers]
        table = [_shortened(line, cut) if at else line for at, line in enumerate(table)]
    right = [at for at, name in enumerate(header) if name in numbers]
    text.show_table(table, ("bold",), fits=True, right=right)


def _is_numeric(values: Iterable[object]) -> bool:
    """Whether a column has numbers and nothing else."""
    found = [value for value in values if value not in (None, "")]
    return bool(found) and all(_is_number(value) for value in found)


def _is_number(value: object) -> bool:
    return isinstance(value, Number | int | float) and not isinstance(value, bool)


def _readable(name: str, value: object) -> str:
    if value is None:
        return ""
    if name in TIMES and isinstance(value, str):
        return text.short_time(time_of(value)) or value
    if isinstance(value, float):
        return f"{value:.{_DIGITS}g}"
    return text_of(value)


def _shortened(line: Sequence[str], places: Sequence[int]) -> list[str]:
    return [
        text.cut(text.printable(cell), _LONGEST) if at in places else cell
        for at, cell in enumerate(line)
    ]
