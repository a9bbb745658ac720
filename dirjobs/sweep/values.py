"""Sets of parameters as a program in Python gives them."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from itertools import islice
from numbers import Integral, Real

from dirjobs.errors import ConfigurationError
from dirjobs.sweep.parameters import MOST, Value, check_text, too_many
from dirjobs.typed import Number

_MOST_DIGITS = 300
"""Of a whole number: with more it is larger than any other number of a program."""


def axes_from(given: Mapping[str, object]) -> dict[str, list[Value]]:
    """Parameters, and the values that each of them takes: those of ``--param`` options that print
    the same.

    Args:
        given: by name, one value, or several in a list, a range, an array or the like.

    Raises:
        ConfigurationError: JSON doesn't know a value, or there is none.
    """
    axes: dict[str, list[Value]] = {}
    for name, values in given.items():
        if not isinstance(name, str) or not name:
            raise ConfigurationError(f"{name!r} is no name of a parameter: give a text.")
        called = f"the parameter {name!r}"
        check_text(name, called)
        if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
            axes[name] = [value_of(values, called)]
            continue
        several = list(islice(values, MOST + 1))
        if not several:
            raise ConfigurationError(f"{called} has no value: give one at least, or leave it out.")
        if len(several) > MOST:
            raise too_many(called)
        axes[name] = [value_of(value, called) for value in several]
    return axes


def value_of(value: object, called: str) -> Value:
    """A value as it stands in the file of a job, where it has the type that it has here.  A number
    is in the notation in which Python prints it.

    Args:
        value: one of Python's, or a number of NumPy.
        called: whose it is, in a sentence.

    Raises:
        ConfigurationError: JSON doesn't know it.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        check_text(json.dumps(value, ensure_ascii=False), called)
        return value
    if isinstance(value, os.PathLike):
        return value_of(os.fspath(value), called)
    if isinstance(value, Integral | Real):
        return _number(value, called)
    if isinstance(value, Mapping):
        inner = axes_from({name: [part] for name, part in value.items()})
        return {name: part for name, (part,) in inner.items()}
    if isinstance(value, list | tuple):
        return [value_of(part, called) for part in value]
    item = getattr(value, "item", None)
    if item is not None and type(plain := item()) in (bool, int, float, str):
        return value_of(plain, called)
    raise ConfigurationError(
        f"{called} has a value of type {type(value).__name__}: give numbers, texts, True or False,"
        " lists or dicts."
    )


def _number(value: Integral | Real, called: str) -> Number:
    try:
        if isinstance(value, Integral):
            return _whole(int(value), called)
        if not math.isfinite(value):
            raise ConfigurationError(
                f"{called} has {value!r}, which JSON does not know: give it as a text."
            )
        if isinstance(value, float):
            return Number(float.__repr__(value))  # of float64 as well, which prints its type
        return Number(_shortest(value))
    except OverflowError as error:
        raise ConfigurationError(f"{called} has a number that is too large: {error}.") from error


def _shortest(value: Real) -> float:
    """A float of fewer digits as it prints itself: float32's 0.1, not 0.10000000149011612."""
    try:
        return float(str(value))
    except ValueError:  # a fraction
        return float(value)


def _whole(value: int, called: str) -> Number:
    if abs(value) >= 10**_MOST_DIGITS:
        raise ConfigurationError(
            f"{called} has a number of more than {_MOST_DIGITS} digits: give it as a text."
        )
    return Number(value)
