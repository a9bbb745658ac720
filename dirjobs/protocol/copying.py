"""Whether renames across folders copy: tried, on a file that nobody else has to do with."""

from __future__ import annotations

import logging
from contextlib import suppress

from dirjobs.errors import AlreadyExists, AmbiguousResult, Denied, NotFound, StoreError, Unsupported
from dirjobs.layout import QUEUE, WAITING, staged_upload
from dirjobs.protocol.evidence import Evidence
from dirjobs.protocol.look import Look
from dirjobs.protocol.me import Me
from dirjobs.protocol.share import Share

log = logging.getLogger(__name__)

_REFUSALS = (Denied, Unsupported)
"""What will be said again: a file of ours that nobody lets us write or rename."""
_PAUSE = 1.5
"""Seconds after which a copy has another mtime than its source: servers count whole ones."""


class CopyingTest:
    """Renames a file of its own from one folder to another, and compares its mtimes.

    A copy has a new mtime: so did 21 of 21 WebDAV servers and variants that copy, and no
    other.  Nobody else knows the file, so nothing that people or workers do to jobs, claims
    or results can make a server look like one that copies.

    Args:
        share: where.
        me: what the store promises, and by which policy we work.
        look: finds the file.
        evidence: keeps what was found, for all threads of the worker.
    """

    def __init__(self, share: Share, me: Me, look: Look, evidence: Evidence) -> None:
        self.share = share
        self.me = me
        self.look = look
        self.evidence = evidence

    def copies(self) -> bool | None:
        """Whether renames across folders copy; None if that can't be found out here.

        Six requests and 1.5 s, unless the store promises to keep mtimes, or the answer is
        not older than a lease.

        Raises:
            StoreError: not known yet; ask again.
        """
        if self.me.guarantees.rename_keeps_mtime:
            return False
        evidence, now = self.evidence, self.share.now()
        if evidence.copying is None or now - evidence.copying_tested > self.me.policy.lease:
            try:
                evidence.copying = self._try()
            except _REFUSALS as error:
                log.info("whether renames copy here could not be tried: %s", error)
                return None
            evidence.copying_tested = now
        return evidence.copying

    def _try(self) -> bool | None:
        """On a file that no other thread uses meanwhile, whose steps would pass for the store's."""
        test_files = self.evidence.test_files
        try:
            name = test_files.pop()
        except IndexError:
            name = staged_upload(self.me.nonce())
        else:
            self._remove(name)  # the earlier try may have left it
        src, dst = f"{QUEUE}/{name}", f"{WAITING}/{name}"
        may_be_written_late = True
        try:
            # Whatever is said to the two, the listings tell what was done.
            with suppress(AmbiguousResult):
                self.share.write(src, b"whether a rename keeps this file's time")
                may_be_written_late = False
            before = self.look.entry_at(src)
            self.share.sleep(_PAUSE)
            with suppress(AmbiguousResult, NotFound, AlreadyExists):
                self.share.rename(src, dst)
            after = self.look.entry_at(dst)
        finally:
            self._remove(name)
            if not may_be_written_late:  # which would change the file's time in a later try
                test_files.append(name)
        if before is None or after is None:
            raise AmbiguousResult(f"{src!r} may have been renamed to {dst!r} or not")
        if before.mtime is None or after.mtime is None:
            return None
        if after.mtime < before.mtime:
            raise AmbiguousResult(f"{dst!r} is left over from before")
        return after.mtime > before.mtime

    def _remove(self, name: str) -> None:
        for folder in (WAITING, QUEUE):
            try:
                self.share.remove(f"{folder}/{name}")
            except NotFound:
                continue
            except StoreError as error:
                log.info("a file that may be deleted is left over: %s", error)
