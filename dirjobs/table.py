"""The table of results, as a program in Python and a notebook have it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dirjobs.errors import ConfigurationError

if TYPE_CHECKING:
    import pandas
    import pyarrow


class Table:
    """Rows of a table: dicts by column, without what a row does not have.

    Args:
        columns: in their order.
        rows: their values.
    """

    def __init__(self, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
        self.columns = list(columns)
        """The names of all columns."""
        self._rows = [dict(row) for row in rows]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> dict[str, Any]:
        """The row of a number, from 0."""
        return self._rows[number]

    def to_pandas(self) -> pandas.DataFrame:
        """The same as a data frame.

        Raises:
            ConfigurationError: there is no pandas.
        """
        try:
            import pandas
        except ImportError as error:
            raise ConfigurationError(
                "to_pandas() needs pandas: install it with `pip install pandas`."
            ) from error
        return pandas.DataFrame(self._rows, columns=self.columns)

    def to_arrow(self) -> pyarrow.Table:
        """The same as a table of Arrow: a column is of whole numbers, of numbers, of truth values,
        or else of texts.

        Raises:
            ConfigurationError: there is no pyarrow.
        """
        from dirjobs.console.parquet import arrow_table

        return arrow_table(self.columns, self._rows, "to_arrow()")

    def _repr_html_(self) -> str:
        from dirjobs.console.html import rows_as_html

        return rows_as_html(self.columns, self._rows)

    def __repr__(self) -> str:
        return f"<Table of {len(self):,} rows: {', '.join(self.columns)}>"
