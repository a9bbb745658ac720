"""JSON that others wrote, decoded by type: all of it is what it should be, or none is used."""

from __future__ import annotations

from typing import TypeVar

import msgspec

T = TypeVar("T")


def decode(data: bytes, kind: type[T]) -> T:
    """What `data` says.

    Raises:
        ValueError: it is no JSON, or does not have the shape of `kind`; fields that `kind`
            does not know are left alone.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error
