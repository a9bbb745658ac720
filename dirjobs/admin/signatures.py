"""Signatures of jobs: small files on the share, each named by a digest of what it signs.

A worker computes what must be in there, and compares: it believes nobody, neither who writes to
the share nor the server.  A signature is there before its job, and stays: a job that fails and
is tried again needs no new one.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import BinaryIO

from dirjobs.errors import TRANSIENT_ERRORS, ConfigurationError, NotFound, StoreError
from dirjobs.layout import AGREEMENT, SIGNATURES
from dirjobs.protocol.agreement import id_in
from dirjobs.protocol.folders import write
from dirjobs.protocol.share import Share
from dirjobs.signing import SigningKey, subject


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
        what = subject(self.queue_id, job, content)
        write(share, _path(what), self._key.sign(what).encode())

    def problem(self, job: str, content: BinaryIO) -> str:
        """Why a job can't be taken for signed; empty if it is signed.  One request.

        Args:
            job: its name.
            content: its file, read from here to its end: one that nobody else can change.

        Raises:
            StoreError: it can't be found out, for this is about more than one job.
        """
        what = subject(self.queue_id, job, content)
        try:
            found = self._share.read(_path(what))
        except NotFound:
            found = b""
        except TRANSIENT_ERRORS:
            raise
        except StoreError as error:  # a folder, a link, a large file, another user's
            self._share.list(SIGNATURES)
            return f"its signature can't be read ({error})"
        return "" if self._key.has_signed(what, found) else "not signed by this worker's key"

    def tag(self, name: str, content: BinaryIO) -> str:
        """The signature of a file that has it in its name; no request.

        Args:
            name: what the file is, with a ``/``: no job has such a name.
            content: the file, read from here to its end.
        """
        return self._key.sign(subject(self.queue_id, name, content))

    def is_tag(self, name: str, content: BinaryIO, tag: str) -> bool:
        """Whether `tag` is what `tag` gives."""
        return self._key.has_signed(subject(self.queue_id, name, content), tag.encode())


def _path(what: bytes) -> str:
    # By no secret: a name that only the key could make would tell a server what to answer.
    return f"{SIGNATURES}/{hashlib.sha256(what).hexdigest()}"
