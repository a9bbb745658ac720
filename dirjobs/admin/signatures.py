"""Signatures of jobs: empty files on the share, each named by what it signs.

Nobody without the key can give a file such a name for a content of their own, and nothing is
read from it.  A signature is there before its job, and stays: a job that fails and is tried
again needs no new one.
"""

from __future__ import annotations

from functools import cached_property
from typing import BinaryIO

from dirjobs.errors import ConfigurationError, NotFound
from dirjobs.layout import AGREEMENT, SIGNATURES
from dirjobs.protocol.agreement import id_in
from dirjobs.protocol.folders import write
from dirjobs.protocol.share import Share
from dirjobs.signing import SigningKey


class Signatures:
    """The signatures in one queue by one key.

    Args:
        share: the queue.
        key: signs.
    """

    def __init__(self, share: Share, key: SigningKey) -> None:
        self._share = share
        self._key = key

    @cached_property
    def queue_id(self) -> str:
        """The queue's id.

        Raises:
            ConfigurationError: it has none.
            StoreError: it can't be read.
        """
        try:
            found = id_in(self._share.read(AGREEMENT))
        except NotFound:
            found = None
        if not found:
            raise ConfigurationError(
                f"this queue has no id in {AGREEMENT} to sign its jobs for: make one with"
                " `dirjobs init`."
            )
        return found

    def sign(self, share: Share, job: str, content: BinaryIO) -> None:
        """Sign a job that is about to be added; one request.

        Args:
            share: the same queue, by a connection of this thread's.
            job: its name.
            content: its file, read from here to its end.
        """
        write(share, self._path(job, content), b"")

    def has_signed(self, job: str, content: BinaryIO) -> bool:
        """Whether a job is signed; one request.

        Args:
            job: its name.
            content: its file, read from here to its end: one that nobody else can change.
        """
        return self._share.exists(self._path(job, content))

    def _path(self, job: str, content: BinaryIO) -> str:
        return f"{SIGNATURES}/{self._key.signature(self.queue_id, job, content)}"
