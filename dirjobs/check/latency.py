"""How long each verb takes."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TypeVar

from dirjobs.layers import Layer
from dirjobs.store import Store

T = TypeVar("T")


@dataclass(frozen=True)
class Latency:
    """How long one verb took, in seconds."""

    median: float
    p99: float
    count: int

    def to_json(self) -> dict[str, object]:
        return asdict(self)


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

    def latencies(self) -> dict[str, Latency]:
        """Of each verb that was carried out at least once."""
        return {verb: _summary(sorted(took)) for verb, took in self._took.items() if took}


def _summary(took: list[float]) -> Latency:
    return Latency(statistics.median(took), took[int(0.99 * (len(took) - 1))], len(took))
