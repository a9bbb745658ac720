"""Tables that people open in a spreadsheet, which takes some texts for formulas."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from dirjobs.console.text import printable

_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"\s*[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:e[+-]?\d+)?\s*|-?Infinity", re.I)


def defused(cell: str) -> str:
    """`cell` as a text to every spreadsheet: with ``'`` before what it takes for a formula.

    Numbers stay as they are.  Where ``;`` separates cells, as in many languages, a text has
    several of them in a file with commas.
    """
    parts = cell.split(";")
    return ";".join(
        f"'{part}" if _FORMULA.match(part) and not _NUMBER.fullmatch(part) else part
        for part in parts
    )


def csv_line(row: Sequence[str]) -> str:
    """One row as comma-separated values, on one line: defused, line breaks and what a terminal
    would obey escaped."""
    return as_typed([defused(printable(cell)) for cell in row])


def as_typed(row: Sequence[str]) -> str:
    """One row as comma-separated values, whatever is in it."""
    text = io.StringIO()
    csv.writer(text).writerow(row)
    return text.getvalue().removesuffix("\r\n")
