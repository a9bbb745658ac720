"""The store's own clock, read off a file that nobody else has to do with."""

from __future__ import annotations

import logging

from dirjobs.errors import Denied, NotFound, StoreError, Unsupported
from dirjobs.layout import QUEUE, staged_upload
from dirjobs.protocol.me import Me
from dirjobs.protocol.share import Share

log = logging.getLogger(__name__)


class StoreClock:
    """Writes a file, and looks which time it was given.

    Args:
        share: where.
        me: makes its name.
    """

    def __init__(self, share: Share, me: Me) -> None:
        self.share = share
        self.me = me

    def is_before(self, time: float) -> bool:
        """Whether the clock has not come to `time` yet, at which another file was written: it
        was set back since.  False if the store does not let us find out.

        Three requests.

        Raises:
            StoreError: not known yet; ask again.
        """
        name = staged_upload(self.me.nonce())
        try:
            self.share.write(f"{QUEUE}/{name}", b"what time it is")
            times = [entry.mtime for entry in self.share.listed(QUEUE) if entry.name == name]
        except (Denied, Unsupported) as error:
            log.info("the store's time could not be looked up: %s", error)
            return False
        finally:
            self._remove(f"{QUEUE}/{name}")
        return any(now is not None and now < time for now in times)

    def _remove(self, path: str) -> None:
        try:
            self.share.remove(path)
        except NotFound:
            pass
        except StoreError as error:
            log.info("a file that may be deleted is left over: %s", error)
