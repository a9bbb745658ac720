"""The parameters in a job's file: a JSON object, whose numbers stay as somebody wrote them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from dirjobs.files.leftovers import opened
from dirjobs.layout import RESULT
from dirjobs.protocol.journal import LARGEST_OBJECT
from dirjobs.protocol.records import check_depth
from dirjobs.typed import Number, text_of

LARGEST_JOB = 1 << 20
"""Bytes: a larger job is no set of parameters."""


def object_in(path: str) -> dict[str, Any] | None:
    """The JSON object in a job's file, its numbers as `Number`; None if it is none (of at most
    1 MiB, and not nested more deeply than anybody would).

    Any of JSON's encodings is understood, with or without a byte order mark, as editors and
    shells of Windows write it.

    Raises:
        OSError: the file can't be read.
    """
    with opened(path, follow=False) as file:
        return object_of(file.read(LARGEST_JOB + 1))


def object_of(data: bytes) -> dict[str, Any] | None:
    """As `object_in`, of the content of the file."""
    return _object_of(data, LARGEST_JOB, partial(json.loads, parse_int=Number, parse_float=Number))


def _object_of(data: bytes, largest: int, decoded: Callable[[bytes], Any]) -> dict[str, Any] | None:
    if len(data) > largest:
        return None
    try:
        record = decoded(data)
        check_depth(record)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def texts_of(record: Mapping[str, Any]) -> dict[str, str]:
    """The parameters in a job's file as text."""
    return {name: text_of(value) for name, value in record.items()}


def small_result(folder: str) -> dict[str, Any] | None:
    """What a command has written into ``result.json``, nothing if it hasn't; None if that is no
    JSON object, or larger than a record of the journal has room for."""
    try:
        # A loss that is no number any more is a result, too; JSON has none but texts for it.
        decoded = partial(json.loads, parse_constant=str)
        with opened(os.path.join(folder, RESULT), follow=False) as file:
            return _object_of(file.read(LARGEST_OBJECT + 1), LARGEST_OBJECT, decoded)
    except FileNotFoundError:
        return {}
    except OSError:
        return None
