"""Where the jobs of ``dirjobs add`` come from: files, lines, sets of parameters."""

from __future__ import annotations

import codecs
import glob
import io
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from dirjobs import layout
from dirjobs.errors import ConfigurationError, named_in_errors
from dirjobs.placeholders import variable_of
from dirjobs.sweep.naming import Naming, content_of, filled, name_for, numbered
from dirjobs.sweep.parameters import (
    Axes,
    Row,
    Rows,
    combinations,
    csv_rows,
    encoding_of,
    json_rows,
)
from dirjobs.typed import text_of

INPUT = "-"
"""Stands for standard input."""


@dataclass(frozen=True)
class NewJob:
    """A job to be added.

    Attributes:
        name: its name.
        open: gives its content.
        size: of the content in bytes.
    """

    name: str
    open: Callable[[], BinaryIO]
    size: int


@dataclass(frozen=True)
class Batch:
    """Jobs to be added, all of whose names are known and allowed.

    Attributes:
        names: of all jobs, in order.
        jobs: gives them once more, with their contents.
    """

    names: Sequence[str]
    jobs: Callable[[], Iterator[NewJob]]


@contextmanager
def readable(path: str) -> Iterator[str]:
    """A path from which `path` can be read more than once: itself, or a temporary file with
    what comes from standard input."""
    if path != INPUT:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="dirjobs-") as folder:
        copy = os.path.join(folder, "input")
        with open(copy, "wb") as file:
            shutil.copyfileobj(_standard_input(), file)
        yield copy


def _standard_input() -> BinaryIO:
    return sys.stdin.buffer


def called(path: str) -> str:
    """What to call a path in a sentence."""
    return "standard input" if path == INPUT else path


# -- files ---------------------------------------------------------------------------------


def from_files(paths: Sequence[str]) -> Batch:
    """A job for each file, under the file's own name.

    Raises:
        ConfigurationError: a file can't be read, or its name can't be a job's, or two
            files have one name.
    """
    found: list[str] = []
    by_name: dict[str, str] = {}
    for path in paths:
        for file in _named_on_input() if path == INPUT else (path,):
            _check_file(file)
            name = layout.check_new_job(os.path.basename(file))
            other = by_name.setdefault(name.casefold(), file)
            if other is not file:
                raise ConfigurationError(
                    f"{other!r} and {file!r} would be one job, {name!r}: rename one of them."
                )
            found.append(file)

    def jobs() -> Iterator[NewJob]:
        for file in found:
            yield NewJob(os.path.basename(file), _opener(file), os.stat(file).st_size)

    return Batch([os.path.basename(file) for file in found], jobs)


def matching(patterns: Iterable[str]) -> list[str]:
    """The files that are meant by names and patterns such as ``parameters/*.json``, which the
    shells of Windows leave to programs; a pattern that is like no file stays."""
    found: list[str] = []
    for pattern in patterns:
        there = pattern == INPUT or os.path.lexists(pattern)
        found += [pattern] if there else sorted(glob.glob(pattern)) or [pattern]
    return found


def _opener(path: str) -> Callable[[], BinaryIO]:
    return lambda: open(path, "rb")


def _named_on_input() -> Iterator[str]:
    for number, line in enumerate(_standard_input()):
        bare = line if number else line.removeprefix(codecs.BOM_UTF8)
        name = os.fsdecode(bare.rstrip(b"\r\n"))
        if name:
            yield name


def _check_file(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(f"{path!r} can't be added: {why}.") from error
    if stat.S_ISDIR(mode):
        raise ConfigurationError(f"{path!r} is a folder: name the files in it, such as {path}/*.")
    if not stat.S_ISREG(mode):
        raise ConfigurationError(f"{path!r} can't be added: it is no regular file.")
    if not os.access(path, os.R_OK):
        raise ConfigurationError(f"{path!r} can't be added: you may not read it.")


# -- lines ---------------------------------------------------------------------------------


def from_lines(path: str, pattern: str | None) -> Batch:
    """A job for each line of a file that is not blank; the line is its content.

    Args:
        path: of the file; it is read twice.
        pattern: makes the names of ``{number}``; None for names made of the lines, so that a
            longer file adds what is new in it.

    Raises:
        ConfigurationError: a name can't be a job's, or there are two of one name, or the
            file is no text.
    """
    if pattern is not None:
        count = sum(1 for _ in _lines(path))
        found = Naming(pattern, "").names({} for _ in range(count))
    else:
        found = []
        taken: set[str] = set()
        for line in _lines(path):
            name = name_for(line.decode(errors="replace").strip(), line, ".txt")
            if name.casefold() in taken:
                name = numbered(taken, name, ".txt")
            taken.add(name.casefold())
            found.append(name)

    def jobs() -> Iterator[NewJob]:
        for name, line in zip(found, _lines(path), strict=False):
            yield in_memory(name, line)

    return Batch(found, jobs)


def _lines(path: str) -> Iterator[bytes]:
    with named_in_errors(path):
        encoding = encoding_of(path)
    # Names of files may be in any encoding, and go through as they are.
    errors = "strict" if encoding == "utf-16" else "surrogateescape"
    with named_in_errors(path), open(path, encoding=encoding, errors=errors) as file:
        try:
            for number, line in enumerate(file, 1):
                if "\0" in line:
                    raise ConfigurationError(
                        f"{path!r}, line {number} is no text: save it as UTF-8."
                    )
                text = line.rstrip("\n")
                if text.strip():
                    yield text.encode("utf-8", "surrogateescape") + b"\n"
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"{path!r} is no text in UTF-16: save it as UTF-8.") from error


def in_memory(name: str, content: bytes) -> NewJob:
    """A job with this content."""
    return NewJob(name, lambda: io.BytesIO(content), len(content))


# -- parameters ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """Which sets of parameters are made of ``--param`` options; see `combinations`."""

    paired: bool = False
    repeat: int | None = None
    sample: int | None = None


_ALL = Choice()


def from_parameters(
    axes: Axes,
    table: tuple[str, str, str] | None = None,
    template: str | None = None,
    pattern: str | None = None,
    choice: Choice = _ALL,
) -> Batch:
    """A job for each set of parameters.

    Args:
        axes: the parameters of which each combination is made.
        table: ``csv`` or ``json``, the path of the file with the sets, and what to call it.
        template: path of a file whose placeholders are filled in; None for a JSON file of
            the parameters.
        pattern: makes the names; None for names such as ``lr0.1_seed3.json``.
        choice: which sets.

    Raises:
        ConfigurationError: something of it makes no sense; the message says what.
    """
    rows: Rows = lambda: [{}]  # noqa: E731
    if table is not None:
        read = csv_rows if table[0] == "csv" else json_rows
        path, shown = table[1:]
        rows = lambda: read(path, shown)  # noqa: E731
    rows = combinations(
        rows, axes, paired=choice.paired, repeat=choice.repeat, sample=choice.sample
    )
    content: Callable[[Row], bytes] = content_of
    suffix = ".json"
    if template is not None:
        content, suffix = _template(template), os.path.splitext(template)[1]
        for row in rows():
            content(row)
    else:
        _check_variables(rows())
    found = Naming(pattern, suffix).names(rows())

    def jobs() -> Iterator[NewJob]:
        try:
            for name, row in zip(found, rows(), strict=True):
                yield in_memory(name, content(row))
        except ValueError as error:
            if isinstance(error, ConfigurationError):
                raise
            raise ConfigurationError("the file with the parameters changed meanwhile.") from error

    return Batch(found, jobs)


def _check_variables(rows: Iterable[Row]) -> None:
    """Refuse parameters that a command could not tell apart in its environment.

    Raises:
        ConfigurationError: there are two of one variable.
    """
    seen: set[tuple[str, ...]] = set()
    for row in rows:
        if (names := tuple(row)) in seen:
            continue
        seen.add(names)
        by_variable: dict[str, str] = {}
        for name in names:
            other = by_variable.setdefault(variable_of(name), name)
            if other != name:
                raise ConfigurationError(
                    f"the parameters {other!r} and {name!r} would both be {variable_of(name)} in"
                    " the environment of a command: rename one of them."
                )


def _template(path: str) -> Callable[[Row], bytes]:
    _check_file(path)
    try:
        with named_in_errors(path), open(path, encoding="utf-8", newline="") as file:
            text = file.read()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"the template {path!r} is not UTF-8 text.") from error

    def content(row: Row) -> bytes:
        values = {name: text_of(value) for name, value in row.items()}
        return filled(text, values, f"the template {path!r}").encode()

    return content
