"""Rows of a table, chosen by a condition, sorted and cut to some columns.

A condition is a small language, and none of Python's power is in it:

    lr < 0.1 and seed == 3
    state == "failed" or not (loss <= 1e-3)
    model in ("cnn", "mlp")
    `learning rate` > 0.1            a column whose name is no word
"""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from dirjobs.errors import ConfigurationError
from dirjobs.protocol.candidates import natural_key

Row = Mapping[str, Any]
R = TypeVar("R", bound=Row)

_LONGEST = 1000
"""Characters of a condition."""
_QUOTED = re.compile(r"`([^`]*)`")
_COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_WORDS = {"true": True, "false": False, "null": None}
_MISSING = object()


class Condition:
    """Which rows are wanted.

    Numbers are compared by value, also with texts that are numbers; texts as they are, and all
    else is only equal or not.  What a row does not have is neither equal nor unequal to anything.

    Args:
        text: in the language above.
        called: what the person calls it.

    Raises:
        ConfigurationError: it is no condition; the message says what is wrong.
    """

    def __init__(self, text: str, called: str = "--where") -> None:
        self._text = text
        self._called = called
        self._quoted: list[str] = []
        self.columns: dict[str, None] = {}
        """The columns that it asks for."""
        if len(text) > _LONGEST:
            raise ConfigurationError(f"{called} takes {_LONGEST} characters at most.")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an odd backslash is no business of the parser
                tree = ast.parse(_QUOTED.sub(self._as_word, text).strip(), mode="eval")
            self._matches = self._condition(tree.body)
        except ConfigurationError:
            raise
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise self._refusal("") from None

    def matches(self, row: Row) -> bool:
        """Whether a row is wanted."""
        return self._matches(row)

    def _as_word(self, quoted: re.Match[str]) -> str:
        self._quoted.append(quoted[1])
        return f"_column_{len(self._quoted) - 1}_"

    def _refusal(self, about: str) -> ConfigurationError:
        told = f" ({about})" if about else ""
        return ConfigurationError(
            f"{self._called} {self._text!r} is no condition{told}: write one such as"
            " 'lr < 0.1 and seed == 3', texts in quotes, odd names of columns in backticks."
        )

    # -- from syntax to functions of a row ----------------------------------------------------

    def _condition(self, node: ast.expr) -> Callable[[Row], bool]:
        match node:
            case ast.BoolOp(op=ast.And(), values=parts):
                every = [self._condition(part) for part in parts]
                return lambda row: all(one(row) for one in every)
            case ast.BoolOp(op=ast.Or(), values=parts):
                some = [self._condition(part) for part in parts]
                return lambda row: any(one(row) for one in some)
            case ast.UnaryOp(op=ast.Not(), operand=part):
                inner = self._condition(part)
                return lambda row: not inner(row)
            case ast.Compare(left=left, ops=ops, comparators=rights):
                chain = [left, *rights]
                links = [
                    self._comparison(op, chain[at], chain[at + 1]) for at, op in enumerate(ops)
                ]
                return lambda row: all(one(row) for one in links)
        raise self._refusal(f"{ast.unparse(node)!r} compares nothing")

    def _comparison(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> Callable[[Row], bool]:
        value = self._value(left)
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.Tuple | ast.List | ast.Set):
                raise self._refusal("after 'in' stands a list such as (1, 2)")
            others = [self._value(part) for part in right.elts]
            wanted = isinstance(op, ast.In)

            def is_in(row: Row) -> bool:
                mine = value(row)
                found = any(_are_equal(mine, other(row)) for other in others)
                return mine is not _MISSING and found is wanted

            return is_in
        other = self._value(right)
        if isinstance(op, ast.Eq):
            return lambda row: _are_equal(value(row), other(row))
        if isinstance(op, ast.NotEq):
            return lambda row: _are_unequal(value(row), other(row))
        compare = _COMPARISONS.get(type(op))
        if compare is None:
            raise self._refusal("'is' is not known")
        return lambda row: _is_so(compare, value(row), other(row))

    def _value(self, node: ast.expr) -> Callable[[Row], Any]:
        match node:
            case ast.Constant(value=str() | int() | float() | None as constant):
                return lambda _: constant
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return lambda _: -number
            case ast.Name() | ast.Attribute():
                name = self._name(node)
                if name in _WORDS:
                    return lambda row: row.get(name, _WORDS[name])
                self.columns[name] = None
                return lambda row: row.get(name, _MISSING)
        raise self._refusal(f"{ast.unparse(node)!r} is neither a column nor a value")

    def _name(self, node: ast.expr) -> str:
        match node:
            case ast.Name(id=name):
                quoted = re.fullmatch(r"_column_(\d+)_", name)
                at = int(quoted[1]) if quoted else len(self._quoted)
                return self._quoted[at] if at < len(self._quoted) else name
            case ast.Attribute(value=value, attr=name):
                return f"{self._name(value)}.{name}"
        raise self._refusal(f"{ast.unparse(node)!r} is no name of a column")


def _number(value: object) -> float | int | None:
    """A value as a number, if it is one, or a text that is."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return value
    if isinstance(value, str) and "_" not in value:
        try:
            return float(value)
        except ValueError:
            return None
    return None


def _are_equal(one: object, other: object) -> bool:
    if one is _MISSING or other is _MISSING:
        return False
    if isinstance(one, str) and isinstance(other, str):
        return one == other
    numbers = _number(one), _number(other)
    if None not in numbers:
        return numbers[0] == numbers[1]
    return type(one) is type(other) and one == other


def _are_unequal(one: object, other: object) -> bool:
    return _MISSING not in (one, other) and not _are_equal(one, other)


def _is_so(compare: Callable[[Any, Any], bool], one: object, other: object) -> bool:
    numbers = _number(one), _number(other)
    if None not in numbers:
        return compare(*numbers)
    return isinstance(one, str) and isinstance(other, str) and compare(one, other)


# -- sorting and cutting ----------------------------------------------------------------------


def known(columns: Iterable[str], wanted: Iterable[str]) -> None:
    """Refuse columns that a table does not have.

    Raises:
        ConfigurationError: of the first.
    """
    there = list(columns)
    for name in wanted:
        if name not in there:
            raise ConfigurationError(
                f"there is no column {name!r}; there are: {', '.join(there) or 'none'}."
            )


def names_in(text: str) -> list[str]:
    """Names of columns, with commas between them; each once."""
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def sort(rows: list[R], by: Sequence[str]) -> list[R]:
    """Sort by columns, the first one first; ``-loss``: the largest first.  Numbers come before
    texts, and what a row does not have comes last in any case.  Returns the list."""
    for name in reversed(by):
        column = name.removeprefix("-")
        down = name != column
        rows.sort(key=lambda row: _key(row.get(column), down=down), reverse=down)
    return rows


def _key(value: object, *, down: bool) -> tuple[int, float | int, str]:
    """Sorts values of all types; upside down if the order is turned round afterwards."""
    number = _number(value)
    if number is not None and number == number:  # NaN is not
        rank, key = 0, (number, "")
    elif value is None or value == "" or number is not None:
        rank, key = 2, (0, "")
    else:
        rank, key = 1, (0, natural_key(str(value)))
    return (-rank if down else rank, *key)


class Selection:
    """Which rows of a table a person wants to see, in which order, and which columns of them.

    Args:
        where: a condition, as above; None for all rows.
        sort_by: columns; see `sort`.
        chosen: the columns that are wanted; None for all.
        called: what the person calls the condition.

    Raises:
        ConfigurationError: `where` is no condition.
    """

    def __init__(
        self,
        where: str | None,
        sort_by: Sequence[str],
        chosen: Sequence[str] | None,
        called: str = "--where",
    ) -> None:
        self._condition = None if where is None else Condition(where, called)
        self._by = sort_by
        self._chosen = chosen

    def check(self, columns: Iterable[str]) -> None:
        """Refuse what asks for other columns than the table has.

        Raises:
            ConfigurationError: it does.
        """
        asked = () if self._condition is None else self._condition.columns
        by = (name.removeprefix("-") for name in self._by)
        known(columns, [*asked, *by, *(self._chosen or ())])

    def header(self, columns: Sequence[str]) -> Sequence[str]:
        """The wanted ones of a table's columns."""
        return columns if self._chosen is None else self._chosen

    def rows(self, rows: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
        """The wanted rows, with the wanted columns as far as they have them; one after the other
        unless they are to be sorted."""
        if self._condition is not None:
            rows = filter(self._condition.matches, rows)
        if self._by:
            rows = sort([*rows], self._by)
        chosen = self._chosen
        if chosen is None:
            return rows
        return ({name: row[name] for name in chosen if name in row} for row in rows)
