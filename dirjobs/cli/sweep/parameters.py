"""Sets of parameters: from ``--param``, CSV and JSON, one for each job."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal, InvalidOperation
from typing import TypeAlias

from dirjobs.errors import ConfigurationError

Value: TypeAlias = object
"""What JSON knows; mostly a number, a bool or a string."""
Row: TypeAlias = dict[str, Value]
Rows: TypeAlias = Callable[[], Iterable[Row]]
"""Gives the sets from the first to the last, each time that it is called."""

MOST = 1_000_000
"""So many jobs at once are a mistake."""

_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)?(?:\.[0-9]*)?(?:[eE][-+]?[0-9]{1,3})?")
_DELIMITERS = ",;\t"


def typed(text: str) -> Value:
    """What `text` means: a whole number, a number, true, false, else itself.

    ``007`` and numbers of twenty digits are text, so that nothing of them is lost.
    """
    if _WHOLE.fullmatch(text):
        return int(text)
    if any(char.isdigit() for char in text) and _NUMBER.fullmatch(text):
        number = _float(text)
        if number is not None:
            return number
    return {"true": True, "false": False}.get(text.lower(), text)


def _float(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None


# -- --param -------------------------------------------------------------------------------


def parse_param(text: str) -> tuple[str, list[Value]]:
    """The name and the values of ``lr=0.1,0.01``, ``seed=1..5`` or ``x=0..1..0.25``.

    Raises:
        ConfigurationError: it is none of these.
    """
    name, equals, values = text.partition("=")
    if not equals or not name.strip():
        raise ConfigurationError(f"--param {text!r}: write NAME=VALUES, such as lr=0.1,0.01.")
    _check_text(text, f"--param {text!r}")
    found: list[Value] = []
    for part in values.split(","):
        if not part:
            raise ConfigurationError(f"--param {text!r} has an empty value: leave out that comma.")
        found += _range(part, text) if ".." in part else [typed(part)]
    return name.strip(), found


def _range(part: str, text: str) -> list[Value]:
    ends = part.split("..")
    try:
        start, stop = Decimal(ends[0]), Decimal(ends[1])
        step = Decimal(ends[2]) if len(ends) > 2 else Decimal(1)
        steps = (stop - start) / step
        if len(ends) > 3 or not all(n.is_finite() for n in (start, stop, step, steps)):
            raise InvalidOperation
    except ArithmeticError:
        raise ConfigurationError(
            f"--param {text!r}: {part!r} is no range: write FIRST..LAST or FIRST..LAST..STEP,"
            " such as 1..5 or 0..1..0.25."
        ) from None
    if steps < 0:
        raise ConfigurationError(
            f"--param {text!r}: {part!r} is empty, since the step {step} leads away from {stop}."
        )
    if steps >= MOST:
        raise _too_many(f"--param {text!r}")
    # All of one kind: among 2.9 and 3.1 there is 3.0, not 3.
    whole = all(number == number.to_integral_value() for number in (start, step))
    kind = int if whole else float
    return [kind(start + number * step) for number in range(int(steps) + 1)]


def product(rows: Rows, params: Sequence[str]) -> Rows:
    """Each of `rows` with each combination of what ``--param`` options say.

    Raises:
        ConfigurationError: an option makes no sense, or there are two for one name.
    """
    axes: dict[str, list[Value]] = {}
    number = 1
    for text in params:
        name, values = parse_param(text)
        if name in axes:
            raise ConfigurationError(
                f"--param {name}=... is there twice: write all its values into one, with commas."
            )
        axes[name] = values
        number *= len(values)
    if number > MOST:
        raise _too_many("these --param options")

    def combined() -> Iterator[Row]:
        for row in rows():
            if clash := row.keys() & axes.keys():
                raise ConfigurationError(
                    f"{sorted(clash)[0]!r} is in the file and in a --param as well: leave one out."
                )
            for values in itertools.product(*axes.values()):
                yield {**row, **dict(zip(axes, values, strict=True))}

    return combined if axes else rows


def _too_many(what: str) -> ConfigurationError:
    return ConfigurationError(f"{what} would make more than {MOST:,} jobs: use fewer values.")


# -- files ---------------------------------------------------------------------------------


def csv_rows(path: str, shown: str) -> Iterator[Row]:
    """The rows of a CSV file whose first line has the names.

    Args:
        path: of the file.
        shown: what the user called it.

    Raises:
        ConfigurationError: a line can't be understood; the message says which.
    """
    with open(path, newline="", encoding="utf-8-sig") as file:
        try:
            yield from _csv_rows(file, shown)
        except UnicodeDecodeError as error:
            raise _not_text(shown, error) from error


def _csv_rows(file: io.TextIOBase, shown: str) -> Iterator[Row]:
    first = file.readline()
    file.seek(0)
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise ConfigurationError(f"{shown!r}, line {reader.line_num}: {error}.") from error
        if cells is None:
            break
        if not cells:
            continue
        if header is None:
            header = _header(cells, shown)
        elif len(cells) != len(header):
            raise ConfigurationError(
                f"{shown!r}, line {reader.line_num}: {len(cells)} values for {len(header)} columns."
            )
        else:
            yield dict(zip(header, map(typed, cells), strict=True))
    if header is None:
        raise ConfigurationError(f"{shown!r} is empty: its first line must name the columns.")


def _header(cells: list[str], shown: str) -> list[str]:
    header = [cell.strip() for cell in cells]
    for number, name in enumerate(header, 1):
        if not name:
            raise ConfigurationError(f"{shown!r}: column {number} has no name in the first line.")
        if header.index(name) < number - 1:
            raise ConfigurationError(f"{shown!r}: two columns have the name {name!r}.")
    return header


def json_rows(path: str, shown: str) -> Iterator[Row]:
    """The objects of a JSON file: one array of them, or one on each line.

    Raises:
        ConfigurationError: it is neither; the message says where.
    """
    with open(path, encoding="utf-8-sig") as file:
        try:
            if _begins_with(file, "["):
                for number, value in enumerate(_parsed(file.read(), shown, 1), 1):
                    yield _object(value, f"{shown!r}, item {number}")
                return
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _object(
                        _parsed(line.rstrip(), shown, number), f"{shown!r}, line {number}"
                    )
        except UnicodeDecodeError as error:
            raise _not_text(shown, error) from error


def _begins_with(file: io.TextIOBase, char: str) -> bool:
    found = ""
    while not found and (line := file.readline()):
        found = line.strip()
    file.seek(0)
    return found.startswith(char)


def _parsed(text: str, shown: str, line: int) -> list[Value]:
    try:
        value: list[Value] = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        at = line - 1 + getattr(error, "lineno", 1)
        what = getattr(error, "msg", str(error))
        raise ConfigurationError(
            f"{shown!r}, line {at}: {what}; write an array of objects, or one object on each line."
        ) from error
    return value


def _no_constant(name: str) -> Value:
    raise ValueError(f"{name} is no JSON value")


def _object(value: Value, where: str) -> Row:
    if not isinstance(value, dict):
        raise ConfigurationError(f'{where}: an object such as {{"lr": 0.1}} is wanted.')
    _check_text(json.dumps(value, ensure_ascii=False), where)
    return value


def _not_text(shown: str, error: UnicodeDecodeError) -> ConfigurationError:
    return ConfigurationError(f"{shown!r} is not UTF-8 text ({error.reason}): save it as UTF-8.")


def _check_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"{where} has characters that are not Unicode text.") from None
