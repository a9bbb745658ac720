"""Tables as Parquet files, for pandas, polars, R and the like; by pyarrow, which is an extra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dirjobs.console.spreadsheet import defused
from dirjobs.errors import ConfigurationError
from dirjobs.typed import Number, text_of

if TYPE_CHECKING:
    import pyarrow

_LARGEST = 2**63


def write_table(
    path: str, header: Sequence[str], rows: Sequence[Mapping[str, Any]], *, raw: bool
) -> None:
    """Write rows to a file.  A column is of whole numbers, of numbers, of truth values, or else
    of texts; what a row has no value for is null.

    Args:
        path: of the file, which is replaced.
        header: the columns.
        rows: their values.
        raw: leave texts alone that a spreadsheet takes for formulas.

    Raises:
        ConfigurationError: there is no pyarrow, or the file can't be written.
    """
    table = arrow_table(header, rows, "--parquet", defuses=not raw)
    from pyarrow import parquet

    try:
        parquet.write_table(table, path)
    except OSError as error:
        raise ConfigurationError(
            f"{path!r} can't be written: {error.strerror or error}."
        ) from error


def arrow_table(
    header: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    asked_by: str,
    *,
    defuses: bool = False,
) -> pyarrow.Table:
    """Rows as a table of Arrow, with columns as of `write_table`.

    Args:
        header: the columns.
        rows: their values.
        asked_by: what needs it, in a sentence.
        defuses: put a ``'`` before texts that a spreadsheet takes for formulas.

    Raises:
        ConfigurationError: there is no pyarrow.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise ConfigurationError(
            f"{asked_by} needs pyarrow: install it with `pip install pyarrow`."
        ) from error
    return pyarrow.table(
        {name: _column([row.get(name) for row in rows], not defuses) for name in header}
    )


def _column(values: Sequence[Any], raw: bool) -> list[Any]:
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, bool) for value in known):
        return list(values)
    if known and all(map(_is_whole, known)):
        return [None if value is None else int(value) for value in values]
    if known and all(map(_is_number, known)):
        return [None if value is None else float(value) for value in values]
    texts = [None if value is None else text_of(value) for value in values]
    return texts if raw else [None if text is None else defused(text) for text in texts]


def _is_whole(value: object) -> bool:
    is_one = value.is_whole if isinstance(value, Number) else isinstance(value, int)
    return is_one and not isinstance(value, bool) and abs(int(str(value))) < _LARGEST


def _is_number(value: object) -> bool:
    return isinstance(value, Number | int | float) and not isinstance(value, bool)
