"""What the commands print: plain lines, with colours on a terminal only."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

_COLOURS = {"done": "green", "failed": "red", "given back": "yellow"}


def on_terminal() -> bool:
    """Whether a person looks at standard output."""
    return sys.stdout.isatty()


def show(line: str, kind: str = "") -> None:
    """Print one line, now.

    Args:
        line: the text.
        kind: what became of a job, for its colour.
    """
    if kind in _COLOURS and on_terminal():
        from rich.console import Console
        from rich.text import Text

        text = Text(line)
        text.highlight_words([f"  {kind}"], _COLOURS[kind])
        Console().print(text, soft_wrap=True)
    else:
        click.echo(line)


def show_json(document: object) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(document, indent=1, ensure_ascii=False))


@contextmanager
def progress(total: int) -> Iterator[Callable[[str, str], None]]:
    """A bar on a terminal, lines elsewhere.

    Yields:
        a function to call with each job's name and what became of it.
    """
    if not on_terminal():
        yield lambda name, how: show(f"{name}  {how}")
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (BarColumn(40), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns) as bar:
        task = bar.add_task("", total=total)
        yield lambda name, how: bar.update(task, advance=1, description=f"{name}  {how}")
        bar.update(task, description="")


def duration(seconds: float) -> str:
    """`seconds` as a person says it: ``0.3 s``, ``12 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
