"""JSON that others wrote, decoded by type: all of it is what it should be, or none is used."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def loads(data: bytes) -> Any:
    """What `data` says, in whatever encoding and with whatever an editor puts before it.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def convert(record: object, kind: type[T]) -> T:
    """`record`, if it has the shape of `kind`; fields that `kind` does not know are left alone.

    Raises:
        ValueError: it hasn't.
    """
    try:
        return msgspec.convert(record, kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from error


def decode(data: bytes, kind: type[T]) -> T:
    """What `data` says, if that has the shape of `kind`.

    Raises:
        ValueError: it is no JSON, or has another shape.
    """
    return convert(loads(data), kind)
