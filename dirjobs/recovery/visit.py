"""Changing a queue by hand: by somebody with a heartbeat of its own for so long.

So what it leaves half way if it is killed is found, and put back, like any dead worker's;
and it goes by the mode that the workers have agreed on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dirjobs import layout
from dirjobs.policy import Terms, warranted
from dirjobs.process import this_process
from dirjobs.protocol.claim import Claims
from dirjobs.protocol.effects import Driver
from dirjobs.recovery.membership import Presence
from dirjobs.store import Guarantees


def visitor(purpose: str, promises: Guarantees) -> Presence:
    """Somebody whose name begins with `purpose`, on a store that makes these promises."""
    claims = Claims(f"{purpose}-{layout.nonce()}", Terms(warranted(promises)), promises)
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
