"""Outage or verdict: an empty place or a refusal is believed only where the queue is.

A proxy says 404 while the container behind it restarts, a NAS starts its server before its
shares, a ticket expires, a mount point is bare after ``umount``: to a worker that looks as if
somebody had taken its job away, or the queue.  ``queue.json`` has a random id, so there is a
way to tell: whoever has worked here remembers it, and takes nothing for gone or forbidden
before that file was read and had the same id.  Until then it is an outage.

    the store says                      queue.json has the id    it has not, or can't be read
    ----------------------------------  -----------------------  ----------------------------
    not found, refused, can't do that   asked again: so it is    `QueueAway`: ask again later
    not found, to a rename              so it is (or as above)   `AmbiguousResult`: look later
    the login is refused                (not asked at once)      `QueueAway`; three tries
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterable
from typing import BinaryIO, TypeVar

from dirjobs import clock, threads
from dirjobs.errors import (
    AlreadyExists,
    AmbiguousResult,
    Busy,
    LogonRefused,
    NotFound,
    StoreError,
    Unavailable,
)
from dirjobs.layers import Layer, repeatable_download, repeatable_upload
from dirjobs.layout import (
    AGREEMENT,
    ATTEMPTS,
    DONE,
    FAILED,
    JOURNAL,
    QUEUE,
    RUNNING,
    WAITING,
    parse_claim,
)
from dirjobs.policy import DEFAULT_PATIENCE
from dirjobs.protocol.agreement import id_in
from dirjobs.store import Store, split

T = TypeVar("T")
log = logging.getLogger(__name__)

NO_VERDICT = (AlreadyExists, Unavailable, AmbiguousResult, Busy)
"""Answers that say nothing about whether the queue is there."""
LOGON_PAUSES = (20.0, 100.0)
"""Seconds after which a login that was refused is tried again; then no more."""
_JUST_SEEN = 2.0
"""Seconds for which nobody asks again whether it is the same queue before a folder is made, or a
record written."""


class QueueAway(Unavailable):
    """The queue that this process works at is not there, or lets nobody in, for now."""


class PatienceOver(StoreError):
    """The queue was away for too long, or its login was refused too often: nobody waits on."""


class Presence:
    """Whether the queue is there, as all threads of one worker know it.

    Args:
        patience: seconds to wait for a queue that is away; then its errors are final.
        now: seconds that never go back; the machine's by default.

    Attributes:
        queue_id: the id that the queue had when this worker began; empty until then, and
            whatever the store says is believed.
        own_file: a file that only this worker writes; where it is, is the queue, if any of what
            the worker holds is there as well: a heartbeat may have gone astray.
        held: gives the paths of the claims that the worker holds.
        foreign_ids: of queues that were met in its place, and have no such file.
        beginning: a worker begins, and may make the queue's folders.
        seen_at: when the queue was surely there, for the last time that anybody looked.
        lost_race: see `just_lost`.
    """

    def __init__(
        self, patience: float = DEFAULT_PATIENCE, now: Callable[[], float] | None = None
    ) -> None:
        self.patience = patience
        self.now = now or clock.monotonic
        self.queue_id = ""
        self.own_file = ""
        self.held: Callable[[], Collection[str]] = tuple
        self.foreign_ids: set[str] = set()
        self.beginning = False
        self.seen_at = -math.inf
        self.lost_race = threads.local()
        self._lock = threads.Lock()
        self._away_since: float | None = None
        self._seen: StoreError = Unavailable()
        self._refused_logons = 0
        self._next_logon = -math.inf

    def adopt(
        self, queue_id: str, own_file: str, held: Callable[[], Collection[str]] = tuple
    ) -> None:
        """Remember from now on what the queue is known by: its id, as it stands in
        ``queue.json``, a file of it that only this worker writes, and the claims it holds."""
        self.queue_id, self.own_file, self.held = queue_id, own_file, held
        self.beginning = False

    def just_lost(self, path: str) -> bool:
        """Whether this thread lost a race for a job with its last rename, and looks whether it
        has the job all the same; asking once more would cost every lost race a request."""
        lost = getattr(self.lost_race, "for_name", None)
        self.lost_race.for_name = None
        return path == lost

    @property
    def is_away(self) -> bool:
        return self._away_since is not None

    def is_there(self) -> None:
        """Its ``queue.json`` was read."""
        with self._lock:
            self.seen_at = self.now()
            was_away, self._away_since = self.is_away, None
            self._refused_logons, self._next_logon = 0, -math.inf
        if was_away:
            log.warning("the queue is there again; going on")

    def error(self, seen: StoreError) -> StoreError:
        """What to raise since the store said `seen` and the queue is not to be had."""
        with self._lock:
            now = self.now()
            first = not self.is_away
            if self._away_since is None:
                self._away_since = now
            self._seen = seen
            if isinstance(seen, LogonRefused):
                self._refused_logons += 1
                pauses = LOGON_PAUSES[self._refused_logons - 1 :]
                self._next_logon = now + pauses[0] if pauses else math.inf
        if first:
            log.warning(
                "the queue is away (%s); waiting for it, at most %g s",
                str(seen).rstrip("."),
                self.patience,
            )
        return self._error()

    def refused_logon(self) -> StoreError | None:
        """What to raise instead of trying a login that was refused lately; None if it may be
        tried, which is then this thread's turn."""
        with self._lock:
            if not self._refused_logons:
                return None
            if self.now() >= self._next_logon:
                self._next_logon = self.now() + LOGON_PAUSES[self._refused_logons - 1]
                return None
        return self._error()

    def _error(self) -> StoreError:
        seen = self._seen
        if self._refused_logons > len(LOGON_PAUSES):
            return PatienceOver(
                f"{seen}  It was tried {self._refused_logons} times, and is tried no more:"
                " accounts get locked."
            )
        since = self._away_since
        if since is not None and self.now() - since >= self.patience:
            return PatienceOver(
                f"{seen}  The queue has been away for {self.patience:g} s: giving up."
            )
        return QueueAway(f"the queue is away: {seen}")


class SameQueue(Layer):
    """A store that is believed as long as it holds the queue that was begun.

    Args:
        store: what this layer is around.
        presence: what is known of the queue; shared by all connections to it.
    """

    def __init__(self, store: Store, presence: Presence | None = None) -> None:
        super().__init__(store)
        self.presence = presence or Presence()

    def call(self, verb: str, paths: tuple[str, ...], action: Callable[[], T]) -> T:
        return self._call(verb, paths, action, action)

    def _call(
        self,
        verb: str,
        paths: tuple[str, ...],
        action: Callable[[], T],
        again: Callable[[], T] | None,
    ) -> T:
        """Carry out one request; `again`, if it can be repeated, when the queue is there though
        it was refused: whatever passed at once was no verdict."""
        presence = self.presence
        if presence.is_away and (away := self._find_queue()) is not None:
            raise away
        try:
            return action()
        except NO_VERDICT:
            raise
        except StoreError as error:
            if not presence.queue_id or _is_ordinary(verb, paths, error):
                if verb == "rename":
                    presence.lost_race.for_name = paths[1]
                raise
            asked = verb == "read" and paths == (AGREEMENT,)
            outage = presence.error(error) if asked else self._outage(error)
            # Whatever stands between may have passed on what it says is not found.
            gone = verb == "rename" and isinstance(error, NotFound)
            in_doubt = gone and not self.guarantees.final_refusals
            if outage is not None and in_doubt:
                raise AmbiguousResult(f"{error}  But the queue is away.") from error
            if outage is not None:
                raise outage from error
            if in_doubt or again is None:
                raise
        return again()

    def upload(self, path: str, source: BinaryIO) -> None:
        again = repeatable_upload(self.store, path, source) if source.seekable() else None
        self._call("upload", (path,), lambda: self.store.upload(path, source), again)

    def download(self, path: str, target: BinaryIO) -> None:
        again = repeatable_download(self.store, path, target) if target.seekable() else None
        self._call("download", (path,), lambda: self.store.download(path, target), again)
        self._note_seen(path)

    def names_of_files(self, folder: str) -> Iterable[str]:
        return self.call("list", (folder,), lambda: [*self.store.names_of_files(folder)])

    def exists(self, path: str) -> bool:
        there = super().exists(path)
        presence = self.presence
        if not presence.queue_id:
            return there
        if there:
            self._note_seen(path)
        elif not (_is_job_at_rest(path) or presence.just_lost(path)):
            outage = self._outage(NotFound(f"{self.full_path(path)!r} is not there."))
            if outage is not None:
                raise outage
            return super().exists(path)
        return there

    def read(self, path: str) -> bytes:
        data = super().read(path)
        if path == AGREEMENT and self.presence.queue_id and id_in(data) is not None:
            if not self._is_same(data):
                raise self.presence.error(self._another_queue())
            self.presence.is_there()
        return data

    def write(self, path: str, data: bytes) -> None:
        """Looks before a record is written: in another queue it would tell of that one's job."""
        if split(path)[0] == JOURNAL and self.presence.queue_id:
            self._require_queue()
        super().write(path, data)

    def append(self, path: str, data: bytes) -> None:
        """Only records are added to, which `write` tells of; never sent twice."""
        if self.presence.queue_id:
            self._require_queue()
        self._call("append", (path,), lambda: self.store.append(path, data), None)

    def mkdir(self, path: str) -> None:
        """Looks once more afterwards: what is put into a folder that was made at a bare mount
        point would be taken for stored."""
        self._require_queue()
        super().mkdir(path)
        if self.presence.queue_id and (outage := self._find_queue()) is not None:
            raise outage

    # -- whether it is the queue ------------------------------------------------------------

    def _note_seen(self, path: str) -> None:
        """`path` is there: if it is a claim, so is the queue, for no other one has it."""
        if self.presence.queue_id and split(path)[0] == RUNNING:
            self.presence.seen_at = self.presence.now()

    def _outage(self, seen: StoreError) -> StoreError | None:
        """What to raise instead of `seen`; None if the queue is there, so `seen` is true."""
        if isinstance(seen, LogonRefused):
            return self.presence.error(seen)  # accounts get locked: not asked again at once
        return self._find_queue(seen)

    def _find_queue(self, seen: StoreError | None = None) -> StoreError | None:
        """Read ``queue.json``; what to raise if this is not the queue, or can't be known."""
        presence = self.presence
        if (refused := presence.refused_logon()) is not None:
            return refused
        try:
            data = self.store.read(AGREEMENT)
        except NO_VERDICT as error:
            return error
        except StoreError as error:
            return presence.error(seen or error)
        if not self._is_same(data):
            return presence.error(seen or self._another_queue())
        presence.is_there()
        return None

    def _is_same(self, data: bytes) -> bool:
        """Whether `data` is ``queue.json`` of the queue; its id may be another one if several
        workers began a new queue at once, and somebody wrote after this one had read.

        The own file tells.  But a queue that takes the place of another one just before a
        heartbeat is written gets that: where a worker holds claims, one of them must be there.
        """
        presence, found = self.presence, id_in(data)
        if found and found != presence.queue_id and found not in presence.foreign_ids:
            if not self.store.exists(presence.own_file):
                presence.foreign_ids.add(found)
            elif not (held := presence.held()) or any(map(self._has, held)):
                presence.queue_id = found
        return found == presence.queue_id

    def _has(self, claim: str) -> bool:
        """Whether a claim is in the queue, or its job, as a thread of ours may be ending it."""
        named = parse_claim(split(claim)[1])
        jobs = [] if named is None else [f"{at}/{named.job}" for at in (DONE, FAILED, WAITING)]
        return any(map(self.store.exists, [claim, *jobs]))

    def _another_queue(self) -> StoreError:
        return StoreError(f"{self.full_path(AGREEMENT)!r} is not that of the queue begun here.")

    def _require_queue(self) -> None:
        """Nothing is made, or recorded, where the queue is not: most likely that is a bare mount
        point.

        Raises:
            NotFound: there is no queue.
            QueueAway: there is not the one that this worker began with.
        """
        presence = self.presence
        if presence.queue_id:
            if presence.now() - presence.seen_at > _JUST_SEEN:
                outage = self._find_queue()
                if outage is not None:
                    raise outage
        elif not presence.beginning and not any(map(self.store.exists, (WAITING, QUEUE))):
            raise NotFound(
                f"there is no queue in {self.url!r} any more: look whether the right folder is"
                " there, or make a new one with `dirjobs init`."
            )


def _is_ordinary(verb: str, paths: tuple[str, ...], error: StoreError) -> bool:
    """Whether an answer is one that nothing rests on: asking again would only cost."""
    if not isinstance(error, NotFound):
        return False
    return (
        verb in ("remove", "upload")  # whose folder is made, which asks
        or split(paths[0])[0] == ATTEMPTS
        or (verb == "rename" and _is_job_at_rest(paths[0]))  # a lost race
    )


def _is_job_at_rest(path: str) -> bool:
    """Whether a file is a job that nobody has, or has any more: it may not be there."""
    folder, name = split(path)
    return folder in (DONE, FAILED) or (folder == WAITING and not name.startswith("~"))
