"""Sets of parameters: from ``--param``, CSV and JSON, one for each job."""

from __future__ import annotations

import codecs
import csv
import io
import json
import math
import random
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import TypeAlias

from dirjobs.errors import ConfigurationError, named_in_errors
from dirjobs.protocol.records import check_depth
from dirjobs.typed import Number

Value: TypeAlias = object
"""What JSON knows; mostly a number, a bool or a string."""
Row: TypeAlias = dict[str, Value]
Rows: TypeAlias = Callable[[], Iterable[Row]]
"""Gives the sets from the first to the last, each time that it is called."""
Axes: TypeAlias = Mapping[str, Sequence[Value]]
"""Parameters, and the values that each of them takes."""

MOST = 1_000_000
"""So many jobs at once are a mistake."""

_NUMBER = re.compile(
    r"-?(?:0|[1-9][0-9]*)"
    r"(?:\.[0-9]+(?:[eE][-+]?[0-9]{1,3})? | [eE][-+][0-9]{1,3})?",  # 5381e182 may be an id
    re.VERBOSE,
)
_MOST_DIGITS = 15
"""All programs keep so many of a number."""
_END = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
_LONGEST_END = 100
"""Characters of a number in a range; Python makes no text of one with thousands of digits."""
_LIKE_A_RANGE = re.compile(
    r"(?<![^,])(?:"
    r"(?P<open>range)\((?:(?P<from>[0-9]{1,9}),\s*)?(?P<until>[0-9]{1,9})\)"
    r"|(?P<begin>[0-9]{1,9})[-:](?P<end>[0-9]{1,9})"
    r")(?![^,])"
)
"""Whole values such as ``1:3``, ``1-3`` and ``range(3)``."""
_LOG = re.compile(r"log\(([^(),]*),([^(),]*),([^(),]*)\)")
_PART = re.compile(r"(?P<part>log\([^()]*\)(?=,|$)|[^,]*)(?P<comma>,?)")
_DELIMITERS = ",;\t|"
_SEPARATOR_LINE = re.compile(r"sep=(?P<delimiter>[^\r\n])[\r\n]*", re.IGNORECASE)
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


def typed(text: str) -> Value:
    """What `text` means: a number, true, false, else itself.

    A number keeps its notation.  What a program could not read without a loss stays text:
    ``007``, more than 15 digits, ``5381e182``, ``1e999``, ``True``.
    """
    if _NUMBER.fullmatch(text) and text != "-0":
        digits = sum(map(str.isdigit, text.lower().partition("e")[0].lstrip("-0.")))
        if digits <= _MOST_DIGITS and Decimal(repr(float(text))) == Decimal(text):
            return Number(text)
    return {"true": True, "false": False}.get(text, text)


# -- --param -------------------------------------------------------------------------------


def parse_param(text: str) -> tuple[str, list[Value]]:
    """The name and the values of ``lr=0.1,0.01``, ``seed=1..5``, ``x=0..1..0.25`` or
    ``lr=log(1e-4,1e-1,7)``.

    Only between numbers ``..`` makes a range: ``../data`` and ``main..dev`` are values.

    Raises:
        ConfigurationError: it is none of these.
    """
    name, equals, values = text.partition("=")
    if not equals or not name.strip():
        raise ConfigurationError(f"--param {text!r}: write NAME=VALUES, such as lr=0.1,0.01.")
    check_text(text, f"--param {text!r}")
    found: list[Value] = []
    if not values:
        raise ConfigurationError(f"--param {text!r} has no value: write NAME=VALUES.")
    for part in _parts(values):
        if not part:
            raise ConfigurationError(f"--param {text!r} has an empty value: leave out that comma.")
        if part != part.strip():
            raise ConfigurationError(
                f"--param {text!r}: the value {part!r} has a blank around it, which would reach the"
                " command: leave it out, or write the values into a file (--from-csv)."
            )
        if steps := _LOG.fullmatch(part):
            found += _logarithmic(steps.groups(), text)
        else:
            found += _range(part, text) if _is_range(part) else [typed(part)]
    return name.strip(), found


def taken_for_text(text: str) -> str:
    """What to tell of a ``--param`` that has a range in the notation of another program, which is
    a text here; empty if it has none."""
    values = text.partition("=")[2]
    match = _LIKE_A_RANGE.search(values)
    if match is None:
        return ""
    first, last = match["begin"], match["end"]
    if match["open"]:
        first, last = match["from"] or "0", str(int(match["until"]) - 1)
    return f"--param {text!r}: {match[0]!r} is taken as a text; a range is {first}..{last}."


def _parts(values: str) -> Iterator[str]:
    """What is between the commas, apart from those of ``log(...)``."""
    at, more = 0, True
    while more:
        part = _PART.match(values, at)
        assert part is not None
        yield part["part"]
        at, more = part.end(), bool(part["comma"])


def _logarithmic(steps: Sequence[str], text: str) -> list[Value]:
    try:
        first, last, number = float(steps[0]), float(steps[1]), int(steps[2])
    except ValueError:
        first = last = number = 0
    if number < 2 or first == last or not all(0 < end < math.inf for end in (first, last)):
        raise ConfigurationError(
            f"--param {text!r}: write log(FIRST,LAST,NUMBER) with two unlike numbers above 0 and"
            " how many values from the one to the other, such as log(1e-4,1e-1,7)."
        )
    if number > MOST:
        raise too_many(f"--param {text!r}")
    inner = [first * (last / first) ** (step / (number - 1)) for step in range(1, number - 1)]
    for digits in range(4, 18):
        texts = [steps[0].strip(), *(f"{value:.{digits}g}" for value in inner), steps[1].strip()]
        if len({*map(float, texts)}) == number:
            return [typed(value) for value in texts]
    raise ConfigurationError(f"--param {text!r}: there are not so many numbers: ask for fewer.")


def _is_range(part: str) -> bool:
    """Whether numbers stand at both ends, or at one if the other is missing."""
    first, dots, rest = part.partition("..")
    ends = [end for end in (first, rest.partition("..")[0]) if end]
    return bool(dots and ends) and all(map(_END.fullmatch, ends))


def _range(part: str, text: str) -> list[Value]:
    ends = part.split("..")
    try:
        start, stop = Decimal(ends[0]), Decimal(ends[1])
        step = Decimal(ends[2]) if len(ends) > 2 else Decimal(1)
        steps = (stop - start) / step
        if len(ends) > 3 or not all(n.is_finite() for n in (start, stop, step, steps)):
            raise InvalidOperation
        if max(map(len, ends)) > _LONGEST_END:
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
        raise too_many(f"--param {text!r}")
    if len(ends) == 2 and steps < 1 and start != stop:
        raise ConfigurationError(
            f"--param {text!r}: {part!r} has one value, {ends[0]}, since the step is 1: write"
            f" FIRST..LAST..STEP, such as {part}..{(stop - start) / 4:g}."
        )
    # All of one kind: among 2.9 and 3.1 there is 3.0, not 3.
    whole = all(number == number.to_integral_value() for number in (start, step))
    kind = int if whole else float
    return [Number(kind(start + number * step)) for number in range(int(steps) + 1)]


def combinations(
    rows: Rows,
    axes: Axes,
    *,
    paired: bool = False,
    repeat: int | None = None,
    sample: int | None = None,
) -> Rows:
    """Each of `rows` with each combination of the values of some parameters.

    Args:
        rows: sets of a file, or one empty set.
        axes: the parameters; see `axes_of`.
        paired: the first values together, the second ones, and so on, instead of all with all.
        repeat: each so many times, with a parameter ``repeat`` from 1 on.
        sample: so many of them, drawn by chance: of the same sets always the same ones, and
            among more of them all of fewer.

    Raises:
        ConfigurationError: they do not go together.
    """
    steps: list[_Axis] = [
        ((name,), [(value,) for value in values]) for name, values in axes.items()
    ]
    if paired and steps:
        steps = [_zipped(steps)]
    if repeat is not None:
        if any("repeat" in names for names, _ in steps):
            raise ConfigurationError("--repeat makes a parameter 'repeat': call yours otherwise.")
        steps.append((("repeat",), [(Number(number),) for number in range(1, repeat + 1)]))
    if not steps and sample is None:
        return rows
    names = [name for some, _ in steps for name in some]
    count = math.prod(len(values) for _, values in steps)
    chosen = None
    if sample is not None:
        chosen = _sample(count * sum(1 for _ in rows()), sample)
    elif count > MOST:
        raise too_many("these options")

    def combined() -> Iterator[Row]:
        left = None if chosen is None else deque(chosen)
        for number, row in enumerate(rows()):
            if clash := row.keys() & set(names):
                raise ConfigurationError(
                    f"{sorted(clash)[0]!r} is in the file and in a --param as well: leave one out."
                )
            first = number * count
            if left is None:
                places: Iterable[int] = range(count)
            else:
                places = []
                while left and left[0] < first + count:
                    places.append(left.popleft() - first)
            for place in places:
                yield {**row, **dict(zip(names, _at(steps, place), strict=True))}

    return combined


_Axis: TypeAlias = tuple[tuple[str, ...], list[tuple[Value, ...]]]
"""Parameters, and the values that they have together."""


def axes_of(params: Sequence[str]) -> dict[str, list[Value]]:
    """The parameters that ``--param`` options name, and their values.

    Raises:
        ConfigurationError: an option makes no sense, or there are two for one name.
    """
    axes: dict[str, list[Value]] = {}
    for text in params:
        name, values = parse_param(text)
        if name in axes:
            raise ConfigurationError(
                f"--param {name}=... is there twice: write all its values into one, with commas."
            )
        axes[name] = values
    return axes


def _zipped(axes: Sequence[_Axis]) -> _Axis:
    (first,), values = axes[0]
    for (name,), others in axes[1:]:
        if len(others) != len(values):
            raise ConfigurationError(
                f"--zip wants as many values for each --param: {first!r} has {len(values):,},"
                f" {name!r} has {len(others):,}."
            )
    together = zip(*(values for _, values in axes), strict=True)
    return (
        tuple(name for (name,), _ in axes),
        [tuple(value for (value,) in row) for row in together],
    )


def _at(axes: Sequence[_Axis], place: int) -> list[Value]:
    """The values of one combination; the last axis changes fastest."""
    found: list[Value] = []
    for _, values in reversed(axes):
        place, at = divmod(place, len(values))
        found[:0] = values[at]
    return found


def _sample(total: int, number: int) -> list[int]:
    """The first `number` places of one shuffle of all."""
    if number > MOST:
        raise too_many("--sample")
    chance = random.Random("sample")  # the same ones for everybody
    if total <= MOST:
        return sorted(chance.sample(range(total), total)[:number])
    found: set[int] = set()
    while len(found) < number:
        found.add(chance.randrange(total))
    return sorted(found)


def too_many(what: str) -> ConfigurationError:
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
    with named_in_errors(path), open(path, newline="", encoding=encoding_of(path)) as file:
        try:
            yield from _csv_rows(file, shown)
        except UnicodeDecodeError as error:
            raise _not_text(shown, error) from error


def _csv_rows(file: io.TextIOBase, shown: str) -> Iterator[Row]:
    reader = csv.reader(file, delimiter=_delimiter(file), strict=True, skipinitialspace=True)
    header: list[str] | None = None
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise ConfigurationError(f"{shown!r}, line {reader.line_num}: {error}.") from error
        if cells is None:
            break
        if not any(map(str.strip, cells)):
            continue  # spreadsheets leave such rows behind
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


def _delimiter(file: io.TextIOBase) -> str:
    """What separates the cells: as a first line ``sep=;`` says, which is passed over, else
    what is most in the first line that is not blank, quoted cells apart."""
    line = file.readline()
    if separator := _SEPARATOR_LINE.fullmatch(line):
        return separator["delimiter"]
    while line and not line.strip():
        line = file.readline()
    file.seek(0)
    return max(_DELIMITERS, key=_QUOTED.sub("", line).count)


def encoding_of(path: str) -> str:
    """How a text file is encoded: in UTF-16 if it begins as such a file does, else in UTF-8,
    with or without a byte order mark."""
    with open(path, "rb") as file:
        mark = file.read(2)
    return "utf-16" if mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


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
    with named_in_errors(path), open(path, encoding=encoding_of(path)) as file:
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
        value: list[Value] = json.loads(
            text, parse_constant=_no_constant, parse_float=Number.fraction, parse_int=Number
        )
        check_depth(value)
    except (ValueError, RecursionError) as error:
        at = line - 1 + getattr(error, "lineno", 1)
        what = getattr(error, "msg", str(error))
        if isinstance(error, RecursionError):
            what = "it is nested too deeply"
        raise ConfigurationError(
            f"{shown!r}, line {at}: {what}; write an array of objects, or one object on each line."
        ) from error
    return value


def _no_constant(name: str) -> Value:
    raise ValueError(f"{name} is no JSON value")


def _object(value: Value, where: str) -> Row:
    if not isinstance(value, dict):
        raise ConfigurationError(f'{where}: an object such as {{"lr": 0.1}} is wanted.')
    check_text(json.dumps(value, ensure_ascii=False), where)
    return value


def _not_text(shown: str, error: UnicodeDecodeError) -> ConfigurationError:
    return ConfigurationError(f"{shown!r} is not UTF-8 text ({error.reason}): save it as UTF-8.")


def check_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"{where} has characters that are not Unicode text.") from None
