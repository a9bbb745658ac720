"""What a notebook shows: HTML with its style in it, and nothing in it that comes from others but
text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from dirjobs.admin.report import Overview
from dirjobs.console.text import printable
from dirjobs.console.words import counted, failure_row, remarks, shown_workers, worker_row
from dirjobs.typed import text_of

MOST_ROWS = 60
"""Rows of a table that are shown: half of the beginning, half of the end."""
_LONGEST = 200
"""Characters of a cell."""
_PARTS = (
    ("done", "#3a9d5d"),
    ("failed", "#d0453e"),
    ("cancelled", "#d9a62e"),
    ("running", "#3b8fc2"),
    ("waiting", "#c9ced6"),
)
_COLOURS = {"red": "#d0453e", "yellow": "#9a7410", "green": "#2e7d4a", "": "inherit"}
_CELL = "text-align:left;padding:2px 12px 2px 0;vertical-align:top;white-space:pre-wrap"


def rows_as_html(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """A table; of a long one the beginning and the end."""
    shown = [["" if (v := row.get(c)) is None else text_of(v) for c in columns] for row in rows]
    if len(shown) > MOST_ROWS:
        left = len(shown) - MOST_ROWS
        half = MOST_ROWS // 2
        shown = [*shown[:half], [f"... {left:,} more ..."], *shown[-half:]]
    number = "1 row" if len(rows) == 1 else f"{len(rows):,} rows"
    return f"{_table(columns, shown)}<div>{number}</div>"


def overview_as_html(found: Overview, url: str) -> str:
    """A queue at one moment: counts, a bar, workers, the latest failures.

    Args:
        found: what is shown.
        url: of the queue, without secrets.
    """
    parts = [f"<b>{_text(url)}</b>", _text(counted(found)), _bar(found)]
    parts += [
        f"<span style='color:{_COLOURS.get(remark.style, 'inherit')}'>{_text(remark.text)}</span>"
        for remark in remarks(found)
    ]
    told = "".join(f"<div>{part}</div>" for part in parts)
    if workers := shown_workers(found):
        rows = (worker_row(found, worker) for worker in workers)
        told += _table(("worker", "where", "state", "last sign of life", "runs"), rows)
    if found.failures:
        told += _table(("failed", "job", "why"), map(failure_row, found.failures))
    return f"<div>{told}</div>"


def sentence_as_html(text: str) -> str:
    """What a person is told instead."""
    return f"<div>{_text(text)}</div>"


def _bar(found: Overview) -> str:
    """Jobs in one bar, by how far they are."""
    cells = "".join(
        f"<div title='{name}: {number:,}' style='background:{colour};flex:{number} 1 3px'></div>"
        for name, colour in _PARTS
        if (number := getattr(found, name))
    )
    style = "display:flex;height:12px;max-width:600px;margin:4px 0;background:#eef0f3"
    return f"<div style='{style}'>{cells}</div>"


def _table(header: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th style='{_CELL}'>{_text(cell)}</th>" for cell in header)
    body = "".join(
        f"<tr>{''.join(f'<td style={_CELL!r}>{_text(cell)}</td>' for cell in row)}</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _text(text: str) -> str:
    """`text` as nothing but text, on one line, and cut where it is long."""
    shown = printable(text)
    return escape(shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}...")
