"""The content of a claimed job, all of it or an error.

An answer that a proxy on the way has cut, or goes on for ever, is well-formed; how long the
file is was told by the listing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, cast

from dirjobs.errors import AmbiguousResult
from dirjobs.protocol.exits import Claim
from dirjobs.protocol.look import Look
from dirjobs.protocol.share import Share

_TRIES = 3


def fetch(share: Share, look: Look, claim: Claim, target: BinaryIO) -> None:
    """Copy the content of a claimed job into `target`; several times if less came than there
    is, where `target` can be rewound.

    Costs no request more than the download, as long as the file has the size that was listed.

    Raises:
        OtherSize: it was each time another number of bytes than is listed.
        StoreError: it can't be fetched.
    """
    start = target.tell() if target.seekable() else None

    def listed() -> int | None:
        entry = look.entry_at(claim.path)
        return None if entry is None else entry.size

    for left in reversed(range(_TRIES)):
        measured = _Measured(target, claim, listed)
        try:
            share.store.download(claim.path, cast("BinaryIO", measured))
            measured.require_whole()
        except OtherSize:
            if not left or start is None:
                raise
            target.seek(start)
            target.truncate()
        else:
            return


class OtherSize(AmbiguousResult):
    """Another number of bytes came than the file has, each time that it was fetched."""


class _Measured:
    """The target of a download, which knows how many bytes it was to be.

    Args:
        target: where they go.
        claim: what is fetched.
        listed: asks anew how many bytes there are; None if the store doesn't tell.
    """

    def __init__(self, target: BinaryIO, claim: Claim, listed: Callable[[], int | None]) -> None:
        self._target = target
        self._claim = claim
        self._listed = listed
        self._size = claim.job.size
        self._came = 0
        self.seekable = target.seekable
        self.tell = target.tell

    def seek(self, offset: int, whence: int = 0) -> int:
        before = self._target.tell()
        after = self._target.seek(offset, whence)
        self._came += after - before
        return after

    def truncate(self, size: int | None = None) -> int:
        return self._target.truncate(size)

    def write(self, data: bytes) -> int:
        self._came += len(data)
        if self._size is not None and self._came > self._size:
            self._size = self._listed()  # it has grown, or this never ends
            self._require(self._size is None or self._came <= self._size)
        return self._target.write(data)

    def require_whole(self) -> None:
        """Raises: AmbiguousResult: fewer bytes came than the file has."""
        if self._size is not None and self._came != self._size:
            self._size = self._listed()
            self._require(self._size in (None, self._came))

    def _require(self, agrees: bool) -> None:
        if not agrees:
            raise OtherSize(
                f"job {self._claim.job.name!r} has {self._size} bytes as it is listed, and"
                f" {self._came} came."
            )
