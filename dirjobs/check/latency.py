"""How long each verb takes."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import TypeVar

from dirjobs.layers import Layer
from dirjobs.store import Store

T = TypeVar("T")


class Timed(Layer):
    """Notes how long each call took; copies for other threads note it in the same place."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._took: dict[str, list[float]] = defaultdict(list)

    def call(self, verb: str, paths: tuple[str, ...], action: Callable[[], T]) -> T:  # noqa: ARG002
        began = time.monotonic()
        result = action()
        self._took[verb].append(time.monotonic() - began)
        return result

    def latencies(self) -> dict[str, float]:
        """The median in seconds of each verb that was carried out."""
        return {verb: statistics.median(took) for verb, took in self._took.items()}
