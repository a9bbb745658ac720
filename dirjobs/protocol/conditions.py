"""Whether a store creates files exclusively, as it says: tried before a queue rests on it.

A server that ignores the condition says "yes" to everybody (measured: rclone, s3rver, nanio and
fake-gcs do), and a job would be started by all who want it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from dirjobs import names
from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    ConfigurationError,
    NotFound,
    StoreError,
)
from dirjobs.layout import QUEUE, staged_upload
from dirjobs.redaction import redacted
from dirjobs.store import Store

_AT_ONCE = 6
_ROUNDS = 3


def require_exclusive_create(store: Store, *, rounds: int = _ROUNDS) -> None:
    """Let several create one file, some times, and look what they are told.

    Args:
        store: as it is, without layers that repeat requests.
        rounds: how often; 0 only creates a file that is there.

    Raises:
        ConfigurationError: the server ignores conditions.
        StoreError: it can't be tried.
    """
    with suppress(AlreadyExists):
        store.mkdir(QUEUE)
    for _ in range(max(1, rounds)):
        path = f"{QUEUE}/{staged_upload(names.nonce())}"
        try:
            if not _is_exclusive(store, path, _AT_ONCE if rounds else 1):
                raise ConfigurationError(
                    f"{redacted(store.url)!r} can't have a queue: its server ignores the condition"
                    " 'only if it is not there' (it tells several who create one object that they"
                    " did), so jobs would be run twice; use another server, or its mount or WebDAV."
                )
        finally:
            with suppress(NotFound):
                store.remove(path)


def _is_exclusive(store: Store, path: str, racers: int) -> bool:
    """Whether of some who create a file at once one is told so, and nobody after them."""
    contents = [f"{number} {names.nonce()}".encode() for number in range(racers)]

    def create(content: bytes) -> bool | None:
        try:
            store.create(path, content)
        except AlreadyExists:
            return False
        except AmbiguousResult:
            return None
        return True

    with ThreadPoolExecutor(racers) as pool:
        told = [*pool.map(create, contents)]
    late = create(b"late")
    there = store.read(path)
    winners = [content for content, said in zip(contents, told, strict=True) if said]
    losers = [content for content, said in zip(contents, told, strict=True) if said is False]
    unclear = None in told or late is None
    if late or len(winners) > 1 or there == b"late" or there in losers:
        return False
    if not winners and not unclear:
        raise StoreError(f"nobody could create {path!r}, though it was not there.")
    return winners == [there] or unclear
