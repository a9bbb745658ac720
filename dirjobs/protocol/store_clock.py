"""The store's own clock, read off a file that nobody else has to do with."""

from __future__ import annotations

import logging
from collections.abc import Callable

from dirjobs import names
from dirjobs.errors import Denied, NotFound, StoreError, Unsupported
from dirjobs.layout import QUEUE, staged_upload
from dirjobs.protocol.share import Share

log = logging.getLogger(__name__)


class StoreClock:
    """Writes a file, and looks which time it was given.

    Args:
        share: where.
        nonce: makes its name.
    """

    def __init__(self, share: Share, nonce: Callable[[], str] = names.nonce) -> None:
        self.share = share
        self.nonce = nonce

    def is_before(self, time: float) -> bool:
        """Whether the clock has not come to `time` yet, at which another file was written: it
        was set back since.  False if the store does not let us find out.

        Three requests.

        Raises:
            StoreError: not known yet; ask again.
        """
        now = self.now()
        return now is not None and now < time

    def now(self) -> float | None:
        """What time it is there, in seconds since the epoch; None if the store does not let us
        find out.

        Three requests.

        Raises:
            StoreError: not known yet; ask again.
        """
        name = staged_upload(self.nonce())
        try:
            self.share.write(f"{QUEUE}/{name}", b"what time it is")
            times = [entry.mtime for entry in self.share.listed(QUEUE) if entry.name == name]
        except (Denied, Unsupported) as error:
            log.info("the store's time could not be looked up: %s", error)
            return None
        finally:
            self._remove(f"{QUEUE}/{name}")
        return times[0] if times else None

    def _remove(self, path: str) -> None:
        try:
            self.share.remove(path)
        except NotFound:
            pass
        except StoreError as error:
            log.info("a file that may be deleted is left over: %s", error)
