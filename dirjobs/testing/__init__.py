"""What a backend's author needs to prove a store, and faults to try a program with.

`StoreTests` is the conformance suite, `ObjectStoreTests` that of a store without a rename; they
need pytest, which is imported only when they are asked for.  `Lossy`, `Lagging` and `Copying` are
layers that make any store as bad as the real ones.  Its races are those of ``dirjobs check``:
`dirjobs.testing.races`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dirjobs.testing.faults import Copying, Fault, Lagging, Lossy

if TYPE_CHECKING:
    from dirjobs.testing.conformance import ObjectStoreTests, StoreTests

__all__ = ["Copying", "Fault", "Lagging", "Lossy", "ObjectStoreTests", "StoreTests"]


def __getattr__(name: str) -> object:
    if name not in ("ObjectStoreTests", "StoreTests"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pytest

    pytest.register_assert_rewrite("dirjobs.testing.conformance")
    from dirjobs.testing import conformance

    suite: object = getattr(conformance, name)
    return suite
