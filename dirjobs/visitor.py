"""Changing a queue by hand: by somebody with a heartbeat of its own for so long.

So what it leaves half way if it is killed is found, and put back, like any dead worker's;
and it goes by the mode that the workers have agreed on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from . import names
from .claim import Claims
from .presence import Presence
from .process import this_process
from .steps import Driver
from .store import Guarantees
from .terms import Terms, warranted


def visitor(purpose: str, promises: Guarantees) -> Presence:
    """Somebody whose name begins with `purpose`, on a store that makes these promises."""
    claims = Claims(f"{purpose}-{names.nonce()}", Terms(warranted(promises)), promises)
    return Presence(claims, this_process())


@contextmanager
def visiting(driver: Driver, purpose: str) -> Iterator[Presence]:
    """A visitor who has announced itself, and says goodbye at the end.

    Raises:
        ConfigurationError, StoreError: as `Presence.announce`.
    """
    presence = visitor(purpose, driver.store.guarantees)
    driver.run(presence.announce())
    try:
        yield presence
    finally:
        driver.run(presence.end())
