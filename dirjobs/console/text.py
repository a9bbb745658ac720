"""What the commands print: plain lines, with colours on a terminal only.

Names, results, notes and logs were written by others, who may mean ill: all that is printed goes
through `printable`, JSON through `json_text`, so that no terminal obeys any of it.
"""

from __future__ import annotations

import codecs
import io
import json
import math
import sys
import time
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Self

import click

if TYPE_CHECKING:
    from rich.progress import Progress

_COLOURS = {"done": "green", "failed": "red", "given back": "yellow"}
_BETWEEN = 2
"""Blanks between two columns."""
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")


def on_terminal() -> bool:
    """Whether a person looks at standard output."""
    return sys.stdout.isatty()


def show(line: str, kind: str = "") -> None:
    """Print one line, now.

    Args:
        line: the text; what a terminal would obey in it, line breaks too, is escaped.
        kind: what became of a job, for its colour.
    """
    line = printable(line)
    if kind in _COLOURS and on_terminal():
        from rich.console import Console
        from rich.text import Text

        text = Text(line)
        text.highlight_words([f" ... {kind}"], _COLOURS[kind])
        Console().print(text, soft_wrap=True)
    else:
        click.echo(line)


def show_raw(line: str) -> None:
    """Print a line as it is, for somebody who asked for that."""
    click.echo(line)


def show_table(
    rows: Iterable[Sequence[str]],
    styles: Sequence[str] = (),
    *,
    wraps: bool = False,
    fits: bool = False,
    right: Sequence[int] = (),
) -> None:
    """Print rows with aligned columns.

    On a terminal the last column that doesn't fit is cut; elsewhere nothing is.

    Args:
        rows: the cells, as many in each row.
        styles: rich's names of the columns' colours, for terminals.
        wraps: cells that don't fit take more lines, but for the first column.
        fits: of columns that don't fit only the names are told, which the first row has.
        right: the numbers, from 0, of columns that stand at the right.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    left_out: Sequence[str] = ()
    if fits and on_terminal():
        rows = list(rows)
        shown = _fitting(rows, Console().width)
        left_out = [name for at, name in enumerate(rows[0]) if at not in shown] if rows else ()
        rows = [[row[at] for at in shown] for row in rows]
        styles = [styles[at] if at < len(styles) else "" for at in shown]
        right = [place for place, at in enumerate(shown) if at in right]
    table = Table(box=None, show_header=False, padding=(0, _BETWEEN, 0, 0), pad_edge=False)
    for row in rows:
        while len(table.columns) < len(row):
            at = len(table.columns)
            style = styles[at] if at < len(styles) else ""
            cut = not (wraps and at)
            table.add_column(
                style=style,
                no_wrap=cut,
                overflow="ellipsis" if cut else "fold",
                justify="right" if at in right else "left",
            )
        table.add_row(*(Text(printable(cell)) for cell in row))
    if not table.columns:
        return
    if on_terminal():
        Console().print(table)
        if left_out:
            show(f"Not shown, since they don't fit: {', '.join(left_out)} (choose with --columns).")
        return
    console = Console(width=1 << 16)
    with console.capture() as lines:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in lines.get().splitlines()))


def fits(rows: Sequence[Sequence[str]]) -> bool:
    """Whether a table is not wider than the terminal."""
    from rich.console import Console

    return not rows or len(_fitting(rows, Console().width)) == len(rows[0])


def _fitting(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Which columns are shown: the first one, and each that fits into what those before it have
    left of `width`."""
    from rich.cells import cell_len

    widths = [
        max(cell_len(printable(cell)) for cell in column) for column in zip(*rows, strict=True)
    ]
    shown: list[int] = []
    left = width
    for at, one in enumerate(widths):
        if not shown or one <= left:
            shown.append(at)
            left -= one + _BETWEEN
    return shown


def cut(text: str, room: int) -> str:
    """`text` in `room` cells: what is too much is left out of its middle, since names of a sweep
    differ at their ends."""
    from rich.cells import cell_len

    if cell_len(text) <= room:
        return text
    head, tail, left = "", "", max(0, room - 1)
    for char in reversed(text):
        if cell_len(char + tail) > left // 2:
            break
        tail = char + tail
    for char in text:
        if cell_len(head + char) > left - cell_len(tail):
            break
        head += char
    return f"{head}\u2026{tail}" if room > 0 else ""


def printable(text: str) -> str:
    """`text` with what a terminal would obey (control characters and the like) escaped."""
    if text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in _HIDDEN else char
        for char in text
    )


def show_json(document: object) -> None:
    """Print one JSON document; see `json_text`."""
    click.echo(json_text(document, indent=1))


def json_text(document: object, indent: int | None = None) -> str:
    """A document as JSON, on one line without an `indent`.

    NaN and infinities, which JSON doesn't know, are null in it; what a terminal would obey is
    escaped as JSON does, so programs read the same text as ever.
    """
    text = json.dumps(_known_to_json(document), indent=indent, ensure_ascii=False, allow_nan=False)
    return "\n".join(map(_escaped_in_json, text.split("\n")))


def _escaped_in_json(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(
        json.dumps(char)[1:-1] if unicodedata.category(char) in _HIDDEN else char for char in line
    )


def _known_to_json(value: object) -> object:
    if isinstance(value, dict):
        return {key: _known_to_json(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_known_to_json(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class TerminalText(io.RawIOBase):
    """Prints bytes, such as a log, on a terminal: lines stay, an overwritten line becomes one of
    its own, all else that a terminal would obey is escaped.

    Close it after the last bytes.
    """

    def __init__(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._decoder = io.IncrementalNewlineDecoder(decoder, translate=True)

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._print(self._decoder.decode(data))
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._print(self._decoder.decode(b"", final=True))
        super().close()

    def _print(self, text: str) -> None:
        lines = ("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))
        click.echo("\n".join(lines), nl=False)


def _in_notebook() -> bool:
    """Whether this is the process behind a notebook, where rich shows its bars."""
    return "ipykernel" in sys.modules


class Bar:
    """A progress bar on standard error: on a terminal or in a notebook only, and after a second.

    Args:
        what: is done, such as ``adding``.
        total: how many; may be changed.
    """

    PATIENCE = 1.0
    _PAUSE = 0.1

    def __init__(self, what: str, total: int) -> None:
        self.total = total
        self._what = what
        self._began = self._shown = time.monotonic()
        self._progress: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def show(self, number: int) -> None:
        """So many are done now."""
        now = time.monotonic()
        last = number >= self.total and self._progress is not None
        if now - self._began < self.PATIENCE or (now - self._shown < self._PAUSE and not last):
            return
        self._shown = now
        if self._progress is None:
            if not (sys.stderr.isatty() or _in_notebook()):
                return
            self._progress = self._start()
        self._progress.update(self._task, completed=number, total=self.total)

    def _start(self) -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        progress = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(40),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = progress.add_task(self._what, total=self.total)
        progress.start()
        return progress

    def __exit__(self, *error: object) -> None:
        if self._progress is not None:
            self._progress.stop()


def duration(seconds: float, *, least: float = 0.1) -> str:
    """`seconds` as a person says it: ``0.3 s``, ``12 s``, ``3 min 20 s``, ``2 h 05 min``.

    Args:
        seconds: the duration.
        least: what is worth telling: 1 for whole seconds only, 0.001 for ``1.2 ms`` as well.
    """
    if least < 0.1 and seconds <= 0.95:
        return f"{1000 * seconds:.0f} ms" if seconds > 0.01 else f"{1000 * seconds:.2g} ms"
    if least < 1 and seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def brief_duration(seconds: float) -> str:
    """`seconds` in one unit: ``12 s``, ``3 min``, ``1.9 h``, ``4 d``."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    if seconds < 3570:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} d"


def short_time(at: float | None) -> str:
    """A moment as `clock_time`, to the minute, in a column: ``11-29 05:46``, with the year
    instead of the time if it wasn't this one."""
    moment = _moment(at)
    if moment is None:
        return ""
    this_year = moment.year == datetime.now().year
    return moment.strftime("%m-%d %H:%M" if this_year else "%Y-%m-%d")


def clock_time(at: float | None) -> str:
    """A moment, in seconds since the epoch, by the clock on this wall: ``09:01:05``, with the
    day before it if it wasn't today."""
    moment = _moment(at)
    if moment is None:
        return ""
    same_day = moment.date() == datetime.now().date()
    return moment.strftime("%H:%M:%S" if same_day else "%Y-%m-%d %H:%M:%S")


def _moment(at: float | None) -> datetime | None:
    """Seconds since the epoch, by the clock on this wall; None if that can't be told."""
    try:
        return None if at is None else datetime.fromtimestamp(at)
    except (OverflowError, OSError, ValueError):
        return None
