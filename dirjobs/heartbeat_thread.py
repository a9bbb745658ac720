"""The thread that keeps a worker alive to others, and its end."""

from __future__ import annotations

import atexit
import logging
from contextlib import suppress
from queue import Empty

from dirjobs import threads
from dirjobs.errors import TRANSIENT_ERRORS, Denied, FileStays, StoreError
from dirjobs.protocol.exits import Claim
from dirjobs.protocol.outage import QueueAway
from dirjobs.recovery.membership import Membership
from dirjobs.worker import Worker

log = logging.getLogger(__name__)


class HeartbeatThread:
    """Beats until it is told to end; then gives back what is still claimed, and says that
    this worker has ended.  Knows nothing of `DirJobs`, so that it keeps none alive.

    Args:
        worker: whose claims are given back at the end.
        membership: the heartbeat, on a connection of its own, so that a long transfer delays
            none.
    """

    def __init__(self, worker: Worker, membership: Membership) -> None:
        self._worker = worker
        self._membership = membership
        self._share = membership.share
        # A garbage collection inside of its `put` or `get` may call `put` again; that of an
        # Event or a Condition would wait for itself.
        self._told_to_end: threads.SimpleQueue[None] = threads.SimpleQueue()
        self._hurried = False
        self._pid = threads.getpid()
        self._thread = threads.Thread(target=self._run, name="dirjobs-heartbeat", daemon=True)

    def start(self) -> None:
        """Announce the worker, then keep it announced.

        Raises:
            WorkerIdInUse, ConfigurationError, StoreError: as `Membership.start`.
            ClaimAborted: this worker was drained at once meanwhile.
        """
        try:
            # In mode sync this takes as long as a change takes to be seen everywhere.
            with self._share.waiting_by(self._membership.control.sleep_unless_aborted):
                self._membership.start()
            _beating.add(self)
            threads.start(self._thread)
        except BaseException:
            # A signal, most likely: nobody must take us for a live worker.
            _beating.discard(self)
            if self._thread.is_alive():
                self.stop()
            else:
                with suppress(StoreError):
                    self._membership.end()
                self._share.store.close()
            raise

    @property
    def is_beating(self) -> bool:
        """Whether it was started, and has not ended."""
        return self._thread.is_alive()

    def tell_to_end(self) -> None:
        """Let it end by itself.  Takes no lock, sends nothing and waits for nothing: it may
        be called by the garbage collector, at any moment of any thread."""
        if self._pid == threads.getpid():  # a forked child has nothing of its parent's to end
            self._worker.control.drain()
            self._hurried = True
            self._told_to_end.put(None)

    def hurries(self) -> bool:
        """Whether no request is repeated: somebody waits for the end of the heartbeat that is
        under way, or of this worker."""
        return self._hurried or self._membership.control.gives_up()

    def stop(self) -> None:
        """Let it end, and wait until it has; a thread doesn't wait for itself."""
        self.tell_to_end()
        here = self._pid == threads.getpid() and not threads.is_current(self._thread)
        if here and self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            self._beat_until_told()
            self._leave()
        finally:
            _beating.discard(self)

    def _leave(self) -> None:
        """Give back what is still claimed, and say that this worker has ended."""
        me, membership = self._membership.me, self._membership
        intents = membership.parts.intents
        held = intents.end_worker()
        self._hurried = False
        try:
            if me.lease_gaps or me.own_lease_expired(self._share.now()):
                membership.give_up_used_names()
            for path, intent in held.items():
                if not intents.gave_up(intent.worker):
                    self._give_back(Claim(intent.worker, intent.job, path))
            membership.end()
        except StoreError as error:
            log.warning(
                "could not say goodbye (%s); others take over when the lease is over", error
            )
        except Exception:
            log.exception("the end of a worker met a defect of dirjobs")
        finally:
            self._share.store.close()

    def _give_back(self, claim: Claim) -> None:
        """Unless the store refuses; what is left under an ended id, the others put back.

        Raises:
            StoreError: the store can't be reached, so there is no use in going on.
        """
        self._membership.throughput.let_go(claim.path)
        try:
            self._membership.parts.exits.release(claim.path, claim.job)
        except StoreError as error:
            about_this_job = isinstance(error, Denied | FileStays)
            if isinstance(error, TRANSIENT_ERRORS) and not about_this_job:
                raise
            log.warning("job %r could not be given back (%s)", claim.job.name, error)

    def _is_told_to_end(self, seconds: float) -> bool:
        """Whether it is told to end, now or within some seconds."""
        try:
            self._told_to_end.get(timeout=max(0.0, seconds))
        except Empty:
            return False
        return True

    def _beat_until_told(self) -> None:
        silent = False
        took = 0.0
        now = self._share.now
        me = self._membership.me
        while not self._is_told_to_end(me.policy.heartbeat - took):
            began = now()
            try:
                self._membership.beat()
            except QueueAway:
                pass  # which is said once for all threads
            except (StoreError, MemoryError) as error:
                if not silent and not self._hurried:
                    why = str(error) or "no memory is left"
                    log.warning("no heartbeat could be written (%s); trying on", why)
                silent = True
            except Exception:
                log.exception("the heartbeat met a defect of dirjobs; trying on")
                silent = True
            else:
                if silent:
                    log.warning("the heartbeat is written again")
                silent = False
            took = now() - began


_beating: set[HeartbeatThread] = set()
"""Those that end when the program does, though nobody closed their queues."""


@atexit.register
def _end_all() -> None:
    beating = list(_beating)
    for one in beating:
        one.tell_to_end()
    for one in beating:
        one.stop()
