"""What the options of several commands have in common."""

from __future__ import annotations

import os
import platform
import re
from typing import TYPE_CHECKING

import click

from ..errors import ConfigurationError, NotFound
from ..names import WAITING
from ..store import Store
from ..terms import seconds

if TYPE_CHECKING:
    _ParamType = click.ParamType[float]  # generic since click 8.4, for type checkers only here
else:
    _ParamType = click.ParamType


class Seconds(_ParamType):
    """A duration."""

    name = "S"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        name = param.opts[0] if param is not None else "seconds"
        try:
            number: object = float(str(value))
        except ValueError:
            number = value
        try:
            return seconds(name, number)
        except ConfigurationError as error:
            raise click.UsageError(str(error), ctx) from None


def default_wid() -> str:
    """A worker id that no other process on any machine is likely to have."""
    host = re.sub(r"[^A-Za-z0-9_-]+", "-", platform.node().partition(".")[0])[:28]
    return f"{host.strip('-') or 'worker'}-{os.getpid()}"


def check_is_queue(store: Store) -> None:
    """Refuse a place that has no ``00_waiting``: most likely its name was mistyped.

    Raises:
        ConfigurationError: it has none.
        StoreError: that can't be found out.
    """
    try:
        there = store.exists(WAITING)
    except NotFound:
        there = False
    if not there:
        raise ConfigurationError(
            f"{store.url!r} is not a queue: it has no folder {WAITING}; check the spelling,"
            f" or make that folder and put job files into it."
        )
