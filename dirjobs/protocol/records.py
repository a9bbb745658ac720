"""JSON that others wrote, decoded by type: all of it is what it should be, or none is used.

Every file of a queue that dirjobs reads goes through here: heartbeats, ``queue.json``, notes.
Whatever somebody put there costs neither more than `MAX_READ` bytes nor a crash later on.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from typing import Annotated, Any, TypeVar

import msgspec

from dirjobs.store import MAX_READ

T = TypeVar("T")

MAX_DEPTH = 50
"""Lists and objects inside each other; what prints or writes them goes as deep as they do."""
MAX_NUMBER = 2**63 - 1
_LARGEST = {int: MAX_NUMBER, bool: 1, float: sys.float_info.max}

_prepared: set[type] = set()
_preparing = threading.Lock()
if hasattr(os, "register_at_fork"):  # a child has no other thread that would finish it
    os.register_at_fork(
        before=_preparing.acquire,
        after_in_parent=_preparing.release,
        after_in_child=_preparing.release,
    )

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Bytes = Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]
Text = Annotated[str, msgspec.Meta(max_length=300)]
"""A name: of a job, a worker, a machine."""


def loads(data: bytes) -> Any:
    """What `data` says, in whatever encoding and with whatever an editor puts before it.

    Raises:
        ValueError: it is no JSON, or goes beyond the bounds.
    """
    if len(data) > MAX_READ:
        raise ValueError(f"it is larger than {MAX_READ:,} bytes")
    try:
        value = json.loads(data, parse_constant=_unknown)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return bounded(value)


def _unknown(_constant: str) -> None:
    """NaN and infinities, which JSON doesn't have: no type of ours takes it, and where nobody
    asks what stands there, as in a check's record, it does no harm."""


def bounded(value: Any) -> Any:
    """`value`, decoded from JSON, if all that goes through it can.

    Raises:
        ValueError: it is nested too deeply, or a number is too large.
    """
    for level in _levels(value):
        for one in level:
            if isinstance(one, float | int) and not abs(one) <= _LARGEST[type(one)]:
                raise ValueError("a number is too large")
    return value


def check_depth(value: object) -> None:
    """Refuse what is decoded from JSON, but could not be printed or written again.

    Raises:
        ValueError: it is nested too deeply.
    """
    for _ in _levels(value):
        pass


def _levels(value: object) -> Iterator[list[Any]]:
    """What is in a value at each depth."""
    level, depth = [value], 0
    while level:
        yield level
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner.extend(one.values())
            elif isinstance(one, list):
                inner.extend(one)
        depth += 1
        if depth > MAX_DEPTH and inner:
            raise ValueError("it is nested too deeply")
        level = inner


def convert(record: object, kind: type[T]) -> T:
    """`record`, if it has the shape of `kind`; fields that `kind` does not know are left alone.

    Raises:
        ValueError: it hasn't.
    """
    if kind not in _prepared:
        _prepare(kind)
    try:
        return msgspec.convert(record, kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from error


def _prepare(kind: type) -> None:
    """Let msgspec describe a type to itself, one thread after the other.

    It does so at the first use, in Python code, between which other threads run; and a thread
    that meets the unfinished description of a dataclass reads through a null pointer (msgspec
    0.22).
    """
    with _preparing:
        if kind not in _prepared:
            msgspec.json.Decoder(kind)
            _prepared.add(kind)


def decode(data: bytes, kind: type[T]) -> T:
    """What `data` says, if that has the shape of `kind`.

    Raises:
        ValueError: it is no JSON, or has another shape.
    """
    return convert(loads(data), kind)
