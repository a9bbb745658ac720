"""What a backend's author needs to prove a store, and faults to try a program with.

`StoreTests` is the conformance suite; it needs pytest, which is imported only when it is
asked for.  `Lossy`, `Lagging` and `Copying` are layers that make any store as bad as the
real ones.  Its races are those of ``dirjobs check``: `dirjobs.testing.races`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dirjobs.testing.faults import Copying, Fault, Lagging, Lossy

if TYPE_CHECKING:
    from dirjobs.testing.conformance import StoreTests

__all__ = ["Copying", "Fault", "Lagging", "Lossy", "StoreTests"]


def __getattr__(name: str) -> object:
    if name != "StoreTests":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pytest

    pytest.register_assert_rewrite("dirjobs.testing.conformance")
    from dirjobs.testing.conformance import StoreTests

    return StoreTests
